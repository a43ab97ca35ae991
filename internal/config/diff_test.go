package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNothingDiffersFromItself, however it was read: two configurations of one text share no pointer.
func TestNothingDiffersFromItself(t *testing.T) {
	files, err := filepath.Glob("testdata/*.good.yml")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, name := range files {
		one, problems := Load(name, env)
		if problems != nil {
			t.Fatal(problems)
		}
		other, _ := Load(name, env)
		if c := Compare(one, other); !c.Empty() {
			t.Errorf("%s differs from itself: %+v", name, c)
		}
	}
}

const before = `version: 1
log: {retain: 24h}
systems:
  crm:
    type: postgres
    url: "${CRM_URL}"
    capture: {manage: true, entities: {lead: {table: lead}, customer: {table: customer, key: [id]}}}
  dw: {type: postgres, url: "${DW_URL}"}
  partner: {type: webhook, url: "https://partner.example/in", secret: "${PARTNER_SECRET}"}
rules:
  - {id: lead, from: crm/lead, to: dw/lead, when: 'after.tier != "test"', transform: [{rename: {a: b}}]}
  - {id: customer, from: crm/customer, to: dw/customer}
  - {id: hook, from: crm/lead, to: partner/lead, enabled: false}
`

// TestWhatDiffers names each thing and each field, with what it was and is.
func TestWhatDiffers(t *testing.T) {
	for _, test := range []struct {
		name string
		edit []string // pairs for a Replacer
		env  map[string]string
		want string
	}{
		{"nothing but comments and order", []string{"log: {retain: 24h}", "# kept\nlog: {retain: 1d}"}, nil, ""},
		{"settings", []string{"retain: 24h", "retain: 2d, on_full: pause", "version: 1", "version: 1\nhttp: {listen: \"127.0.0.1:9999\"}"}, nil, `
log.retain: 24h0m0s → 48h0m0s
log.on_full: release → pause
http.listen: 127.0.0.1:8484 → 127.0.0.1:9999`},
		{"an entity more, another key", []string{"lead: {table: lead}", "lead: {table: lead}, order: {table: orders}", "key: [id]", "key: [id, no]"}, nil, `
system crm changed
  capture.entities.customer.key: ["id"] → ["id","no"]
  capture.entities.order:  → {"name":"order","table":"orders"}`},
		{"secrets show only that they differ", nil, map[string]string{"CRM_URL": "postgres://app:other@db/crm", "PARTNER_SECRET": "whsec_other"}, `
system crm changed
  url: [redacted] → [redacted]
system partner changed
  secret: [redacted] → [redacted]`},
		{"another type", []string{`{type: postgres, url: "${DW_URL}"}`, `{type: sqlite, url: "sqlite:/tmp/dw.db"}`}, nil, `
system dw changed
  type: postgres → sqlite
rule lead changed
  batch.max_rows: 20000 → 5000
rule customer changed
  batch.max_rows: 20000 → 5000`},
		{"a constant of a step", []string{"transform: [{rename: {a: b}}]", "transform: [{default: {a: bc}}]"}, nil, `
rule lead changed
  transform[0]: {"rename":[{"from":"a","to":"b"}]} → {"default":[{"field":"a","value":"text(bc)"}]}`},
		{"a step more, in front", []string{"transform: [{rename: {a: b}}]", "transform: [{drop: [c]}, {rename: {a: b}}]"}, nil, `
rule lead changed
  transform[0]:  → {"drop":["c"]}`},
		{"no steps any more", []string{", transform: [{rename: {a: b}}]", ""}, nil, `
rule lead changed
  transform[0]: {"rename":[{"from":"a","to":"b"}]} → `},
		{"conditions and steps", []string{`when: 'after.tier != "test"'`, `when: 'after.tier == "x"', min_priority: high`, "{a: b}", "{a: c}"}, nil, `
rule lead changed
  min_priority:  → high
  when: after.tier != "test" → after.tier == "x"
  transform[0]: {"rename":[{"from":"a","to":"b"}]} → {"rename":[{"from":"a","to":"c"}]}`},
		{"a rule more, one less, and one enabled", []string{"{id: customer,", "{id: other,", "enabled: false", "enabled: true"}, nil, `
rule other added
rule hook enabled
  enabled: false → true
rule customer removed`},
		{"disabled, with another change", []string{"to: dw/customer", "to: dw/client, enabled: false"}, nil, `
rule customer disabled
  to: dw/customer → dw/client
  enabled: true → false`},
	} {
		t.Run(test.name, func(t *testing.T) {
			lookup := func(name string) (string, bool) {
				if v, ok := test.env[name]; ok {
					return v, true
				}
				return env(name)
			}
			path := filepath.Join(t.TempDir(), "syncline.yaml")
			read := func(text string, env func(string) (string, bool)) *Config {
				t.Helper()
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				c, problems := Load(path, env)
				if problems != nil {
					t.Fatal(problems)
				}
				return c
			}
			c := Compare(read(before, env), read(strings.NewReplacer(test.edit...).Replace(before), lookup))
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), strings.TrimSuffix(describe(c), "\n")); diff != "" {
				t.Errorf("Compare (-want +got):\n%s", diff)
			}
		})
	}
}

func describe(c Changes) string {
	var b strings.Builder
	fields := func(indent string, list []Field) {
		for _, f := range list {
			fmt.Fprintf(&b, "%s%s: %s → %s\n", indent, f.Path, f.Was, f.Now)
		}
	}
	fields("", c.Settings)
	for _, one := range c.Systems {
		fmt.Fprintf(&b, "system %s %s\n", one.Name, one.Kind)
		fields("  ", one.Fields)
	}
	for _, one := range c.Rules {
		fmt.Fprintf(&b, "rule %s %s\n", one.Name, one.Kind)
		fields("  ", one.Fields)
	}
	return b.String()
}

// Constants of one length that begin alike are different, and so are hash keys, which do not show.
func TestStepsDiffer(t *testing.T) {
	load := func(step, key string) *Config {
		text := "version: 1\nsystems: {crm: {type: sqlite, path: a.db, capture: {entities: {x: {}}}}, dw: {type: sqlite, path: b.db}}\n" +
			"rules: [{id: r, from: crm/x, to: dw/x, transform: [" + step + "]}]"
		cfg, problems := Load(write(t, map[string]string{"c.yaml": text}), func(string) (string, bool) { return key, true })
		if problems != nil {
			t.Fatal(problems)
		}
		return cfg
	}
	constants, hash := "default: {a: %s}", `hash: {a: "${KEY}"}`
	if Same(load(fmt.Sprintf(constants, "north"), "").Rules[0].Transform, load(fmt.Sprintf(constants, "noric"), "").Rules[0].Transform) {
		t.Error("two constants are the same")
	}
	if Same(load(hash, "0123456789abcdef").Rules[0].Transform, load(hash, "0123456789abcdeg").Rules[0].Transform) {
		t.Error("two hash keys are the same")
	}
	if !Same(load(hash, "0123456789abcdef").Rules[0].Transform, load(hash, "0123456789abcdef").Rules[0].Transform) {
		t.Error("one hash key is not the same")
	}
}
