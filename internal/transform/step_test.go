package transform

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/expression"
)

// order is a record with something of every kind.
var order = &syncline.Schema{Entity: "order", Table: "public.order", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt, Type: "bigint"},
	{Name: "code", Kind: syncline.KindText, Type: "varchar(8)", Nullable: true},
	{Name: "address", Kind: syncline.KindJSON, Type: "jsonb", Nullable: true},
	{Name: "price", Kind: syncline.KindDecimal, Type: "numeric(12,4)", Nullable: true},
	{Name: "qty", Kind: syncline.KindInt, Type: "integer", Nullable: true},
	{Name: "placed", Kind: syncline.KindTimestampTZ, Type: "timestamptz", Nullable: true},
	{Name: "local", Kind: syncline.KindTimestamp, Type: "timestamp", Nullable: true},
	{Name: "due", Kind: syncline.KindDate, Type: "date", Nullable: true},
}}

func orderRow() []syncline.Value {
	return []syncline.Value{syncline.Int(7), syncline.Text(" ab-12 "),
		syncline.JSON([]byte(`{"city": "Köln", "geo": {"lat": 50.940, "tags": ["a", "b"]}, "zip": null, "n": 12345678901234567890}`)),
		syncline.Decimal("1234567.8950"), syncline.Int(3), syncline.Raw(syncline.KindTimestampTZ, []byte("2026-03-29 01:30:00.25+00")),
		syncline.Raw(syncline.KindTimestamp, []byte("2026-03-29 03:30:00")), syncline.Raw(syncline.KindDate, []byte("2026-03-04"))}
}

// change makes a batch of one update of an order; alter names columns and values that are not as in orderRow.
func change(alter ...any) *syncline.Batch {
	values := orderRow()
	for i := 0; i < len(alter); i += 2 {
		values[order.Index(alter[i].(string))] = alter[i+1].(syncline.Value)
	}
	return &syncline.Batch{Source: "erp", Txns: []syncline.Txn{{Commit: 1}}, Events: []syncline.Event{{Op: syncline.OpUpdated, Schema: order, Ordinal: 1, After: values}}}
}

func orderPlan(t *testing.T, steps ...Step) (*Plan, error) {
	t.Helper()
	tr, err := Compile(steps)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return tr.Bind(order)
}

type secret string

func (s secret) Reveal() string { return string(s) }

func ptr[T any](v T) *T { return &v }

func text(s string) *Constant { return &Constant{syncline.Text(s)} }

