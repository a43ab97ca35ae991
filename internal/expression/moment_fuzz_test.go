package expression

import (
	"testing"

	"syncline"
)

// FuzzMoment: what is read as a time is written in a form that its kind has, and read as the same again.
func FuzzMoment(f *testing.F) {
	for _, s := range []string{"2024-02-29", "0044-03-15 BC", "0001-01-01 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "infinity", "-infinity", "2024-02-29T12:00:00+15:59",
		"2024-02-29 12:00:00.1234567", "0001-01-01 00:00:00+15:00", "2024-01-01 24:00:00", "2023-02-29", "now", "300001-01-01"} {
		for _, k := range []syncline.Kind{syncline.KindDate, syncline.KindTimestamp, syncline.KindTimestampTZ} {
			f.Add(byte(k), s)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, s string) {
		k := syncline.Kind(kind)
		if k != syncline.KindDate && k != syncline.KindTimestamp && k != syncline.KindTimestampTZ {
			return
		}
		for _, read := range []func(syncline.Kind, string) (moment, error){parseMoment, readMoment} {
			m, err := read(k, s)
			if err != nil {
				continue
			}
			text := m.String()
			if !syncline.WellFormed(k, []byte(text)) {
				t.Fatalf("%q as %s is written as %q", s, k, text)
			}
			again, err := parseMoment(k, text)
			if err != nil || again.String() != text {
				t.Fatalf("%q as %s is written as %q, and read as %q, %v", s, k, text, again, err)
			}
		}
	})
}
