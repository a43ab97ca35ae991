package document

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func col(name string, k syncline.Kind, elem ...syncline.Kind) syncline.Column {
	c := syncline.Column{Name: name, Kind: k, Nullable: true}
	if len(elem) > 0 {
		c.Elem = elem[0]
	}
	return c
}

func raw(k syncline.Kind, s string) syncline.Value { return syncline.Raw(k, []byte(s)) }

// example has every kind, with the values that are hard to keep exact.
var example = []struct {
	column syncline.Column
	value  syncline.Value
}{
	{col("id", syncline.KindInt), syncline.Int(-9223372036854775808)},
	{col("big", syncline.KindUint), syncline.Uint(18446744073709551615)},
	{col("flag", syncline.KindBool), syncline.Bool(true)},
	{col("off", syncline.KindBool), syncline.Bool(false)},
	{col("ratio", syncline.KindFloat), syncline.Float(1e21)},
	{col("tiny", syncline.KindFloat), syncline.Float(5e-324)},
	{col("none", syncline.KindFloat), raw(syncline.KindFloat, "NaN")},
	{col("total", syncline.KindDecimal), syncline.Decimal("12345678901234567890.1250")},
	{col("limit", syncline.KindDecimal), syncline.Decimal("-Infinity")},
	{col("name", syncline.KindText), syncline.Text("王小明 \"Ming\" \\ \t\n\x00\x1f </b> \u2028 🚚")},
	{col("digits", syncline.KindText), syncline.Text("007")},
	{col("empty", syncline.KindText), syncline.Text("")},
	{col("blob", syncline.KindBytes), syncline.Bytes([]byte{0, 255, 254, '"'})},
	{col("born", syncline.KindDate), raw(syncline.KindDate, "1987-06-05")},
	{col("ides", syncline.KindDate), raw(syncline.KindDate, "0044-03-15 BC")},
	{col("opens", syncline.KindTime), raw(syncline.KindTime, "24:00:00")},
	{col("placed", syncline.KindTimestamp), raw(syncline.KindTimestamp, "2024-02-29 23:59:59.123456")},
	{col("paid", syncline.KindTimestampTZ), raw(syncline.KindTimestampTZ, "2024-02-29 23:59:59.5+00")},
	{col("never", syncline.KindTimestampTZ), raw(syncline.KindTimestampTZ, "infinity")},
	{col("far", syncline.KindTimestampTZ), raw(syncline.KindTimestampTZ, "12024-02-29 23:59:59+00")},
	{col("ref", syncline.KindUUID), raw(syncline.KindUUID, "0190c7a5-0000-7000-8000-00000000abcd")},
	{col("extra", syncline.KindJSON), syncline.JSON([]byte(`{"a": [1.50, null, {"b":"é"}], "n": 123456789012345678901}`))},
	{col("word", syncline.KindJSON), syncline.JSON([]byte(`"text"`))},
	{col("tags", syncline.KindArray, syncline.KindText), raw(syncline.KindArray, `{a,"b c","",NULL,"null","q\"\\",大}`)},
	{col("grid", syncline.KindArray, syncline.KindInt), raw(syncline.KindArray, `{{1,2},{3,NULL}}`)},
	{col("ticks", syncline.KindArray, syncline.KindBool), raw(syncline.KindArray, `{t,f,NULL}`)},
	{col("prices", syncline.KindArray, syncline.KindDecimal), raw(syncline.KindArray, `{1.50,NaN}`)},
	{col("times", syncline.KindArray, syncline.KindTimestampTZ), raw(syncline.KindArray, `{"2024-02-29 23:59:59+00",infinity}`)},
	{col("blobs", syncline.KindArray, syncline.KindBytes), raw(syncline.KindArray, `{"\\x00ff","\\x"}`)},
	{col("docs", syncline.KindArray, syncline.KindJSON), raw(syncline.KindArray, `{"{\"a\": 1}","null"}`)},
	{col("nothing", syncline.KindArray, syncline.KindInt), raw(syncline.KindArray, `{}`)},
	{col("bounds", syncline.KindArray, syncline.KindInt), raw(syncline.KindArray, `[0:1]={1,2}`)},
	{col("span", syncline.KindRaw), raw(syncline.KindRaw, `[1,5)`)},
	{col("gone", syncline.KindText), syncline.Null},
	{col("toast", syncline.KindText), syncline.Unset},
}

func exampleRow() syncline.Row {
	r := syncline.Row{Schema: &syncline.Schema{Entity: "example", Version: -1}}
	for _, e := range example {
		r.Schema.Columns = append(r.Schema.Columns, e.column)
		r.Values = append(r.Values, e.value)
	}
	return r
}

func TestAppendGolden(t *testing.T) {
	got := append(Append(nil, exampleRow()), '\n')
	path := filepath.Join("testdata", "example.json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("Append(example) (-want +got):\n%s", diff)
	}
	if !json.Valid(got) {
		t.Error("Append(example) is not JSON")
	}
}