func TestSteps(t *testing.T) {
	for _, tt := range []struct {
		name  string
		step  Step
		alter []any
		want  string // the fields that the step makes or changes
	}{
		{"map a part in", Map{[]Mapping{{Pair: Pair{"address.geo.lat", "lat"}, Kind: syncline.KindDecimal, Keep: true}, {Pair: Pair{"address.city", "city"}, Keep: true},
			{Pair: Pair{"address.none.at.all", "none"}, Keep: true}, {Pair: Pair{"address.geo.tags.1", "tag"}, Keep: true}, {Pair: Pair{"address.geo", "geo"}, Keep: true, Kind: syncline.KindJSON}}}, nil,
			`lat=decimal(50.940) city=text(Köln) none=null tag=text(b) geo=json({"lat": 50.940, "tags": ["a", "b"]})`},
		{"flatten to its own name", Flatten{[]Flattening{{Field: "address", Parts: []Part{{Path: "city", To: "address"}}}}}, nil, `address=text(Köln)`},
		{"map a part in and take it away", Map{[]Mapping{{Pair: Pair{"address.geo.lat", "lat"}}, {Pair: Pair{"address.zip", "zip"}}}}, nil,
			`address=json({"city":"Köln","geo":{"tags":["a", "b"]},"n":12345678901234567890}) lat=text(50.940) zip=null`},
		{"map out", Map{[]Mapping{{Pair: Pair{"code", "address.geo.code"}}, {Pair: Pair{"price", "extra.price"}}, {Pair: Pair{"due", "extra.when.due"}, Keep: true}}}, nil,
			`address=json({"city":"Köln","geo":{"lat":50.940,"tags":["a", "b"],"code":" ab-12 "},"zip":null,"n":12345678901234567890}) extra=json({"price":1234567.8950,"when":{"due":"2026-03-04"}})`},
		{"map to a name that moves", Map{[]Mapping{{Pair: Pair{"code", "sku"}}, {Pair: Pair{"qty", "code"}}, {Pair: Pair{"due", "placed"}}, {Pair: Pair{"placed", "due"}}}}, nil,
			`sku=text( ab-12 ) code=int(3) placed=date(2026-03-04) due=timestamptz(2026-03-29 01:30:00.25+00)`},
		{"map into a name that moves", Map{[]Mapping{{Pair: Pair{"address", "location"}}, {Pair: Pair{"code", "address.code"}}, {Pair: Pair{"qty", "address.qty"}}}}, nil,
			`location=json({"city": "Köln", "geo": {"lat": 50.940, "tags": ["a", "b"]}, "zip": null, "n": 12345678901234567890}) address=json({"code":" ab-12 ","qty":3})`},
		{"map with a kind", Map{[]Mapping{{Pair: Pair{"qty", "count"}, Keep: true, Kind: syncline.KindText}}}, nil, `count=text(3)`},
		{"flatten", Flatten{[]Flattening{{Field: "address", Parts: []Part{{"city", "address_city", 0}, {"geo.lat", "address_geo_lat", syncline.KindFloat}, {"zip", "address_zip", 0}}}}}, nil,
			`address_city=text(Köln) address_geo_lat=float(50.94) address_zip=null`},
		{"flatten null", Flatten{[]Flattening{{Field: "address", Parts: []Part{{"city", "c", 0}}, Keep: true}}}, []any{"address", syncline.Null}, `c=null`},
		{"nest", Nest{[]Nesting{{To: "item", Members: []Pair{{"code", "code"}, {"price", "unit"}, {"qty", "qty"}, {"placed", "at"}, {"address", "address"}}}}}, []any{"address", syncline.Null},
			`item=json({"code":" ab-12 ","unit":1234567.8950,"qty":3,"at":"2026-03-29 01:30:00.25+00","address":null})`},
		{"nest under a name that it takes", Nest{[]Nesting{{To: "code", Members: []Pair{{"code", "code"}}}}}, nil, `code=json({"code":" ab-12 "})`},
		{"default", Defaults{[]Filling{{"code", Constant{syncline.Text("none")}}, {"qty", Constant{syncline.Decimal("0")}}, {"address.zip", Constant{syncline.Text("?")}}, {"address.country.code", Constant{syncline.Text("DE")}}}},
			[]any{"code", syncline.Null}, `code=text(none) address=json({"city":"Köln","geo":{"lat": 50.940, "tags": ["a", "b"]},"zip":"?","n":12345678901234567890,"country":{"code":"DE"}})`},
		{"format times", Format{[]Formatting{{Field: "placed", Layout: "%d.%m.%Y %H:%M:%S.%L %:z (%Z)", Zone: "Europe/Berlin"}, {Field: "local", Layout: "%a %e %b %y, %I:%M %p"}, {Field: "due", Layout: "%j/%Y 100%%"}}}, nil,
			`placed=text(29.03.2026 03:30:00.250 +02:00 (CEST)) local=text(Sun 29 Mar 26, 03:30 AM) due=text(063/2026 100%)`},
		{"format numbers", Format{[]Formatting{{Field: "price", Number: &Number{2, ".", ","}}, {Field: "qty", Number: &Number{Decimals: -1, Point: "."}, Pad: 5, With: "0"}}}, nil, `price=text(1.234.567,90) qty=text(00003)`},
		{"format text", Format{[]Formatting{{Field: "code", Text: []string{"trim", "upper"}, Pattern: "#.#/##", Pad: 8, With: "·", Right: true}, {Field: "address.city", Text: []string{"upper"}, Max: 2}}}, nil,
			`code=text(A.B/12··) address=json({"city":"KÖ","geo":{"lat": 50.940, "tags": ["a", "b"]},"zip":null,"n":12345678901234567890})`},
		{"format or else", Format{[]Formatting{{Field: "code", Pattern: "##", Invalid: PolicyKeep}, {Field: "price", Layout: "%Y", Invalid: PolicyNull}, {Field: "qty", Layout: "%Y", Default: text("never")}}}, nil,
			`price=null qty=text(never)`},
		{"convert by policy", Convert{[]Conversion{{Field: "code", To: syncline.KindInt, Invalid: PolicyNull}, {Field: "price", To: syncline.KindInt, Overflow: PolicyDefault, Default: text("9")}, {Field: "address.n", To: syncline.KindText}}}, nil,
			`code=null address=json({"city":"Köln","geo":{"lat": 50.940, "tags": ["a", "b"]},"zip":null,"n":"12345678901234567890"}) price=int(9)`},
		{"convert in a zone", Convert{[]Conversion{{Field: "code", To: syncline.KindTimestampTZ, Layout: "%d.%m.%Y %H:%M", Zone: "America/New_York"}, {Field: "placed", To: syncline.KindDate, Zone: "Pacific/Auckland"},
			{Field: "local", To: syncline.KindTimestampTZ, Zone: "Europe/Berlin"}, {Field: "qty", To: syncline.KindTimestamp, Layout: "%s"}}},
			[]any{"code", syncline.Text("04.07.2026 09:30"), "qty", syncline.Int(86401)}, `code=timestamptz(2026-07-04 13:30:00+00) qty=timestamp(1970-01-02 00:00:01) placed=date(2026-03-29) local=timestamptz(2026-03-29 01:30:00+00)`},
		{"calculate", Calculate{[]Calculation{{Field: "total", Expression: "after.qty * after.price", Scale: ptr(2)}, {Field: "half", Expression: "after.qty / 2", To: syncline.KindInt, Round: RoundHalfEven},
			{Field: "qty", Expression: "after.qty / 0", Default: &Constant{syncline.Decimal("-1")}}, {Field: "big", Expression: "after.price", Precision: 6, Scale: ptr(2), Invalid: PolicyNull},
			{Field: "wide", Expression: `float("1e20")`, To: syncline.KindFloat, Precision: 5, Invalid: PolicyNull},
			{Field: "none", Expression: "after.code == nil ? 1 : nil"}, {Field: "down", Expression: "-1.005", Scale: ptr(2), Round: RoundDown}}}, nil,
			`qty=decimal(-1) total=decimal(3703703.69) half=int(2) big=null wide=null none=null down=decimal(-1.00)`},
		{"lookup", Lookup{[]LookupField{{Field: "name", From: "code", Table: []Entry{{Constant{syncline.Text(" ab-12 ")}, Constant{syncline.Text("Widget")}}}},
			{Field: "class", From: "qty", Table: []Entry{{Constant{syncline.Text("3")}, Constant{syncline.Decimal("1")}}, {Constant{syncline.Text("4")}, Constant{syncline.Decimal("1.5")}}}},
			{Field: "code", From: "code", Table: []Entry{{Constant{syncline.Text("x")}, Constant{syncline.Text("y")}}}, Missing: PolicyKeep},
			{Field: "city", From: "address.city", Table: []Entry{{Constant{syncline.Text("x")}, Constant{syncline.Text("y")}}}, Default: text("?")},
			{Field: "zip", From: "address.zip", Table: []Entry{{Constant{syncline.Text("x")}, Constant{syncline.Text("y")}}}}}}, nil,
			`name=text(Widget) class=decimal(1) city=text(?) zip=null`},
		{"mask", Mask{[]Masking{{Field: "code", KeepFirst: 1, KeepLast: 2, With: "*"}, {Field: "price", Fixed: ptr("hidden")}, {Field: "qty", With: "x"}, {Field: "address.city", KeepLast: 9, With: "#"}}}, nil,
			`code=text( ****2 ) address=json({"city":"####","geo":{"lat": 50.940, "tags": ["a", "b"]},"zip":null,"n":12345678901234567890}) price=text(hidden) qty=text(x)`},
		{"mask e-mail", Mask{[]Masking{{Field: "code", Email: true, With: "*"}, {Field: "address.city", Email: true, With: "*"}}}, []any{"code", syncline.Text("zoe@x@example.org")},
			`code=text(z***@example.org) address=json({"city":"***","geo":{"lat": 50.940, "tags": ["a", "b"]},"zip":null,"n":12345678901234567890})`},
		// echo -n ' ab-12 ' | openssl dgst -sha256 -hmac 0123456789abcdef
		{"hash", Hash{[]Hashing{{Field: "code", Key: secret("0123456789abcdef")}, {Field: "price", Key: secret("0123456789abcdef"), Base64: true}}}, nil,
			`code=text(139bd59cb9a9ec6eac3eb2499ae4dc45a7edb2144b14d9bd88a237b4596c02e1) price=text(p0kJRNuEAy0D-F3Kc_e9lYqxL-ZdNXBW96tCN3PDxdw)`},
		{"drop a part", Drop{[]string{"address.geo.lat", "address.nothing", "qty"}}, nil, `address=json({"city":"Köln","geo":{"tags":["a", "b"]},"zip":null,"n":12345678901234567890})`},
	} {
		p, err := orderPlan(t, tt.step)
		if err != nil {
			t.Errorf("%s: Bind: %v", tt.name, err)
			continue
		}
		b := change(tt.alter...)
		got, keep, err := p.Apply(b, 0, nil)
		if err != nil || !keep {
			t.Errorf("%s: keep %v, %v", tt.name, keep, err)
			continue
		}
		if got := changedOnly(p.Out(), got, b.Events[0].After); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		for i, v := range got {
			if c := p.Out().Columns[i]; !v.IsNull() && v.Kind() != c.Kind {
				t.Errorf("%s: %s holds a %s, its column is %s", tt.name, c.Name, v.Kind(), c.Kind)
			}
		}
		// What was not sent is not there afterwards either.
		unset := change()
		for i := 1; i < len(order.Columns); i++ {
			unset.Events[0].After[i] = syncline.Unset
		}
		if got, _, err = p.Apply(unset, 0, nil); errors.Is(err, expression.ErrUnset) {
			continue
		}
		for i, v := range got {
			if c := p.Out().Columns[i]; err == nil && !v.IsUnset() && c.Name != "id" && c.Name != "down" {
				t.Errorf("%s: %s = %s of a record that was sent without anything but its key", tt.name, c.Name, v)
			}
		}
		if err != nil {
			t.Errorf("%s: of a record that was sent without anything but its key: %v", tt.name, err)
		}
	}
}

