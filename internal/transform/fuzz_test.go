package transform

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzPath: a part that is put into a document is found there, and the document stays one.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"{}", `{"a":{"b":1}}`, `{"a":1,"a":2}`, `{"":null}`, "null", "[1]", `{"a":"\ud800"}`, `{"a" : { } }`, "x"} {
		f.Add([]byte(s), "a.b", []byte(`"v"`))
		f.Add([]byte(s), "a", []byte("1e400"))
	}
	f.Fuzz(func(t *testing.T, text []byte, path string, value []byte) {
		if complete(path) != nil || !utf8.ValidString(path) || !json.Valid(value) || !json.Valid(text) { // a configuration is UTF-8
			return
		}
		names := strings.Split(path, ".")
		made, err := put(text, names, value)
		if err != nil {
			return
		}
		if !json.Valid(made) {
			t.Fatalf("put(%q, %q, %q) = %q", text, path, value, made)
		}
		if found, ok, err := part(made, names); err != nil || !ok || strings.TrimSpace(string(found)) != strings.TrimSpace(string(value)) {
			t.Fatalf("%q was put at %q of %q, and %q is there (%v, %v)", value, path, text, found, ok, err)
		}
	})
}
