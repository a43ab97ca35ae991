package demo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/daemon"
	"syncline/internal/verify"
)

// headless runs the demo and returns what it printed.
func headless(t *testing.T, dir string, changes int64) (Result, string) {
	t.Helper()
	var out bytes.Buffer
	res, err := Run(t.Context(), Options{Dir: dir, Seed: 7, Changes: changes, Headless: true, Version: "test", Out: &out})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return res, out.String()
}

// recorded is how many changes the triggers have ever seen.
func recorded(t *testing.T, dir string) (n uint64) {
	t.Helper()
	w := openTest(t, dir, 0)
	for _, s := range schemas {
		written, err := w.written(t.Context(), s.system)
		if err != nil {
			t.Fatal(err)
		}
		n += written
	}
	return n
}

func TestHeadlessTwice(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	for run := uint64(1); run <= 2; run++ {
		res, out := headless(t, dir, 500)
		if !res.Equal() {
			t.Fatalf("run %d: the targets differ:\n%s", run, out)
		}
		if len(res.Comparisons) != 13 {
			t.Errorf("run %d compared %d rules, want 13", run, len(res.Comparisons))
		}
		for _, p := range res.Verified.Parts {
			if want := (p.Rule != "partner-orders"); (p.Phase == verify.PhaseDone && p.Equal > 0) != want {
				t.Errorf("run %d: of rule %s %d records were verified: %s", run, p.Rule, p.Equal, p.Phase)
			}
		}
		for _, c := range res.Comparisons {
			if c.Result.Source == 0 {
				t.Errorf("run %d: rule %s had nothing to compare", run, c.Rule)
			}
		}
		for _, route := range []string{"crm-warehouse", "shop-warehouse", "partner-orders", "search-product", "cache-stock"} {
			if strings.Count(out, "equal    "+route) != 1 {
				t.Errorf("run %d: not one line for route %s:\n%s", run, route, out)
			}
		}
		if n := recorded(t, dir); n != run*500 {
			t.Errorf("after run %d the sources have recorded %d changes, want %d", run, n, run*500)
		}
	}
}

// TestPlantedDifference: a decimal that somebody altered in the warehouse is found and named.
func TestPlantedDifference(t *testing.T) {
	dir := t.TempDir()
	headless(t, dir, 400)
	db, err := openDatabase(t.Context(), dir, "warehouse", "")
	if err != nil {
		t.Fatal(err)
	}
	var order, line int64
	row := db.QueryRowContext(t.Context(), `UPDATE fact_order_line SET amount = amount || '1' WHERE rowid = (SELECT min(rowid) FROM fact_order_line)
		RETURNING order_id, line`)
	if err := row.Scan(&order, &line); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// One change cannot be a purge, which would remove the line.
	res, out := headless(t, dir, 1)
	if res.Equal() {
		t.Fatalf("the difference was not found:\n%s", out)
	}
	at := slices.IndexFunc(res.Comparisons, func(c daemon.Comparison) bool { return c.Rule == "fact-order-line" })
	got := res.Comparisons[at].Result
	key := fmt.Sprintf("%d,%d", order, line)
	if got.Different != 1 || len(got.Samples) != 1 || string(got.Samples[0].Key) != key || !slices.Equal(got.Samples[0].Fields, []string{"amount"}) {
		t.Errorf("comparison = %+v, want a different amount in %s", got, key)
	}
	for _, want := range []string{"DIFFERS  shop-warehouse", "warehouse/fact_order_line " + key + ": different in amount"} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
}

// terminalOut is a terminal that presses Ctrl-C after some frames.
type terminalOut struct {
	mu     sync.Mutex
	text   bytes.Buffer
	frames int
	press  context.CancelFunc
}

func (o *terminalOut) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if bytes.Contains(p, []byte(clearBelow)) {
		if o.frames++; o.frames == 3 {
			o.press()
		}
	}
	return o.text.Write(p)
}

func TestInterrupted(t *testing.T) {
	ctx, press := context.WithCancel(t.Context())
	out := &terminalOut{press: press}
	res, err := Run(ctx, Options{Dir: t.TempDir(), Seed: 7, Rate: 400, Out: out, Version: "test",
		Terminal: &Terminal{Size: func() (int, int) { return 120, 40 }}})
	if err != nil || !res.Equal() {
		t.Fatalf("Run = %v, equal %v\n%s", err, res.Equal(), out.text.String())
	}
	text := out.text.String()
	for _, want := range []string{"http://127.0.0.1:", "partner-orders", showCursor, "syncline init", "syncline validate"} {
		if !strings.Contains(text, want) {
			t.Errorf("output lacks %q", want)
		}
	}
	if strings.Contains(text, string(strong)) {
		t.Error("there are colours where none are allowed")
	}
}

func TestDirectoryOfAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ dir, code string }{{dir, "directory_foreign"}, {filepath.Join(file, "demo"), "directory_unwritable"}} {
		_, err := Run(t.Context(), Options{Dir: test.dir, Changes: 1, Headless: true, Out: new(bytes.Buffer)})
		if syncline.CodeOf(err) != test.code {
			t.Errorf("Run in %s = %v, want %s", test.dir, err, test.code)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the other program's directory has %d files, %v, want 1", len(entries), err)
	}
}

func TestConfiguration(t *testing.T) {
	dir := t.TempDir()
	if err := prepare(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, configFile)
	c, problems := config.Load(path, func(string) (string, bool) { return "", false })
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if len(c.Systems) != 9 || len(c.Rules) < 8 {
		t.Errorf("%d systems and %d rules, want 9 and at least 8", len(c.Systems), len(c.Rules))
	}
	if b := c.System(books); b == nil || b.Capture.Mode != config.ModePoll {
		t.Errorf("the books are %+v, want them polled", b)
	}
	if !slices.ContainsFunc(c.Schedules, func(s *config.Schedule) bool { return s.ID == "nightly-check" && s.Enabled && s.Do.Verify != nil }) {
		t.Errorf("no schedule compares the targets")
	}
	mine := append([]byte("# mine\n"), configuration...)
	if err := os.WriteFile(path, mine, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := prepare(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(mine), string(got)); diff != "" {
		t.Errorf("a changed configuration was not left alone:\n%s", diff)
	}
}
