package apply

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memtarget"
)

// romans are customers of wider, whose older records are from Rome.
var romans = func() *syncline.Schema {
	s := *wider
	s.Columns = append([]syncline.Column(nil), s.Columns...)
	s.Columns[len(s.Columns)-1].Default = "'Rome'"
	return &s
}()

func (b *bench) cities() map[string]string {
	b.t.Helper()
	out := map[string]string{}
	err := b.store.Open(memtarget.Options{Route: "reader"}).Scan(b.ctx, "dim", romans, func(row syncline.Row) error {
		key, _ := row.Key()
		out[string(key)] = row.Values[len(row.Values)-1].String()
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// A record that waits while its table gets a column with a default is not there to get it.
func TestARecordThatWaitedForAColumnWithADefaultIsReadAnew(t *testing.T) {
	for _, restart := range []bool{false, true} {
		b := newBench(t, func(o *Options) { o.Rules[0].Schema = syncline.SchemaEvolve })
		b.store.Refuse("dim", "2")
		b.append(created(1, "a", "x"), created(2, "b", "y"), created(3, "c", "z"))
		b.mustDrain()
		b.append(syncline.Event{Op: syncline.OpUpdated, Schema: romans, After: append(record(3, "c", "z"), syncline.Text("Bern"))})
		b.mustDrain()
		if restart { // and no row comes that tells the new schema
			b.start()
		}
		b.store.Accept("dim", "2")
		b.now = b.now.Add(time.Hour)
		b.mustDrain()
		b.wantWaiting("2 reading row_missing")
		if len(b.runs) != 1 || b.runs[0].Kind != syncline.RunKeys || len(b.runs[0].Keys) != 1 || b.runs[0].Keys[0] != "2" {
			t.Fatalf("restart %t: runs = %+v, want one of record 2", restart, b.runs)
		}
		b.answer(syncline.Event{Op: syncline.OpSnapshot, Schema: romans, After: append(record(2, "b", "y"), syncline.Text("Rome"))})
		b.mustDrain()
		b.wantWaiting()
		want := map[string]string{"1": "text(Rome)", "2": "text(Rome)", "3": "text(Bern)"}
		if diff := cmp.Diff(want, b.cities()); diff != "" {
			t.Errorf("restart %t: cities (-want +got):\n%s", restart, diff)
		}
		b.balanced()
	}
}

// What needs no default is written as it waited.
func TestARecordThatWaitedForAnotherColumnIsWritten(t *testing.T) {
	for name, test := range map[string]struct {
		policy syncline.SchemaPolicy
		now    *syncline.Schema
	}{"a column without a default": {syncline.SchemaEvolve, wider}, "a column that the target does not get": {syncline.SchemaIgnore, romans}} {
		b := newBench(t, func(o *Options) { o.Rules[0].Schema = test.policy })
		b.store.Refuse("dim", "2")
		b.append(created(1, "a", "x"), created(2, "b", "y"))
		b.mustDrain()
		b.append(syncline.Event{Op: syncline.OpUpdated, Schema: test.now, After: append(record(1, "a", "x"), syncline.Text("Bern"))})
		b.mustDrain()
		b.store.Accept("dim", "2")
		b.now = b.now.Add(time.Hour)
		b.mustDrain()
		b.wantWaiting()
		if rows := b.rows(); rows["2"] != "b/y" {
			t.Errorf("%s: rows = %v", name, rows)
		}
	}
}
