package rule

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/expression"
)

// TestEveryOperatorOnEveryPath: what an operator says does not depend on how the field is named.
func TestEveryOperatorOnEveryPath(t *testing.T) {
	text, num, null := syncline.Text, syncline.Decimal, syncline.Null
	for _, field := range []struct {
		path          string
		is            syncline.Value // what it holds
		above, below  syncline.Value
		part, notPart syncline.Value // of a text or a list; zero = it holds no parts
	}{
		{path: "tier", is: text("gold"), above: text("fold"), below: text("hold"), part: text("ol"), notPart: text("OL")},
		{path: "id", is: num("7.00"), above: num("6.9999999999999999999"), below: num("7.0000000000000000001")},
		{path: "credit", is: num("1.5"), above: num("1.4999999999999999999"), below: num("1.50000000000000000001")},
		{path: "active", is: syncline.Bool(true)},
		{path: "since", is: text("2024-02-29"), above: text("2024-02-28"), below: text("2024-03-01")},
		{path: "since", is: text("2024-02-29T00:00:00Z"), above: text("2024-02-28 23:59:59.5"), below: text("2024-02-29 00:01")},
		{path: "opens", is: text("9:30:00.5"), above: text("9:30"), below: text("10:00")},
		{path: "ref", is: text("0B6E2A5E-0000-4000-8000-00000000000A"), above: text("0B6E2A5E-0000-4000-8000-000000000009"), below: text("0b6e2a5e00004000800000000000000B")},
		{path: "ref", is: text("0b6e2a5e00004000800000000000000A")},
		{path: "address.city", is: text("Köln"), above: text("Aachen"), below: text("Ulm"), part: text("öl"), notPart: text("ÖL")},
		{path: "address.zip", is: num("50667"), above: num("50666.5"), below: num("50667.5")},
		{path: "address.lines.1.sku", is: text("b"), above: text("a"), below: text("c"), part: text(""), notPart: text("a")},
		{path: "tags", part: text("vip"), notPart: text("vi")},
		{path: "tags.0", is: text("vip"), above: text("a"), below: text("z"), part: text("vi"), notPart: text("new")},
		{path: "a.b", is: text("dotted"), above: text("a"), below: text("z"), part: text("ott"), notPart: text("x")},
	} {
		for _, prefix := range []string{"", "after.", "before."} {
			judge := func(op Operator, v ...syncline.Value) bool {
				t.Helper()
				got, err := matcher(t, Spec{Conditions: []Condition{{prefix + field.path, op, v}}}).Match(batch(syncline.OpUpdated, row(), row(), nil), 0)
				if err != nil {
					t.Errorf("%s%s %s %v: %v", prefix, field.path, op, v, err)
				}
				return got
			}
			check := func(op Operator, v syncline.Value, want bool) {
				t.Helper()
				if v.IsNull() {
					return
				}
				if got := judge(op, v); got != want {
					t.Errorf("%s%s %s %s = %v, want %v", prefix, field.path, op, v, got, want)
				}
			}
			check(Equals, field.is, true)
			check(NotEquals, field.is, false)
			check(Equals, field.above, false)
			check(NotEquals, field.above, true)
			check(GreaterThan, field.above, true)
			check(GreaterThan, field.is, false)
			check(GreaterThan, field.below, false)
			check(LessThan, field.below, true)
			check(LessThan, field.is, false)
			check(LessThan, field.above, false)
			check(Contains, field.part, true)
			check(Contains, field.notPart, false)
			if !field.is.IsNull() {
				if !judge(In, null, field.is) || judge(NotIn, null, field.is) || judge(In, null) || !judge(NotIn, null) {
					t.Errorf("%s%s in and not_in do not tell %s from null", prefix, field.path, field.is)
				}
			}
			if judge(Equals, null) || !judge(NotEquals, null) {
				t.Errorf("%s%s is taken for null", prefix, field.path)
			}
		}
	}
}

// TestNullInConditions: null equals null and nothing else, wherever the path ends.
func TestNullInConditions(t *testing.T) {
	x, null := syncline.Text("x"), syncline.Null
	for _, path := range []string{"note", "address.none", "address.nowhere", "address.city.deeper", "address.lines.9.sku", "tags.7"} {
		for _, prefix := range []string{"", "after.", "before."} {
			for _, tt := range []struct {
				op     Operator
				values []syncline.Value
				want   bool
			}{
				{Equals, []syncline.Value{null}, true}, {Equals, []syncline.Value{x}, false},
				{NotEquals, []syncline.Value{null}, false}, {NotEquals, []syncline.Value{x}, true},
				{GreaterThan, []syncline.Value{x}, false}, {LessThan, []syncline.Value{x}, false}, {Contains, []syncline.Value{x}, false},
				{In, []syncline.Value{x}, false}, {In, []syncline.Value{x, null}, true},
				{NotIn, []syncline.Value{x}, true}, {NotIn, []syncline.Value{x, null}, false},
			} {
				got, err := matcher(t, Spec{Conditions: []Condition{{prefix + path, tt.op, tt.values}}}).Match(batch(syncline.OpUpdated, row(), row(), nil), 0)
				if got != tt.want || err != nil {
					t.Errorf("%s%s %s %v = %v, %v, want %v", prefix, path, tt.op, tt.values, got, err, tt.want)
				}
			}
		}
	}
}

