package sim

import (
	"context"
	"fmt"
	"strings"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/conflict"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
	"syncline/internal/memtarget"
)

// manner is how a run of Dispute decides.
type manner uint8

const (
	oursStand     manner = iota // the source goes before whoever writes the target
	theirsStand                 // the other way round
	theirsLater                 // the later write wins, and the target's clock is far ahead
	theirsEarlier               // it is far behind
	aboutTheSame                // nothing can be said of which is later
	byField                     // each field has a policy of its own
	byPerson                    // a person decides
	byVersion                   // the target has a newer version or not; the source goes before
	manners
)

// dispute is a world in which somebody else writes the records that a route writes.
type dispute struct {
	*run
	*intake
	author *author
	writer *driver
	store  *memtarget.Store
	manner manner
	// txn: the target writes the batch as one.
	txn bool
	// deletes: records are deleted, on both sides.
	deletes bool
	facts   []fact
	refused map[syncline.Key]bool
	fault   memtarget.Fault // of the route's next write
	revs    map[int64]int64 // the version of each record, while it is there
	// calm: nobody else writes any more.
	calm bool
}

// fact is one field that somebody else wrote at the target, over the value that it had there. A deletion has column 0.
type fact struct {
	write  int // of which write it is part
	id     int64
	column int
	value  syncline.Value
	over   syncline.Value
}

func (f fact) String() string {
	return fmt.Sprintf("write %d: %s over %s", f.write, f.value, f.over)
}

const disputed = "dim"

// Dispute makes one run with a conflict section and somebody who writes at the target.
func Dispute(ctx context.Context, o Options) (Result, error) {
	if o.Txns == 0 {
		o.Txns = 40
	}
	return start(ctx, o, func(r *run) error {
		d := &dispute{run: r, manner: manner(o.Seed % uint64(manners)), txn: r.rnd.IntN(3) > 0, store: memtarget.NewStore(), refused: make(map[syncline.Key]bool), revs: make(map[int64]int64)}
		d.deletes = d.manner < byField && r.rnd.IntN(3) == 0
		d.author = newAuthor(r, "crm", d.deletes, r.rnd.IntN(2) == 0)
		d.intake = &intake{run: r, name: "crm", system: memsource.NewSystem("crm-system"), snapshot: []string{"customer"}, prepare: func() error { return d.writer.prepare() }}
		d.write(o.Txns, func() { d.system.Append(d.author.next()) })
		d.system.Advance(r.rnd.IntN(o.Txns / 2))
		d.writer = writer(d.intake, d.store, d.policy(), func() (syncline.Target, error) {
			return &meddled{d.store.Open(memtarget.Options{Route: "crm", NoTransactions: !d.txn}), d}, nil
		})
		d.writer.options.Start, d.writer.options.SnapshotCovers = apply.StartFull, true
		d.open()
		err := d.play(o.Txns*6, func() error { return d.survive(d.act()) }, d.checkAlways)
		if err != nil {
			return err
		}
		return d.heal()
	})
}

// writer is a route of the source into the disputed object.
func writer(from *intake, store *memtarget.Store, p conflict.Policy, open func() (syncline.Target, error)) *driver {
	compiled, err := conflict.Compile(p, "warehouse")
	if err != nil {
		panic(err)
	}
	rule := apply.Rule{ID: from.name, Entity: "customer", Object: disputed, Create: true, Schema: syncline.SchemaEvolve, Conflicts: compiled,
		Bind: func(s *syncline.Schema) (*apply.Binding, error) { return &apply.Binding{Out: s}, nil }}
	return &driver{from: from, placed: store.Sync, options: apply.Options{ID: from.name, Source: from.name, Rules: []apply.Rule{rule}, Signature: "1", State: from.state,
		Now: func() time.Time { return from.now }, Limits: apply.Limits{MaxRows: 1 + from.rnd.IntN(12), MaxWait: time.Duration(from.rnd.IntN(3)) * time.Second, Window: 1 << 14},
		Retry: apply.Retry{Max: 1000, MaxDelay: time.Minute},
		RequestRun: func(ctx context.Context, run syncline.Run) error {
			return from.capture.RequestRun(ctx, run)
		},
		Open: func(context.Context) (syncline.Target, error) { return open() }}}
}

