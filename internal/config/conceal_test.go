package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"syncline/internal/transform"
)

// problemsOf loads a configuration that is wrong, and returns what is said of it in both forms.
func problemsOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"NAME": "env1ronment", "URL": "redis://h", "BRACES": "ab{env1ronment}cd"}
	_, problems := Load(path, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if len(problems) == 0 {
		t.Fatalf("no problem in\n%s", text)
	}
	var b bytes.Buffer
	for _, write := range []func() error{func() error { return problems.WriteText(&b, false) }, func() error { return problems.WriteJSON(&b) }} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestNoProblemShowsASecret that stands in the file, however it is written and wherever it has got to.
func TestNoProblemShowsASecret(t *testing.T) {
	const system, channel = "systems:\n  a: {%s}\n", "channels:\n  m:\n    type: email\n    server: h:25\n    from: a@b\n    to: a@b\n    user: x\n    %s\n"
	for _, tt := range []struct{ form, text string }{
		{system, `type: postgres, url: "postgres://u:\x68unter2@h/db?password=hunter2"`},
		{system, `type: postgres, url: 'postgres://u:h''hunter2@h/db'`},
		{system, `type: webhook, url: "https:\/\/h\/services\/hunter2", timeout: x`},
		{system, `type: webhook, url: "https://${X:-h}/services/hunter2", timeout: x`},
		{system, `type: webhook, url: "${X:-https://h/services/hunter2}", timeout: x`},
		{system, `type: webhook, url: "https://h", secret: "${X:-hunter2}", timeout: x`},
		{system, `type: postgres, url: "postgres://u:${NAME}${X:-hunter2}@h/db", ttl: x`},
		{system, `type: postgres, url: 'postgres://u:x/hunter2@${NAME}/db', ttl: x`},
		{system, `type: postgres, url: 'host=${NAME} password=x\ hunter2', ttl: x`},
		{system, `type: postgres, url: "${URL}", url: "postgres://u:hunter2@h/db"`},
		{system, `type: postgres, url: "postgres:u:hunter2@h/db"`},
		{system, `type: postgres, dsn: "postgres://u:hunter2@h/db"`},
		{system, `type: postgres, <<: {url: "postgres://u:hunter2@h/db"}`},
		{system, `type: postgre, url: "host=h password=hunter2"`},
		{system, `type: htpp, auth: {header: {X-Auth: hunter2}}`},
		{system, `type: sqlite, url: "postgres://u:hunter2@h/db"`},
		{system, `type: redis, url:redis://u:hunter2@h`},
		{system, `type: redis, password:hunter2`},
		{system, `type: postgres, url: {host: h, pw: hunter2}`},
		{system, `type: http, url: "https://h", auth: {basic: "u:hunter2"}, capture: {mode: poll, entities: {x: {path: /x, key: id}}}`},
		{system, `type: http, url: "https://h", auth: {bearer: [hunter2]}, capture: {mode: poll, entities: {x: {path: /x, key: id}}}`},
		{system, `type: webhook, url: "https://h", secret: &hunter2 `},
		{"systems:\n  a:\n    type: redis\n      url:redis://u:%s@h\n", "hunter2"},
		{"systems:\n  a:\n    type: postgres\n    url: \"postgres://u:%s\n      more@h/db\"\n", "hunter2"},
		{"systems:\n  redis://u:%s@h: {}\n", "hunter2"},
		{"systems: %s\n", "redis://u:hunter2@h"},
		{"systems:\n  a: {type: redis, url: '${URL}'}\n  a: {type: redis, url: 'redis://u:%s@h'}\n", "hunter2"},
		{"system: {a: {type: redis, url: 'redis://u:%s@h'}}\n", "hunter2"},
		{"state: {url: host=h password=%s}\n", "hunter2"},
		{channel, "password: #hunter2"},
		{channel, "password: &hunter2"},
		{channel, "password: {hunter2}"},
		{channel, "password: [hunter2]"},
		{channel, "password: 'x' # was hunter2"},
		{channel, "pasword: >-\n      hunter2"},
		{"\ufeffchannels: {m: {type: slak, webhook_url: \"https://h/\u2028%s\"}}\n", "hunter2"},
	} {
		if text := fmt.Sprintf(tt.form, tt.text) + "version: 1\n"; strings.Contains(problemsOf(t, text), "hunter2") {
			t.Errorf("%s\nhas problems that show the secret:\n%s", text, problemsOf(t, text))
		}
	}
}

// TestProblemsShowReferences, and not what they stand for.
func TestProblemsShowReferences(t *testing.T) {
	const rules = "systems:\n  a: {type: redis, url: '${URL}'}\nrules:\n  - {id: a, %s}\n"
	for _, text := range []string{
		fmt.Sprintf(rules, "from: '${NAME}/b', to: a/x"),
		fmt.Sprintf(rules, "from: a/b, to: '${NAME}/x'"),
		fmt.Sprintf(rules, "from: a/b, to: a/x, transform: [{rename: {x: '${NAME}', y: '${NAME}'}}]"),
		"health: {canary: {sources: ['${NAME}']}}\n",
		"health: {every: '${NAME} * * * *'}\n",
		"systems:\n  a: {type: http, url: 'https://h', capture: {mode: poll, entities: {x: {path: /x, key: id, headers: {X-Token: '${BRACES}'}}}}}\n",
		"systems:\n  a: {type: http, url: 'https://h', capture: {mode: poll, entities: {x: {path: /x, key: id, get: {path: '/{key}', query: {token: '${BRACES}'}}}}}}\n",
	} {
		got := problemsOf(t, text+"version: 1\n")
		if strings.Contains(got, "env1ronment") {
			t.Errorf("%s\nhas problems that show what its references stand for:\n%s", text, got)
		}
		if strings.Contains(text, "NAME") && !strings.Contains(got, "${NAME}") {
			t.Errorf("%s\nhas problems that do not show its references:\n%s", text, got)
		}
	}
}

// TestWhatAProblemShows is what is needed to find what is wrong: all that is no secret, and a reference alone.
func TestWhatAProblemShows(t *testing.T) {
	got := problemsOf(t, "version: 1\nsystems:\n  a: {type: postgres, url: \"${URL}\", mode: \"x\", capture: {slot: 'a b', entities: {c: {key: [id, 'öäü']}}}}\n")
	if want := `a: {type: postgres, url: "${URL}", mode: ***, capture: {slot: 'a b', entities: {c: {key: [id, 'öäü']}}}}`; !strings.Contains(got, want) {
		t.Errorf("the problems are\n%s\nwant the line as\n%s", got, want)
	}
	if got := problemsOf(t, "version: 1\nlog: {dir: \"${DIR:-text}\"}\nhttp: {listen: [x]}\n"); !strings.Contains(got, "must be text") {
		t.Errorf("a default of the file is taken for a secret in what is said of others:\n%s", got)
	}
}

// TestAConfigurationShowsQueriesAsWritten: a key may be in them. That it is another one makes another configuration.
func TestAConfigurationShowsQueriesAsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	text := `version: 1
systems:
  shop: {type: sqlite, path: shop.db, capture: {mode: poll, entities: {item: {query: "SELECT id, open(price, '${NAME}') AS price FROM item", key: id}}}}
  dw: {type: sqlite, path: dw.db}
rules:
  - {id: items, from: shop/item, to: dw/item, transform: [{enrich: {by: after.id, sql: {system: dw, query: "SELECT id, open(name, '${NAME}') AS name FROM item WHERE id IN (SELECT value FROM json_each($1))", key: id}, take: {name: name}}}]}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(name string) *Config {
		c, problems := Load(path, func(string) (string, bool) { return name, true })
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return c
	}
	c := load("env1ronment")
	if was, is := transform.Keys(load("another").Rules[0].Transform), transform.Keys(c.Rules[0].Transform); was == is {
		t.Errorf("rules with different queries both have the keys %q", is)
	}
	shown, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(shown), "env1ronment") || strings.Count(string(shown), "${NAME}") != 2 {
		t.Errorf("the configuration shows itself as %s", shown)
	}
	if q := c.Systems[0].Capture.Entities[0].Poll.Query.Reveal(); !strings.Contains(q, "'env1ronment'") {
		t.Errorf("the query is %q", q)
	}
}
