package syncline

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var compareValues = cmp.Comparer(func(a, b Value) bool { return a.kind == b.kind && bytes.Equal(a.b, b.b) })

var orders = &Schema{Entity: "order", Table: "public.order", Key: []int{0, 1}, Version: 3, Columns: []Column{
	{Name: "id", Kind: KindInt, Type: "bigint"},
	{Name: "line", Kind: KindInt, Type: "integer"},
	{Name: "total", Kind: KindDecimal, Type: "numeric(12,2)", Nullable: true, Default: "0.00"},
	{Name: "version", Kind: KindInt, Type: "integer"},
	{Name: "tags", Kind: KindArray, Elem: KindText, Type: "text[]", Nullable: true},
	{Name: "sum", Kind: KindDecimal, Type: "numeric", Generated: "total * 2"},
}}

// sample is a batch with everything that a batch can have.
func sample() *Batch {
	keyless := &Schema{Entity: "log", Version: -1, Columns: []Column{{Name: "text", Kind: KindText, Nullable: true}}}
	when := time.Date(2026, 11, 23, 8, 0, 0, 123000, time.UTC)
	return &Batch{Source: "crm", Position: Position{Epoch: 2, Commit: 0x16B3748, Ordinal: 7}, Checkpoint: []byte("checkpoint"), Sync: true, Partial: true,
		Chunk: &Chunk{Run: "run-1", Kind: RunFull, Number: 3, Entity: "order", Routes: []string{"a", "b"}, First: true, Reset: true, Last: true, EmptyBefore: true},
		Txns:  []Txn{{Commit: 0x16B3700, XID: 740, Time: when, Origin: "route a"}, {Commit: 0x16B3748}},
		Events: []Event{
			{Op: OpCreated, Schema: orders, Ordinal: 1, After: []Value{Int(7), Int(1), Decimal("1.50"), Int(3), Raw(KindArray, []byte("{a,b}")), Unset}},
			{Op: OpUpdated, Schema: orders, Ordinal: 2, Txn: 1, Before: []Value{Int(7), Int(1), Unset, Unset, Unset, Unset},
				After: []Value{Int(7), Int(2), Null, Float(0.5), Unset, Text("another kind")},
				Meta:  &Meta{ID: "e1", Time: when, Correlation: "c", User: "u", Session: "s", Reason: "r", Tags: []string{"x", ""}, Priority: PriorityHigh, Into: "9", Version: -4, Trace: "t"}},
			{Op: OpDeleted, Schema: keyless, Ordinal: 3, Txn: 1, Before: []Value{Text(string(make([]byte, 300)))}},
			{Op: OpTruncated, Schema: keyless, Ordinal: 4, Txn: 1, Meta: &Meta{Priority: PriorityLow}},
		}}
}

