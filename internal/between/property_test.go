package between

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"syncline"
)

const object = "customer"

var errAsked = syncline.Errorf(syncline.Rejected, "asked", "a person has to decide")

var errCrash = syncline.Errorf(syncline.Transient, "crash", "the process ended")

// fields are how the columns of the second side are called.
var fields = map[string]string{"name": "label", "total": "amount"}

const keys = int64(3)

func text(t *rapid.T) syncline.Value {
	return syncline.Text(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "text"))
}

func amount(t *rapid.T) syncline.Value {
	return syncline.Decimal(fmt.Sprint(rapid.IntRange(-2, 2).Draw(t, "amount")))
}

// winner resolves every overlap for one side.
func winner(side int) Resolve {
	return func(o *Overlap) (syncline.Value, bool) { return o.Values[side], true }
}

// sum adds both sides' changes up.
func sum(o *Overlap) (syncline.Value, bool) {
	if o.Agreed.IsUnset() || o.Bases[0].IsUnset() || o.Bases[1].IsUnset() {
		return o.Values[0], syncline.Equal(o.Values[0], o.Values[1])
	}
	number := func(v syncline.Value) *big.Int {
		n, ok := new(big.Int).SetString(v.Text(), 10)
		if !ok {
			panic(v)
		}
		return n
	}
	n := number(o.Agreed)
	for side, v := range o.Values {
		n.Add(n, new(big.Int).Sub(number(v), number(o.Bases[side])))
	}
	return syncline.Decimal(n.String()), true
}

// Whatever users do on both sides, and wherever the process ends, both sides come to hold the same, and then nothing moves any more.
func TestSidesConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := &Policy{Deleted: Deleted(rapid.IntRange(0, 1).Draw(t, "deleted")), Resolve: winner(rapid.IntRange(0, 1).Draw(t, "winner"))}
		w := newWorld(t, policy)
		w.storm(func() {
			d := w.sides[rapid.IntRange(0, 1).Draw(t, "of")]
			id := int64(rapid.IntRange(0, int(keys)-1).Draw(t, "id"))
			if rapid.IntRange(0, 3).Draw(t, "do") == 0 {
				d.write(id, nil)
				return
			}
			r := Record{syncline.Int(id), text(t), amount(t), text(t), syncline.Null}
			if old := d.all()[id]; old != nil && rapid.Bool().Draw(t, "part") {
				r = slices.Clone(old)
				r[rapid.IntRange(1, 3).Draw(t, "column")] = syncline.Null
			}
			d.write(id, r)
		})
		w.checkEqual()
	})
}

// What one side alone changes is never lost, and changes that add up are counted exactly once, whatever crashes between.
func TestNoChangeIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := &Policy{Adds: []bool{2: true, 4: false}, Resolve: func(o *Overlap) (syncline.Value, bool) {
			if o.Column != 2 {
				t.Fatalf("column %d was changed on one side only", o.Column)
			}
			return sum(o)
		}}
		w := newWorld(t, policy)
		want := make(map[int64]Record)
		for id := range keys {
			want[id] = Record{syncline.Int(id), syncline.Text("a"), syncline.Decimal("0"), syncline.Text("a"), syncline.Null}
			w.sides[id%2].write(id, want[id])
		}
		w.settle()
		total := make(map[int64]int64)
		w.storm(func() {
			n := rapid.IntRange(0, 1).Draw(t, "of")
			d := w.sides[n]
			id := int64(rapid.IntRange(0, int(keys)-1).Draw(t, "id"))
			r := slices.Clone(d.all()[id])
			if rapid.Bool().Draw(t, "counts") {
				delta := int64(rapid.IntRange(-2, 2).Draw(t, "delta"))
				was, _ := new(big.Int).SetString(r[2].Text(), 10)
				r[2] = syncline.Decimal(was.Add(was, big.NewInt(delta)).String())
				total[id] += delta
			} else {
				own := 1 + 2*n // crm changes the name, erp the note
				r[own] = text(t)
				want[id] = slices.Clone(want[id])
				want[id][own] = r[own]
			}
			d.write(id, r)
		})
		w.checkEqual()
		for id, r := range w.sides[0].all() {
			want[id] = slices.Clone(want[id])
			want[id][2] = syncline.Decimal(fmt.Sprint(total[id]))
			if !equalRecords(r, want[id]) {
				t.Fatalf("record %d is %v, want %v", id, r, want[id])
			}
		}
	})
}

