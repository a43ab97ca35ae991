package pgsource

import (
	"context"
	"math"
	"testing"

	"syncline"
)

// BenchmarkStream replicates updates of a table with ten columns, in transactions of ten, that are in the WAL already: from the walsender, and by
// SQL. One operation is one row.
func BenchmarkStream(b *testing.B) {
	for _, way := range []struct {
		name  string
		least int64
	}{{"walsender", math.MaxInt64}, {"backlog", 1}} {
		b.Run(way.name, func(b *testing.B) {
			d := newDB(b, wideTable, "INSERT INTO wide SELECT i, 'customer ' || i, i * 1.25, now(), true, 'c' || i || '@example.com', i, gen_random_uuid(), i / 3.0, repeat('x', 40) FROM generate_series(1, 10000) i",
				"VACUUM ANALYZE wide", "SET synchronous_commit = off")
			o := d.options("wide")
			o.Snapshot, o.Backlog = "never", way.least
			p := record(b, o)
			p.next()
			p.next()
			p.close()
			const rows = 200_000
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				d.exec(`DO $$ BEGIN FOR i IN 0..19999 LOOP
					UPDATE wide SET score = score + 1 WHERE id BETWEEN (i % 1000) * 10 + 1 AND (i % 1000) * 10 + 10; COMMIT;
				END LOOP; END $$`)
				b.StartTimer()
				p.open()
				for n := 0; n < rows; {
					batch, err := p.src.Next(context.Background())
					if err != nil {
						b.Fatal(err)
					}
					n += len(batch.Events)
					p.log = []*syncline.Batch{{Position: batch.Position, Checkpoint: batch.Checkpoint}}
					p.src.Confirm(batch.Position)
				}
				p.close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkCopy copies a table of 200,000 rows.
func BenchmarkCopy(b *testing.B) {
	d := newDB(b, wideTable, "INSERT INTO wide SELECT i, 'customer ' || i, i * 1.25, now(), true, 'c' || i || '@example.com', i, gen_random_uuid(), i / 3.0, repeat('x', 40) FROM generate_series(1, 200000) i",
		"VACUUM ANALYZE wide")
	n := 0
	for b.Loop() {
		b.StopTimer()
		p := record(b, d.options("wide"))
		p.next()
		b.StartTimer()
		for done := false; !done; {
			batch, err := p.src.Next(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			n += len(batch.Events)
			done = batch.Chunk != nil && batch.Chunk.Last
		}
		b.StopTimer()
		p.close()
		d.dropSlot()
		b.StartTimer()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

const wideTable = `CREATE TABLE wide (id bigint PRIMARY KEY, name text, amount numeric(12,2), at timestamptz, active bool, mail text,
	score int, ref uuid, ratio float8, note text)`
