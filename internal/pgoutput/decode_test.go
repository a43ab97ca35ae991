package pgoutput

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// frame builds messages: integers are written with the width of their type, strings with a zero at the end.
func frame(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case byte:
			b = append(b, p)
		case rune:
			b = append(b, byte(p))
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, p)
		case string:
			b = append(append(b, p...), 0)
		case []byte:
			b = append(b, p...)
		default:
			panic("frame: unknown part")
		}
	}
	return b
}

func text(s string) []byte { return frame('t', uint32(len(s)), []byte(s)) }

func tuple(kind rune, values ...[]byte) []byte {
	return frame(kind, uint16(len(values)), bytes.Join(values, nil))
}

var (
	null      = []byte{'n'}
	unchanged = []byte{'u'}
)

var stamp = time.Date(2026, 3, 4, 5, 6, 7, 891011000, time.UTC)

func pgTime(t time.Time) uint64 { return uint64(t.UnixMicro() - Time2000) }

// layout is of a table (id int primary key, body text), whose rows end with a generated column that the server never sends.
func layout() *Layout {
	return NewLayout([]Column{{Index: 0, Kind: syncline.KindInt, Identity: true}, {Index: 1, Kind: syncline.KindText}}, 3, nil)
}

func TestControlMessages(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []byte
		want Message
	}{
		{"begin", frame('B', uint64(0x1_0000_0010), pgTime(stamp), uint32(77)), Message{Type: Begin, LSN: 0x1_0000_0010, Time: stamp, XID: 77}},
		{"commit", frame('C', byte(0), uint64(16), uint64(48), pgTime(stamp)), Message{Type: Commit, LSN: 16, End: 48, Time: stamp}},
		{"origin", frame('O', uint64(9), "erp"), Message{Type: Origin, LSN: 9, Name: "erp"}},
		{"type", frame('Y', uint32(5), "public", "mood"), Message{Type: Typed, Name: "mood"}},
		{"relation", frame('R', uint32(42), "", "t", 'i', uint16(2), byte(1), "id", uint32(23), uint32(math.MaxUint32), byte(0), "body", uint32(25), uint32(44)),
			Message{Type: Relate, Relation: 42, Table: &Relation{ID: 42, Namespace: "pg_catalog", Name: "t", Identity: 'i', Columns: []RelationColumn{
				{Name: "id", Identity: true, Type: 23, Modifier: -1}, {Name: "body", Type: 25, Modifier: 44}}}}},
		{"truncate", frame('T', uint32(2), byte(3), uint32(42), uint32(43)), Message{Type: Truncate, Cascade: true, Restart: true, Tables: []uint32{42, 43}}},
		{"message", frame('M', byte(1), uint64(5), "syncline", uint32(2), []byte("hi")),
			Message{Type: Logical, Transactional: true, LSN: 5, Name: "syncline", Content: []byte("hi")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var d Decoder
			var got Message
			if err := d.Decode(bytes.Clone(tc.in), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			for n := range tc.in {
				if err := d.Decode(bytes.Clone(tc.in[:n]), &got); !errors.Is(err, ErrMalformed) {
					t.Errorf("first %d of %d bytes: error = %v, want ErrMalformed", n, len(tc.in), err)
				}
			}
			if err := d.Decode(append(bytes.Clone(tc.in), 0), &got); !errors.Is(err, ErrMalformed) {
				t.Errorf("one byte too many: error = %v, want ErrMalformed", err)
			}
		})
	}
}

func TestRowMessages(t *testing.T) {
	id7, id8, body := syncline.Int(7), syncline.Int(8), syncline.Text("b")
	for _, tc := range []struct {
		name          string
		in            []byte
		before, after []syncline.Value
		whole         bool
	}{
		{"insert", frame('I', uint32(42), tuple('N', text("7"), null)), nil, []syncline.Value{id7, syncline.Null, syncline.Unset}, false},
		{"update", frame('U', uint32(42), tuple('N', text("7"), text("b"))), nil, []syncline.Value{id7, body, syncline.Unset}, false},
		{"update keeps a large value", frame('U', uint32(42), tuple('N', text("7"), unchanged)),
			nil, []syncline.Value{id7, syncline.Unset, syncline.Unset}, false},
		{"update of the key", frame('U', uint32(42), tuple('K', text("7"), null), tuple('N', text("8"), text("b"))),
			[]syncline.Value{id7, syncline.Unset, syncline.Unset}, []syncline.Value{id8, body, syncline.Unset}, false},
		{"update keeps a large key", frame('U', uint32(42), tuple('K', text("7"), null), tuple('N', unchanged, text("b"))),
			[]syncline.Value{id7, syncline.Unset, syncline.Unset}, []syncline.Value{id7, body, syncline.Unset}, false},
		{"update with the whole old row", frame('U', uint32(42), tuple('O', text("7"), text("b")), tuple('N', text("8"), unchanged)),
			[]syncline.Value{id7, body, syncline.Unset}, []syncline.Value{id8, body, syncline.Unset}, true},
		{"delete by key", frame('D', uint32(42), tuple('K', text("7"), null)), []syncline.Value{id7, syncline.Unset, syncline.Unset}, nil, false},
		{"delete of a whole row", frame('D', uint32(42), tuple('O', text("7"), null)), []syncline.Value{id7, syncline.Null, syncline.Unset}, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var d Decoder
			d.Bind(42, layout())
			var m Message
			if err := d.Decode(bytes.Clone(tc.in), &m); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([][]syncline.Value{tc.before, tc.after}, [][]syncline.Value{m.Before, m.After}, cmp.Comparer(syncline.Value.Identical)); diff != "" {
				t.Error(diff)
			}
			if m.Whole != tc.whole {
				t.Errorf("Whole = %v, want %v", m.Whole, tc.whole)
			}
			for n := range tc.in {
				if err := d.Decode(bytes.Clone(tc.in[:n]), &m); !errors.Is(err, ErrMalformed) {
					t.Errorf("first %d of %d bytes: error = %v, want ErrMalformed", n, len(tc.in), err)
				}
			}
		})
	}
}