func TestBatchSurvivesItsStoredForm(t *testing.T) {
	for name, b := range map[string]*Batch{"full": sample(), "marker": {Source: "crm", Position: Position{Epoch: 1, Commit: 9}}} {
		data, err := AppendBatch(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeBatch(data)
		if err != nil {
			t.Fatalf("%s: DecodeBatch = %v", name, err)
		}
		if diff := cmp.Diff(b, got, compareValues); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDirectoryTellsWithoutRows(t *testing.T) {
	b := sample()
	data, err := AppendBatch(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	d, err := DecodeDirectory(data)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := b.Events[1].Key()
	if d.Count != 4 || d.KeyHash(1) != key.Hash() || d.KeyHash(3) != 0 || d.MinPriority != PriorityLow || d.MaxPriority != PriorityHigh ||
		len(d.Schemas) != 2 || d.Position != b.Position || d.Chunk.Run != "run-1" {
		t.Errorf("directory = %+v", d)
	}
}

func TestDamageIsNoticed(t *testing.T) {
	data, err := AppendBatch(nil, sample())
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		if _, err := DecodeBatch(damaged); err == nil {
			t.Errorf("a flipped bit in byte %d went unnoticed", i)
		}
		if _, err := DecodeBatch(data[:i]); err == nil {
			t.Errorf("a batch cut at byte %d went unnoticed", i)
		}
	}
}

func TestEncodeRefusesRowsThatDoNotFit(t *testing.T) {
	for name, e := range map[string]Event{
		"too few values":    {Op: OpCreated, Schema: orders, After: []Value{Int(1)}},
		"no such operation": {Op: OpDeleted, Schema: orders, Txn: 4, Before: make([]Value, 6)},
	} {
		if _, err := AppendBatch(nil, &Batch{Txns: []Txn{{}}, Events: []Event{e}}); err == nil {
			t.Errorf("%s was encoded", name)
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	data, err := AppendBatch(nil, sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = DecodeDirectory(data)
		// The checksum would stop nearly all of it: the rows are decoded without.
		r := reader{data: data}
		b, d, nvalues := r.directory()
		if r.bad {
			return
		}
		r.events(b, d, nvalues)
		if r.bad {
			return
		}
		again, err := AppendBatch(nil, b)
		if err != nil {
			return
		}
		if _, err := DecodeBatch(again); err != nil {
			t.Errorf("what was decoded and encoded does not decode: %v", err)
		}
	})
}

func TestEqual(t *testing.T) {
	for _, test := range []struct {
		a, b Value
		want bool
	}{
		{Decimal("1.50"), Decimal("1.5"), true},
		{Decimal("150e-2"), Float(1.5), true},
		{Int(7), Decimal("7.000"), true},
		{Decimal("-0.0"), Int(0), true},
		{Decimal("NaN"), Float(math.NaN()), true},
		{Int(7), Text("7"), false},
		{Null, Null, true},
		{Null, Text(""), false},
		{Null, Unset, false},
		{Raw(KindTimestamp, []byte("2026-01-02 03:04:05.500")), Raw(KindTimestamp, []byte("2026-01-02 03:04:05.5")), true},
		{Raw(KindTime, []byte("03:04:05.000")), Raw(KindTime, []byte("03:04:05")), true},
		{JSON([]byte(`{"a": 1.0, "b": [true, null]}`)), JSON([]byte(`{"b":[true,null],"a":1}`)), true},
		{JSON([]byte(`{"a": "1"}`)), JSON([]byte(`{"a": 1}`)), false},
		{Decimal("100000000000000000000000000000000000001"), Decimal("100000000000000000000000000000000000002"), false},
	} {
		if got := Equal(test.a, test.b); got != test.want {
			t.Errorf("Equal(%s, %s) = %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, test := range []struct {
		parts []Value
		want  Key
	}{
		{[]Value{Int(42), Int(7)}, "42,7"},
		{[]Value{Decimal("7.00")}, "7"},
		{[]Value{Text("a,b%c/d")}, "a%2Cb%25c%2Fd"},
		{[]Value{Text("王 1")}, "王 1"},
		{[]Value{Null, Text("")}, "%N,"},
		{[]Value{Bytes([]byte{0xFF, 0})}, "%FF%00"},
	} {
		k := MakeKey(test.parts...)
		if k != test.want {
			t.Errorf("MakeKey(%v) = %q, want %q", test.parts, k, test.want)
		}
		texts, err := k.Parts()
		if err != nil || len(texts) != len(test.parts) {
			t.Errorf("Parts(%q) = %q, %v", k, texts, err)
		}
	}
	if _, err := Key("a%2").Parts(); err == nil {
		t.Error("a cut escape was accepted")
	}
}

func TestPositionsAndOrdersGrow(t *testing.T) {
	ps := []Position{{1, 5, 0}, {1, 5, 1}, {1, 6, 0}, {2, 1, 0}}
	for i := range ps {
		for j := range ps {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := ps[i].Compare(ps[j]); got != want {
				t.Errorf("%s.Compare(%s) = %d, want %d", ps[i], ps[j], got, want)
			}
		}
	}
	os := []Order{{1, 1, 0}, {1, 1, 1}, {1, 2, 0}, {1, 1 << 30, 5}, {2, 1, 0}}
	for i := 1; i < len(os); i++ {
		if os[i-1].Version() >= os[i].Version() {
			t.Errorf("version of %+v is not below that of %+v", os[i-1], os[i])
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	s := &Schema{Entity: "e", Key: []int{0}, Version: -1}
	row := make([]Value, 10)
	for i := range row {
		s.Columns = append(s.Columns, Column{Name: fmt.Sprint("c", i), Kind: KindText})
		row[i] = Text("twenty bytes of text")
	}
	batch := &Batch{Source: "crm", Txns: []Txn{{Commit: 1}}, Events: make([]Event, 1000)}
	for i := range batch.Events {
		batch.Events[i] = Event{Op: OpUpdated, Schema: s, Ordinal: uint32(i), After: row}
	}
	b.ReportAllocs()
	var data []byte
	for b.Loop() {
		var err error
		if data, err = AppendBatch(data[:0], batch); err != nil {
			b.Fatal(err)
		}
		if _, err := DecodeBatch(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
}
