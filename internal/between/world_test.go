package between

import (
	"context"
	"slices"

	"pgregory.net/rapid"

	"syncline"
	"syncline/internal/memtarget"
)

// world is two databases with users, and a rule between them that is driven by queues of keys, as its two routes are by logs.
type world struct {
	t     *rapid.T
	sides [2]*database
	// route: each side's keys that were changed, by whomever, and not reconciled yet.
	queues [2][]int64
	pair   *Pair
	lanes  [2]*Lane
	policy *Policy
	// meddle is called before each write of the rule; it lets users write at that moment, and ends the process with an error.
	meddle func() error
	// fault is how the next write of the rule fails; 0 = it does not.
	fault  func() memtarget.Fault
	writes int // of records, by the rule
	// sees tells whether a side shows the transactions that its log tells of; nil = it does.
	sees func() bool
}

// database is one side.
type database struct {
	w      *world
	number int
	store  *memtarget.Store
	schema *syncline.Schema
	users  *memtarget.Target
	cursor syncline.Cursor
	// trigger changes what is written, whoever writes it; nil = nothing.
	trigger func(Record) Record
}

func newWorld(t *rapid.T, policy *Policy) *world {
	w := &world{t: t, policy: policy, meddle: func() error { return nil }, fault: func() memtarget.Fault { return 0 }}
	names := [2][]string{{"id", "name", "total", "note", "changed"}, {"id", "label", "amount", "note", "changed"}}
	for n := range w.sides {
		schema := &syncline.Schema{Entity: "customer", Table: object, Version: -1, Key: []int{0}}
		for i, kind := range []syncline.Kind{syncline.KindInt, syncline.KindText, syncline.KindDecimal, syncline.KindText, syncline.KindTimestampTZ} {
			schema.Columns = append(schema.Columns, syncline.Column{Name: names[n][i], Kind: kind, Nullable: i > 0})
		}
		d := &database{w: w, number: n, store: memtarget.NewStore(), schema: schema, cursor: syncline.Cursor{Log: "users", Seq: 1, Epoch: 1}}
		w.sides[n] = d
		d.users = d.store.Open(memtarget.Options{Route: "users"})
		if err := d.users.Place(t.Context(), d.cursor, "users"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.users.Define(t.Context(), syncline.Definition{Object: object, Schema: schema, Create: true}); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	return w
}

// start begins a process, or another one after a crash.
func (w *world) start() {
	o := Options{Route: "two-way", Sides: [2]Side{{"crm", "customer", object}, {"erp", "customer", object}}, Fields: fields,
		Policy: func([]syncline.Column) (*Policy, error) { return w.policy, nil }, State: "state"}
	for n, d := range w.sides {
		o.Describe[n] = func(context.Context) (*syncline.Schema, error) { return d.schema, nil }
		o.Open[n] = func(context.Context) (syncline.Target, error) {
			return &meddled{Target: d.store.Open(memtarget.Options{Route: "two-way"}), d: d}, nil
		}
	}
	w.pair = New(o)
	for n := range w.lanes {
		var err error
		if w.lanes[n], err = w.pair.Lane(w.t.Context(), n); err != nil {
			w.t.Fatal(err)
		}
	}
}

// meddled is the rule's connection to a database.
type meddled struct {
	*memtarget.Target
	d *database
}

func (m *meddled) Sees(context.Context, []uint64) (bool, error) {
	return m.d.w.sees == nil || m.d.w.sees(), nil
}

func (m *meddled) Apply(ctx context.Context, write *syncline.Write) (syncline.Result, error) {
	if err := m.d.w.meddle(); err != nil {
		return syncline.Result{}, err
	}
	m.d.store.Fail(m.d.w.fault())
	was := m.d.all()
	res, err := m.Target.Apply(ctx, write)
	is := m.d.all()
	for id := range keys {
		if !equalRecords(was[id], is[id]) { // the echo
			if m.d.trigger != nil && is[id] != nil {
				m.d.put(id, m.d.trigger(slices.Clone(is[id])))
			}
			m.d.w.writes++
			m.d.w.queues[m.d.number] = append(m.d.w.queues[m.d.number], id)
		}
	}
	if err == nil {
		err = m.d.w.meddle()
	}
	return res, err
}

// all returns every record by its key.
func (d *database) all() map[int64]Record {
	all := make(map[int64]Record)
	err := d.users.Scan(context.Background(), object, d.schema, func(r syncline.Row) error {
		id, err := r.Values[0].AsInt()
		all[id] = r.Values
		return err
	})
	if err != nil {
		panic(err)
	}
	return all
}

// write is what a user does: nil values delete the record.
func (d *database) write(id int64, r Record) {
	if d.trigger != nil && r != nil {
		r = d.trigger(slices.Clone(r))
	}
	d.put(id, r)
	d.w.queues[d.number] = append(d.w.queues[d.number], id)
}

func (d *database) put(id int64, r Record) {
	c := syncline.Change{Op: syncline.ChangePut, Object: object, Row: syncline.Row{Schema: d.schema, Values: r}}
	if r == nil {
		c.Op = syncline.ChangeDelete
		c.Row.Values = []syncline.Value{syncline.Int(id), syncline.Null, syncline.Null, syncline.Null, syncline.Null}
	}
	_, err := d.users.Apply(context.Background(), &syncline.Write{Changes: []syncline.Change{c}, Cursor: d.cursor,
		Commit: func(context.Context, syncline.Result) error { return nil }})
	if err != nil {
		panic(err)
	}
}

// step has the lane of one side work off its queue. After an error the whole batch comes again, some of it perhaps in another order.
func (w *world) step(side int) error {
	batch := w.queues[side]
	w.queues[side] = nil
	s := &syncline.Schema{Entity: "customer", Version: -1, Key: []int{0}, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}}
	write := &syncline.Write{Commit: func(context.Context, syncline.Result) error { return w.meddle() }}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(batch))) {
		write.Changes = append(write.Changes, syncline.Change{Op: syncline.ChangePut, Row: syncline.Row{Schema: s, Values: []syncline.Value{syncline.Int(id)}},
			Batch: &syncline.Batch{Txns: []syncline.Txn{{XID: 7}}, Events: []syncline.Event{{}}}})
	}
	res, err := w.lanes[side].Apply(w.t.Context(), write)
	if err != nil {
		w.queues[side] = append(batch, w.queues[side]...)
		return err
	}
	for i, o := range res.Outcomes {
		if o == syncline.OutcomeConflict {
			id, _ := write.Changes[i].Row.Values[0].AsInt()
			w.queues[side] = append(w.queues[side], id)
			err = errAsked
		}
		if o == syncline.OutcomeRejected { // parked, and tried again
			id, _ := write.Changes[i].Row.Values[0].AsInt()
			w.queues[side] = append(w.queues[side], id)
			err = res.Rejected[i]
		}
	}
	return err
}