func TestParseReturnsEqualValues(t *testing.T) {
	row := exampleRow()
	got, err := Parse(row.Schema, Append(nil, row), syncline.Unset)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range example {
		if !syncline.Equal(got[i], e.value) {
			t.Errorf("column %s: Parse(Append(%s)) = %s", e.column.Name, e.value, got[i])
		}
	}
}

func TestParseTakesWhatJSONShowsWhereItIsNotTheColumnsKind(t *testing.T) {
	for _, c := range []struct {
		kind syncline.Kind
		in   string
		want syncline.Value
	}{
		{syncline.KindInt, `"n/a"`, syncline.Text("n/a")},
		{syncline.KindInt, `1.5`, syncline.Decimal("1.5")},
		{syncline.KindInt, `18446744073709551615`, syncline.Uint(18446744073709551615)},
		{syncline.KindUint, `-1`, syncline.Int(-1)},
		{syncline.KindInt, `18446744073709551616`, syncline.Decimal("18446744073709551616")},
		{syncline.KindText, `7`, syncline.Int(7)},
		{syncline.KindText, `true`, syncline.Bool(true)},
		{syncline.KindText, `{"a":1}`, syncline.JSON([]byte(`{"a":1}`))},
		{syncline.KindArray, `{"a":1}`, syncline.JSON([]byte(`{"a":1}`))},
		{syncline.KindBytes, `"*"`, syncline.Text("*")},
		{syncline.KindDate, `"soon"`, syncline.Text("soon")},
		{syncline.KindDecimal, `"much"`, syncline.Text("much")},
		{syncline.KindJSON, `null`, syncline.Null},
	} {
		column := col("c", c.kind)
		if got, err := ParseValue(&column, []byte(c.in)); err != nil || !cmp.Equal(got, c.want, cmp.Comparer(syncline.Value.Identical)) {
			t.Errorf("ParseValue(%s, %s) = %s, %v, want %s", c.kind, c.in, got, err, c.want)
		}
	}
}

func TestParseMissingAndMalformed(t *testing.T) {
	s := &syncline.Schema{Columns: []syncline.Column{col("a", syncline.KindInt), col("b", syncline.KindText)}}
	for _, missing := range []syncline.Value{syncline.Null, syncline.Unset} {
		got, err := Parse(s, []byte(`{"b":"x","c":1}`), missing)
		if err != nil || !syncline.Equal(got[0], missing) || !syncline.Equal(got[1], syncline.Text("x")) {
			t.Errorf("Parse with missing = %s: %v, %v", missing, got, err)
		}
	}
	for _, in := range []string{"", "null", "[]", `"a"`, `{"a":1`, `{"a":1} x`, `{"a":01}`} {
		if got, err := Parse(s, []byte(in), syncline.Unset); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", in, got)
		}
	}
}

func TestCheckRefusesTextThatIsNotUTF8(t *testing.T) {
	s := &syncline.Schema{Columns: []syncline.Column{col("a", syncline.KindBytes), col("b", syncline.KindText)}}
	if err := Check(syncline.Row{Schema: s, Values: []syncline.Value{syncline.Bytes([]byte{0xff}), syncline.Text("é")}}); err != nil {
		t.Errorf("Check of bytes and UTF-8 = %v", err)
	}
	err := Check(syncline.Row{Schema: s, Values: []syncline.Value{syncline.Null, syncline.Text("a\xffb")}})
	if syncline.ClassOf(err) != syncline.Rejected || syncline.CodeOf(err) != "invalid_utf8" {
		t.Errorf("Check of broken text = %v, want invalid_utf8", err)
	}
}

// TestCheckRefusesWhatWouldBeReadAsSomethingElse: a value of another kind than its column's passes where JSON shows what it is.
func TestCheckRefusesWhatWouldBeReadAsSomethingElse(t *testing.T) {
	for _, c := range []struct {
		kind  syncline.Kind
		value syncline.Value
		code  string
	}{
		{syncline.KindText, syncline.Int(7), ""},
		{syncline.KindText, syncline.Bool(true), ""},
		{syncline.KindText, syncline.JSON([]byte(`{"a":1}`)), ""},
		{syncline.KindDate, syncline.Text("now"), ""},
		{syncline.KindDate, syncline.Int(20240101), ""},
		{syncline.KindTimestamp, raw(syncline.KindTimestampTZ, "2024-02-29 23:59:59+00"), ""},
		{syncline.KindTimestampTZ, raw(syncline.KindTimestamp, "2024-02-29 23:59:59"), ""},
		{syncline.KindTimestamp, syncline.Text("2024-02-29 25:00:00"), ""},
		{syncline.KindUUID, syncline.Text("not"), ""},
		{syncline.KindText, syncline.Bytes([]byte("a")), "kind_mismatch"},
		{syncline.KindBytes, syncline.Text("text"), "kind_mismatch"},
		{syncline.KindJSON, syncline.Text("text"), "kind_mismatch"},
		{syncline.KindText, syncline.Float(math.Inf(1)), "kind_mismatch"},
		{syncline.KindJSON, syncline.JSON([]byte(strings.Repeat("[", 10001) + strings.Repeat("]", 10001))), "json_invalid"},
		{syncline.KindJSON, syncline.JSON([]byte(strings.Repeat("[", 9999) + strings.Repeat("]", 9999))), ""},
	} {
		err := Check(syncline.Row{Schema: &syncline.Schema{Columns: []syncline.Column{col("c", c.kind)}}, Values: []syncline.Value{c.value}})
		if c.code == "" && err != nil || c.code != "" && syncline.CodeOf(err) != c.code {
			t.Errorf("Check of %.40s in a column of %s = %v, want %q", c.value, c.kind, err, c.code)
		}
	}
}

