package memtarget

import (
	"context"
	"slices"
	"testing"

	"syncline"
	"syncline/internal/targettest"
)

func TestTargetConforms(t *testing.T) {
	for name, o := range map[string]Options{
		"transactional":   {Route: "r"},
		"no transactions": {Route: "r", NoTransactions: true},
	} {
		t.Run(name, func(t *testing.T) {
			targettest.Run(t, targettest.Harness{Open: func(*testing.T) targettest.Instance {
				s := NewStore()
				return targettest.Instance{
					Target: s.Open(o),
					Reopen: func() syncline.Target { return s.Open(o) },
					Refuse: func(object string, row syncline.Row) syncline.Row {
						k, _ := row.Key()
						s.Refuse(object, k)
						return row
					},
				}
			}})
		})
	}
}

func TestRecorderConforms(t *testing.T) {
	targettest.Run(t, targettest.Harness{Open: func(*testing.T) targettest.Instance {
		r := NewRecorder()
		return targettest.Instance{
			Target: r,
			Refuse: func(object string, row syncline.Row) syncline.Row {
				k, _ := row.Key()
				r.Refuse(object, k)
				return row
			},
			Deliveries: func() []targettest.Delivery {
				var out []targettest.Delivery
				for _, s := range r.Sent() {
					out = append(out, targettest.Delivery{ID: s.ID, Key: string(s.Key)})
				}
				return out
			},
		}
	}})
}

var schema = &syncline.Schema{Entity: "e", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt}, {Name: "v", Kind: syncline.KindInt, Nullable: true}}}

// rig is a defined object and an owned cursor at sequence 1.
func rig(t *testing.T, o Options) (*Store, *Target) {
	t.Helper()
	s := NewStore()
	tgt := s.Open(o)
	if _, err := tgt.Define(t.Context(), syncline.Definition{Object: "o", Schema: schema, Create: true}); err != nil {
		t.Fatal(err)
	}
	if err := tgt.Place(t.Context(), syncline.Cursor{Log: "l", Seq: 1, Epoch: 1}, "state"); err != nil {
		t.Fatal(err)
	}
	s.Sync()
	return s, tgt
}

// write puts {1: seq, 2: seq} and moves the cursor to seq.
func write(seq syncline.Seq) *syncline.Write {
	w := &syncline.Write{Cursor: syncline.Cursor{Log: "l", Seq: seq, Epoch: 1}, Commit: func(context.Context, syncline.Result) error { return nil }}
	for id := range int64(2) {
		w.Changes = append(w.Changes, syncline.Change{Op: syncline.ChangePut, Object: "o", Order: syncline.Order{Epoch: 1, Seq: seq, Index: int(id)},
			Row: syncline.Row{Schema: schema, Values: []syncline.Value{syncline.Int(id + 1), syncline.Int(int64(seq))}}})
	}
	return w
}

// holding returns the values of records 1 and 2 ("" = missing) and the cursor's sequence.
func holding(t *testing.T, s *Store, tgt *Target) ([]string, syncline.Seq) {
	t.Helper()
	keys := []syncline.Row{write(0).Changes[0].Row, write(0).Changes[1].Row}
	cur, err := tgt.Current(t.Context(), "o", schema, keys)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(cur))
	for i, v := range cur {
		if v != nil {
			out[i] = v[1].Text()
		}
	}
	return out, s.cursors[tgt.at].cursor.Seq
}