// changedOnly shows the values that are not those of the source's columns.
func changedOnly(out *syncline.Schema, got, source []syncline.Value) string {
	var parts []string
	for i, v := range got {
		c := out.Columns[i]
		if at := order.Index(c.Name); at < 0 || !v.Identical(source[at]) {
			parts = append(parts, c.Name+"="+v.String())
		}
	}
	return strings.Join(parts, " ")
}

func TestStepsRejectAndNeverShowTheValue(t *testing.T) {
	for _, tt := range []struct {
		step  Step
		alter []any
		want  string
	}{
		{Map{[]Mapping{{Pair: Pair{"code", "address.city.name"}}}}, nil, "step 1 (map address.city.name): a part of the path is no object"},
		{Map{[]Mapping{{Pair: Pair{"address.city", "n"}, Kind: syncline.KindInt}}}, nil, "step 1 (map n): a value of kind text cannot become int"},
		{Format{[]Formatting{{Field: "code", Pattern: "###"}}}, nil, "step 1 (format code): it has not as many letters and digits as the pattern"},
		{Format{[]Formatting{{Field: "address.city", Layout: "%Y"}}}, nil, "step 1 (format address.city): it is no date"},
		{Convert{[]Conversion{{Field: "price", To: syncline.KindInt, Invalid: PolicyNull}}}, nil, "step 1 (convert price): a value of kind decimal cannot become int: it would not be exact"},
		{Convert{[]Conversion{{Field: "code", To: syncline.KindDate, Layout: "%Y-%m-%d"}}}, []any{"code", syncline.Text("2026-02-30")}, "step 1 (convert code): it is not written in this layout"},
		{Convert{[]Conversion{{Field: "local", To: syncline.KindTimestampTZ, Zone: "Europe/Berlin"}}}, []any{"local", syncline.Raw(syncline.KindTimestamp, []byte("2026-03-29 02:30:00"))},
			"step 1 (convert local): clocks in this zone were never set to this time"},
		{Calculate{[]Calculation{{Field: "x", Expression: "after.code"}}}, nil, "step 1 (calculate x): it is no number"},
		{Calculate{[]Calculation{{Field: "x", Expression: "after.price", Scale: ptr(2), Round: RoundNever}}}, nil, "step 1 (calculate x): it would not be exact"},
		{Calculate{[]Calculation{{Field: "x", Expression: "after.price", Precision: 5}}}, nil, "step 1 (calculate x): the number has more digits"},
		{Lookup{[]LookupField{{Field: "x", From: "code", Table: []Entry{{Constant{syncline.Text("a")}, Constant{syncline.Text("b")}}}}}}, nil, "step 1 (lookup x): the table has no entry for the value"},
	} {
		p, err := orderPlan(t, tt.step)
		if err != nil {
			t.Errorf("Bind: %v", err)
			continue
		}
		_, _, err = p.Apply(change(tt.alter...), 0, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "transform_failed: "+tt.want) || strings.Contains(err.Error(), "ab-12") || strings.Contains(err.Error(), "Köln") || syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("Apply = %v, want rejected %s", err, tt.want)
		}
	}
}

