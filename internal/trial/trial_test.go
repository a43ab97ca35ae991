package trial

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/rule"
	"syncline/internal/transform"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func fields(pairs ...any) []Field {
	list := []Field{}
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, Field{pairs[i].(string), pairs[i+1].(syncline.Value)})
	}
	return list
}

func num(n int64) syncline.Value { return syncline.Int(n) }

func word(s string) syncline.Value { return syncline.Text(s) }

// orders is a rule with something of everything.
func orders() Rule {
	high := syncline.PriorityHigh
	return Rule{ID: "lines", Source: "crm", Entity: "order",
		Match: rule.Spec{MinPriority: &high, When: `after.tier != "test"`, Conditions: []rule.Condition{{Field: "country", Operator: rule.In, Values: []syncline.Value{word("DE"), word("FR")}}}},
		Steps: []transform.Step{
			transform.Rename{Fields: []transform.Pair{{From: "id", To: "order_id"}}},
			transform.Set{Fields: []transform.Assignment{{Field: "email", Expression: "lower(after.email)"}}},
			transform.Split{Split: transform.Splitting{Field: "lines", Key: "sku", With: []string{"email"}, Fields: []transform.Part{{Path: "sku", To: "sku"}, {Path: "qty", To: "qty", Kind: syncline.KindInt}}}},
			transform.Filter{When: "after.qty > 0"},
			transform.Calculate{Fields: []transform.Calculation{{Field: "double", Expression: "after.qty * 2", To: syncline.KindInt}}},
		}}
}

func order(lines string) Event {
	return Event{After: fields("id", num(7), "country", word("DE"), "tier", word("gold"), "email", word("A@B.C"), "lines", syncline.JSON([]byte(lines))),
		Meta: syncline.Meta{Priority: syncline.PriorityHigh}}
}