func TestLoseTailTakesRowsAndCursorBack(t *testing.T) {
	s, tgt := rig(t, Options{})
	for seq := range syncline.Seq(5) {
		if _, err := tgt.Apply(t.Context(), write(seq+2)); err != nil {
			t.Fatal(err)
		}
		if seq == 1 {
			s.Sync()
		}
	}
	for _, step := range []struct {
		lose, lost int
		seq        syncline.Seq
	}{{0, 0, 6}, {1, 1, 5}, {9, 2, 3}, {1, 0, 3}} {
		if got := s.LoseTail(step.lose); got != step.lost {
			t.Errorf("LoseTail(%d) = %d, want %d", step.lose, got, step.lost)
		}
		want := string(syncline.Int(int64(step.seq)).Bytes())
		if rows, seq := holding(t, s, tgt); seq != step.seq || !slices.Equal(rows, []string{want, want}) {
			t.Errorf("after LoseTail(%d) rows = %q at %d, want %d", step.lose, rows, seq, step.seq)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault Fault
		o     Options
		rows  []string
		seq   syncline.Seq
	}{
		{"before", FailBefore, Options{}, []string{"", ""}, 1},
		{"midway", FailMidway, Options{}, []string{"", ""}, 1},
		{"after", FailAfter, Options{}, []string{"2", "2"}, 2},
		{"before, no transactions", FailBefore, Options{NoTransactions: true}, []string{"", ""}, 1},
		{"midway, no transactions", FailMidway, Options{NoTransactions: true}, []string{"2", ""}, 1},
		{"after, no transactions", FailAfter, Options{NoTransactions: true}, []string{"2", "2"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, tgt := rig(t, c.o)
			s.Fail(c.fault)
			if _, err := tgt.Apply(t.Context(), write(2)); err == nil || syncline.ClassOf(err) != syncline.Transient {
				t.Errorf("Apply = %v, want a transient error", err)
			}
			if rows, seq := holding(t, s, tgt); seq != c.seq || !slices.Equal(rows, c.rows) {
				t.Errorf("rows = %q at %d, want %q at %d", rows, seq, c.rows, c.seq)
			}
			if _, err := tgt.Apply(t.Context(), write(3)); err != nil {
				t.Errorf("Apply after the fault: %v", err)
			}
		})
	}
}

func TestDropCursorHaltsTheOwner(t *testing.T) {
	s, tgt := rig(t, Options{})
	s.DropCursor("", 0)
	if _, err := tgt.Apply(t.Context(), write(2)); syncline.CodeOf(err) != "cursor_lost" {
		t.Errorf("Apply without a cursor = %v, want cursor_lost", err)
	}
	s.LoseTail(1)
	if _, err := tgt.Apply(t.Context(), write(2)); err != nil {
		t.Errorf("Apply after the cursor came back: %v", err)
	}
}

func TestAcceptEndsRefuse(t *testing.T) {
	s, tgt := rig(t, Options{})
	s.Refuse("o", "2")
	if _, err := tgt.Apply(t.Context(), write(2)); syncline.ClassOf(err) != syncline.Rejected {
		t.Errorf("Apply of a refused record = %v, want rejected", err)
	}
	s.Accept("o", "2")
	if _, err := tgt.Apply(t.Context(), write(2)); err != nil {
		t.Errorf("Apply of an accepted record: %v", err)
	}
}

func TestMalformedWritesAreFatal(t *testing.T) {
	for name, spoil := range map[string]func(w *syncline.Write){
		"a key twice":         func(w *syncline.Write) { w.Changes = append(w.Changes, w.Changes[0]) },
		"old key unordered":   func(w *syncline.Write) { w.Changes[0].OldKey = []syncline.Value{syncline.Int(5)} },
		"event":               func(w *syncline.Write) { w.Changes[0].Op = syncline.ChangeSend },
		"truncate unordered":  func(w *syncline.Write) { w.Changes[0].Op = syncline.ChangeTruncate },
		"insert with a key":   func(w *syncline.Write) { w.Changes[0].Op = syncline.ChangeInsert },
		"key that is unset":   func(w *syncline.Write) { w.Changes[0].Row.Values[0] = syncline.Unset },
		"unset not supported": func(w *syncline.Write) { w.Changes[0].Row.Values[1] = syncline.Unset },
	} {
		t.Run(name, func(t *testing.T) {
			_, tgt := rig(t, Options{NoTransactions: true})
			w := write(2)
			spoil(w)
			if _, err := tgt.Apply(t.Context(), w); syncline.CodeOf(err) != "write_malformed" {
				t.Errorf("Apply = %v, want write_malformed", err)
			}
		})
	}
}