// A conflict for a person writes nothing until one side gives way, and then both sides are the same.
func TestManualConflictWaits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{Deleted: DeletedConflict})
		r := Record{syncline.Int(1), syncline.Text("a"), syncline.Decimal("1"), syncline.Text("n"), syncline.Null}
		w.sides[0].write(1, r)
		w.settle()
		var changed [2]Record
		for n, d := range w.sides {
			if rapid.IntRange(0, 2).Draw(t, "what") == 0 && (n == 0 || changed[0] != nil) {
				d.write(1, nil)
				continue
			}
			changed[n] = slices.Clone(r)
			changed[n][1] = syncline.Text(fmt.Sprint("by ", n))
			d.write(1, changed[n])
		}
		writes := w.writes
		deletion := changed[0] == nil || changed[1] == nil // which is told on both lanes
		if err := w.step(1); errors.Is(err, errAsked) != deletion {
			t.Fatalf("step of erp = %v, a deletion: %t", err, deletion)
		}
		if err := w.step(0); !errors.Is(err, errAsked) {
			t.Fatalf("step of crm = %v, want a conflict", err)
		}
		if w.writes != writes {
			t.Fatal("a conflict wrote a record")
		}
		w.sides[1].write(1, changed[0])
		w.settle()
		w.checkEqual()
		if got := w.sides[1].all()[1]; !equalRecords(got, changed[0]) {
			t.Fatalf("erp holds %v after it gave way to %v", got, changed[0])
		}
	})
}

// Databases that set a time whenever a record is written, also by the rule, do not keep it going.
func TestTriggersThatSetTimes(t *testing.T) {
	strategies := &Strategies{Default: LastWriteWins, TimeField: "changed"}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, nil)
		policy, err := strategies.Policy(w.sides[0].schema.Columns)
		if err != nil {
			t.Fatal(err)
		}
		w.policy = policy
		w.start()
		clock := 0
		for _, d := range w.sides {
			d.trigger = func(r Record) Record {
				clock++
				r[4] = syncline.TimestampTZ(time.Unix(int64(clock), 0))
				return r
			}
		}
		w.storm(func() {
			id := int64(rapid.IntRange(0, int(keys)-1).Draw(t, "id"))
			w.sides[rapid.IntRange(0, 1).Draw(t, "of")].write(id, Record{syncline.Int(id), text(t), amount(t), text(t), syncline.Null})
		})
		a, b := w.sides[0].all(), w.sides[1].all()
		for id := range keys {
			if a[id] == nil && b[id] == nil {
				continue
			}
			if !equalRecords(a[id][:4], b[id][:4]) {
				t.Fatalf("record %d: crm has %v, erp has %v", id, a[id], b[id])
			}
		}
	})
}

// Triggers that change what is written, on each side in another way, are noticed: the key is left alone, and the fields are named.
func TestTriggersThatContradict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{Resolve: winner(0)})
		for n, d := range w.sides {
			d.trigger = func(r Record) Record {
				r[1] = syncline.Text(fmt.Sprint("by ", n))
				return r
			}
		}
		w.sides[0].write(1, Record{syncline.Int(1), text(t), amount(t), text(t), syncline.Null})
		for range 3 * maxTurns {
			for side := range w.sides {
				err := w.step(side)
				if syncline.CodeOf(err) == "between_bounces" {
					if !strings.Contains(err.Error(), `"name"`) || strings.Contains(err.Error(), `"note"`) {
						t.Fatalf("%v does not name the column", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Fatalf("the key was written %d times", w.writes)
	})
}

// A table that was emptied at once is no reason to remove anything on the other side, whatever is heard of there: not its echoes, and no copy.
func TestAnEmptiedSideEmptiesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, &Policy{Deleted: Deleted(rapid.IntRange(0, 2).Draw(t, "deleted"))})
		for id := range keys {
			w.sides[rapid.IntRange(0, 1).Draw(t, "of")].write(id, Record{syncline.Int(id), text(t), amount(t), text(t), syncline.Null})
		}
		w.settle()
		emptied := rapid.IntRange(0, 1).Draw(t, "emptied")
		for id := range keys {
			w.sides[emptied].put(id, nil) // no event tells of it
			w.queues[1-emptied] = append(w.queues[1-emptied], id)
		}
		w.settle()
		if left := w.sides[1-emptied].all(); len(left) != int(keys) {
			t.Fatalf("of %d records %d are left", keys, len(left))
		}
	})
}