func (d *dispute) policy() conflict.Policy {
	p := conflict.Policy{Detect: []conflict.Detector{conflict.Data}}
	switch d.manner {
	case oursStand:
		p.Strategy, p.Sources = conflict.SourcePriority, []string{"crm", "warehouse"}
	case theirsStand:
		p.Strategy, p.Sources = conflict.SourcePriority, []string{"warehouse", "crm"}
	case theirsLater, theirsEarlier, aboutTheSame:
		p.Strategy, p.TimeField = conflict.LastWriteWins, "at"
	case byField:
		p.Strategy = conflict.Merge
		p.Fields = map[string]conflict.Field{"name": {Policy: conflict.FieldTheirs}, "tier": {Policy: conflict.FieldOurs}, "tags": {Policy: conflict.FieldUnion},
			"note": {Policy: conflict.FieldPriority, Sources: []string{"warehouse"}}, "stock": {Policy: conflict.FieldOurs}}
		if d.txn {
			p.Fields["stock"] = conflict.Field{Policy: conflict.FieldSum}
		}
	case byPerson:
		p.Strategy = conflict.Manual
	case byVersion:
		p.Detect, p.VersionField = []conflict.Detector{conflict.Version}, "rev"
		p.Strategy, p.Sources = conflict.SourcePriority, []string{"crm", "warehouse"}
	}
	return p
}

// meddled is the route's connection to the target: others write there while it does.
type meddled struct {
	*memtarget.Target
	d *dispute
}

func (m *meddled) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	with := *w
	with.Commit = func(ctx context.Context, res syncline.Result) error {
		if err := w.Commit(ctx, res); err != nil {
			return err
		}
		if !m.d.calm && m.d.rnd.IntN(12) == 0 { // what the journal tells of has not happened
			return syncline.Errorf(syncline.Transient, "cut_off", "the target is gone")
		}
		return m.d.perhaps()
	}
	if err := m.d.perhaps(); err != nil {
		return syncline.Result{}, err
	}
	if m.d.fault != 0 {
		m.d.store.Fail(m.d.fault)
		m.d.fault = 0
	}
	return m.Target.Apply(ctx, &with)
}

// perhaps has somebody else write now and then.
func (d *dispute) perhaps() error {
	if d.calm || d.rnd.IntN(8) > 0 {
		return nil
	}
	return d.meddle()
}

// others is the connection of whoever else writes. How many writes of theirs the target has is in a cursor, which goes with them.
func (d *dispute) others() (*memtarget.Target, syncline.Cursor, error) {
	t := d.store.Open(memtarget.Options{Route: "others"})
	at, _, found, err := t.Own(d.ctx, 0)
	if err == nil && !found {
		at = syncline.Cursor{Log: "others", Epoch: 1}
		err = t.Place(d.ctx, at, "others")
	}
	return t, at, err
}

// meddle has somebody else write one record, in one step.
func (d *dispute) meddle() error {
	t, at, err := d.others()
	if err != nil {
		return err
	}
	id, deletes := int64(d.rnd.IntN(disputedKeys)), d.deletes && d.rnd.IntN(8) == 0
	var facts []fact
	at.Seq++
	key := make([]syncline.Value, len(disputedSchema.Columns))
	key[0] = syncline.Int(id)
	w := &syncline.Write{Cursor: at, Commit: func(context.Context, syncline.Result) error { return nil },
		Changes: []syncline.Change{{Op: syncline.ChangePut, Object: disputed, Row: syncline.Row{Schema: disputedSchema, Values: key}}},
		Decide: func(_ int, held syncline.Held) (syncline.Decision, error) {
			facts = nil
			out := syncline.Decision{Shadow: held.Shadow, Outcome: syncline.OutcomeKept}
			switch {
			case held.Values == nil:
			case deletes:
				out.Op, facts = syncline.ChangeDelete, []fact{{write: int(at.Seq), id: id}}
			default:
				out.Op, out.Values = syncline.ChangePut, append([]syncline.Value(nil), held.Values...)
				facts = d.invent(int(at.Seq), id, out.Values)
			}
			return out, nil
		}}
	if _, err := t.Apply(d.ctx, w); syncline.CodeOf(err) == "object_missing" || syncline.CodeOf(err) == "refused" {
		return nil
	} else if err != nil {
		return err
	}
	d.facts = append(d.facts, facts...)
	for _, f := range facts {
		d.note("somebody writes %s of %d: %s over %s", disputedSchema.Columns[f.column].Name, f.id, f.value, f.over)
	}
	return nil
}

