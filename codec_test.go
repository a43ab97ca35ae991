package syncline

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the stored batches of testdata anew: they are those of a version that was released")

var compareValues = cmp.Comparer(Value.Identical)

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

// stubs is sample with events that are stubs: of a table with a key, and of one without.
func stubs() *Batch {
	b := sample()
	b.Events[1] = b.Events[1].AsStub(40 << 20)
	b.Events[2] = b.Events[2].AsStub(math.MaxInt)
	return b
}

// superseded is sample with an event that nobody applies.
func superseded() *Batch {
	b := sample()
	b.Events[1].Meta.Superseded = true
	return b
}

// polled ends a poll: its events are not in the chunk.
func polled() *Batch {
	return &Batch{Source: "crm", Position: Position{Epoch: 1, Commit: 9},
		Chunk: &Chunk{Run: "run-4", Kind: RunSweep, Number: 1, Entity: "order", First: true, Last: true, Events: 12, Failed: "sweep_refused: the table is empty"}}
}

func TestBatchSurvivesItsStoredForm(t *testing.T) {
	for name, b := range map[string]*Batch{"full": sample(), "stubs": stubs(), "superseded": superseded(), "poll": polled(), "marker": {Source: "crm", Position: Position{Epoch: 1, Commit: 9}}} {
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

// TestStoredBatchesStayReadable: a log holds what older programs wrote, and an older program can be started on it again as long as
// there is no stub in it.
func TestStoredBatchesStayReadable(t *testing.T) {
	for name, want := range map[string]*Batch{"batch-v1.bin": sample(), "batch-v2.bin": stubs()} {
		path := filepath.Join("testdata", name)
		written, err := AppendBatch(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(path, written, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeBatch(stored)
		if err != nil {
			t.Fatalf("%s: DecodeBatch = %v", name, err)
		}
		if diff := cmp.Diff(want, got, compareValues); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !bytes.Equal(written, stored) {
			t.Errorf("%s is written in another form than before: that needs another version", name)
		}
	}
}

// TestAChunkSaysThatItIsCut also to builds that read nothing of it.
func TestAChunkSaysThatItIsCut(t *testing.T) {
	for _, cut := range []bool{false, true} {
		data, err := AppendBatch(nil, &Batch{Source: "crm", Chunk: &Chunk{Run: "r", Kind: RunFull, Number: 1, Entity: "order", Last: true, Cut: cut}})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := DecodeBatch(data); err != nil || b.Chunk.Cut != cut || !b.Chunk.Last {
			t.Errorf("a chunk with Cut %v is read as %+v, %v", cut, b.Chunk, err)
		}
	}
}

func TestStub(t *testing.T) {
	b := stubs()
	keyed, keyless := &b.Events[1], &b.Events[2]
	if key, ok := keyed.Key(); !ok || key != "7,2" {
		t.Errorf("key of the stub = %q, %v, want 7,2", key, ok)
	}
	if old, moved := keyed.OldKey(); !moved || old != "7,1" {
		t.Errorf("old key of the stub = %q, %v, want 7,1", old, moved)
	}
	if diff := cmp.Diff([]Value{Int(7), Int(2), Unset, Unset, Unset, Unset}, keyed.After, compareValues); diff != "" {
		t.Errorf("the stub's row (-want +got):\n%s", diff)
	}
	if keyed.Stub != 40<<20 || keyless.Stub != math.MaxUint32 || keyless.Before != nil || keyless.After != nil {
		t.Errorf("stubs of %d and %d bytes, rows without a key %v %v", keyed.Stub, keyless.Stub, keyless.Before, keyless.After)
	}
	for i := range b.Events {
		if got, want := b.EventID(i), sample().EventID(i); got != want || b.PositionOf(i) != sample().PositionOf(i) {
			t.Errorf("event %d has the id %s, want %s", i, got, want)
		}
	}
}

// TestVersions: what a version has is not read under one that is older, nor anything under one that is not known.
func TestVersions(t *testing.T) {
	for least, b := range map[byte]*Batch{2: stubs(), 3: polled()} {
		data, err := AppendBatch(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		for version := range byte(5) {
			data[versionAt] = version
			body := data[:len(data)-4]
			_, err := DecodeBatch(binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, castagnoli)))
			if ok := version >= least && version <= 3; ok != (err == nil) || !ok && !errors.Is(err, ErrCorrupt) {
				t.Errorf("a batch of version %d under %d: %v", least, version, err)
			}
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
	for _, b := range []*Batch{sample(), stubs(), polled()} {
		data, err := AppendBatch(nil, b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
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

func FuzzDecodeSchema(f *testing.F) {
	s := sample().Events[0].Schema
	f.Add(AppendSchema(nil, s))
	if _, err := DecodeSchema(appendSchema(nil, s)); err == nil {
		f.Error("DecodeSchema reads what does not begin as a stored schema")
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeSchema(data)
		if err != nil {
			return
		}
		again, err := DecodeSchema(AppendSchema(nil, s))
		if err != nil {
			t.Fatalf("what was decoded and encoded does not decode: %v", err)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Errorf("schema (-decoded +again):\n%s", diff)
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
		{JSON([]byte(`"\ud83d\ude00"`)), JSON([]byte(`"😀"`)), true},
		{JSON([]byte(`"\ud800"`)), JSON([]byte(`"\udbff"`)), false},
		{JSON([]byte(`"\udc00"`)), JSON([]byte(`"\ufffd"`)), false},
		{JSON([]byte(`"\ud800\ud800\udc00"`)), JSON([]byte(`"\ufffd\ud800\udc00"`)), false},
		{JSON([]byte(`"\\ud800"`)), JSON([]byte(` "\\ud800" `)), true},
		{Decimal("100000000000000000000000000000000000001"), Decimal("100000000000000000000000000000000000002"), false},
	} {
		if got := Equal(test.a, test.b); got != test.want {
			t.Errorf("Equal(%s, %s) = %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

// What Equal knows without writing canonical forms is what they say.
func TestEqualIsCanonical(t *testing.T) {
	kinds := []Kind{KindInt, KindUint, KindFloat, KindDecimal, KindText, KindTime}
	texts := []string{"0", "-0", "7", "-7", "+7", "07", "7.0", "-7.0", "70", "7e1", "7E1", "70.00", "1e400", "NaN", "-", "", "a", "03:04:05", "03:04:05.0",
		"7.10", "7.1", "-7.25", "-7.250", "0.5", "0.50", "-0.5", "-0.0", "00.5", ".5", "7.", "7.1.2", "03:04:05.50", "03:04:05.05", "12 3.0", "12.0 3"}
	for _, ka := range kinds {
		for _, kb := range kinds {
			for _, ta := range texts {
				for _, tb := range texts {
					a, b := Raw(ka, []byte(ta)), Raw(kb, []byte(tb))
					if got, want := Equal(a, b), string(AppendCanonical(nil, a)) == string(AppendCanonical(nil, b)); got != want {
						t.Errorf("Equal(%s %s, %s %s) = %v, canonical forms say %v", ka, ta, kb, tb, got, want)
					}
				}
			}
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
