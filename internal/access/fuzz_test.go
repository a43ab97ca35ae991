package access

import (
	"strings"
	"testing"
)

// FuzzParse: a secret that is read has the form of ours, and no two have one hash.
func FuzzParse(f *testing.F) {
	secret, _ := NewSecret()
	for _, s := range []string{secret, "", prefix, strings.ToUpper(secret), secret + " ", strings.Repeat("a", 1000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, hash, ok := Parse(s)
		if ok != (id != "") || ok && (!strings.HasPrefix(s, prefix+id+"_") || len(s) != len(secret)) {
			t.Fatalf("Parse(%q) = %q, %v", s, id, ok)
		}
		if _, other, _ := Parse(secret); ok && s != secret && hash.Equal(other) {
			t.Fatalf("%q has another secret's hash", s)
		}
	})
}