func FuzzValue(f *testing.F) {
	for _, e := range example {
		f.Add(byte(e.value.Kind()), byte(e.column.Elem), e.value.Bytes())
	}
	f.Fuzz(func(t *testing.T, kind, elem byte, b []byte) {
		k := syncline.Kind(kind)
		if !k.Valid() || k == syncline.KindUnset {
			return
		}
		c := syncline.Column{Name: "c", Kind: k, Elem: syncline.Kind(elem)}
		v := syncline.Raw(k, b)
		out := AppendValue(nil, &c, v)
		if !json.Valid(out) {
			t.Fatalf("AppendValue(%s) = %s, which is not JSON", v, out)
		}
		back, err := ParseValue(&c, out)
		if err != nil {
			t.Fatalf("ParseValue(%s): %v", out, err)
		}
		// These kinds hold any bytes, so that whatever was written must come back.
		if k == syncline.KindBytes || utf8.Valid(b) && (k == syncline.KindText || k == syncline.KindArray || k == syncline.KindRaw) {
			if !syncline.Equal(v, back) {
				t.Fatalf("ParseValue(AppendValue(%s)) = %s by %s", v, back, out)
			}
		}
	})
}

// FuzzCheck: what passes Check is read as it was, whatever its column is.
func FuzzCheck(f *testing.F) {
	for _, e := range example {
		f.Add(byte(e.value.Kind()), byte(e.column.Kind), byte(e.column.Elem), e.value.Bytes())
		f.Add(byte(e.value.Kind()), byte(syncline.KindText), byte(0), e.value.Bytes())
		f.Add(byte(syncline.KindText), byte(e.column.Kind), byte(e.column.Elem), e.value.Bytes())
	}
	f.Fuzz(func(t *testing.T, kind, column, elem byte, b []byte) {
		k, ck := syncline.Kind(kind), syncline.Kind(column)
		if !k.Valid() || !ck.Valid() || k == syncline.KindNull || k == syncline.KindUnset || ck == syncline.KindUnset || k == ck {
			return
		}
		c := syncline.Column{Name: "c", Kind: ck, Elem: syncline.Kind(elem)}
		row := syncline.Row{Schema: &syncline.Schema{Columns: []syncline.Column{c}}, Values: []syncline.Value{syncline.Raw(k, b)}}
		if Check(row) != nil {
			return
		}
		back, err := Parse(row.Schema, Append(nil, row), syncline.Unset)
		if err != nil || !syncline.Equal(back[0], row.Values[0]) {
			t.Fatalf("%s in a column of %s comes back as %v, %v", row.Values[0], ck, back, err)
		}
	})
}

// FuzzAt: a path leads to a part of the document, or nowhere.
func FuzzAt(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,{"c":2}]},"":0}`), "a.b.1.c")
	f.Add([]byte(`[[]]`), "0.0")
	f.Add([]byte(`{`), ".")
	f.Fuzz(func(t *testing.T, raw []byte, path string) {
		if part, ok := At(raw, path); ok && len(part) > len(raw) {
			t.Fatalf("At(%q, %q) = %q", raw, path, part)
		}
	})
}

func FuzzParse(f *testing.F) {
	row := exampleRow()
	f.Add(Append(nil, row))
	f.Add([]byte(`{"id":1e400,"tags":[[],{}],"times":["2024-01-01T00:00:00Z"],"id":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := Parse(row.Schema, data, syncline.Unset)
		if err != nil {
			return
		}
		again, err := Parse(row.Schema, Append(nil, syncline.Row{Schema: row.Schema, Values: values}), syncline.Unset)
		if err != nil {
			t.Fatalf("Parse of what Parse returned: %v", err)
		}
		for i := range values {
			if values[i].Kind() == row.Schema.Columns[i].Kind && !syncline.Equal(values[i], again[i]) {
				t.Errorf("column %s: %s became %s", row.Schema.Columns[i].Name, values[i], again[i])
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	row := exampleRow()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], row)
	}
}
