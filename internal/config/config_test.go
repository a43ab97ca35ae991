package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"syncline"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func env(name string) (string, bool) {
	v, ok := map[string]string{"PIM_TOKEN": "t0k3n", "SHOP_TOKEN": "t0k3n", "CRM_URL": "postgres://app:hunter2@db/crm", "SHOP_URL": "postgres://db/shop", "DW_URL": "postgres://db/dw",
		"ERP_PASSWORD": "hunter2", "PARTNER_SECRET": "whsec_hunter2", "HASH_KEY": "hunter2hunter2hunter2",
		"DING_URL": "https://oapi.dingtalk.com/robot/send?access_token=hunter2", "DING_SECRET": "SEChunter2", "PAGER_SECRET": "whsec_hunter2", "SMTP_PASSWORD": "hunter2", "SLACK_URL": "https://hooks.slack.com/services/T0/B0/hunter2", "EMPTY": ""}[name]
	return v, ok
}

// golden compares with a file beside the test's input.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestGood(t *testing.T) {
	files, err := filepath.Glob("testdata/*.good.yml")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		cfg, problems := Load(name, env)
		if problems != nil {
			t.Errorf("%s:\n%v", name, problems)
			continue
		}
		got, err := json.MarshalIndent(cfg, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(got, []byte("hunter2")) {
			t.Errorf("%s: the written configuration shows a secret", name)
		}
		text := strings.NewReplacer(dir, "DIR", filepath.Dir(dir), "PARENT").Replace(string(got))
		golden(t, strings.TrimSuffix(name, ".yml")+".json", []byte(text+"\n"))
	}
}

func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	seen := map[Code]bool{Unreadable: true, TooLarge: true} // have tests of their own
	for _, name := range files {
		cfg, problems := Load(name, env)
		if cfg != nil || len(problems) == 0 {
			t.Errorf("%s is accepted", name)
			continue
		}
		for _, p := range problems {
			seen[p.Code] = true
		}
		var text bytes.Buffer
		if err := problems.WriteText(&text, false); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text.String(), "hunter2") {
			t.Errorf("%s: a problem shows a secret:\n%s", name, text.String())
		}
		golden(t, strings.TrimSuffix(name, ".yml")+".txt", text.Bytes())
	}
	for _, c := range Codes {
		if !seen[c.Code] {
			t.Errorf("no test has a problem %s", c.Code)
		}
		delete(seen, c.Code)
	}
	for code := range seen {
		if code != Unreadable && code != TooLarge {
			t.Errorf("code %s is not in the table", code)
		}
	}
}

func nothing(string) (string, bool) { return "", false }

