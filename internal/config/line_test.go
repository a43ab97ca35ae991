package config

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestALineShowsNoSecret: where a file is no YAML, or a key is misspelt, nobody can know what is a secret in the line that is shown with the problem.
func TestALineShowsNoSecret(t *testing.T) {
	for _, text := range []string{
		"version: 1\nsystems:\n  a: {type: redis, password: *hunter2}\n",
		"version: 1\nsystems:\n  a:\n    password: \"hunter2\\q\"\n",
		"version: 1\nsystems:\n  a:\n    password: \"top\n  hunter2\n    x: y\n",
		"version: 1\nsystems:\n  a:\n    secret: @hunter2\n",
		"version: 1\nsystems:\n  a:\n    - hunter2\n   - x\n",
		"version: 1\nsystems:\n  a: {type: redis, url: \"${URL}\", pasword: hunter2}\n  b: {\n",
		"version: 1\nsystems:\n  a: {type: redis, url: \"${URL}\", passwrd: hunter2}\n",
		"version: 1\nsystems:\n  a:\n    type: redis\n    pass_word: 'x, hunter2'\n",
		"version: 1\nsystems:\n  a:\n    type: redis\n    authToken: x, hunter2\n",
		"version: 1\nsystems:\n  a: {type: redis, \"api-key\": \"x\\\"hunter2\", to: x}\n",
	} {
		l := newLoader(func(string) (string, bool) { return "redis://x", true })
		l.add("a.yaml", ".", []byte(text))
		_, problems := l.finish()
		var out bytes.Buffer
		if err := problems.WriteText(&out, false); err != nil || len(problems) == 0 || strings.Contains(out.String(), "hunter2") {
			t.Errorf("%s\nis told as\n%s%v", text, out.String(), err)
		}
	}
}

func TestWhatALineShows(t *testing.T) {
	for in, want := range map[string]string{
		"  a: {password: x, url: y, token: 'z'}": "  a: {password: *, url: y, token: '*'}",
		`  secret: "${A}"`:                       `  secret: "${A}"`,
		"  tokens: [a, b]":                       "  tokens: [a, b]",
		"  author: me":                           "  author: me",
		"  password: ü, ü":                       "  password: ****",
	} {
		if got := masked(in); got != want {
			t.Errorf("masked(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"systems:": "systems:", "  - id: x": "  - id: …", "   }": "   …", "": "", "\tx": "\t…"} {
		if got := keysOnly(in); got != want {
			t.Errorf("keysOnly(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestHeadersThatCannotBeSent: a value with a line break, as a file of a secret easily has it, is found where it stands, before it is sent anywhere.
func TestHeadersThatCannotBeSent(t *testing.T) {
	for _, field := range []string{`auth: {bearer: "${BROKEN}"}`, `auth: {header: {X-Key: "${BROKEN}"}}`, `headers: {X-A: "a${BROKEN}"}`, `headers: {X-A: "a\nb"}`} {
		l := newLoader(func(string) (string, bool) { return "hunter2\r\nX-Admin: yes", true })
		l.add("a.yaml", ".", []byte("version: 1\nsystems:\n  a: {type: http, url: \"https://a.example\", "+field+", capture: {mode: poll, entities: {x: {path: /x, key: id}}}}\n"))
		_, problems := l.finish()
		if len(problems) != 1 || problems[0].Code != BadValue || problems[0].Line != 3 || strings.Contains(problems[0].String(), "hunter2") {
			t.Errorf("%s: %v, want bad_value on line 3", field, problems)
		}
	}
}

// FuzzMasked: what is shown of a line is as long as the line, so that the caret stays where it points to, and keysOnly shows nothing that is not in it.
func FuzzMasked(f *testing.F) {
	for _, line := range []string{`  password: "a\"b", x: y}`, "  - {token: 'x', secret: ${A}}", "api-key:   é", "secret: |", "\t\xff: x", ""} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if got := masked(line); utf8.RuneCountInString(got) != utf8.RuneCountInString(line) {
			t.Errorf("masked(%q) = %q", line, got)
		}
		if got := keysOnly(line); !strings.HasPrefix(line, strings.TrimSuffix(got, "…")) {
			t.Errorf("keysOnly(%q) = %q", line, got)
		}
	})
}
