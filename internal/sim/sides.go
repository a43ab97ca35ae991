package sim

import (
	"context"
	"fmt"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/between"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
	"syncline/internal/memtarget"
)

// sides is a world of two databases with users, and a two-way rule between them: two routes that write through one pair.
type sides struct {
	*run
	databases [2]*database
	pair      *between.Pair
	lanes     [2]*driver
	policy    between.Strategies
	kind      sharing
	// fault is how the next write of the rule fails, calm ends all trouble.
	fault memtarget.Fault
	calm  bool
	// restores: sides lose what they have not shown yet. A deletion that was lost with it is followed anew only where a missing record counts
	// as deleted, as after a TRUNCATE.
	restores bool
	// written counts the records that users and the rule wrote.
	written struct{ users, rule int }
	// wanted is what both sides are to hold, where each has its own field.
	wanted map[int64]record
}

// sharing is what users do to the records of both sides.
type sharing uint8

const (
	oneFieldEach sharing = iota // each side has a field of its own, and both count one up and down; nothing is deleted
	allFields                   // anybody changes and deletes anything, and a policy decides
	allByPerson                 // the same, and a person decides
	sharings
)

// fields are how the columns of the second side are called.
var fields = map[string]string{"name": "label", "total": "amount"}

// TwoSides makes one run with a two-way rule.
func TwoSides(ctx context.Context, o Options) (Result, error) {
	if o.Txns == 0 {
		o.Txns = 40
	}
	return start(ctx, o, func(r *run) error {
		w := &sides{run: r, kind: sharing(o.Seed % uint64(sharings)), wanted: make(map[int64]record)}
		switch w.kind {
		case oneFieldEach:
			w.policy = between.Strategies{Default: between.Manual, Fields: map[string]between.Strategy{"total": between.Sum}}
		case allFields:
			w.policy = between.Strategies{Default: between.SourcePriority, Preferred: r.rnd.IntN(2), Deleted: between.Deleted(r.rnd.IntN(2)),
				Fields: map[string]between.Strategy{"note": between.Union}}
		case allByPerson:
			w.policy = between.Strategies{Default: between.Manual, Deleted: between.DeletedConflict}
		}
		w.restores = w.kind != oneFieldEach && r.rnd.IntN(2) == 0
		for s, name := range names {
			if err := w.add(s, name); err != nil {
				return err
			}
		}
		for id := range int64(sharedKeys) {
			if s := r.rnd.IntN(3); s < 2 {
				w.databases[s].put(id, newRecord(id))
				w.wanted[id] = newRecord(id)
			}
		}
		return w.live(o.Txns * 6)
	})
}

func (w *sides) add(s int, name string) error {
	columns := [2][]string{{"id", "name", "total", "note"}, {"id", "label", "amount", "note"}}[s]
	schema := &syncline.Schema{Entity: "customer", Table: shared, Version: -1, Key: []int{0}}
	for i, kind := range []syncline.Kind{syncline.KindInt, syncline.KindText, syncline.KindDecimal, syncline.KindText} {
		schema.Columns = append(schema.Columns, syncline.Column{Name: columns[i], Kind: kind, Nullable: i > 0})
	}
	d := &database{w: w, side: s, schema: schema, store: memtarget.NewStore()}
	d.intake = &intake{run: w.run, name: name, system: memsource.NewSystem(name + "-system"), snapshot: []string{"customer"}, prepare: func() error { return w.lanes[s].prepare() }}
	w.databases[s] = d
	rule := apply.Rule{ID: "two-way", Entity: "customer", Object: shared, Judged: true, Bind: func(s *syncline.Schema) (*apply.Binding, error) {
		only, err := between.KeyOnly(s)
		return &apply.Binding{Out: s, Key: func(row []syncline.Value) ([]syncline.Value, error) { return only(row), nil },
			Row: func(b *syncline.Batch, i int) ([]syncline.Value, bool, error) {
				return only(b.Events[i].After), true, nil
			}}, err
	}}
	w.lanes[s] = &driver{from: d.intake, placed: func() {}, options: apply.Options{ID: "two-way@" + name, Source: name, Rules: []apply.Rule{rule}, Start: apply.StartFull,
		Signature: "1", State: w.state, SnapshotCovers: true, Now: func() time.Time { return w.now },
		Limits:     apply.Limits{MaxRows: 1 + w.rnd.IntN(8), MaxWait: time.Duration(w.rnd.IntN(3)) * time.Second, Window: 1 << 14},
		Retry:      apply.Retry{Max: 1000, MaxDelay: time.Minute},
		RequestRun: func(ctx context.Context, run syncline.Run) error { return d.capture.RequestRun(ctx, run) },
		Open:       func(ctx context.Context) (syncline.Target, error) { return w.pair.Lane(ctx, s) }}}
	return d.found()
}