// An ambiguous local time is the first of its two instants.
func TestClockSetBack(t *testing.T) {
	p, err := orderPlan(t, Convert{[]Conversion{{Field: "local", To: syncline.KindTimestampTZ, Zone: "Europe/Berlin"}}})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := p.Apply(change("local", syncline.Raw(syncline.KindTimestamp, []byte("2026-10-25 02:30:00"))), 0, nil)
	if err != nil || got[6].Text() != "2026-10-25 00:30:00+00" {
		t.Errorf("02:30 on the day that clocks are set back = %v, %v, want 00:30 UTC", got, err)
	}
}

// A key that could be the same for different records is refused, whichever step makes it.
func TestStepsProtectTheKey(t *testing.T) {
	for name, step := range map[string]Step{
		"format":    Format{[]Formatting{{Field: "id", Pad: 8, With: "0"}}},
		"mask":      Mask{[]Masking{{Field: "id", KeepLast: 2, With: "*"}}},
		"default":   Defaults{[]Filling{{"id", Constant{syncline.Decimal("0")}}}},
		"calculate": Calculate{[]Calculation{{Field: "id", Expression: "after.id / 10", To: syncline.KindInt}}},
		"lookup":    Lookup{[]LookupField{{Field: "id", From: "id", Table: []Entry{{Constant{syncline.Text("1")}, Constant{syncline.Text("2")}}}}}},
		"convert":   Convert{[]Conversion{{Field: "id", To: syncline.KindText, Overflow: PolicyNull}}},
	} {
		if _, err := orderPlan(t, step); syncline.CodeOf(err) != "bad_key" || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("%s of a key column: %v, want bad_key", name, err)
		}
	}
	for name, step := range map[string]Step{"nest": Nest{[]Nesting{{To: "x", Members: []Pair{{"id", "id"}}}}}, "map out": Map{[]Mapping{{Pair: Pair{"id", "x.id"}}}}} {
		if _, err := orderPlan(t, step); syncline.CodeOf(err) != "key_dropped" {
			t.Errorf("%s of a key column: %v, want key_dropped", name, err)
		}
	}
	p, err := orderPlan(t, Hash{[]Hashing{{Field: "id", Key: secret("0123456789abcdef")}}})
	if err != nil {
		t.Fatalf("hash of a key column: %v", err)
	}
	other, err := orderPlan(t, Hash{[]Hashing{{Field: "id", Key: secret("another 0123456789")}}})
	if err != nil || p.KeyMapping() == other.KeyMapping() || strings.Contains(p.KeyMapping(), "0123456789abcdef") {
		t.Errorf("KeyMapping of two hash keys = %q and %q", p.KeyMapping(), other.KeyMapping())
	}
	keyed, err := p.Key([]syncline.Value{syncline.Int(7)})
	row, _, err2 := p.Apply(change(), 0, nil)
	if err != nil || err2 != nil || !keyed[0].Identical(row[0]) || len(row[0].Text()) != 64 {
		t.Errorf("the key by itself is %v, of the record %v (%v, %v)", keyed, row, err, err2)
	}
}

