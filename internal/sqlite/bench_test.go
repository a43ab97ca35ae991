package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"syncline"
)

// BenchmarkTargetUpsert writes batches of 5,000 rows of five columns over the same 20,000 keys.
func BenchmarkTargetUpsert(b *testing.B) {
	for _, guard := range []bool{false, true} {
		b.Run(fmt.Sprintf("guard=%v", guard), func(b *testing.B) {
			s := &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt},
				{Name: "name", Kind: syncline.KindText}, {Name: "credit", Kind: syncline.KindDecimal}, {Name: "n", Kind: syncline.KindInt}, {Name: "at", Kind: syncline.KindTimestampTZ}}}
			tgt := openTarget(b, TargetOptions{URL: filepath.Join(b.TempDir(), "t.db"), Route: "r", Guard: guard})
			if _, err := tgt.Define(b.Context(), syncline.Definition{Object: "customer", Schema: s, Create: true, Policy: syncline.SchemaEvolve}); err != nil {
				b.Fatal(err)
			}
			cursor := syncline.Cursor{Log: "l", Seq: 1}
			if err := tgt.Place(b.Context(), cursor, "s"); err != nil {
				b.Fatal(err)
			}
			const rows = 5000
			w := &syncline.Write{Cursor: cursor, Commit: func(context.Context, syncline.Result) error { return nil }}
			b.ResetTimer()
			for n := range b.N {
				b.StopTimer()
				w.Changes = w.Changes[:0]
				for i := range rows {
					w.Changes = append(w.Changes, syncline.Change{Op: syncline.ChangePut, Object: "customer", Order: syncline.Order{Epoch: 1, Seq: syncline.Seq(n + 1), Index: i},
						Row: syncline.Row{Schema: s, Values: []syncline.Value{syncline.Int(int64((n*rows + i) % 20000)), syncline.Text("a name of twenty chars"),
							syncline.Decimal("123.45"), syncline.Int(int64(n)), syncline.Raw(syncline.KindTimestampTZ, []byte("2024-05-06 07:08:09.123456+00"))}}})
				}
				b.StartTimer()
				if _, err := tgt.Apply(b.Context(), w); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
