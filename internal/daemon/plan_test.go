package daemon

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
)

const planned = head + `
systems:
  crm: {type: postgres, url: "postgres://u@127.0.0.1:1/crm", capture: {manage: true, entities: {lead: {table: lead}, customer: {table: customer}}}}
  pos: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}
  dw: {type: postgres, url: "postgres://u@127.0.0.1:1/dw"}
  cache: {type: redis, url: "redis://127.0.0.1:1/0"}
rules:
  - {id: lead, from: crm/lead, to: dw/lead, create: true}
  - {id: customer, from: crm/customer, to: dw/customer, when: 'after.tier != "test"'}
  - {id: cached, from: crm/customer, to: cache/customer}
  - {id: sale, from: pos/sale, to: dw/sale}
`

// TestWhatAPlanSays of routes and sources: what is not touched, what goes on, and what begins anew.
func TestWhatAPlanSays(t *testing.T) {
	dir := t.TempDir()
	was := read(t, dir, planned)
	for _, test := range []struct {
		name string
		edit []string // pairs for a Replacer
		want string
	}{
		{"nothing", nil, "untouched 4"},
		{"a condition: the cursor stays, the target is mixed", []string{`!= "test"`, `== "gold"`}, `
route customer restarts mixed
  its cursor is kept, at 70
  its target holds records of both versions of the rules until ` + "`syncline sync`, or until `syncline verify` finds all equal" + `
untouched 3`},
		{"the size of batches: nothing is mixed", []string{"to: dw/sale", "to: dw/sale, batch: {max_rows: 7}"}, `
route sale restarts
  its cursor is kept, at 70
untouched 3`},
		{"another object", []string{"to: dw/lead,", "to: dw/leads,"}, `
route lead begins_anew
  what it reads, where it writes or how it makes keys is another: its cursor is dropped
  all records are read from crm first (start: full); none is removed from the target
  what it wrote before (dw/lead) stays there
  dw/leads is made if it is missing
untouched 3`},
		{"another key", []string{"to: dw/customer,", "to: dw/customer, transform: [{set: {id: 'after.id + 1'}}],"}, `
route customer begins_anew
  what it reads, where it writes or how it makes keys is another: its cursor is dropped
  all records are read from crm first (start: full); none is removed from the target
untouched 3`},
		{"an entity more, with a rule", []string{"lead: {table: lead},", "lead: {table: lead}, order: {table: orders},", "rules:", "rules:\n  - {id: order, from: crm/order, to: dw/orders, start: now}"}, `
source crm restarts
  it goes on from the end of its log: nothing is left out
  order: captured from here on; the publication is altered
route order begins
  it begins with the next change (start: now)
untouched 4`},
		{"a rule less", []string{"  - {id: lead, from: crm/lead, to: dw/lead, create: true}\n", ""}, `
route lead stops
  its cursor is kept, at 70: a rule that comes back goes on there as long as the log has what follows, which nothing keeps for it
  what it wrote stays in dw/lead
untouched 3`},
		{"a rule that is known from before", []string{"rules:", "rules:\n  - {id: old, from: crm/lead, to: dw/old}"}, `
route old goes_on
  its cursor is kept, at 3, but the log of crm begins at 10: it needs a sync
untouched 4`},
		{"a target elsewhere", []string{"127.0.0.1:1/0", "127.0.0.1:2/0"}, `
route cached restarts
  its cursor is kept, at 70
  another place than before that does not hold its cursor is not taken for the same one: the route halts
untouched 3`},
		{"more memory of what was removed, where a target needs it", []string{"version: 1\n", "version: 1\nlog: {retain: 48h}\n"}, `
route cached restarts
  its cursor is kept, at 70
untouched 3`},
		{"a pushed entity more", []string{"sale: {key: [id]}", "sale: {key: [id]}, refund: {key: [id]}"}, `
source pos changes
  events are taken without a break
  refund: captured from here on
untouched 4`},
		{"a source more", []string{"  cache:", "  shop: {type: sqlite, url: \"sqlite:shop.db\", capture: {manage: true, entities: {item: {table: item}}}}\n  cache:"}, `
source shop begins
  a log of its own is made, or found again
  its first copy brings the records of every rule that starts full
untouched 4`},
		{"a source less", []string{"  pos: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}\n", "", "  - {id: sale, from: pos/sale, to: dw/sale}\n", ""}, `
source pos stops
  its log stays on disk; what captured it (a slot, triggers) goes on costing the source space until it is taken away
route sale stops
  its cursor is kept, at 70: a rule that comes back goes on there as long as the log has what follows, which nothing keeps for it
  what it wrote stays in dw/sale
untouched 3`},
		{"where the log is", []string{"version: 1\n", "version: 1\nlog: {dir: /elsewhere}\n"}, "restart log.dir\nuntouched 4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := read(t, dir, strings.NewReplacer(test.edit...).Replace(planned))
			p := plan(was, now, known(was))
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), describe(p)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestARouteFollowsWhatItsStepsAsk: a system that a step asks is a part of the route, whoever else it belongs to.
func TestARouteFollowsWhatItsStepsAsk(t *testing.T) {
	asks := func(port string) *config.Config {
		return read(t, t.TempDir(), strings.NewReplacer("  cache:", "  ref: {type: postgres, url: \"postgres://u@127.0.0.1:"+port+"/ref\"}\n  cache:",
			"to: dw/sale", "to: dw/sale, transform: [{enrich: {by: after.id, sql: {system: ref, query: 'SELECT id, name FROM region WHERE id = ANY($1)', key: id}, take: {name: name}}}]").Replace(planned))
	}
	was, now := asks("7"), asks("8")
	for _, rt := range routesOf(now) {
		if same := rt.as(find(routesOf(was), rt.id)); same != (rt.id != "sale") {
			t.Errorf("route %s is the same: %v", rt.id, same)
		}
	}
	entity := func(table string) *config.Config {
		return read(t, t.TempDir(), strings.NewReplacer("  cache:", "  ref: {type: sqlite, path: ref.db, capture: {entities: {region: {table: "+table+"}}}}\n  cache:",
			"to: dw/sale", "to: dw/sale, transform: [{enrich: {by: after.id, entity: ref/region, take: {name: name}}}]").Replace(planned))
	}
	was, now = entity("region"), entity("region_2")
	for _, rt := range routesOf(now) {
		if same := rt.as(find(routesOf(was), rt.id)); same && rt.id == "sale" {
			t.Error("a route is the same although the table of the entity that it asks for is another one")
		}
	}
}

// read reads a configuration as if it stood in dir.
func read(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	c, problems := config.Read([]config.File{{Name: "syncline.yaml", Text: []byte(text)}}, dir, nil)
	if problems != nil {
		t.Fatalf("configuration: %v", problems)
	}
	return c
}

// known is what the state store has of routes that run; and of one whose rule is gone.
func known(c *config.Config) facts {
	f := facts{routes: make(map[string]state.Route), schemas: make(map[string]map[string]state.RuleSchema), logs: make(map[string]syncline.Bounds)}
	customer := &syncline.Schema{Entity: "customer", Table: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt}, {Name: "tier", Kind: syncline.KindText}}}
	for _, rt := range routesOf(c) {
		row := state.Route{Known: true, Signature: signature(rt), Version: version(rt.rules), Cursor: syncline.Cursor{Seq: 70}}
		if rt.id == "customer" {
			parts, err := rt.compile()
			if err != nil {
				panic(err)
			}
			b, err := parts[0].Bind(customer)
			if err != nil {
				panic(err)
			}
			row.Keys = map[string]state.KeyMapping{"customer": {Source: "id", Target: b.KeyMapping}}
			f.schemas["customer"] = map[string]state.RuleSchema{"customer": {Rule: "customer", Source: customer}}
		}
		f.routes[rt.id] = row
	}
	old := &route{rules: []*config.Rule{{From: []config.Ref{{System: "crm", Name: "lead"}}, To: config.Ref{System: "dw", Name: "old"}}},
		source: &source{system: c.System("crm")}}
	f.routes["old"] = state.Route{Known: true, Signature: signature(old), Cursor: syncline.Cursor{Seq: 3}}
	for _, name := range []string{"crm", "pos"} {
		f.logs[name] = syncline.Bounds{First: 10, Last: 80}
	}
	return f
}

