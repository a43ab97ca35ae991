package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/expression"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// route is one route of the world, its target, and what is known to be true of it.
type route struct {
	driver
	w        *world
	id       string
	entity   string
	object   string
	keep     func(syncline.Row) bool // which source rows the rule wants
	policy   syncline.SchemaPolicy
	halted   *syncline.Cursor // the event whose schema stopped the route
	events   bool
	txn      bool
	keeps    bool // what is deleted or has left stays, with a note of it
	asks     bool // records are made by a step that asks outside, which fails or has no answer at times
	calm     bool // it does so no more
	splits   bool // several records are made of each
	bornAt   int  // steps before the route exists
	store    *memtarget.Store
	recorder *memtarget.Recorder
	sent     int // events of the recorder that were checked
	versions map[string]int64
	refused  map[syncline.Key]bool
}

// addRoutes makes the routes of the run: mirrors and a filter on state targets with and without transactions, a keyless one, one
// that is born late, and a recorder of events.
func (w *world) addRoutes() {
	onlyTiers := func(r syncline.Row) bool { return r.Values[2].Text() != "test" }
	w.add(&route{id: "mirror", entity: "customer", txn: true, policy: syncline.SchemaEvolve})
	w.add(&route{id: "kv", entity: "customer", policy: syncline.SchemaEvolve})
	w.add(&route{id: "filter", entity: "customer", txn: true, keep: onlyTiers})
	w.add(&route{id: "strict", entity: "customer", txn: true, policy: syncline.SchemaHalt})
	w.add(&route{id: "audit", entity: "audit", txn: true})
	w.add(&route{id: "late", entity: "customer", policy: syncline.SchemaEvolve, txn: w.rnd.IntN(2) == 0, bornAt: 20 + w.rnd.IntN(100)})
	w.add(&route{id: "keeper", entity: "customer", txn: true, keep: onlyTiers, keeps: true, policy: syncline.SchemaEvolve})
	w.add(&route{id: "hook", entity: "customer", events: true})
	asked := &route{id: "asked", entity: "customer", asks: true, txn: w.rnd.IntN(2) == 0, policy: syncline.SchemaEvolve}
	if w.rnd.IntN(2) == 0 {
		asked.events, asked.policy = true, syncline.SchemaIgnore
	}
	w.add(asked)
	split := &route{id: "split", entity: "customer", splits: true, txn: true, policy: syncline.SchemaEvolve}
	switch w.rnd.IntN(3) {
	case 0:
		split.events, split.policy = true, syncline.SchemaIgnore
	case 1:
		split.keep = onlyTiers
	}
	w.add(split)
}

func (w *world) add(r *route) {
	r.w, r.object = w, r.id
	r.driver = driver{from: w.intake, placed: func() {
		r.store.Sync() // a target that loses the cursor itself halts the route, which is not what is looked for here
	}}
	r.versions = make(map[string]int64)
	r.refused = make(map[syncline.Key]bool)
	r.store, r.recorder = memtarget.NewStore(), memtarget.NewRecorder()
	rule := apply.Rule{ID: r.id, Entity: r.entity, Object: r.object, Create: true, Schema: r.policy, Bind: r.bind, Outside: r.asks}
	if r.keeps {
		rule.Deleted, rule.Left = apply.ActionSoft, apply.ActionSoft
		rule.Marks = &apply.Marks{Columns: notes, Deleted: noting(0), Left: noting(1)}
	}
	unnamed := w.rnd.IntN(3) == 0
	rows := 1 + w.rnd.IntN(12)
	if w.rnd.IntN(3) == 0 {
		rows = 100
	}
	start := apply.StartFull
	if r.events {
		start = apply.StartEarliest
	}
	r.options = apply.Options{ID: r.id, Source: "crm", Rules: []apply.Rule{rule}, Start: start, Signature: "1", State: w.state,
		SnapshotCovers: true, Priorities: true, Now: func() time.Time { return w.now }, Limits: apply.Limits{MaxRows: rows, MaxWait: time.Duration(w.rnd.IntN(3)) * time.Second, Window: 1 << 14},
		Retry: apply.Retry{Max: 1000, MaxDelay: time.Minute},
		RequestRun: func(ctx context.Context, run syncline.Run) error {
			return w.capture.RequestRun(ctx, run)
		},
		Open: func(context.Context) (syncline.Target, error) {
			if r.events {
				return r.recorder, nil
			}
			return r.store.Open(memtarget.Options{Route: r.id, NoTransactions: !r.txn, Unnamed: unnamed}), nil
		}}
	w.routes = append(w.routes, r)
}

