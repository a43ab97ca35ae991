package expression

import (
	"errors"
	"strings"
	"testing"
	"time"

	"syncline"
)

var schema = &syncline.Schema{Entity: "customer", Table: "public.customer", Version: -1, Key: []int{0}, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt, Type: "bigint"},
	{Name: "name", Kind: syncline.KindText, Nullable: true},
	{Name: "price", Kind: syncline.KindDecimal},
	{Name: "weight", Kind: syncline.KindFloat},
	{Name: "active", Kind: syncline.KindBool},
	{Name: "born", Kind: syncline.KindDate},
	{Name: "seen", Kind: syncline.KindTimestampTZ},
	{Name: "address", Kind: syncline.KindJSON},
	{Name: "tags", Kind: syncline.KindArray, Elem: syncline.KindText},
	{Name: "ref", Kind: syncline.KindUUID},
	{Name: "notes", Kind: syncline.KindText},
	{Name: "big", Kind: syncline.KindUint},
	{Name: "empty", Kind: syncline.KindText},
	{Name: "photo", Kind: syncline.KindBytes},
}}

func row() []syncline.Value {
	return []syncline.Value{
		syncline.Int(7), syncline.Text("Zoë 李"), syncline.Decimal("19.90"), syncline.Float(0.5), syncline.Bool(true),
		syncline.Raw(syncline.KindDate, []byte("1990-02-28")), syncline.Raw(syncline.KindTimestampTZ, []byte("2026-03-04 05:06:07.5+00")),
		syncline.JSON([]byte(`{"city":"Köln","zip":50667,"geo":{"lat":50.93},"lines":[{"q":2,"p":1.10},{"q":3,"p":0.20}]}`)),
		syncline.Raw(syncline.KindArray, []byte(`{vip,"a, b",NULL}`)),
		syncline.Raw(syncline.KindUUID, []byte("0b6e2a5e-0000-4000-8000-000000000001")), syncline.Unset,
		syncline.Uint(18446744073709551615), syncline.Null, syncline.Bytes([]byte{1, 2}),
	}
}

func event(op syncline.Op, before, after []syncline.Value) *Input {
	b := &syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: 16, Ordinal: 1},
		Txns: []syncline.Txn{{Commit: 16, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Origin: "erp"}},
		Events: []syncline.Event{{Op: op, Schema: schema, Ordinal: 1, Before: before, After: after,
			Meta: &syncline.Meta{Priority: syncline.PriorityHigh, Tags: []string{"x"}, User: "ann"}}}}
	return &Input{Batch: b, After: after, Before: before}
}

func bind(t *testing.T, source string) *Bound {
	t.Helper()
	p, err := Compile(source)
	if err != nil {
		t.Fatalf("Compile(%s): %v", source, err)
	}
	b, err := p.Bind(schema, schema)
	if err != nil {
		t.Fatalf("Bind(%s): %v", source, err)
	}
	return b
}