func TestStepCompileErrors(t *testing.T) {
	for _, tt := range []struct {
		step Step
		want string
	}{
		{Flatten{[]Flattening{{Field: "a"}}}, "step 1 (flatten): the step names no field"},
		{Nest{[]Nesting{{To: "a"}}}, "step 1 (nest): the step names no field"},
		{Nest{[]Nesting{{To: "a", Members: []Pair{{"b", "b"}}}, {To: "c", Members: []Pair{{"b", "b"}}}}}, "step 1 (nest): b is moved twice"},
		{Defaults{[]Filling{{"a", Constant{syncline.Null}}}}, "step 1 (default): the default of a is null"},
		{Format{[]Formatting{{Field: "a"}}}, "step 1 (format): a: nothing is to be done"},
		{Format{[]Formatting{{Field: "a", Layout: "%Q"}}}, `step 1 (format): the layout "%Q" has a percent sign`},
		{Format{[]Formatting{{Field: "a", Layout: "%Y", Zone: "Mars/Olympus"}}}, `step 1 (format): there is no time zone "Mars/Olympus"`},
		{Convert{[]Conversion{{Field: "a", To: syncline.KindInt, Zone: "UTC"}}}, "step 1 (convert): a becomes int, which has no layout"},
		{Convert{[]Conversion{{Field: "a", To: syncline.KindInt, Invalid: PolicyDefault}}}, "step 1 (convert): a has no default"},
		{Convert{[]Conversion{{Field: "a", To: syncline.KindInt, Invalid: PolicyNull, Overflow: PolicyReject, Default: text("1")}}}, "step 1 (convert): the default of a is never taken"},
		{Calculate{[]Calculation{{Field: "a", Expression: "1", To: syncline.KindText}}}, "step 1 (calculate): a: a calculation makes a number, not text"},
		{Calculate{[]Calculation{{Field: "a", Expression: "1", To: syncline.KindInt, Scale: ptr(1)}}}, "step 1 (calculate): a: kind int has no places"},
		{Lookup{[]LookupField{{Field: "a", From: "b", Table: []Entry{{Constant{syncline.Text("7")}, Constant{syncline.Text("x")}}, {Constant{syncline.Int(7)}, Constant{syncline.Text("y")}}}}}},
			"step 1 (lookup): entry 2 of the table of a has a key that was there before"},
		{Lookup{[]LookupField{{Field: "a", From: "b"}}}, "step 1 (lookup): a needs a table or a file"},
		{Lookup{[]LookupField{{Field: "a", From: "b", File: &TableFile{Path: "/no/such.csv"}}}}, "step 1 (lookup): the file such.csv cannot be opened"},
		{Mask{[]Masking{{Field: "a", Email: true, KeepLast: 1, With: "*"}}}, "step 1 (mask): a is masked in one way"},
		{Hash{[]Hashing{{Field: "a", Key: secret("s3cret")}}}, "step 1 (hash): the key of a has fewer than 16 bytes"},
	} {
		_, err := Compile([]Step{tt.step})
		if err == nil || !strings.HasPrefix(err.Error(), "bad_step: "+tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Compile = %v, want %s", err, tt.want)
		}
	}
}

func TestLookupFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list := write("list.json", `[{"sku": 3, "price": 1.50}, {"sku": 4, "price": null}]`)
	object := write("object.json", `{"3": "three", "4": "four"}`)
	table := write("t.csv", "\xef\xbb\xbfcode,name,rank\nx,\"a, b\",\n3,three,7\n")
	for _, tt := range []struct {
		file TableFile
		kind syncline.Kind
		want string
	}{
		{TableFile{Path: list, Key: "sku", Value: "price"}, syncline.KindDecimal, "decimal(1.50)"},
		{TableFile{Path: object}, 0, "text(three)"},
		{TableFile{Path: table}, 0, "text(three)"},
		{TableFile{Path: table, Key: "code", Value: "rank"}, syncline.KindInt, "int(7)"},
	} {
		p, err := orderPlan(t, Lookup{[]LookupField{{Field: "x", From: "qty", File: &tt.file, To: tt.kind}}})
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := p.Apply(change(), 0, nil); err != nil || got[8].String() != tt.want {
			t.Errorf("%v: %v, %v, want %s", tt.file, got, err, tt.want)
		}
	}
	for text, want := range map[string]string{
		"":              "it has no line with the names",
		"a\n1\n":        `does not name the column ""`,
		"a,b\n1,x\n":    "line 2: a value of kind text cannot become int",
		"a,b\n1\n":      "line 2 is not CSV with 2 columns",
		"a,b\n1,2\n1,3": "line 3 has a key that was there before",
	} {
		_, err := Compile([]Step{Lookup{[]LookupField{{Field: "x", From: "qty", To: syncline.KindInt, File: &TableFile{Path: write("bad.csv", text)}}}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Compile with the file %q = %v, want %s", text, err, want)
		}
	}
}

// A batch sees one state of a file, the next one the new state; what cannot be read leaves the old one in use.
func TestLookupReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	age := time.Now()
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		age = age.Add(time.Second)
		if err := os.Chtimes(path, age, age); err != nil {
			t.Fatal(err)
		}
	}
	write("k,v\n3,old\n")
	p, err := orderPlan(t, Lookup{[]LookupField{{Field: "x", From: "qty", File: &TableFile{Path: path, Reload: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	look := func(b *syncline.Batch) string {
		got, _, err := p.Apply(b, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got[8].Text()
	}
	first := change()
	if got := look(first); got != "old" {
		t.Errorf("before the change: %q", got)
	}
	write("k,v\n3,new\n")
	if got := look(first); got != "old" {
		t.Errorf("later in the batch: %q, want what its beginning saw", got)
	}
	if got := look(change()); got != "new" {
		t.Errorf("in the next batch: %q, want new", got)
	}
	write("k,v\n3")
	if got := look(change()); got != "new" {
		t.Errorf("with a broken file: %q, want what was there", got)
	}
}

// TestALargeDocumentTakesNoLonger than its size says: each of its names is looked up once.
func TestALargeDocumentTakesNoLonger(t *testing.T) {
	var doc, want strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&doc, `"k%d":%d,`, i, i)
		if i != 70 {
			fmt.Fprintf(&want, `"k%d":%d,`, i, max(i, 1))
		}
	}
	p, err := orderPlan(t, Drop{[]string{"address.k70"}})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	got, _, err := p.Apply(change("address", syncline.JSON([]byte("{"+doc.String()+`"k0":1}`))), 0, nil)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if text := "{" + strings.TrimSuffix(want.String(), ",") + "}"; err != nil || got[p.Out().Index("address")].Text() != text {
		t.Errorf("the document is not what it was without k70, %v", err)
	}
}
