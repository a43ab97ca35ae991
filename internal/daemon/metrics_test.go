package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	program "os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// promtool is the checker of Prometheus, which Debian's package prometheus brings.
func promtool(t *testing.T, stdin []byte, args ...string) {
	t.Helper()
	path, err := program.LookPath("promtool")
	if err != nil {
		t.Skip("install promtool (Debian's package prometheus): make servers")
	}
	cmd := program.CommandContext(t.Context(), path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil || len(args) == 2 && len(out) > 0 {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func scrape(t *testing.T, d *Daemon) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET /metrics = %d, %v", res.StatusCode, err)
	}
	return text
}

// TestMetricsAreWellFormed: by Prometheus's own checker, with a source, a route and tasks behind them; and few.
func TestMetricsAreWellFormed(t *testing.T) {
	t.Parallel()
	d := running(t, load(t, t.TempDir(), pushed))
	for id := range int64(5) {
		accept(t, d, id+1)
	}
	eventually(t, "all is applied", func() bool { r := report(t, d); return r.Tasks.Completed == 5 })
	if _, err := d.CheckHealth(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := scrape(t, d)
	promtool(t, text, "check", "metrics")
	for _, want := range []string{"syncline_health_level ", `syncline_tasks_ratio{status="completed"} 1`, `syncline_tasks_total{outcome="applied",route="sales"} 5`,
		`syncline_latency_seconds_count{route="sales"} 5`, `syncline_late_events{route="sales"} 0`, `syncline_failed_tasks{rule="sales"} 0`, "syncline_log_limit_bytes "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s among the metrics", want)
		}
	}
	ours := regexp.MustCompile(`(?m)^syncline_`).FindAllIndex(text, -1)
	if len(ours) > 60 {
		t.Errorf("%d series for one source and one route", len(ours))
	}
}

var descParts = regexp.MustCompile(`fqName: "([a-z_0-9]+)".*variableLabels: \{([a-z,]*)\}`)

// described are the labels of every metric of ours, by name.
func described(t *testing.T, d *Daemon) map[string][]string {
	t.Helper()
	ch := make(chan *prometheus.Desc, 1000) // room for all
	d.registry.Describe(ch)
	close(ch)
	all := make(map[string][]string)
	for desc := range ch {
		m := descParts.FindStringSubmatch(desc.String())
		if m == nil {
			t.Fatalf("a description is not understood: %s", desc)
		}
		if strings.HasPrefix(m[1], "syncline_") {
			all[m[1]] = strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' })
			slices.Sort(all[m[1]])
		}
	}
	return all
}

var metricRow = regexp.MustCompile("(?m)^\\| `(syncline_[a-z_]+)` \\|([^|]*)\\|")

// TestMetricsAreDocumented: names and labels are those that docs/operations.md lists, no more and no fewer: others build on them.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	d := open(t, load(t, t.TempDir(), pushed))
	defer closeDaemon(t, d)
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string][]string)
	for _, m := range metricRow.FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = strings.FieldsFunc(m[2], func(r rune) bool { return strings.ContainsRune("`, ", r) })
		slices.Sort(documented[m[1]])
	}
	got := described(t, d)
	if diff := cmp.Diff(documented, got, cmp.Transformer("text", func(l []string) string { return fmt.Sprint(l) })); diff != "" {
		t.Errorf("metrics (-documented +given):\n%s", diff)
	}
	for name, labels := range got {
		for _, l := range labels {
			if !slices.Contains([]string{"source", "entity", "reason", "state", "route", "rule", "outcome", "status", "schedule", "channel", "severity", "alert"}, l) {
				t.Errorf("%s has the label %s: is it a name of the configuration, or one of few words?", name, l)
			}
		}
	}
}

// TestDeployedFilesNameMetricsThatExist: the rules and the dashboard are well formed, and ask for nothing that is not there.
func TestDeployedFilesNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	d := open(t, load(t, t.TempDir(), pushed))
	defer closeDaemon(t, d)
	known := described(t, d)
	name := regexp.MustCompile(`\bsyncline_[a-z_]+`)
	files, err := filepath.Glob("../../deploy/*/*")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := name.FindAllString(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric", path)
		}
		for _, metric := range found {
			_, ok := known[metric]
			for _, part := range []string{"_sum", "_count"} {
				_, summed := known[strings.TrimSuffix(metric, part)]
				ok = ok || summed
			}
			if !ok {
				t.Errorf("%s names %s, which is not given", path, metric)
			}
		}
		if filepath.Ext(path) == ".json" && !json.Valid(text) {
			t.Errorf("%s is no JSON", path)
		}
	}
	promtool(t, nil, "check", "rules", "../../deploy/prometheus/syncline.rules.yml")
	promtool(t, nil, "test", "rules", "../../deploy/prometheus/syncline.rules.test.yml")
}