func TestValue(t *testing.T) {
	old := row()
	old[2] = syncline.Decimal("15.00")
	in := event(syncline.OpUpdated, old, row())
	tests := []struct{ source, want string }{
		{`after.id`, `int(7)`},
		{`after["name"]`, `text(Zoë 李)`},
		{`after.tags`, `array({vip,"a, b",NULL})`},
		{`after.empty`, `null`},
		{`upper(after.name)`, `text(ZOË 李)`},
		{`after.name | lower() | len()`, `int(5)`},
		{`lower(after.empty)`, `null`},
		{`after.name[0:3]`, `text(Zoë)`},
		{`after.name + "!"`, `text(Zoë 李!)`},
		{`after.name + after.empty`, `null`},
		{`string(after.id) + "/" + string(after.price)`, `text(7/19.90)`},
		// Decimals are exact and keep their scale; literals are decimals, too.
		{`after.price + 0.1`, `decimal(20.00)`},
		{`0.1 + 0.2`, `decimal(0.3)`},
		{`12345678901234567.89 + 0`, `decimal(12345678901234567.89)`},
		{`"Zoë" == "" ? 0 : -0.12345678901234567890`, `decimal(-0.12345678901234567890)`},
		{`decimal("12345678901234567.89") == 12345678901234567.89`, `bool(true)`},
		{`decimal("12345678901234567.9") == 12345678901234567.89`, `bool(false)`},
		{`1_000.50`, `decimal(1000.50)`},
		{`.5`, `decimal(0.5)`},
		{`1. + 0`, `decimal(1)`},
		{`1.5e3 + 0`, `decimal(1500)`},
		{`2E-3`, `decimal(0.002)`},
		{`after.price * 3`, `decimal(59.70)`},
		{`after.price / 3`, `decimal(6.633333333333333333333333333333333)`},
		{`after.price - after.price`, `decimal(0.00)`},
		{`-after.price`, `decimal(-19.90)`},
		{`after.weight * 2`, `float(1)`},
		{`6 / 3`, `int(2)`},
		{`7 / 2`, `decimal(3.5)`},
		{`7 % 4`, `int(3)`},
		{`9223372036854775807 + 1`, `decimal(9223372036854775808)`},
		{`9223372036854775807 * 9223372036854775807`, `decimal(85070591730234615847396907784232501249)`},
		{`after.big + 1`, `decimal(18446744073709551616)`},
		{`round(after.price, 1)`, `decimal(19.9)`},
		{`round(2.5)`, `decimal(3)`},
		{`floor(-2.5)`, `decimal(-3)`},
		{`int("42")`, `int(42)`},
		{`int(after.price)`, `int(19)`},
		{`float("1e3")`, `float(1000)`},
		{`decimal("1.50") * 2`, `decimal(3.00)`},
		{`min(3, after.price, 5)`, `int(3)`},
		{`max([1, 2.5])`, `decimal(2.5)`},
		{`abs(-3)`, `int(3)`},
		{`[1, findLast([1, 2, 3], # > 1)]`, `json([1,3])`},
		{`findLast(after.tags, # == "vip") + "!"`, `text(vip!)`},
		{`findLast([1, 2], # > 2) == nil and findLastIndex([1, 2], # > 2) == nil`, `bool(true)`},
		{`10 + findLastIndex([1, 2, 1], # == 1)`, `int(12)`},
		{`findLast(after.empty, # == 1) ?? 5`, `int(5)`},
		// Null.
		{`after.empty == nil`, `bool(true)`},
		{`after.empty != "x"`, `bool(true)`},
		{`after.empty > "a"`, `bool(false)`},
		{`after.empty contains "a"`, `bool(false)`},
		{`after.empty ?? "none"`, `text(none)`},
		{`after.id + nil`, `null`},
		{`after.empty == nil ? "no" : after.empty`, `text(no)`},
		{`nil && true`, `bool(false)`},
		// Comparison is by amount and by instant.
		{`after.price == 19.9`, `bool(true)`},
		{`after.id in [1, 7.0]`, `bool(true)`},
		{`after.id not in [1, 2]`, `bool(true)`},
		{`after.price > 19`, `bool(true)`},
		{`after.weight == 0.5`, `bool(true)`},
		{`after.id == "7"`, `bool(false)`},
		{`after.born < "2000-01-01"`, `bool(true)`},
		{`after.seen >= date("2026-03-04T05:06:07Z")`, `bool(true)`},
		{`after.seen == "2026-03-04 05:06:07.5"`, `bool(true)`},
		{`year(after.born) * 10000 + month(after.born) * 100 + day(after.born)`, `int(19900228)`},
		{`weekday(after.born)`, `int(3)`},
		{`unix(after.seen)`, `int(1772600767)`},
		{`after.empty == nil ? after.born : nil`, `date(1990-02-28)`},
		{`after.seen ?? nil`, `timestamptz(2026-03-04 05:06:07.5+00)`},
		// JSON and arrays.
		{`after.address.city`, `text(Köln)`},
		{`after.address.nothing.deep`, `null`},
		{`after.address.zip + 1`, `int(50668)`},
		{`after.address["geo"].lat`, `decimal(50.93)`},
		{`after.address.lines[-1].q`, `int(3)`},
		{`after.address.lines[9]`, `null`},
		{`sum(after.address.lines, .q * .p)`, `decimal(2.80)`},
		{`sum(map(after.address.lines, .q))`, `int(5)`},
		{`map(after.address.lines, .q)`, `json([2,3])`},
		{`filter(after.address.lines, .q > 2)`, `json([{"p":0.20,"q":3}])`},
		{`count(after.address.lines, .p < 1)`, `int(1)`},
		{`count([{"a": nil}, {"a": true}], .a)`, `int(1)`},
		{`any(after.empty, # == 1)`, `bool(false)`},
		{`reduce([1, 2, 3], #acc + #)`, `int(6)`},
		{`"vip" in after.tags`, `bool(true)`},
		{`after.tags contains "a, b"`, `bool(true)`},
		{`join(after.tags, "|")`, `text(vip|a, b|)`},
		{`{"a": after.id, "b": [after.price, nil]}`, `json({"a":7,"b":[19.90,null]})`},
		{`keys(after.address)`, `json(["city","geo","lines","zip"])`},
		{`sort([3, 1.5, nil, 2])`, `json([null,1.5,2,3])`},
		{`uniq([1, 1.0, "1", 2])`, `json([1,"1",2])`},
		{`reverse(1..3)`, `json([3,2,1])`},
		{`concat([1], nil, [2])`, `json([1,2])`},
		{`fromJSON("{\"x\":1.50}").x`, `decimal(1.50)`},
		{`toJSON({"x": 1.50})`, `text({"x":1.50})`},
		{`len(split("a,b,c", ","))`, `int(3)`},
		{`let x = after.id; x * x`, `int(49)`},
		{`after.name matches "^Zo."`, `bool(true)`},
		{`after.ref == "0b6e2a5e-0000-4000-8000-000000000001"`, `bool(true)`},
		{`indexOf(after.name, "李")`, `int(4)`},
		{`replace("aXbX", "X", "-")`, `text(a-b-)`},
		// The event, before and after.
		{`event.op`, `text(updated)`},
		{`event.entity + "/" + event.key`, `text(customer/7)`},
		{`event.source`, `text(crm)`},
		{`event.priority`, `text(high)`},
		{`event.changed`, `json(["price"])`},
		{`"price" in event.changed`, `bool(true)`},
		{`event.time`, `timestamptz(2026-01-02 03:04:05+00)`},
		{`event.user`, `text(ann)`},
		{`event.into`, `null`},
		{`event.tags`, `json(["x"])`},
		{`event.origin`, `text(erp)`},
		{`event.id`, `text(crm/1/10/1)`},
		{`after.price - before.price`, `decimal(4.90)`},
		{`before == nil`, `bool(false)`},
		{`after != nil && before.price < after.price`, `bool(true)`},
	}
	for _, tt := range tests {
		got, err := bind(t, tt.source).Value(in)
		if err != nil || got.String() != tt.want {
			t.Errorf("%s = %s, %v, want %s", tt.source, got, err, tt.want)
		}
	}
}

