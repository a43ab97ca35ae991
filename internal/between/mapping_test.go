package between

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

var sides = [2]Side{{"crm", "customer", "customer"}, {"erp", "client", "client"}}

func table(key []int, columns ...syncline.Column) *syncline.Schema {
	return &syncline.Schema{Entity: "customer", Table: "customer", Version: -1, Key: key, Columns: columns}
}

func column(name string, k syncline.Kind, typ string) syncline.Column {
	return syncline.Column{Name: name, Kind: k, Type: typ, Nullable: true}
}

func TestMapping(t *testing.T) {
	crm := table([]int{0, 1}, column("id", syncline.KindInt, "bigint"), column("region", syncline.KindText, "text"), column("name", syncline.KindText, "text"),
		column("paid", syncline.KindDecimal, "numeric(12,2)"), column("internal", syncline.KindText, "text"),
		syncline.Column{Name: "shown", Kind: syncline.KindText, Generated: "upper(name)"})
	erp := table([]int{1, 0}, column("area", syncline.KindText, "TEXT"), column("number", syncline.KindDecimal, "DECIMAL(10,0)"), column("label", syncline.KindText, "TEXT"),
		column("paid", syncline.KindDecimal, "DECIMAL"), column("shown", syncline.KindText, "TEXT"), column("name", syncline.KindText, "TEXT"))
	fields := map[string]string{"id": "number", "region": "area", "name": "label"}
	m, err := newMapping(sides, [2]*syncline.Schema{crm, erp}, fields, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"id", "region", "name", "paid"}, m.names); diff != "" {
		t.Errorf("shared columns (-want +got):\n%s", diff)
	}
	if got := m.schemas[1].KeyNames(); !cmp.Equal(got, []string{"number", "area"}) || len(m.warnings) != 4 {
		t.Errorf("erp's key is %v, warnings are %q", got, m.warnings)
	}
	row := m.keyRow(0, 1, []syncline.Value{syncline.Decimal("7.0"), syncline.Text("eu")})
	if !row[0].Identical(syncline.Int(7)) || !row[1].Identical(syncline.Text("eu")) {
		t.Errorf("the key of erp is %v for crm", row)
	}
	r := Record{syncline.Int(7), syncline.Text("eu"), syncline.Text("x"), syncline.Decimal("1.230")}
	if _, err := m.write(0, r); err != nil {
		t.Errorf("write of an amount that fits: %v", err)
	}
	r[3] = syncline.Decimal("1.234")
	if _, err := m.write(0, r); syncline.CodeOf(err) != "value_inexact" || syncline.ClassOf(err) != syncline.Rejected {
		t.Errorf("write of an amount that would be rounded = %v, want value_inexact", err)
	}
	if _, err := m.write(1, r); err != nil {
		t.Errorf("write of an amount to a column without a limit: %v", err)
	}
}

func TestMappingRefuses(t *testing.T) {
	id, text := column("id", syncline.KindInt, "bigint"), column("name", syncline.KindText, "text")
	whole := table([]int{0}, id, text)
	for _, c := range []struct {
		name   string
		other  *syncline.Schema
		fields map[string]string
		code   string
	}{
		{"no key", table(nil, id, text), nil, "between_key"},
		{"another key", table([]int{1}, id, text), nil, "between_key"},
		{"a key without a partner", table([]int{0}, column("number", syncline.KindInt, "bigint"), text), nil, "between_key"},
		{"a field that is not there", whole, map[string]string{"name": "label"}, "between_column_missing"},
		{"a number and a text", table([]int{0}, id, column("name", syncline.KindInt, "bigint")), nil, "between_kinds"},
		{"a number that rounds", table([]int{0}, column("id", syncline.KindFloat, "real"), text), nil, "between_kinds"},
	} {
		_, err := newMapping(sides, [2]*syncline.Schema{whole, c.other}, c.fields, nil)
		if syncline.CodeOf(err) != c.code || syncline.FixOf(err) == "" {
			t.Errorf("%s: newMapping = %v, want code %s with a fix", c.name, err, c.code)
		}
	}
}

func TestCheckExact(t *testing.T) {
	for _, c := range []struct {
		value  syncline.Value
		column syncline.Column
		fits   bool
	}{
		{syncline.Decimal("12.50"), column("c", syncline.KindDecimal, "numeric(12,1)"), true},
		{syncline.Decimal("12.55"), column("c", syncline.KindDecimal, "numeric(12,1)"), false},
		{syncline.Decimal("12.5"), column("c", syncline.KindDecimal, "numeric(12)"), false},
		{syncline.Decimal("12.5"), column("c", syncline.KindInt, "bigint"), false},
		{syncline.Decimal("12.5"), column("c", syncline.KindDecimal, "numeric"), true},
		{syncline.Float(0.1), column("c", syncline.KindFloat, "real"), true},
		{syncline.Float(0.123456789), column("c", syncline.KindFloat, "real"), false},
		{syncline.Float(0.123456789), column("c", syncline.KindFloat, "double precision"), true},
		{syncline.Raw(syncline.KindTimestampTZ, []byte("2026-03-04 05:06:07.5+00")), column("c", syncline.KindTimestampTZ, "timestamp(0) with time zone"), false},
		{syncline.Raw(syncline.KindTimestampTZ, []byte("2026-03-04 05:06:07.50+00")), column("c", syncline.KindTimestampTZ, "timestamp(1) with time zone"), true},
		{syncline.Null, column("c", syncline.KindDecimal, "numeric(12,1)"), true},
	} {
		if err := checkExact(c.value, &c.column); (err == nil) != c.fits {
			t.Errorf("checkExact(%v, %s) = %v", c.value, c.column.Type, err)
		}
	}
}

func TestShadowComesBack(t *testing.T) {
	names := []string{"id", "name"}
	for _, s := range []*Shadow{
		{Round: 1, Result: one("a"), Seen: one("a")},
		{Round: 1 << 40, SeenRound: 1<<40 - 1, Result: one("a"), Seen: one("b")},
		{Round: 3, Seen: one("b")},
		{Round: 3, Result: one("b")},
		{Round: 3},
	} {
		got, err := decodeShadow(s.encode(names), names)
		if err != nil || got.Round != s.Round || got.SeenRound != s.SeenRound || !equalRecords(got.Result, s.Result) || !equalRecords(got.Seen, s.Seen) {
			t.Errorf("decodeShadow of %+v = %+v, %v", s, got, err)
		}
	}
	stored := (&Shadow{Round: 1, Result: one("a"), Seen: one("a")}).encode(names)
	got, err := decodeShadow(stored, []string{"name", "colour"})
	if err != nil || !syncline.Equal(got.Result[0], syncline.Text("a")) || !got.Result[1].IsUnset() {
		t.Errorf("decodeShadow with other columns = %+v, %v", got, err)
	}
}

func FuzzShadow(f *testing.F) {
	names := []string{"id", "name"}
	f.Add((&Shadow{Round: 7, SeenRound: 6, Result: one("a"), Seen: one("b")}).encode(names))
	f.Add([]byte{shadowVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeShadow(data, names)
		if err != nil {
			return
		}
		again, err := decodeShadow(s.encode(names), names)
		if err != nil || again.Round != s.Round || !equalRecords(again.Result, s.Result) || !equalRecords(again.Seen, s.Seen) {
			t.Fatalf("%+v comes back as %+v, %v", s, again, err)
		}
	})
}
