package daemon

import "testing"

// FuzzDerivedCursor: a page's cursor is one that a list gave, or refused; what comes of it names a place that a log can have.
func FuzzDerivedCursor(f *testing.F) {
	for _, s := range []string{"~1.2.3~route", "~1.2.3", "~", "~~", "~1.2.3~a~b", "~-1.0.0~", "~1.2~", "~9223372036854775808.0.0~x", "~+1.2.3~", "42", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, ok, err := parseDerivedCursor(s)
		if !ok || err != nil {
			return
		}
		if c.index < 0 || c.rule < 0 {
			t.Fatalf("%q is at %d, rule %d", s, c.index, c.rule)
		}
		if again, ok, err := parseDerivedCursor(c.String()); again != c || !ok || err != nil {
			t.Errorf("%q = %+v, and %q = %+v, %v, %v", s, c, c, again, ok, err)
		}
	})
}
