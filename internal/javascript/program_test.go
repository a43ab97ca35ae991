package javascript

import (
	"errors"
	"strings"
	"testing"
)

func TestWhatIsNoScript(t *testing.T) {
	for code, want := range map[string]string{
		"return after.;":                             "1:14",
		"let x = 1;\nlet x = 2;":                     "2:5",
		"return after }); (function () {":            "1:1",
		"})(); (function () {":                       "1:1",
		"break;":                                     "1:1",
		"with (after) {}":                            "1:1",
		strings.Repeat("x", MaxCode+1):               "1:1",
		"return 1; //# sourceMappingURL=/etc/passwd": "",
		"return (async () => 1)()":                   "",
		"":                                           "",
	} {
		_, err := Compile(code)
		var at *Error
		switch {
		case want == "" && err != nil:
			t.Errorf("Compile(%q) = %v", code, err)
		case want != "" && (!errors.As(err, &at) || !strings.HasPrefix(err.Error(), want+":")):
			t.Errorf("Compile(%.40q) = %v, want an error at %s", code, err, want)
		}
	}
}

// TestARunnerWithoutAProcess: what a process has for its limits is not needed for the result.
func TestARunnerWithoutAProcess(t *testing.T) {
	p, err := Compile("after.b = before.a + after.a + event.id; return after")
	if err != nil {
		t.Fatal(err)
	}
	var r Runner
	r.Interrupt() // nothing runs
	res, err := r.Run(p, &Task{Event: []byte(`{"id": "x"}`), Before: []byte(`{"a": "1"}`), After: []byte(`{"a": "2", "__proto__": {"b": 1}}`), Fields: []string{"b"}})
	if err != nil || string(res.Values[0]) != `"12x"` {
		t.Errorf("result = %s, %v", res.Values, err)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("return after")
	f.Add("}); (function() {")
	f.Fuzz(func(t *testing.T, code string) {
		if len(code) > 1000 {
			return
		}
		if _, err := Compile(code); err != nil {
			if at := (*Error)(nil); !errors.As(err, &at) || at.Line < 1 || at.Column < 1 {
				t.Errorf("Compile(%q) = %v", code, err)
			}
		}
	})
}