func TestConditionsOnTheEvent(t *testing.T) {
	silver := row()
	silver[1] = syncline.Text("silver")
	meta := &syncline.Meta{User: "ann", Priority: syncline.PriorityHigh, Tags: []string{"import", "eu"}}
	text := syncline.Text
	for _, tt := range []struct {
		field    string
		operator Operator
		value    syncline.Value
		want     bool
	}{
		{"event.changed", Contains, text("tier"), true},
		{"event.changed", Contains, text("note"), false},
		{"event.op", Equals, text("updated"), true},
		{"event.user", In, text("ann"), true},
		{"event.session", Equals, syncline.Null, true},
		{"event.priority", Equals, text("high"), true},
		{"event.tags", Contains, text("eu"), true},
		{"event.tags.0", Equals, text("import"), true},
		{"event.time", LessThan, text("2030-01-01"), true},
		{"event.key", Equals, text("7"), true},
		{"before.tier", Equals, text("silver"), true},
		{"after.tier", Equals, text("gold"), true},
	} {
		b := batch(syncline.OpUpdated, silver, row(), meta)
		b.Txns[0].Time = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		got, err := matcher(t, Spec{Conditions: []Condition{{tt.field, tt.operator, []syncline.Value{tt.value}}}}).Match(b, 0)
		if got != tt.want || err != nil {
			t.Errorf("%s %s %v = %v, %v, want %v", tt.field, tt.operator, tt.value, got, err, tt.want)
		}
	}
}

// TestTheRecordAsItWas: there is none before a created one; one that was not sent is not known.
func TestTheRecordAsItWas(t *testing.T) {
	m := matcher(t, Spec{Conditions: []Condition{{"before.tier", Equals, []syncline.Value{syncline.Null}}}})
	if ok, err := m.Match(batch(syncline.OpCreated, nil, row(), nil), 0); !ok || err != nil {
		t.Errorf("created: %v, %v, want null", ok, err)
	}
	for _, before := range [][]syncline.Value{nil, unset(7)} {
		if _, err := m.Match(batch(syncline.OpUpdated, before, row(), nil), 0); !errors.Is(err, expression.ErrUnset) {
			t.Errorf("updated: %v, want ErrUnset", err)
		}
	}
}

// TestAColumnGoesBeforeTheEvent: records may have columns that are called after, before and event.
func TestAColumnGoesBeforeTheEvent(t *testing.T) {
	s := &syncline.Schema{Entity: "log", Version: -1, Key: []int{0}, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt, Type: "bigint"},
		{Name: "event", Kind: syncline.KindJSON, Type: "jsonb"}, {Name: "after", Kind: syncline.KindJSON, Type: "jsonb"}}}
	values := []syncline.Value{syncline.Int(1), syncline.JSON([]byte(`{"op":"login"}`)), syncline.JSON([]byte(`{"id":5}`))}
	b := &syncline.Batch{Txns: []syncline.Txn{{}}, Events: []syncline.Event{{Op: syncline.OpCreated, Schema: s, After: values}}}
	for field, want := range map[string]syncline.Value{"event.op": syncline.Text("login"), "after.id": syncline.Decimal("5")} {
		r, err := Compile(Spec{Conditions: []Condition{{field, Equals, []syncline.Value{want}}}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Bind(s)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := m.Match(b, 0); !ok || err != nil {
			t.Errorf("%s = %v, %v, want the column", field, ok, err)
		}
	}
}

func TestConditionsThatCannotHold(t *testing.T) {
	for field, want := range map[string]string{
		"after.colour": "unknown_column", "before.colour": "unknown_column", "event.colour": "bad_condition",
		"after.id": "bad_condition", "before.tier.x": "bad_condition", "event.version": "bad_condition",
	} {
		r, err := Compile(Spec{Conditions: []Condition{{field, Equals, []syncline.Value{syncline.Text("x")}}}})
		if err == nil {
			_, err = r.Bind(schema)
		}
		if syncline.CodeOf(err) != want || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, want %s that names it", field, err, want)
		}
	}
	if !slices.Contains(Operators, Contains) || len(Operators) != 7 {
		t.Errorf("operators = %v, want seven", Operators)
	}
}