// notes are the columns in which a route that keeps records says what became of them.
var notes = []syncline.Column{
	{Name: "deleted", Kind: syncline.KindBool, Nullable: true, Mark: &syncline.Mark{Live: syncline.Bool(false), Gone: []syncline.Value{syncline.Bool(true)}}},
	{Name: "left", Kind: syncline.KindBool, Nullable: true, Mark: &syncline.Mark{Live: syncline.Bool(false), Gone: []syncline.Value{syncline.Bool(true)}}},
}

func noting(column int) *apply.Note {
	return &apply.Note{Column: column, Value: func(*syncline.Batch, int) (syncline.Value, error) { return syncline.Bool(true), nil }}
}

func (r *route) bind(s *syncline.Schema) (*apply.Binding, error) {
	b := &apply.Binding{Out: s}
	if r.keep != nil {
		b.Match = func(b *syncline.Batch, i int) (bool, error) {
			row := b.Events[i].Row()
			if row.Values[2].IsUnset() {
				return false, &expression.UnsetError{Column: "tier"}
			}
			return r.keep(row), nil
		}
	}
	if r.splits {
		r.divided(b, s)
	}
	if r.asks {
		b.Row = func(*syncline.Batch, int) ([]syncline.Value, bool, error) { panic("the record was asked for") }
		b.Prepare = r.prepareRows
	}
	return b, nil
}

// prepareRows answers what the steps of a rule make of the events: the records as they are, or now and then that there is no answer
// for one of them or for any.
func (r *route) prepareRows(_ context.Context, places []apply.Place) ([]apply.Made, error) {
	if !r.calm && r.w.rnd.IntN(10) == 0 {
		return nil, syncline.Errorf(syncline.Transient, "no_answer", "nobody answers")
	}
	made := make([]apply.Made, len(places))
	for i, p := range places {
		made[i] = apply.Made{Values: p.Batch.Events[p.Index].After, Keep: true}
		if !r.calm && r.w.rnd.IntN(10) == 0 {
			made[i] = apply.Made{Err: syncline.Errorf(syncline.Transient, "not_there", "it is not there yet")}
		}
	}
	return made, nil
}

func (r *route) born() bool { return r.w.result.Steps >= r.bornAt }

func (r *route) prepare() error {
	if !r.born() {
		return nil
	}
	return r.driver.prepare()
}

// step reads an entry or two and applies what there is.
func (r *route) step() error {
	if !r.born() {
		return nil
	}
	if err := r.take(); err != nil {
		return err
	}
	if err := r.apply(); err != nil {
		at := r.session.Cursor()
		r.close()
		if r.policy == syncline.SchemaHalt && syncline.CodeOf(err) == "schema_changed" {
			return r.halt(at)
		}
		return err
	}
	if r.halted != nil && r.halted.Before(r.session.Cursor()) {
		return broken("G14: %s goes on where a changed schema had stopped it, at %d.%d", r.id, r.halted.Seq, r.halted.Index)
	}
	return nil
}

// halt takes note of the event whose schema stopped the route: the first that has another one, and the same each time.
func (r *route) halt(at syncline.Cursor) error {
	place, err := r.w.changeAfter(at, r.id)
	if err != nil {
		return err
	}
	if r.halted == nil {
		r.halted = place
		r.w.note("%s halts at %d.%d", r.id, place.Seq, place.Index)
	}
	if *r.halted != *place {
		return broken("G14: %s halts at %d.%d, and halted at %d.%d before", r.id, place.Seq, place.Index,
			r.halted.Seq, r.halted.Index)
	}
	return nil
}

