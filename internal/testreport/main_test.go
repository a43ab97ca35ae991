package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	const passed = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: all is well\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
{"Action":"pass","Package":"p","Elapsed":0.01}
`
	const skipped = `{"Action":"output","Package":"q","Test":"TestB/sub","Output":"    b_test.go:9: needs a moon\n"}
{"Action":"output","Package":"q","Test":"TestB/sub","Output":"    --- SKIP: TestB/sub (0.00s)\n"}
{"Action":"skip","Package":"q","Test":"TestB/sub"}
{"Action":"pass","Package":"q","Test":"TestB"}
{"Action":"output","Package":"q","Output":"ok  \tq\t0.01s\n"}
{"Action":"pass","Package":"q"}
`
	for _, c := range []struct {
		name   string
		in     string
		strict bool
		ok     bool
		want   string
	}{
		{"passed", passed, true, true, "ok  \tp\t0.01s\n"},
		{"no tests", `{"Action":"output","Package":"e","Output":"?   \te\t[no test files]\n"}
{"Action":"skip","Package":"e"}
`, true, true, "?   \te\t[no test files]\n"},
		{"skipped", skipped, false, true,
			"    b_test.go:9: needs a moon\n    --- SKIP: TestB/sub (0.00s)\nok  \tq\t0.01s\nSKIPPED\tq\tTestB/sub\n"},
		{"skipped in CI", passed + skipped, true, false,
			"ok  \tp\t0.01s\n    b_test.go:9: needs a moon\n    --- SKIP: TestB/sub (0.00s)\nok  \tq\t0.01s\nSKIPPED\tq\tTestB/sub\nFAIL\ttests skipped in CI: 1\n"},
		{"failed", `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.01s\n"}
{"Action":"fail","Package":"p"}
` + strings.ReplaceAll(passed, `"p"`, `"r"`), false, false, "--- FAIL: TestA (0.00s)\n    a_test.go:7: got 1, want 2\nFAIL\nFAIL\tp\t0.01s\nok  \tp\t0.01s\n"},
		{"crashed", `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t600s\n"}
{"Action":"fail","Package":"p"}
`, false, false, "panic: test timed out\nFAIL\tp\t600s\n"},
		{"did not build", `{"ImportPath":"p","Action":"build-output","Output":"./p.go:3:1: syntax error\n"}
{"ImportPath":"p","Action":"build-fail"}
`, false, false, "./p.go:3:1: syntax error\n"},
		{"cut off", `{"Action":"output","Package":"p","Test":"TestA","Output":"half a line"}
go: signal: killed
`, false, true, "go: signal: killed\nhalf a line"},
	} {
		var out strings.Builder
		ok, err := report(strings.NewReader(c.in), &out, c.strict)
		if err != nil || ok != c.ok {
			t.Errorf("%s: report = %v, %v, want %v", c.name, ok, err, c.ok)
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