// open is the start of the process.
func (w *sides) open() {
	o := between.Options{Route: "two-way", Fields: fields, Policy: w.policy.Policy, State: w.state.ID(), Now: func() time.Time { return w.now }}
	for s, d := range w.databases {
		d.open()
		o.Sides[s] = between.Side{System: names[s], Entity: "customer", Object: shared}
		o.Describe[s] = func(context.Context) (*syncline.Schema, error) { return d.schema, nil }
		o.Open[s] = func(context.Context) (syncline.Target, error) {
			return &watched{d.store.Open(memtarget.Options{Route: "two-way"}), d}, nil
		}
	}
	if w.restores {
		o.Truncated = between.TruncatedDelete
	}
	w.pair = between.New(o)
}

func (w *sides) crash() {
	w.crashed()
	for _, l := range w.lanes {
		l.close()
	}
	w.logs.Crash()
	w.open()
}

func (w *sides) live(steps int) error {
	w.open()
	for _, d := range w.databases {
		d.visible()
	}
	if err := w.play(steps, func() error { return w.outlive(w.act()) }, func() error { return nil }); err != nil {
		return err
	}
	return w.heal()
}

// outlive is survive, for a process that may have been killed in mid-write.
func (w *sides) outlive(err error) error {
	if syncline.CodeOf(err) == "killed" {
		w.crash()
		return nil
	}
	return w.survive(err)
}

func (w *sides) act() error {
	s := w.rnd.IntN(2)
	switch n := w.rnd.IntN(20); {
	case n < 4:
		return w.databases[s].user()
	case n < 6:
		w.databases[s].visible()
	case n < 10:
		return w.databases[s].capturing(1 + w.rnd.IntN(4))
	case n < 16:
		return w.step(s)
	case n == 16:
		w.crash()
	case n == 17:
		return w.decide(s)
	case n == 18:
		return w.trouble(s)
	default:
		w.now = w.now.Add(time.Duration(w.rnd.IntN(600)) * time.Second)
	}
	return nil
}

func (w *sides) step(s int) error {
	l := w.lanes[s]
	err := l.take()
	if err == nil {
		err = l.apply()
	}
	if err != nil {
		l.close()
	}
	return err
}

func (w *sides) trouble(s int) error {
	d := w.databases[s]
	switch w.rnd.IntN(5) {
	case 0:
		d.log.FailNext(memlog.Fault(1 + w.rnd.IntN(4)))
		w.note("the log of %s will fail", names[s])
	case 1:
		w.fault = memtarget.Fault(1 + w.rnd.IntN(3))
		w.note("a side will fail")
	case 2:
		d.refuse(syncline.Key(fmt.Sprint(w.rnd.IntN(sharedKeys))))
	case 3:
		if w.restores {
			return d.restore()
		}
	case 4:
		d.ailing = true
		w.note("%s will fail", names[s])
	}
	return nil
}

// heal ends all trouble and lets everything come to rest.
func (w *sides) heal() error {
	w.calm, w.fault = true, 0
	for _, d := range w.databases {
		for k := range d.refused {
			d.store.Accept(shared, k)
		}
		d.log.FailNext()
		d.ailing = false
	}
	w.crash()
	if err := w.rest(); err != nil {
		return err
	}
	return w.checkEnd()
}

// rest lets the rule work until nothing is left to do.
func (w *sides) rest() error {
	return w.run.rest(2000, func() error {
		for s, d := range w.databases {
			d.visible()
			for _, do := range []func() error{func() error { return d.capturing(4) }, func() error { return w.step(s) }, func() error { return w.decide(s) }} {
				if err := w.outlive(do()); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