func (r *route) fail(f memtarget.Fault) {
	if r.events {
		r.recorder.Fail(f)
		return
	}
	r.store.Fail(f)
}

func (r *route) refuse(k syncline.Key) {
	r.w.note("%s refuses %s", r.id, k)
	if r.splits {
		k += syncline.Key("," + tags[r.w.rnd.IntN(len(tags))])
	}
	r.refused[k] = true
	if r.events {
		r.recorder.Refuse(r.object, k)
		return
	}
	r.store.Refuse(r.object, k)
}

// stubs lists the tasks that failed because their record was too large for the log.
func (r *route) stubs() ([]state.Exception, error) {
	if r.session == nil {
		return nil, nil
	}
	list, _, err := r.w.state.Exceptions(r.w.ctx, state.Filter{Status: state.StatusFailed, Rule: r.id, Code: "row_too_large"})
	return list, err
}

// retry is an operator who tries one of them again.
func (r *route) retry() error {
	list, err := r.stubs()
	if err != nil || len(list) == 0 {
		return err
	}
	x := list[r.w.rnd.IntN(len(list))]
	r.w.note("retry of %s", x.Task)
	if err := r.session.Retry(x); syncline.CodeOf(err) != "row_too_large" || !r.events {
		return err
	}
	return nil
}

// giveUp is an operator who gives up what can never be sent.
func (r *route) giveUp() error {
	if !r.events || !r.w.history.huge {
		return nil
	}
	list, err := r.stubs()
	for i := range list {
		if err == nil {
			r.w.note("cancel %s", list[i].Task)
			err = r.session.Cancel(r.w.ctx, list[i], "too large")
		}
	}
	return err
}

// loseTail takes the target's last writes back, as a failover does, and the connection with them.
func (r *route) loseTail(n int) {
	if r.events {
		return
	}
	if lost := r.store.LoseTail(n); lost > 0 {
		r.w.note("%s lost %d of %d writes", r.id, n, lost)
		clear(r.versions)
	}
	r.close()
}

// heal ends all refusals and faults.
func (r *route) heal() {
	for k := range r.refused {
		if r.events {
			r.recorder.Accept(r.object, k)
		} else {
			r.store.Accept(r.object, k)
		}
	}
	r.recorder.Fail()
	r.store.Fail()
	r.calm = true
}

// rows returns the target's records, but for those that are only kept.
func (r *route) rows() (map[string]string, error) {
	out := make(map[string]string)
	err := r.scan(func(row syncline.Row, kept bool) error {
		if !kept {
			out[r.name(row)] = printed(row.Values)
		}
		return nil
	})
	return out, err
}

// scan calls each for every record of the target, in the terms of the source, and tells whether it is only kept.
func (r *route) scan(each func(row syncline.Row, kept bool) error) error {
	s := r.schema()
	own := len(s.Columns)
	if r.keeps {
		with := *s
		with.Columns = slices.Concat(s.Columns, notes)
		s = &with
	}
	return r.store.Open(memtarget.Options{Route: "reader"}).Scan(r.w.ctx, r.object, s, func(row syncline.Row) error {
		kept := slices.ContainsFunc(row.Values[own:], func(v syncline.Value) bool { return syncline.Equal(v, syncline.Bool(true)) })
		return each(syncline.Row{Schema: r.schema(), Values: row.Values[:own]}, kept)
	})
}

func (r *route) schema() *syncline.Schema {
	if r.entity == "audit" {
		return auditSchema
	}
	s := customerSchema
	if r.policy == syncline.SchemaEvolve {
		s = r.w.history.customer
	}
	if r.splits {
		return children(s)
	}
	return s
}

// name is the row's key; for a keyless one its content, which does not repeat.
func (r *route) name(row syncline.Row) string {
	if k, ok := row.Key(); ok {
		return string(k)
	}
	return fmt.Sprint(row.Values)
}
