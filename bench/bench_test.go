package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func TestRunReportsBothSides(t *testing.T) {
	out := filepath.Join(t.TempDir(), "docs", "benchmarks.md")
	var progress bytes.Buffer
	if err := run(t.Context(), []string{"-rows", "1000", "-copy-rows", "1000", "-rounds", "2", "-only", "updates,inserts,copy,wide,large,hot,steps,conflicts", "-o", out}, io.Discard, &progress); err != nil {
		t.Fatalf("run: %v\n%s", err, &progress)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1,000 single-row updates", "1,000 single-row inserts", "Initial copy of 1,000 rows", "| without a log ", "| **Syncline ÷ ceiling** ", "| PostgreSQL ", "-rows 1000",
		"## Goals", "| hot keys ÷ native replication ", "| initial copy ÷ native replication "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if n := strings.Count(string(text), "**ratio**"); n != 8 {
		t.Errorf("the report has %d ratios, want 8:\n%s", n, text)
	}
}

func TestParkedCountsTheKeys(t *testing.T) {
	var report bytes.Buffer
	var progress bytes.Buffer
	if err := run(t.Context(), []string{"-rows", "100", "-only", "parked"}, &report, &progress); err != nil {
		t.Fatalf("run: %v\n%s", err, &progress)
	}
	for _, want := range []string{"Memory with 20 parked keys", "| nothing parked         | 0  ", "| after they were parked | 20 ", "| after the next start   | 20 "} {
		if !strings.Contains(report.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &report)
		}
	}
}

func TestRefusedRecordsAreCounted(t *testing.T) {
	var report, progress bytes.Buffer
	if err := run(t.Context(), []string{"-rows", "500", "-only", "refused"}, &report, &progress); err != nil {
		t.Fatalf("run: %v\n%s", err, &progress)
	}
	for _, want := range []string{"1,000 inserts of which 10 are refused", "| none ", "| every hundredth ", "| all in a row "} {
		if !strings.Contains(report.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &report)
		}
	}
	if n := strings.Count(report.String(), "| 10 "); n != 2 {
		t.Errorf("10 keys are parked in %d of the trials, want 2:\n%s", n, &report)
	}
}

func TestStepRows(t *testing.T) {
	got, err := stepRows([]byte("goos: linux\nBenchmarkStep/rename-2  \t  100\t  8.610 ns/op\t  0 B/op\t  0 allocs/op\n" +
		"BenchmarkStep/set  \t  100\t  221.8 ns/op\t  81 B/op\t  5 allocs/op\nPASS\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"rename", "9 ns", "0 B", "0"}, {"set", "222 ns", "81 B", "5"}}, got); diff != "" {
		t.Errorf("stepRows (-want +got):\n%s", diff)
	}
	if _, err := stepRows([]byte("PASS\n")); err == nil {
		t.Error("stepRows of no benchmark = nil, want an error")
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-only", "copy,idle", "-rows", "1000", "-peer", "some/tool.sh", "-peer", "other"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := options{rows: 1000, copyRows: 2_000_000, rounds: 3, only: []string{"copy", "idle"}, peers: []string{"some/tool.sh", "other"}}
	if diff := cmp.Diff(want, o, cmp.AllowUnexported(options{})); diff != "" {
		t.Errorf("parse (-want +got):\n%s", diff)
	}
	for _, args := range []string{"-only nothing", "-rows 7", "-rows 0", "-rounds 0", "-o a -pprof b", "more", "-check -only copy", "-check -peer a.sh", "-peer native.sh", "-peer A.sh", "-peer a/x.sh -peer b/x.sh"} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("parse(%q) = nil, want an error", args)
		}
	}
}

func TestServersAreStartedForWhatNeedsThem(t *testing.T) {
	for only, want := range map[string]bool{"": true, "log": false, "log,transform": false, "log,idle": true} {
		o := options{}
		if only != "" {
			o.only = strings.Split(only, ",")
		}
		if got := o.servers(); got != want {
			t.Errorf("servers(-only %q) = %v, want %v", only, got, want)
		}
	}
}

func TestDelays(t *testing.T) {
	base := time.Now()
	at := func(id int64, ms int) moment { return moment{id, base.Add(time.Duration(ms) * time.Millisecond)} }
	got := delays([]moment{at(10, 0), at(20, 5), at(30, 10), at(40, 20)}, []moment{at(5, 1), at(20, 9), at(40, 18)})
	want := []time.Duration{0, 4 * time.Millisecond, 8 * time.Millisecond, 9 * time.Millisecond}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("delays (-want +got):\n%s", diff)
	}
}