func TestRefusesWhatTheProtocolDoesNotAllow(t *testing.T) {
	for name, in := range map[string][]byte{
		"unknown type":          frame('?'),
		"streamed transaction":  frame('S', uint32(1), byte(1)),
		"two-phase commit":      frame('b', uint64(1)),
		"unannounced relation":  frame('I', uint32(43), tuple('N', text("7"), null)),
		"another column count":  frame('I', uint32(42), tuple('N', text("7"))),
		"binary value":          frame('I', uint32(42), tuple('N', frame('b', uint32(1), byte(7)), null)),
		"insert with old row":   frame('I', uint32(42), tuple('K', text("7"), null)),
		"delete with new row":   frame('D', uint32(42), tuple('N', text("7"), null)),
		"value length of 4 GiB": frame('I', uint32(42), 'N', uint16(2), 't', uint32(math.MaxUint32)),
		"truncate of 4 G":       frame('T', uint32(math.MaxUint32), byte(0)),
		"columns without data":  frame('R', uint32(1), "a", "b", 'd', uint16(math.MaxUint16)),
	} {
		var d Decoder
		d.Bind(42, layout())
		var m Message
		if err := d.Decode(in, &m); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error = %v, want ErrMalformed", name, err)
		}
	}
}

func TestSkipsRelationsThatAreNotWanted(t *testing.T) {
	var d Decoder
	d.Bind(42, nil)
	var m Message
	if err := d.Decode(frame('I', uint32(42), tuple('N', text("7"), null)), &m); err != nil || m.After != nil || m.Layout != nil {
		t.Errorf("Decode = %v, row %v, want neither error nor row", err, m.After)
	}
	d.Bind(42, layout())
	if err := d.Decode(frame('I', uint32(42), tuple('N', text("7"), null)), &m); err != nil || m.After == nil {
		t.Errorf("after Bind: Decode = %v, row %v, want a row", err, m.After)
	}
}

func TestValues(t *testing.T) {
	for _, tc := range []struct {
		kind syncline.Kind
		in   string
		want syncline.Value
	}{
		{syncline.KindBool, "t", syncline.Bool(true)},
		{syncline.KindBool, "f", syncline.Bool(false)},
		{syncline.KindBytes, `\x00ff10`, syncline.Bytes([]byte{0, 0xff, 0x10})},
		{syncline.KindBytes, `\x`, syncline.Bytes([]byte{})},
		{syncline.KindDecimal, "NaN", syncline.Decimal("NaN")},
		{syncline.KindDecimal, "-Infinity", syncline.Decimal("-Infinity")},
		{syncline.KindTimestampTZ, "infinity", syncline.Raw(syncline.KindTimestampTZ, []byte("infinity"))},
		{syncline.KindDate, "0044-03-15 BC", syncline.Raw(syncline.KindDate, []byte("0044-03-15 BC"))},
		{syncline.KindText, "", syncline.Text("")},
	} {
		var a Arena
		got, err := a.Value(&Column{Kind: tc.kind}, []byte(tc.in))
		if err != nil || got.Kind() != tc.want.Kind() || !bytes.Equal(got.Bytes(), tc.want.Bytes()) {
			t.Errorf("Value(%s, %q) = %v, %v, want %v", tc.kind, tc.in, got, err, tc.want)
		}
	}
	for kind, in := range map[syncline.Kind]string{syncline.KindBool: "yes", syncline.KindBytes: `\xf`, syncline.KindFloat: "1,5"} {
		var a Arena
		if v, err := a.Value(&Column{Kind: kind}, []byte(in)); !errors.Is(err, ErrMalformed) {
			t.Errorf("Value(%s, %q) = %v, %v, want ErrMalformed", kind, in, v, err)
		}
	}
}

