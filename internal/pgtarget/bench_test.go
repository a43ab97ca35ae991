package pgtarget

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/testserver"
)

// benchSchema has ten columns of about 170 bytes.
var benchSchema = &syncline.Schema{Entity: "bench", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt, Type: "bigint"},
	{Name: "a", Kind: syncline.KindInt, Type: "integer", Nullable: true},
	{Name: "b", Kind: syncline.KindText, Type: "text", Nullable: true},
	{Name: "c", Kind: syncline.KindDecimal, Type: "numeric(12,2)", Nullable: true},
	{Name: "d", Kind: syncline.KindTimestampTZ, Type: "timestamp with time zone", Nullable: true},
	{Name: "e", Kind: syncline.KindText, Type: "text", Nullable: true},
	{Name: "f", Kind: syncline.KindInt, Type: "integer", Nullable: true},
	{Name: "g", Kind: syncline.KindBool, Type: "boolean", Nullable: true},
	{Name: "h", Kind: syncline.KindText, Type: "character varying(40)", Nullable: true},
	{Name: "i", Kind: syncline.KindInt, Type: "bigint", Nullable: true},
}}

const benchRows = 200_000

// benchWrite puts n rows with keys spread over the table.
func benchWrite(n, round int) *syncline.Write {
	w := &syncline.Write{Changes: make([]syncline.Change, n), Commit: func(context.Context, syncline.Result) error { return nil }}
	raw := func(k syncline.Kind, s string) syncline.Value { return syncline.Raw(k, []byte(s)) }
	for i := range w.Changes {
		id := int64((i + round*n) * 7919 % benchRows)
		w.Changes[i] = syncline.Change{Op: syncline.ChangePut, Object: "bench", Row: syncline.Row{Schema: benchSchema, Values: []syncline.Value{
			syncline.Int(id), syncline.Int(int64(round)), syncline.Text("some text here"), syncline.Decimal("12345.50"),
			raw(syncline.KindTimestampTZ, "2024-01-02 10:11:12.123456+00"), syncline.Text(strings.Repeat("y", 60)), syncline.Int(2),
			syncline.Bool(true), syncline.Text("abcdef"), syncline.Int(id * 7),
		}}}
	}
	return w
}

// BenchmarkApply measures updates of random rows of a table of 200,000 on one connection of a durable server. The ways are
// forced, so that the crossing, copyMin, can be read off, and what an UPDATE gains over an upsert.
func BenchmarkApply(b *testing.B) {
	url := testserver.NewPostgres(b).Database(b)
	for _, n := range []int{1, 10, 100, 500, 1000, 2000, 5000} {
		for _, way := range []struct {
			name   string
			min    int
			revise bool
		}{{"arrays", 1 << 30, false}, {"upsert", 1, false}, {"revise", 1, true}} {
			b.Run(fmt.Sprintf("%s/%d", way.name, n), func(b *testing.B) {
				tgt := open(b, Options{URL: url, Route: "bench", PostgresSource: true})
				tgt.copyMin = way.min
				writes := benchTarget(b, tgt, n)
				tgt.objects["bench"].lastBinding.revisable = way.revise
				benchmarkApply(b, tgt, n, writes)
			})
		}
	}
}

// BenchmarkDecide measures the same updates where each is decided about, with a shadow of so many bytes: in a column of the table, and in a
// table of its own.
func BenchmarkDecide(b *testing.B) {
	url := testserver.NewPostgres(b).Database(b)
	for _, n := range []int{1, 100, 1000, 5000} {
		for _, place := range []struct {
			name string
			size int
		}{{"mirror", 0}, {"column", 100}, {"column", 300}, {"table", 100}} {
			b.Run(fmt.Sprintf("%s of %d/%d", place.name, place.size, n), func(b *testing.B) {
				execute(b, connection(b, url), "DROP TABLE IF EXISTS bench, _syncline_shadow")
				tgt := open(b, Options{URL: url, Route: "bench", PostgresSource: true, Shadows: place.name == "column"})
				writes := benchTarget(b, tgt, n)
				if place.size > 0 {
					for _, w := range writes {
						w.Decide = benchDecide(w, place.size)
						if _, err := tgt.Apply(b.Context(), w); err != nil { // from now on there are shadows
							b.Fatal(err)
						}
					}
				}
				benchmarkApply(b, tgt, n, writes)
			})
		}
	}
}

// benchDecide writes each record with another number each time, and a shadow of this size.
func benchDecide(w *syncline.Write, size int) func(int, syncline.Held) (syncline.Decision, error) {
	return func(i int, held syncline.Held) (syncline.Decision, error) {
		shadow, next := bytes.Repeat([]byte("s"), size), int64(1)
		if len(held.Shadow) > 0 {
			shadow[0] = '@' + (held.Shadow[0]+1)&63
			last, err := held.Values[1].AsInt()
			if err != nil {
				return syncline.Decision{}, err
			}
			next = last + 1
		}
		values := slices.Clone(w.Changes[i].Row.Values)
		values[1] = syncline.Int(next)
		return syncline.Decision{Op: syncline.ChangePut, Values: values, Shadow: shadow}, nil
	}
}

// benchTarget fills the table and returns writes to it.
func benchTarget(b *testing.B, tgt *Target, n int) []*syncline.Write {
	ctx := context.Background()
	if _, err := tgt.Define(ctx, syncline.Definition{Object: "bench", Schema: benchSchema, Create: true, Policy: syncline.SchemaEvolve}); err != nil {
		b.Fatal(err)
	}
	c := connection(b, tgt.o.URL)
	execute(b, c, "TRUNCATE bench", fmt.Sprintf(`INSERT INTO bench (id, a, b, c, d, e, f, g, h, i) SELECT i, i, 'text '||i, i*1.5, now(), repeat('x',60), 1, true, 'abc', i
		FROM generate_series(0,%d) i`, benchRows-1), "CHECKPOINT")
	if err := tgt.Place(ctx, syncline.Cursor{Log: "l", Seq: 1, Epoch: 1}, "s"); err != nil {
		b.Fatal(err)
	}
	writes := make([]*syncline.Write, 20)
	for i := range writes {
		writes[i] = benchWrite(n, i)
		writes[i].Cursor = syncline.Cursor{Log: "l", Seq: 2, Epoch: 1}
	}
	if _, err := tgt.Apply(ctx, writes[0]); err != nil {
		b.Fatal(err)
	}
	return writes
}

func benchmarkApply(b *testing.B, tgt *Target, n int, writes []*syncline.Write) {
	ctx := context.Background()
	b.ReportAllocs()
	round := 0
	for b.Loop() {
		if _, err := tgt.Apply(ctx, writes[round%len(writes)]); err != nil {
			b.Fatal(err)
		}
		round++
	}
	b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "rows/s")
}