func TestQuantileAndMedian(t *testing.T) {
	var list []time.Duration
	for i := range 100 {
		list = append(list, time.Duration(i+1))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := quantile(list, q); got != want {
			t.Errorf("quantile(1…100, %v) = %d, want %d", q, got, want)
		}
	}
	if got := quantile(list[:1], 0.99); got != 1 {
		t.Errorf("quantile(1, 0.99) = %d, want 1", got)
	}
	if got := median([]float64{9, 1, 4}); got != 4 {
		t.Errorf("median(9, 1, 4) = %v, want 4", got)
	}
	if got := median([]float64{9, 1, 4, 2}); got != 3 {
		t.Errorf("median(9, 1, 4, 2) = %v, want 3", got)
	}
}

func TestParseUsage(t *testing.T) {
	status := "Name:\tsyncline\nVmPeak:\t  999 kB\nVmHWM:\t   2048 kB\n"
	stat := "7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 150 25 0 0 20 0 9 0 1 1 1"
	got, err := parseUsage([]byte(status), []byte(stat))
	if err != nil {
		t.Fatal(err)
	}
	if want := (usage{peak: 2 << 20, cpu: 1750 * time.Millisecond}); got != want {
		t.Errorf("parseUsage = %+v, want %+v", got, want)
	}
	for _, broken := range [][2]string{{"", stat}, {status, "7 (a) S 1"}, {status, ""}} {
		if _, err := parseUsage([]byte(broken[0]), []byte(broken[1])); err == nil {
			t.Errorf("parseUsage(%q) = nil, want an error", broken)
		}
	}
}

func TestThroughput(t *testing.T) {
	native := []trial{{took: 2 * time.Second}, {took: time.Second}, {took: 4 * time.Second}}
	syncline := []trial{
		{time.Second, usage{10 << 20, 500 * time.Millisecond}},
		{time.Second, usage{30 << 20, 700 * time.Millisecond}},
		{time.Second, usage{20 << 20, 600 * time.Millisecond}},
	}
	s := throughput("T", "How.", 10_000, measured{"native", native}, measured{"Syncline", syncline})
	want := `# Benchmarks

Made by ` + "`make bench`" + `. The source, the target, native logical replication and Syncline share one machine. Syncline writes durably everywhere; native replication has its defaults, with which the subscriber commits asynchronously. Figures of throughput are medians of the rounds.

|     |     |
|-----|-----|
| CPU | 2   |

## T

How.

|           | rows/s   | time              | peak memory | CPU    | CPU a row |
|-----------|----------|-------------------|-------------|--------|-----------|
| native    | 5,000    | 2.00 s            | –           | –      | –         |
| Syncline  | 10,000   | 1.00 s            | 30 MiB      | 0.60 s | 60.0 µs   |
| **ratio** | **2.00** | rounds: 1.00–4.00 |             |        |           |
`
	if diff := cmp.Diff(want, markdown([][2]string{{"CPU", "2"}}, []section{s})); diff != "" {
		t.Errorf("markdown (-want +got):\n%s", diff)
	}
}

func TestEventsAreOf200Bytes(t *testing.T) {
	data, err := syncline.AppendBatch(nil, events(full))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(data) / full; got < 190 || got > 240 {
		t.Errorf("an event takes %d bytes, want about 200", got)
	}
}

// TestFamily: what a child has used counts, while it is there and after it has ended.
func TestFamily(t *testing.T) {
	before, err := familyOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done").Run(); err != nil {
		t.Fatal(err)
	}
	if after, err := familyOf(os.Getpid()); err != nil || after-before < 2*clockTick {
		t.Errorf("a child that counted used %v, %v", after-before, err)
	}
}

func TestCheck(t *testing.T) {
	var progress bytes.Buffer
	if err := run(t.Context(), []string{"-check", "-rows", "100", "-rounds", "1"}, io.Discard, &progress); err != nil && !errors.Is(err, errSlow) {
		t.Fatalf("run: %v\n%s", err, &progress)
	}
	if !strings.Contains(progress.String(), "updates ÷ native replication: ") {
		t.Errorf("the ratio is not told:\n%s", &progress)
	}
}

func TestMemoryTellsOfTheBacklog(t *testing.T) {
	var report, progress bytes.Buffer
	if err := run(t.Context(), []string{"-rows", "500", "-only", "memory"}, &report, &progress); err != nil {
		t.Fatalf("run: %v\n%s", err, &progress)
	}
	for _, want := range []string{"A backlog of 1,000 events", "| after kill -9, first rows seen ", "| memory while a backlog is drained "} {
		if !strings.Contains(report.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &report)
		}
	}
}

func TestMeansOfWays(t *testing.T) {
	w := ways{
		"whole":  {captured: 10, appendBegan: 20, appended: 50, applyBegan: 60, applied: 100},
		"second": {captured: 10, appendBegan: 40, appended: 50, applyBegan: 80, applied: 100},
		"part":   {captured: 10, appendBegan: 20, appended: 50},
	}
	got, n := w.means()
	if want := [4]time.Duration{20, 20, 20, 30}; got != want || n != 2 {
		t.Errorf("means = %v of %d, want %v of 2", got, n, want)
	}
}