// settle lets the rule work in peace until nothing is left to do.
func (w *world) settle() {
	w.meddle, w.fault = func() error { return nil }, func() memtarget.Fault { return 0 }
	for n := 0; len(w.queues[0])+len(w.queues[1]) > 0; n++ {
		if n > 20 {
			w.t.Fatalf("the sides do not come to rest: %v", w.queues)
		}
		for side := range w.sides {
			if len(w.queues[side]) == 0 {
				continue
			}
			if err := w.step(side); err != nil {
				w.t.Fatalf("step of side %d: %v", side, err)
			}
		}
	}
}

// storm has users write on both sides at random moments, also inside the rule's work, while it crashes and loses answers.
func (w *world) storm(user func()) {
	t := w.t
	w.meddle = func() error {
		switch rapid.IntRange(0, 9).Draw(t, "meddle") {
		case 0, 1, 2:
			user()
		case 3:
			return errCrash
		}
		return nil
	}
	w.fault = func() memtarget.Fault {
		if rapid.IntRange(0, 5).Draw(t, "fails") > 0 {
			return 0
		}
		return rapid.SampledFrom([]memtarget.Fault{memtarget.FailBefore, memtarget.FailMidway, memtarget.FailAfter}).Draw(t, "fault")
	}
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		switch rapid.IntRange(0, 5).Draw(t, "what") {
		case 0, 1:
			user()
		default:
			side := rapid.IntRange(0, 1).Draw(t, "side")
			if err := w.step(side); syncline.CodeOf(err) == "crash" {
				w.start()
			}
		}
	}
	w.settle()
}

// checkEqual checks that both sides hold the same, that nothing more is written, and that no shadow is left without a record.
func (w *world) checkEqual() {
	t := w.t
	a, b := w.sides[0].all(), w.sides[1].all()
	for id := range keys {
		if !equalRecords(a[id], b[id]) {
			t.Fatalf("record %d: crm has %v, erp has %v", id, a[id], b[id])
		}
	}
	writes := w.writes
	for id := range keys {
		w.queues[0], w.queues[1] = append(w.queues[0], id), append(w.queues[1], id)
	}
	w.settle()
	if w.writes != writes {
		t.Fatalf("%d records were written although both sides agreed", w.writes-writes)
	}
}
