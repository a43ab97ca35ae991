package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// verification runs the command and returns its answer.
func (p *program) verification(code int, args ...string) ops.Verification {
	p.t.Helper()
	out, _ := p.command(code, append([]string{"verify", "--server", p.url(), "-o", "json"}, args...)...)
	var v ops.Verification
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		p.t.Fatal(err)
	}
	return v
}

// TestVerdicts: nothing but a comparison that came to its end and found nothing is exit code 0, and nothing else is called equal.
func TestVerdicts(t *testing.T) {
	skipped := verify.Part{Phase: verify.PhaseSkipped}
	for _, test := range []struct {
		name string
		of   ops.Verification
		code int
		says string
	}{
		{"equal", ops.Verification{Status: state.VerificationDone, Parts: []verify.Part{{Phase: verify.PhaseDone}, skipped}}, exitOK, "v: done, no differences"},
		{"different", ops.Verification{Status: state.VerificationCancelled, Differences: 2}, exitDiffers, "v: 2 records differ"},
		{"cancelled", ops.Verification{Status: state.VerificationCancelled}, exitFailed, "v: cancelled; no differences in what was compared"},
		{"failed", ops.Verification{Status: state.VerificationFailed}, exitFailed, "v: failed; no differences in what was compared"},
		{"nothing to compare", ops.Verification{Status: state.VerificationDone, Parts: []verify.Part{skipped}}, exitFailed, "v: nothing could be compared"},
		{"unsettled", ops.Verification{Status: state.VerificationDone, Total: verify.Tally{Unsettled: 3}}, exitFailed, "of 3 records it could not be told"},
		{"repaired", ops.Verification{Status: state.VerificationDone, Total: verify.Tally{Different: 3, Repaired: 3}}, exitOK, "v: done, no differences, 3 repaired\n"},
		{"partly repaired", ops.Verification{Status: state.VerificationDone, Differences: 1, Total: verify.Tally{Missing: 3, Repaired: 2}}, exitDiffers, "v: 1 record differs, 2 repaired"},
		{"under way", ops.Verification{Status: state.VerificationRunning}, exitOK, "v is under way"},
	} {
		test.of.ID = "v"
		code := exitOK
		if exit := (*exitError)(nil); errors.As(verdictOf(&test.of), &exit) {
			code = exit.code
		}
		var out strings.Builder
		w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
		printVerification(w, &test.of, nil)
		if err := w.Flush(); err != nil || code != test.code || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: exit code %d, want %d, %q in\n%s", test.name, code, test.code, test.says, out.String())
		}
	}
}

// TestWhatIsSaidOfDifferencesCanBePasted: the commands name a record and the rules that there are, and none stands where none would work.
func TestWhatIsSaidOfDifferencesCanBePasted(t *testing.T) {
	found := []ops.Difference{
		{Rule: "price", Key: "Z", Kind: "extra", State: "found"}, {Rule: "customer", Source: "10", State: "repaired"},
		{Rule: "customer", Source: "x$(y)", State: "found"}, {Rule: "customer", Source: "12", State: "found"},
	}
	tell := func(v ops.Verification) string {
		v.Parts = []verify.Part{{Rule: "customer", Entity: "crm/customer", Tally: verify.Tally{Missing: 2}, Samples: []verify.Sample{{Key: "12", Kind: "missing"}}}, {Rule: "price", Entity: "till/price", Tally: verify.Tally{Extra: 1}}, {Rule: "order"}}
		v.Status, v.Differences = state.VerificationDone, 3
		var out strings.Builder
		w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
		printVerification(w, &v, found)
		_ = w.Flush()
		return out.String()
	}
	full := tell(ops.Verification{Mode: "full", Repair: "off"})
	for _, want := range []string{"`syncline explain crm/customer/12`\n", "`syncline verify --repair customer price`\n", "/12 missing\n"} {
		if !strings.Contains(full, want) {
			t.Errorf("%q is missing in\n%s", want, full)
		}
	}
	v := ops.Verification{Mode: "full", Repair: "off", Status: state.VerificationDone, Differences: 260, Parts: []verify.Part{
		{Rule: "few", Tally: verify.Tally{Missing: 10}},
		{Rule: "many", Tally: verify.Tally{Missing: 120}, MaxRepair: 130}, {Rule: "many/crm.lead", Tally: verify.Tally{Extra: 130}}}}
	command, large := repairing(&v)
	if command != "syncline verify --repair few" || large != "syncline verify --repair --max-repair 140 many" {
		t.Errorf("commands = %q, %q, want those of a rule that may be repaired and of one that needs a higher limit", command, large)
	}
	for _, v := range []ops.Verification{{Mode: "full", Repair: "auto"}, {Mode: "keys", Repair: "off"}} {
		if got := tell(v); strings.Contains(got, "--repair") {
			t.Errorf("a repair is named for mode %s, repair %s:\n%s", v.Mode, v.Repair, got)
		}
	}
}

