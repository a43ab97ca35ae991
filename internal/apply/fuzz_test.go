package apply

import "testing"

// FuzzParseTaskID: an id is read as what makes it, and names a place that a batch can have.
func FuzzParseTaskID(f *testing.F) {
	for _, id := range []string{"customer:crm:42.0", "a:b:1.-1", "a:b:1.+1", "a:b:01.0", "a:b:18446744073709551615.9223372036854775807", "a:b:18446744073709551616.0", "::0.0", "a:b:c:1.2", "a:1.2", "a:b:1", "a:b:1.2.3", ""} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		rule, source, seq, index, ok := ParseTaskID(id)
		if ok && (index < 0 || TaskID(rule, source, seq, index) != id) {
			t.Errorf("ParseTaskID(%q) = %q, %q, %d, %d", id, rule, source, seq, index)
		}
	})
}