func TestTextThatIsNotUTF8IsRawWhereTheDatabaseAllowsIt(t *testing.T) {
	var a Arena
	in := []byte("caf\xe9")
	if v, err := a.Value(&Column{Kind: syncline.KindText, CheckText: true}, in); err != nil || v.Kind() != syncline.KindRaw || string(v.Bytes()) != string(in) {
		t.Errorf("Value = %v, %v, want the same bytes as a raw value", v, err)
	}
}

// TestFloatsHaveOneForm compares with the root's form of KindFloat, for the texts that PostgreSQL writes: fixed notation for
// exponents from -4 to 14, else scientific.
func TestFloatsHaveOneForm(t *testing.T) {
	check := func(f float64) {
		t.Helper()
		var a Arena
		pg := strconv.FormatFloat(f, 'e', -1, 64)
		if exp := math.Floor(math.Log10(math.Abs(f))); f == 0 || exp >= -4 && exp < 15 {
			pg = strconv.FormatFloat(f, 'f', -1, 64)
		}
		got, err := a.Value(&Column{Kind: syncline.KindFloat}, []byte(pg))
		if want := syncline.Float(f); err != nil || got.String() != want.String() {
			t.Errorf("Value(%q) = %v, %v, want %v", pg, got, err, want)
		}
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 0.0001, 0.00012, 0.00001, 999999, 1e6, 1234567, 1e14, 1e15, 1e300, 5e-324, 0.5, 10, 100000.25} {
		check(f)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		check(math.Float64frombits(r.Uint64()&^(1<<62)) * math.Pow10(r.IntN(20)))
		check(float64(r.IntN(1e9)) / math.Pow10(r.IntN(9)))
	}
	for _, s := range []string{"NaN", "Infinity", "-Infinity"} {
		var a Arena
		if v, err := a.Value(&Column{Kind: syncline.KindFloat}, []byte(s)); err != nil || v.Text() != s {
			t.Errorf("Value(%q) = %v, %v", s, v, err)
		}
	}
}

// TestRowsAreNeverReused decodes many rows and looks at the first one again.
func TestRowsAreNeverReused(t *testing.T) {
	var d Decoder
	d.Bind(42, layout())
	var first Message
	if err := d.Decode(frame('I', uint32(42), tuple('N', text("7"), text("first"))), &first); err != nil {
		t.Fatal(err)
	}
	for range 3 * valueBlock {
		var m Message
		if err := d.Decode(frame('I', uint32(42), tuple('N', text("8"), text("later"))), &m); err != nil {
			t.Fatal(err)
		}
	}
	if first.After[0].Text() != "7" || first.After[1].Text() != "first" {
		t.Errorf("first row is now %v", first.After)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(frame('B', uint64(16), pgTime(stamp), uint32(77)))
	f.Add(frame('R', uint32(42), "public", "t", 'd', uint16(1), byte(1), "id", uint32(23), uint32(math.MaxUint32)))
	f.Add(frame('U', uint32(42), tuple('O', text("7"), text("b"), text(`\x00`), text("1e+20")), tuple('N', text("8"), unchanged, null, text("1"))))
	f.Add(frame('D', uint32(42), tuple('K', text("7"), null, null, null)))
	f.Add(frame('T', uint32(1), byte(0), uint32(42)))
	f.Add(frame('M', byte(0), uint64(5), "p", uint32(1), byte(1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Decoder
		d.Bind(42, NewLayout([]Column{{Index: 0, Kind: syncline.KindInt, Identity: true}, {Index: -1, Kind: syncline.KindText},
			{Index: 2, Kind: syncline.KindBytes}, {Index: 3, Kind: syncline.KindFloat}}, 4, nil))
		var m Message
		err := d.Decode(data, &m)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("error %v is not ErrMalformed", err)
		}
		if err == nil && (m.Before != nil && len(m.Before) != 4 || m.After != nil && len(m.After) != 4) {
			t.Errorf("rows of %d and %d values, want 4", len(m.Before), len(m.After))
		}
	})
}

// BenchmarkDecode decodes updates of a table with ten columns, about 200 bytes a row.
func BenchmarkDecode(b *testing.B) {
	columns := make([]Column, 10)
	kinds := []syncline.Kind{syncline.KindInt, syncline.KindText, syncline.KindDecimal, syncline.KindTimestampTZ, syncline.KindBool,
		syncline.KindText, syncline.KindInt, syncline.KindUUID, syncline.KindFloat, syncline.KindText}
	for i := range columns {
		columns[i] = Column{Index: i, Kind: kinds[i], Identity: i == 0}
	}
	row := frame('U', uint32(42), tuple('N', text("1234567"), text("Zhang Wei"), text("1999.90"), text("2026-03-04 05:06:07.891011+00"), text("t"),
		text("zhang.wei@example.com"), text("42"), text("5f0c1c9a-3b64-4a55-9f39-2f6a3c8f2f10"), text("0.25"), text("a note of ordinary length")))
	var d Decoder
	d.Bind(42, NewLayout(columns, 10, nil))
	var m Message
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(row, &m); err != nil {
			b.Fatal(err)
		}
	}
}