func TestSpecialNumbersAndTimes(t *testing.T) {
	values := row()
	values[2] = syncline.Decimal("NaN")
	values[5] = syncline.Raw(syncline.KindDate, []byte("infinity"))
	values[6] = syncline.Raw(syncline.KindTimestampTZ, []byte("0044-03-15 12:00:00+00 BC"))
	values[3] = syncline.Float(0)
	in := event(syncline.OpCreated, nil, values)
	for source, want := range map[string]string{
		`after.price > 1e100`:                  `bool(true)`,
		`after.price == after.price`:           `bool(true)`,
		`after.price ?? 0`:                     `decimal(NaN)`,
		`after.born > "9999-01-01"`:            `bool(true)`,
		`after.born ?? nil`:                    `date(infinity)`,
		`year(after.born)`:                     `null`,
		`year(after.seen)`:                     `int(-43)`,
		`after.seen ?? nil`:                    `timestamptz(0044-03-15 12:00:00+00 BC)`,
		`before == nil && before.price == nil`: `bool(true)`,
	} {
		got, err := bind(t, source).Value(in)
		if err != nil || got.String() != want {
			t.Errorf("%s = %s, %v, want %s", source, got, err, want)
		}
	}
}

func TestMomentRoundTrip(t *testing.T) {
	for _, tt := range []struct {
		kind syncline.Kind
		text string
	}{
		{syncline.KindDate, "2024-02-29"}, {syncline.KindDate, "12026-12-31"}, {syncline.KindDate, "0001-01-01 BC"},
		{syncline.KindTimestamp, "2026-01-01 00:00:00.000001"}, {syncline.KindTimestampTZ, "-infinity"},
		{syncline.KindTimestampTZ, "294276-12-31 23:59:59.999999+00"},
	} {
		m, err := parseMoment(tt.kind, tt.text)
		if err != nil || m.String() != tt.text {
			t.Errorf("parseMoment(%s).String() = %s, %v", tt.text, m, err)
		}
	}
	for _, text := range []string{"2023-02-29", "2023-13-01", "99-01-01", "", "-", "2023-01-01 00:00:00"} {
		if m, err := parseMoment(syncline.KindDate, text); err == nil {
			t.Errorf("parseMoment(date, %q) = %s, want an error", text, m)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, tt := range []struct {
		source       string
		line, column int
		message      string
	}{
		{`after.id ==`, 1, 11, "unexpected token EOF"},
		{"true &&\n  nonsense", 2, 3, "unknown name nonsense"},
		{`now()`, 1, 1, "there is no function now"},
		{`date()`, 1, 1, "date takes one argument"},
		{`timezone("UTC")`, 1, 1, "there is no function timezone"},
		{`sortBy(after.tags, #)`, 1, 1, "there is no function sortBy"},
		{`event.colour`, 1, 7, `event has no field "colour"`},
		{`event`, 1, 1, "event is not a value"},
		{`$env`, 1, 1, "unknown name $env"},
		{`after.born.Year()`, 1, 12, "there are no methods"},
		{`after[after.name]`, 1, 6, "the fields of after are named"},
		{`let after = 1; after`, 1, 5, "after cannot be declared"},
		{`2 ** 3`, 1, 3, "the operator ** is not available"},
		{`after.name matches "("`, 1, 20, "the pattern cannot be read"},
		{` `, 1, 1, "the expression is empty"},
		{strings.Repeat("1+", 1000) + "1", 1, 0, "exceeds"},
		{strings.Repeat(" ", 20000), 1, 1, "longer than"},
		{strings.Repeat("(", 5000), 1, 0, ""},
	} {
		_, err := Compile(tt.source)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, tt.message) || e.Line != tt.line || tt.column > 0 && e.Column != tt.column {
			t.Errorf("Compile(%.40q) = %v, want %s at %d:%d", tt.source, err, tt.message, tt.line, tt.column)
		}
	}
}

func TestBindNamesUnknownColumn(t *testing.T) {
	p, err := Compile("after.id == 1 &&\n after.NAME == nil")
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Bind(schema, schema)
	var e *syncline.Error
	if !errors.As(err, &e) || e.Code != "unknown_column" || !strings.Contains(e.Msg, `"NAME"`) || !strings.Contains(e.Msg, "2:") || e.Fix != `write it as "name"` {
		t.Fatalf("Bind = %+v, want unknown_column with a suggestion", e)
	}
}

func TestUnset(t *testing.T) {
	for _, tt := range []struct {
		source string
		in     *Input
		column string
	}{
		{`after.notes`, event(syncline.OpUpdated, nil, row()), "notes"},
		{`lower(after.notes)`, event(syncline.OpUpdated, nil, row()), "notes"},
		{`toJSON(after)`, event(syncline.OpUpdated, nil, row()), "notes"},
		// An update without a before image has one that was not sent.
		{`before.price`, event(syncline.OpUpdated, nil, row()), "price"},
		{`before == nil`, event(syncline.OpUpdated, nil, row()), "id"},
	} {
		_, err := bind(t, tt.source).Value(tt.in)
		var unset *UnsetError
		if !errors.Is(err, ErrUnset) || !errors.As(err, &unset) || unset.Column != tt.column {
			t.Errorf("%s: %v, want ErrUnset of %s", tt.source, err, tt.column)
		}
	}
	// What is not used may be unset.
	if _, err := bind(t, `after.id > 1`).True(event(syncline.OpUpdated, nil, row())); err != nil {
		t.Error(err)
	}
}

func TestTrue(t *testing.T) {
	in := event(syncline.OpCreated, nil, row())
	for source, want := range map[string]bool{`after.active`: true, `!after.active`: false, `after.empty`: false, `after.active and after.id > 3`: true} {
		if got, err := bind(t, source).True(in); got != want || err != nil {
			t.Errorf("%s = %v, %v, want %v", source, got, err, want)
		}
	}
	if _, err := bind(t, `after.name`).True(in); syncline.ClassOf(err) != syncline.Rejected {
		t.Errorf("a text as a condition: %v, want a rejected error", err)
	}
}

func TestKind(t *testing.T) {
	for source, want := range map[string]syncline.Kind{
		`after.price`: syncline.KindDecimal, `after.ref`: syncline.KindUUID, `lower(after.name)`: syncline.KindText,
		`after.id + 1`: syncline.KindInt, `after.id / 2`: syncline.KindDecimal, `after.weight + 1`: syncline.KindFloat,
		`after.id > 1`: syncline.KindBool, `after.name ?? "x"`: syncline.KindText, `after.active ? after.id : nil`: syncline.KindInt,
		`after.address.city`: syncline.KindNull, `[1]`: syncline.KindJSON, `event.time`: syncline.KindTimestampTZ,
		`let x = 1; x`: syncline.KindNull, `before.born`: syncline.KindDate, `round(after.price, 2)`: syncline.KindDecimal,
		`max(1, after.price)`: syncline.KindDecimal, `1.5`: syncline.KindDecimal,
	} {
		if got := bind(t, source).Kind(); got != want {
			t.Errorf("Kind(%s) = %s, want %s", source, got, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{`after.tier != "test"`, `sum(after.address.lines, .q * .p)`, `let x = after.id; x / 0`, `before == nil ? after : {"a": [1.5]}`,
		`after.name[1:] matches "a+"`, `event.changed | filter(# != "id") | len()`, `reduce(1..9, #acc + #, 0) % 3`, `-after.price ?? +1`} {
		f.Add(s)
	}
	in := event(syncline.OpUpdated, row(), row())
	f.Fuzz(func(t *testing.T, source string) {
		p, err := Compile(source)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 {
				t.Fatalf("Compile error %v has no place", err)
			}
			return
		}
		b, err := p.Bind(schema, schema)
		if err != nil {
			return
		}
		first, err1 := b.Value(in)
		second, err2 := b.Value(in)
		if (err1 == nil) != (err2 == nil) || !syncline.Equal(first, second) {
			t.Fatalf("%q is not pure: %s, %v then %s, %v", source, first, err1, second, err2)
		}
	})
}

func FuzzParseArray(f *testing.F) {
	for _, s := range []string{`{}`, `{a,"b\"c",NULL}`, `{{1,2},{3,4}}`, `[0:1]={1,2}`, `{"`, `{a`, `{,}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, elem := range []syncline.Kind{syncline.KindText, syncline.KindInt, syncline.KindJSON, syncline.KindTimestampTZ} {
			if v, err := parseArray(text, elem); err == nil {
				if _, err := appendJSON(&meter{}, nil, v, 0); err != nil {
					t.Fatalf("appendJSON(parseArray(%q)): %v", text, err)
				}
			}
		}
	})
}

func BenchmarkTrue(b *testing.B) {
	p, _ := Compile(`after.name != "test" && after.id > 3`)
	bound, err := p.Bind(schema, schema)
	if err != nil {
		b.Fatal(err)
	}
	in := event(syncline.OpCreated, nil, row())
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := bound.True(in); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