// invent changes some fields of the record.
func (d *dispute) invent(write int, id int64, values []syncline.Value) (facts []fact) {
	set := func(column int, v syncline.Value) {
		facts = append(facts, fact{write, id, column, v, values[column]})
		values[column] = v
	}
	for range 1 + d.rnd.IntN(2) {
		switch column := 1 + d.rnd.IntN(5); {
		case len(facts) > 0 && facts[0].column == column:
		case column == stockColumn:
			n, _ := values[column].AsInt()
			set(column, syncline.Int(n+int64(d.rnd.IntN(9)+1)*1_000_000))
		case column == tagsColumn:
			set(column, syncline.Text(values[column].Text()+fmt.Sprintf(", t%d", write)))
		default:
			set(column, syncline.Text(fmt.Sprintf("theirs %d", write)))
		}
	}
	switch d.manner {
	case theirsLater:
		set(timeColumn, syncline.TimestampTZ(d.now.Add(10_000*time.Hour)))
	case theirsEarlier:
		set(timeColumn, syncline.TimestampTZ(d.now.Add(-10_000*time.Hour)))
	case aboutTheSame:
		set(timeColumn, syncline.TimestampTZ(d.now.Add(time.Duration(d.rnd.IntN(7200)-3600)*time.Second)))
	case byVersion:
		n, _ := values[revColumn].AsInt()
		set(revColumn, syncline.Int(n/10*10+int64(d.rnd.IntN(4))*10+5)) // sources count by ten
	}
	return facts
}

func (d *dispute) act() error {
	switch n := d.rnd.IntN(20); {
	case n < 3:
		d.note("visible %d", d.system.Advance(1+d.rnd.IntN(3)))
	case n < 7:
		return d.capturing(1 + d.rnd.IntN(4))
	case n < 14:
		return d.step()
	case n < 16:
		return d.meddle()
	case n == 16:
		d.crash()
	case n == 17:
		return d.trouble()
	case n == 18:
		return d.decide()
	default:
		d.now = d.now.Add(time.Duration(d.rnd.IntN(600)) * time.Second)
	}
	return nil
}

func (d *dispute) step() error {
	err := d.writer.take()
	if err == nil {
		err = d.writer.apply()
	}
	if err != nil {
		d.writer.close()
	}
	return err
}

func (d *dispute) crash() {
	d.crashed()
	d.writer.close()
	d.logs.Crash()
	d.open()
}

func (d *dispute) trouble() error {
	switch d.rnd.IntN(5) {
	case 0:
		d.log.FailNext(memlog.Fault(1 + d.rnd.IntN(4)))
		d.note("the log will fail")
	case 1:
		d.fault = memtarget.Fault(1 + d.rnd.IntN(3))
		d.note("the target will fail")
	case 2:
		k := syncline.Key(fmt.Sprint(d.rnd.IntN(disputedKeys)))
		d.refuse(k, !d.refused[k])
	case 3:
		return d.restore(1 + d.rnd.IntN(6))
	case 4:
		d.ailing = true
		d.note("the source will fail")
	}
	return nil
}

// restore takes the target's last writes back, whoever made them.
func (d *dispute) restore(n int) error {
	n = d.store.LoseTail(n)
	d.note("the target lost %d steps", n)
	clear(d.revs)
	d.writer.close()
	_, at, err := d.others()
	if err != nil {
		return err
	}
	for len(d.facts) > 0 && d.facts[len(d.facts)-1].write > int(at.Seq) {
		d.facts = d.facts[:len(d.facts)-1]
	}
	return nil
}

func (d *dispute) heal() error {
	d.system.Advance(1 << 30)
	for id := range disputedKeys {
		d.refuse(syncline.Key(fmt.Sprint(id)), false)
	}
	d.calm, d.ailing, d.fault = true, false, 0
	d.log.FailNext()
	d.crash()
	if err := d.settle(); err != nil {
		return err
	}
	if err := d.restore(d.rnd.IntN(16)); err != nil {
		return err
	}
	if err := d.settle(); err != nil {
		return err
	}
	return d.checkEnd()
}

// settle lets everything come to rest.
func (d *dispute) settle() error {
	return d.rest(20_000, func() error {
		for _, do := range []func() error{func() error { return d.capturing(4) }, d.step, d.decide} {
			if err := d.survive(do()); err != nil {
				return err
			}
		}
		return nil
	})
}

// tagsOf are the words of a list.
func tagsOf(v syncline.Value) map[string]bool {
	all := make(map[string]bool)
	for _, w := range strings.Split(v.Text(), ",") {
		if w = strings.TrimSpace(w); w != "" {
			all[w] = true
		}
	}
	return all
}