// TestRepairsInTheTable: what was repaired is not shown as if it were open, and what never happened has no column.
func TestRepairsInTheTable(t *testing.T) {
	v := ops.Verification{ID: "v", Status: state.VerificationDone, Differences: 1, Parts: []verify.Part{{Rule: "item", Object: "dw/item", Phase: verify.PhaseDone,
		Tally: verify.Tally{Source: 40, Equal: 37, Missing: 2, Different: 1}, Samples: []verify.Sample{{Key: "1", Kind: "missing"}, {Key: "2", Kind: "different"}}}}}
	v.Parts[0].Repair("1", "missing")
	v.Parts[0].Repair("3", "missing")
	v.Total = v.Parts[0].Tally
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	printVerification(w, &v, nil)
	_ = w.Flush()
	want := `RULE  TARGET   RECORDS  EQUAL  MISSING  DIFFERENT  REPAIRED  LEFT  STATE
item  dw/item  40       37     2        1          2         1     done
    dw/item/1 missing: repaired
    dw/item/2 different
v: 1 record differs, 2 repaired
`
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("it is shown as\n%s, want\n%s", out.String(), want)
	}
	v.Parts, v.Total, v.Differences = []verify.Part{{Rule: "item", Object: "dw/item", Tally: verify.Tally{Source: 40, Equal: 40}, Phase: verify.PhaseDone}}, verify.Tally{}, 0
	out.Reset()
	printVerification(w, &v, nil)
	_ = w.Flush()
	if want := "RULE  TARGET   RECORDS  EQUAL  STATE\nitem  dw/item  40       40     done\n"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("no differences are shown as\n%s", out.String())
	}
}

// TestVerifyInTheRealProgram: what was done to the target is told with exit code 5; the process is killed in the middle of a comparison,
// goes on where that stood, and repairs what it found before and after. The target is then equal, and its lost tail is back.
func TestVerifyInTheRealProgram(t *testing.T) {
	t.Parallel()
	p := newProgram(t, `
systems:
  crm: {type: sqlite, url: "sqlite:crm.db", capture: {manage: true, entities: {item: {table: item}}}}
  dw: {type: sqlite, url: "sqlite:dw.db"}
rules:
  - {id: mirror, from: crm/item, to: dw/item, create: true}
`)
	do := func(name string, statements ...string) {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(p.dir, name)+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // it is only a test's
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	until := func(what string, check func(client *ops.Client) bool) {
		t.Helper()
		client := p.client()
		for end := time.Now().Add(patience); !check(client); {
			if time.Now().After(end) {
				t.Fatal(what)
			}
			select {
			case <-t.Context().Done():
				t.Fatal(what)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	do("crm.db", `CREATE TABLE item (id INTEGER PRIMARY KEY, price DECIMAL(10,2))`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO item SELECT i, i + 0.10 FROM n`)
	p.start()
	p.ready()
	until("the copy is there", func(client *ops.Client) bool {
		v, err := client.StartVerification(t.Context(), ops.VerificationRequest{})
		for err == nil && v.Status == state.VerificationRunning {
			v, err = client.Verification(t.Context(), v.ID)
		}
		return err == nil && v.Total.Equal == 4000
	})
	do("dw.db", `UPDATE item SET price = '1.11' WHERE id = 1`, `DELETE FROM item WHERE id > 3990`, `INSERT INTO item VALUES (9000, '1')`)
	v := p.verification(exitDiffers)
	if c := v.Total; c.Different != 1 || c.Missing != 10 || c.Extra != 1 || c.Equal != 3989 {
		t.Errorf("found %+v", c)
	}
	// Killed while it compares.
	v = p.verification(exitOK, "--detach", "--rate", "500", "--repair")
	until("a part is compared", func(client *ops.Client) bool {
		now, err := client.Verification(t.Context(), v.ID)
		return err == nil && now.Total.Different == 1
	})
	p.kill()
	p.start()
	p.ready()
	until("it ends after the crash", func(client *ops.Client) bool {
		now, err := client.Verification(t.Context(), v.ID)
		return err == nil && now.Status != state.VerificationRunning
	})
	out, _ := p.command(exitOK, "verify", "show", v.ID, "--server", p.url(), "-o", "json")
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if c := v.Total; c.Repaired != 12 || c.Different != 1 || c.Missing != 10 || c.Extra != 1 || c.Equal != 3989 {
		t.Errorf("after the crash %+v", c)
	}
	for _, s := range v.Parts[0].Samples {
		if !s.Repaired {
			t.Errorf("the sample %+v is not marked as repaired", s)
		}
	}
	if v = p.verification(exitOK); v.Total.Equal != 4000 {
		t.Errorf("at the end %+v", v.Total)
	}
	if _, errs := p.command(exitUsage, "verify", "--full", "--sample", "3"); !strings.Contains(errs, "exclude") {
		t.Errorf("a wrong call says %q", errs)
	}
}
