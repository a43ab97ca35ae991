package syncline

import "testing"

func TestWellFormed(t *testing.T) {
	for _, c := range []struct {
		kind      Kind
		good, bad []string
	}{
		{KindDate, []string{"2024-02-29", "0001-01-01", "4713-01-01 BC", "0001-02-29 BC", "5874897-12-31", "infinity", "-infinity"},
			[]string{"", "now", "2023-02-29", "0000-01-01", "24-01-01", "02024-01-01", "2024-1-1", "2024-01-01 00:00:00", "2024/01/01", "20240101", "2024-00-01", "2024-13-01", "2024-04-31", "1900-02-29", "0002-02-29 BC", "2024-01-01 AD", "2024-01-01BC", "Infinity"}},
		{KindTime, []string{"00:00:00", "23:59:59.999999", "24:00:00", "12:00:00.5"},
			[]string{"", "12:00", "24:00:01", "24:00:00.0", "12:60:00", "12:00:60", "12:00:00.", "12:00:00.1234567", "12:00:00+02", "allballs", "now", "infinity"}},
		{KindTimestamp, []string{"2024-02-29 23:59:59.999999", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59", "infinity"},
			[]string{"2024-02-29", "2024-02-29T12:00:00", "2024-01-01 24:00:00", "2024-01-01 25:00:00", "2024-01-01 00:00:00+00", "2024-01-01 00:00:00Z", "2024-01-01  00:00:00", "today"}},
		{KindTimestampTZ, []string{"2024-02-29 23:59:59.5+00", "0001-12-31 23:59:59+00 BC", "-infinity"},
			[]string{"2024-02-29 23:59:59", "2024-02-29 23:59:59+02", "2024-02-29 23:59:59+00:00", "2024-02-29 23:59:59 BC+00"}},
		{KindUUID, []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
			[]string{"", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", "a0eebc9909c0b04ef80bb6d06bb9bd380a11"}},
		{KindText, []string{"", "now"}, nil},
	} {
		for _, s := range c.good {
			if !WellFormed(c.kind, []byte(s)) {
				t.Errorf("WellFormed(%s, %q) = false", c.kind, s)
			}
		}
		for _, s := range c.bad {
			if WellFormed(c.kind, []byte(s)) {
				t.Errorf("WellFormed(%s, %q) = true", c.kind, s)
			}
		}
	}
}
