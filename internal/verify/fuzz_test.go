package verify

import (
	"math"
	"testing"
)

// FuzzParseLimit: a limit is a share of at most everything or a number of records, and is told as it can be read.
func FuzzParseLimit(f *testing.F) {
	for _, s := range []string{"1%", "1000", "0", "100%", "100.1%", "-1", "1e2%", "NaN%", "Inf%", "0x1p-2%", "1_0%", "9223372036854775808", "%", "", " 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLimit(s)
		if err != nil {
			return
		}
		if math.IsNaN(l.Percent) || l.Percent < 0 || l.Percent > 100 || l.Records < 0 || l.Percent > 0 && l.Records > 0 {
			t.Fatalf("ParseLimit(%q) = %+v", s, l)
		}
		if again, err := ParseLimit(l.String()); err != nil || again != l {
			t.Errorf("ParseLimit(%q) = %+v, told as %s, which is %+v, %v", s, l, l, again, err)
		}
	})
}