func describe(p ops.Plan) string {
	var b strings.Builder
	for _, path := range p.Restart {
		fmt.Fprintf(&b, "restart %s\n", path)
	}
	effects(&b, "source", p.Sources)
	effects(&b, "route", p.Routes)
	fmt.Fprintf(&b, "untouched %d", p.Untouched)
	return b.String()
}

func effects(b *strings.Builder, what string, list []ops.PlannedEffect) {
	for _, e := range list {
		fmt.Fprintf(b, "%s %s %s", what, e.Name, e.Effect)
		if e.Mixed {
			b.WriteString(" mixed")
		}
		b.WriteByte('\n')
		for _, line := range e.Data {
			fmt.Fprintf(b, "  %s\n", line)
		}
	}
}

// TestAPlanOfAlerts: channels and alerts change without a restart and touch no route; secrets are told to differ, and not shown.
func TestAPlanOfAlerts(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("A_URL", "https://hooks.slack.com/services/hunter2")
	t.Setenv("B_URL", "https://hooks.slack.com/services/hunter3")
	alerts := planned + `
channels:
  chat: {type: slack, url: "${A_URL}"}
alerts:
  - {id: late, when: lag_seconds > 60}
`
	p := plan(read(t, dir, alerts), read(t, dir, strings.NewReplacer("A_URL", "B_URL", "> 60", "> 90", "type: slack,", "type: slack, language: zh,").Replace(alerts)), facts{})
	if len(p.Restart) > 0 || len(p.Routes) > 0 || p.Untouched != 4 || p.Empty {
		t.Errorf("restart %v, routes %+v, untouched %d, empty %v", p.Restart, p.Routes, p.Untouched, p.Empty)
	}
	want := []ops.PlannedField{{Path: "channels.chat.url", Was: "[redacted]", Now: "[redacted]"}, {Path: "channels.chat.language", Was: "en", Now: "zh"},
		{Path: "alerts.late.when", Was: "lag_seconds > 60", Now: "lag_seconds > 90"}}
	if diff := cmp.Diff(want, p.Settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	for _, f := range plan(read(t, dir, planned), read(t, dir, alerts), facts{}).Settings {
		if strings.Contains(f.Now, "hunter") {
			t.Errorf("the plan shows %+v", f)
		}
	}
}