func TestStarterIsValidWithNothingSet(t *testing.T) {
	name := filepath.Join(t.TempDir(), "syncline.yaml")
	if err := os.WriteFile(name, Starter(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := Load(name, nothing)
	if problems != nil {
		t.Fatal(problems)
	}
	if len(cfg.Rules) != 1 || cfg.System("app").Capture == nil || cfg.Rule("customer-report").Schema != syncline.SchemaEvolve {
		t.Errorf("the starter has another meaning: %+v", cfg)
	}
	// What is commented out is valid, too.
	var text []string
	for line := range strings.Lines(string(Starter())) {
		if rest, ok := strings.CutPrefix(line, "  # "); ok && !strings.Contains(line, "The same") && !strings.Contains(line, "Text can") {
			line = "  " + rest
		} else if rest, ok := strings.CutPrefix(line, "    # "); ok {
			line = "    " + rest
		}
		text = append(text, line)
	}
	if err := os.WriteFile(name, []byte(strings.Join(text, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems = Load(name, env)
	if problems != nil {
		t.Fatal(problems)
	}
	if len(cfg.Rules) != 2 || len(cfg.Systems) != 4 || len(cfg.Rules[0].Transform) != 3 {
		t.Errorf("the starter's comments were not read: %d rules, %d systems", len(cfg.Rules), len(cfg.Systems))
	}
}

// write makes a directory of files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDirectory(t *testing.T) {
	dir := write(t, map[string]string{
		"a.yaml":   "version: 1\nsystems: {a: {type: sqlite, path: a.db, capture: {entities: {x: {}}}}}\nlog: {retain: 1h}",
		"b.yml":    "version: 1\nsystems: {b: {type: sqlite, path: b.db}}\nrules: [{id: r, from: a/x, to: b/x}]",
		".c.yaml":  "nonsense",
		"note.txt": "nonsense",
	})
	cfg, problems := Load(dir, nothing)
	if problems != nil {
		t.Fatal(problems)
	}
	if cfg.System("b").SQLite.Path != filepath.Join(dir, "b.db") || cfg.Rule("r") == nil || cfg.Log.Dir != filepath.Join(dir, "syncline-data/log") {
		t.Errorf("merged wrongly: %+v", cfg)
	}

	dir = write(t, map[string]string{"a.yaml": "version: 1\nlog: {}\nsystems: {a: {type: search, path: x}}", "b.yaml": "log: {}\nsystems: {a: {type: search, path: x}}"})
	_, problems = Load(dir, nothing)
	if len(problems) != 2 || problems[0].Code != DuplicateKey || problems[1].Code != DuplicateID || problems[0].File != filepath.Join(dir, "b.yaml") {
		t.Errorf("problems = %v, want a duplicate section and a duplicate system in b.yaml", problems)
	}
}

func TestUnreadable(t *testing.T) {
	empty := t.TempDir()
	for _, path := range []string{filepath.Join(empty, "missing.yaml"), empty} {
		if cfg, problems := Load(path, nothing); cfg != nil || len(problems) != 1 || problems[0].Code != Unreadable || problems[0].Suggestion == "" {
			t.Errorf("Load(%s) = %v, %v, want unreadable", path, cfg, problems)
		}
	}
	large := write(t, map[string]string{"a.yaml": strings.Repeat("#", maxFile+1)})
	if _, problems := Load(large, nothing); len(problems) != 1 || problems[0].Code != Unreadable {
		t.Errorf("a large file: %v", problems)
	}
	binary := write(t, map[string]string{"a.yaml": "version: 1\nx: \xff"})
	if _, problems := Load(binary, nothing); len(problems) != 1 || problems[0].Code != BadYAML || problems[0].Line != 2 {
		t.Errorf("a file that is not UTF-8: %v", problems)
	}
}

// Aliases of aliases must not unfold into more than a configuration has.
func TestAliasBomb(t *testing.T) {
	text := "version: 1\nrules:\n - &a0 {from: ["
	text += strings.Repeat("x/y,", 1000) + "]}\n"
	for i := 1; i < 1000; i++ {
		text += " - *a0\n"
	}
	dir := write(t, map[string]string{"a.yaml": text})
	_, problems := Load(dir, nothing)
	found := 0
	for _, p := range problems {
		if p.Code == TooLarge {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d problems, %d of them too_large, want 1", len(problems), found)
	}
}

func TestReferences(t *testing.T) {
	dir := write(t, map[string]string{"pw": "from file\r\n"})
	for _, tt := range []struct{ text, want string }{
		{"${CRM_URL}", "postgres://app:hunter2@db/crm"},
		{"a${EMPTY:-b}c", "abc"},
		{"a${EMPTY}c", "ac"},
		{"${NOPE:-}", ""},
		{"${NOPE:-x:-y}", "x:-y"},
		{"$${CRM_URL}", "${CRM_URL}"},
		{"$5 $x }", "$5 $x }"},
		{"${file:pw}!", "from file!"},
		{"${NOPE:-$}{CRM_URL}", "${CRM_URL}"},
	} {
		l := newLoader(env)
		got, ok := l.expand(value{&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: tt.text, Line: 1, Column: 1}, &document{name: "x", dir: dir, lines: []string{tt.text}}, "p"})
		if got != tt.want || !ok || len(l.problems) != 0 {
			t.Errorf("expand(%q) = %q, %v, want %q", tt.text, got, l.problems, tt.want)
		}
	}
}

func TestSecretShowsItselfNowhere(t *testing.T) {
	s := NewSecret("hunter2")
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", s, "struct", System{Postgres: &Postgres{URL: s}})
	encoded, err := json.Marshal(map[string]any{"s": s, "p": &Postgres{URL: s}})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s), fmt.Sprintf("%+v %#v", Webhook{Secret: s}, Webhook{Secret: s}),
		string(encoded), logged.String(), s.String()} {
		if strings.Contains(shown, "hunter2") || strings.Contains(shown, "68756e74657232") || !strings.Contains(shown, "[redacted]") {
			t.Errorf("shown: %s", shown)
		}
	}
	if s.Reveal() != "hunter2" || NewSecret("").String() != "" {
		t.Error("the secret is lost")
	}
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	if err := (Problems{{File: "a.yaml", Line: 2, Column: 3, Code: UnknownKey, Path: "x", Message: "m", Suggestion: "<s>", source: "secret"}}).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	want := `[
  {
    "file": "a.yaml",
    "line": 2,
    "column": 3,
    "code": "unknown_key",
    "path": "x",
    "message": "m",
    "suggestion": "<s>"
  }
]
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	if err := Problems(nil).WriteJSON(&b); err != nil || b.String() != "[]\n" {
		t.Errorf("no problems = %q, %v", b.String(), err)
	}
}

func TestColourAndWideCharacters(t *testing.T) {
	var b bytes.Buffer
	if err := (Problems{{File: "f", Line: 1, Column: 4, Code: BadValue, Message: "m", source: "\t订x!"}}).WriteText(&b, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "| \x1b[0m") && !strings.Contains(b.String(), "\t   \x1b[1;31m^") {
		t.Errorf("the caret does not stand under the fourth character: %q", b.String())
	}
}

func TestNearest(t *testing.T) {
	names := []string{"from", "transform", "conditions", "soft"}
	for word, want := range map[string]string{"form": "from", "transfrm": "transform", "FROM": "from", "condition": "conditions", "xyz": "", "": "", "rom": "from", "off": ""} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestSizesAndDurations(t *testing.T) {
	for text, want := range map[string]int64{"20GB": 20e9, "512MiB": 512 << 20, "1.5 KB": 1500, "100": 100, "7b": 7} {
		if got, ok := parseSize(text); got != want || !ok {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "GB", "-1GB", "1e3", "0x10", "9999999999TB", "1PB", "NaN", "Inf"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("parseSize(%q) = %d, want none", text, got)
		}
	}
	for text, want := range map[string]string{"7d": "168h0m0s", "50ms": "50ms", "1h30m": "1h30m0s"} {
		if got, err := parseDuration(text); err != nil || got.String() != want {
			t.Errorf("parseDuration(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "1.5d", "99999999d", "-1d", "5"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %s, want an error", text, got)
		}
	}
}

func TestTableName(t *testing.T) {
	for _, tt := range []struct {
		t    Type
		a, b string
		same bool
	}{
		{TypePostgres, "party", "public.PARTY", true},
		{TypePostgres, `"Party"`, "party", false},
		{TypePostgres, `"party"`, `public."party"`, true},
		{TypePostgres, "crm.party", "party", false},
		{TypePostgres, `"a.b"`, "a.b", false},
		{TypePostgres, `"a""b"`, `"a""b"`, true},
		{TypeSQLite, `"Party"`, "main.party", true},
	} {
		if got := tableName(tt.t, tt.a) == tableName(tt.t, tt.b); got != tt.same {
			t.Errorf("%s: %s and %s are the same: %v, want %v", tt.t, tt.a, tt.b, got, tt.same)
		}
	}
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "starter.yaml") {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLoader(env)
		l.add("fuzz.yaml", ".", data)
		cfg, problems := l.finish()
		if (cfg == nil) != (len(problems) > 0) {
			t.Fatalf("cfg %v with problems %v", cfg, problems)
		}
		for _, p := range problems {
			if p.Code == "" || p.Message == "" || p.Line < 0 || p.Line > 0 && p.Column < 1 {
				t.Fatalf("a problem without a place or a text: %+v", p)
			}
		}
		if err := problems.WriteText(&bytes.Buffer{}, true); err != nil {
			t.Fatal(err)
		}
		if cfg != nil {
			if _, err := json.Marshal(cfg); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestGuarded: a table has a guard if, and only if, several routes write it, however its name is written. One that is disabled counts
// if it could be enabled as it is.
func TestGuarded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "syncline.yaml")
	if err := os.WriteFile(path, []byte(`version: 1
systems:
  crm: {type: sqlite, url: "sqlite:crm.db", capture: {entities: {lead: {table: lead}, customer: {table: customer}}}}
  dw: {type: postgres, url: "${DW_URL}"}
  file: {type: sqlite, url: "sqlite:dw.db"}
rules:
  - {id: g1, group: g, from: crm/lead, to: dw/party}
  - {id: g2, group: g, from: crm/customer, to: dw/party}
  - {id: one, from: crm/lead, to: dw/customer, create: true}
  - {id: two, from: crm/customer, to: dw/public.customer, create: true}
  - {id: three, from: crm/lead, to: file/customer, create: true}
  - {id: four, from: crm/customer, to: 'file/main."Customer"', create: true}
  - {id: alone, from: [crm/lead, crm/customer], to: dw/alone}
  - {id: five, from: crm/lead, to: dw/five}
  - {id: off, from: crm/customer, to: dw/five, enabled: false}
  - {id: six, from: crm/lead, to: dw/six, create: true}
  - {id: pause, from: crm/customer, to: dw/Six, create: true, enabled: false}
  - {id: seven, from: crm/lead, to: dw/seven, create: true}
  - {id: same, from: crm/lead, to: dw/seven, create: true, enabled: false}
  - {id: eight, group: h, from: crm/lead, to: dw/eight, create: true}
  - {id: member, group: h, from: crm/customer, to: dw/eight, create: true, enabled: false}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := Load(path, env)
	if problems != nil {
		t.Fatal(problems)
	}
	got := map[string]bool{}
	for _, r := range cfg.Rules {
		got[r.ID] = r.Guarded
	}
	want := map[string]bool{"g1": false, "g2": false, "one": true, "two": true, "three": true, "four": true, "alone": false, "five": false, "off": false,
		"six": true, "pause": false, "seven": false, "same": false, "eight": false, "member": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("guarded (-want +got):\n%s", diff)
	}
}

// TestDraftOfRulesAlone: a draft without systems has those of the configuration at work, and none of its rules; what is wrong is told
// with its place in the draft.
func TestDraftOfRulesAlone(t *testing.T) {
	base := []File{{"syncline.yaml", []byte("version: 1\nhttp: {listen: \"127.0.0.1:1\"}\nsystems:\n  crm: {type: sqlite, path: crm.db, capture: {entities: {lead: {table: lead}}}}\n" +
		"  dw: {type: sqlite, path: dw.db}\nrules:\n  - {id: was, from: crm/lead, to: dw/was}\n")}}
	read := func(text string) (*Config, Problems) {
		return ReadDraft([]File{{"draft.yaml", []byte(text)}}, base, t.TempDir(), nil)
	}
	c, problems := read("rules:\n  - {id: new, from: crm/lead, to: dw/new}\n")
	if problems != nil || len(c.Rules) != 1 || c.Rules[0].ID != "new" || len(c.Systems) != 2 || c.HTTP.Listen != "127.0.0.1:8484" {
		t.Errorf("ReadDraft = %+v, %v", c, problems)
	}
	if _, problems = read("rules:\n  - {id: new, from: crm/lead, to: nowhere/new}\n"); len(problems) != 1 || problems[0].File != "draft.yaml" || problems[0].Line != 2 {
		t.Errorf("ReadDraft of a rule to an unknown system: %v", problems)
	}
	if _, problems = read("version: 1\nsystems:\n  crm: {type: sqlite, path: crm.db, capture: {entities: {lead: {table: lead}}}}\nrules:\n  - {id: new, from: crm/lead, to: dw/new}\n"); len(problems) != 1 {
		t.Errorf("ReadDraft of a draft with systems of its own, which lack one: %v", problems)
	}
	if _, problems = read("log: {retain: 1h}\n"); len(problems) == 0 {
		t.Error("ReadDraft of a draft without rules: no problem")
	}
}

// TestEndpoint: where a server serves its API is told whatever else is in its files.
func TestEndpoint(t *testing.T) {
	t.Setenv("PORT", "9999")
	for text, want := range map[string]string{
		"version: 1\nhttp: {listen: \"127.0.0.1:${PORT}\"}\nrules: [{id: 7, nonsense: \"${NOWHERE}\"}]\n": "127.0.0.1:9999",
		"http: {listen: \"${NOWHERE}:1\"}\n": "127.0.0.1:8484",
		"http: [broken\n":                    "127.0.0.1:8484",
		"":                                   "127.0.0.1:8484",
		"http: {listen: \"[::]:1\", tls: {cert: a, key: b}}\n": "[::]:1 tls",
	} {
		h := Endpoint([]File{{"syncline.yaml", []byte(text)}})
		got := h.Listen
		if h.TLS != nil {
			got += " tls"
		}
		if got != want {
			t.Errorf("Endpoint of %q = %s, want %s", text, got, want)
		}
	}
}
