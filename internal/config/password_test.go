package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStrayAt: a password that is not percent-encoded would be taken for a host or a database, and shown.
func TestStrayAt(t *testing.T) {
	for _, tt := range []struct {
		kind, password string
		stray          bool
	}{
		{"postgres", "a@hunter2", true}, {"postgres", "a/@hunter2", true}, {"redis", "a/hunter2", true}, {"nats_kv", "a@hunter2", true},
		{"postgres", "a%40hunter2", false}, {"redis", "a%2Fhunter2", false},
	} {
		t.Setenv("URL", map[string]string{"postgres": "postgres://u:", "redis": "redis://u:", "nats_kv": "nats://u:"}[tt.kind]+tt.password+"@h/0")
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, fmt.Appendf(nil, "version: 1\nsystems:\n  s: {type: %s, url: \"${URL}\"}\n", tt.kind), 0o600); err != nil {
			t.Fatal(err)
		}
		_, problems := Load(path, nil)
		if stray := len(problems) == 1 && problems[0].Code == BadURL && problems[0].Suggestion != ""; stray != tt.stray || !stray && len(problems) > 0 {
			t.Errorf("%s with %s: %v, want bad_url %v", tt.kind, tt.password, problems, tt.stray)
		}
		if strings.Contains(fmt.Sprint(problems), "hunter2") {
			t.Errorf("%s: the problem shows the password: %v", tt.kind, problems)
		}
	}
}

// TestPlainPassword: a password that is spelled out in the file is told with its place and never shown; one that a reference brings
// is fine.
func TestPlainPassword(t *testing.T) {
	t.Setenv("PW", "sesame")
	for _, tt := range []struct {
		kind, url string
		plain     bool
	}{
		{"postgres", "postgres://u:hunter2@h/db", true},
		{"postgres", "postgres://u:hunter2@${HOST:-h}/db?sslmode=require", true},
		{"postgres", "postgres://u:${PW:-hunter2}@h/db", true},
		{"postgres", "postgres://u:hunter2${PW:-hunter2}@h/db", true},
		{"postgres", "${CRM:-postgres://u:hunter2@h/db}", true},
		{"postgres", "postgresql://h/db?user=u&password=hunter2", true},
		{"postgres", "host=h user=u password=hunter2 dbname=db", true},
		{"postgres", "host=h user=u password = 'hunter2' dbname=db", true},
		{"redis", "redis://:hunter2@h:6379/0", true},
		{"redis", "rediss://u:hunter2@h", true},
		{"nats_kv", "nats://u:hunter2@h:4222", true},
		{"nats_kv", "nats://hunter2@h:4222", true},
		{"webhook", "https://u:hunter2@partner.example/in?x=${PW}", true},

		{"postgres", "postgres://u:${PW}@h/db", false},
		{"postgres", "postgres://${PW}@h/db", false},
		{"postgres", "postgres://u:${file:pw}@h/db", false},
		{"postgres", "postgres://u:first${PW}@h/db", false},
		{"postgres", "postgres://u@h/db", false},
		{"postgres", "postgres://u:${PW:-}@h/db", false},
		{"postgres", "postgres://h:5432/db?application_name=a:b@c", false},
		{"postgres", "postgresql://h/db?user=u&password=${PW}", false},
		{"postgres", "host=h password=${PW} dbname=db", false},
		{"postgres", "host=h passfile=/run/secrets/pgpass", false},
		{"redis", "${CACHE:-redis://127.0.0.1:6379/0}", false},
		{"nats_kv", "nats://${PW}@h:4222", false},
		{"webhook", "https://partner.example/a:b@c", false},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"pw": "sesame\n", "c.yaml": fmt.Sprintf("version: 1\nsystems:\n  s: {type: %s, url: %q}\n", tt.kind, tt.url)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, problems := Load(filepath.Join(dir, "c.yaml"), nil)
		if !tt.plain {
			if len(problems) > 0 {
				t.Errorf("%s: %v, want no problem", tt.url, problems)
			}
			continue
		}
		column := strings.Index(fmt.Sprintf("  s: {type: %s, url: %q}", tt.kind, tt.url), "hunter2") + 1
		if len(problems) != 1 || problems[0].Code != PlainSecret || problems[0].Line != 3 || problems[0].Column != column || problems[0].Suggestion == "" {
			t.Errorf("%s: %+v, want plain_secret at 3:%d", tt.url, problems, column)
		}
		var shown bytes.Buffer
		if err := problems.WriteText(&shown, false); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(shown.String(), "hunter2") {
			t.Errorf("%s: the problem shows the password:\n%s", tt.url, shown.String())
		}
	}
}