// TestWhatARuleMakes of events, as a person is shown it.
func TestWhatARuleMakes(t *testing.T) {
	var got bytes.Buffer
	two := order(`[{"sku": "a", "qty": 1}, {"sku": "b", "qty": 0}, {"sku": "c", "qty": 3}]`)
	low, elsewhere, unknown := two, two, two
	low.Meta.Priority = syncline.PriorityLow
	elsewhere.After = append(fields("country", word("US")), two.After[0], two.After[2])
	unknown.Op, unknown.After = syncline.OpUpdated, fields("id", num(7), "country", word("DE"))
	for _, tt := range []struct {
		name  string
		event Event
	}{
		{"three lines, one of nothing", two}, {"one line", order(`[{"sku": "a", "qty": 1}]`)}, {"no line", order(`[]`)}, {"two of one key", order(`[{"sku": "a", "qty": 1}, {"sku": "a", "qty": 2}]`)},
		{"a bad line", order(`[{"sku": "a", "qty": "s3cret"}]`)}, {"too low", low}, {"elsewhere", elsewhere}, {"not sent", unknown},
		{"deleted", Event{Before: fields("id", num(7))}},
	} {
		out, err := Run(t.Context(), orders(), tt.event)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got.WriteString("# " + tt.name + "\n")
		if err := out.WriteText(&got); err != nil {
			t.Fatal(err)
		}
		if v := out.View(); v.Matched != out.Matched || len(v.Steps) != len(out.Steps) || len(v.Records) != len(out.Records) || v.Result != out.Result() {
			t.Errorf("%s: View = %+v of %+v", tt.name, v, out)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/trial.txt", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/trial.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("testdata/trial.txt (-want +got):\n%s", diff)
	}
}

func TestCases(t *testing.T) {
	simple := Rule{ID: "r", Source: "crm", Entity: "order", Steps: []transform.Step{transform.Rename{Fields: []transform.Pair{{From: "a", To: "b"}}}}}
	after := fields("id", num(1), "a", word("2026-03-04"))
	for _, tt := range []struct {
		name  string
		event Event
		want  Want
		diff  string
	}{
		{"as wanted", Event{After: after}, Want{Records: [][]Field{fields("id", syncline.Decimal("1.0"), "b", word("2026-03-04"))}}, ""},
		{"a date is written as text", Event{After: after, Types: []Type{{"a", syncline.KindDate}}}, Want{Records: [][]Field{fields("id", num(1), "b", word("2026-03-04"))}}, ""},
		{"text is no number", Event{After: after}, Want{Records: [][]Field{fields("id", word("1"), "b", word("2026-03-04"))}}, `id: want "1", got 1`},
		{"another field", Event{After: after}, Want{Records: [][]Field{fields("id", num(1), "a", num(2))}}, `a: want 2, and there is no such field` + "\n" + `b: got "2026-03-04", which is not expected`},
		{"more records", Event{After: after}, Want{Records: [][]Field{nil, nil}}, "want 2 records, got: one record\n" + `  got {id: 1, b: "2026-03-04"}`},
		{"not filtered", Event{After: after}, Want{Filtered: true}, "want the record to be left out, got: one record"},
		{"no error", Event{After: after}, Want{Error: "transform_failed"}, "want the error transform_failed, got: one record"},
		{"removed", Event{Before: after}, Want{Removed: true}, ""},
		{"not removed", Event{After: after}, Want{Removed: true}, "want the record to be removed, got: one record"},
		{"an event that is none", Event{}, Want{Records: [][]Field{after}}, "want one record, got the error bad_event: the event has no record"},
		{"a type that it is not", Event{After: after, Types: []Type{{"a", syncline.KindInt}}}, Want{Error: "bad_event"}, ""},
		{"without its key", Event{After: fields("a", num(1)), Key: []string{"id"}}, Want{Error: "bad_event"}, ""},
	} {
		got := strings.Join(Test(t.Context(), simple, Case{Name: tt.name, Event: tt.event, Want: tt.want}), "\n")
		if diff := cmp.Diff(tt.diff, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestOnlyIfChangedIsJudgedAsARouteDoes: what makes a record come or go counts, too.
func TestOnlyIfChangedIsJudgedAsARouteDoes(t *testing.T) {
	r := Rule{ID: "r", Source: "crm", Entity: "order", Match: rule.Spec{OnlyIfChanged: []string{"email"}, When: `after.tier == "gold"`},
		Steps: []transform.Step{transform.Filter{When: "after.qty > 0"}}}
	record := func(tier, email string, qty int64) []Field {
		return fields("id", num(7), "tier", word(tier), "email", word(email), "qty", num(qty))
	}
	for name, tt := range map[string]struct {
		before []Field
		wanted bool
	}{
		"nothing":                {record("gold", "a", 1), false},
		"the field":              {record("gold", "b", 1), true},
		"what the rule matches":  {record("silver", "a", 1), true},
		"what the steps filter":  {record("gold", "a", 0), true},
		"none of them is known":  {nil, true},
		"it changed, and is out": {record("gold", "a", 1), false},
	} {
		e := Event{Op: syncline.OpUpdated, Before: tt.before, After: record("gold", "a", 1)}
		if name == "it changed, and is out" {
			e.After = record("silver", "b", 1)
		}
		out, err := Run(t.Context(), r, e)
		if err != nil || out.Err != nil || out.Matched != tt.wanted {
			t.Errorf("%s changed: matched = %v, %v, %v, want %v", name, out.Matched, out.Err, err, tt.wanted)
		}
	}
}

// TestConditionsOnTypedFields compare as in a route, whose source tells the types.
func TestConditionsOnTypedFields(t *testing.T) {
	r := Rule{ID: "r", Source: "crm", Entity: "shop", Match: rule.Spec{Conditions: []rule.Condition{
		{Field: "opens", Operator: rule.GreaterThan, Values: []syncline.Value{word("9:00")}},
		{Field: "ref", Operator: rule.Equals, Values: []syncline.Value{word("0B6E2A5E00004000800000000000000A")}}}}}
	e := Event{After: fields("id", num(1), "opens", word("09:30"), "ref", word("0b6e2a5e-0000-4000-8000-00000000000a")),
		Types: []Type{{"opens", syncline.KindTime}, {"ref", syncline.KindUUID}}}
	if out, err := Run(t.Context(), r, e); err != nil || !out.Matched {
		t.Errorf("the event is not matched: %+v, %v", out, err)
	}
}
