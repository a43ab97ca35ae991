package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/expression"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// operators is a world in which people intervene: what waits is retried, edited and given up, routes are paused, records are read again, and an
// owner that was taken for dead wakes up. Some routes are groups of several rules.
type operators struct {
	*run
	*intake
	authors [2]*author
	routes  []*served
	// syncs: people have records read again, which mends what else would be lost.
	syncs bool
	// whole has the runs that somebody asked for. Those that begin by emptying an object must not be given up.
	whole map[string]bool
	// asleep is a capture whose process is taken for dead.
	asleep *intake
}

// served is one route of that world, with its target.
type served struct {
	driver
	w        *operators
	rules    []servedRule
	store    *memtarget.Store
	recorder *memtarget.Recorder // of a route that sends events
	txn      bool
	bornAt   int // the step from which on there is the route
	refused  map[refusal]bool
	paused   bool
	// before is what the target held when the route was paused.
	before string
	asleep []sleeper
	revs   map[string]int64
	// touched are the tasks that a person has edited or given up, by rule and key, and given that of those given up the number of deliveries
	// before.
	touched map[string][]touch
	sent    int
	first   map[string]int // of the deliveries, by event
	given   map[string]int
}

// servedRule is a rule of a route.
type servedRule struct {
	id, entity, object string
	keep               func([]syncline.Value) bool // nil = every record
}

type refusal struct {
	object string
	key    syncline.Key
}

// touch is a task that a person has changed.
type touch struct {
	seq   syncline.Seq
	index int
}

// sleeper is a session whose process is taken for dead, and the number of sessions that there had been then.
type sleeper struct {
	session *apply.Session
	reader  *memlog.Reader
	begins  int
}

var orderSchema = &syncline.Schema{Entity: "order", Table: "order", Key: []int{0}, Version: -1, Columns: disputedSchema.Columns}

// hasty makes some customers urgent.
var hasty = capture.Derivation{Priority: must(expression.Compile(`after.rev % 50 == 0 ? "critical" : nil`))}

// thirds keeps the versions that three does not divide.
func thirds(row []syncline.Value) bool {
	n, err := row[revColumn].AsInt()
	return err == nil && n/10%3 > 0
}

// Operators makes one run with people who intervene.
func Operators(ctx context.Context, o Options) (Result, error) {
	if o.Txns == 0 {
		o.Txns = 40
	}
	return start(ctx, o, func(r *run) error {
		w := &operators{run: r, syncs: o.Seed%3 == 0, whole: make(map[string]bool)}
		w.intake = &intake{run: r, name: "crm", system: memsource.NewSystem("crm-system"), snapshot: []string{"customer", "order"}, prepare: w.prepare, derive: hasty, rivals: true}
		partial := r.rnd.IntN(3) > 0
		for i, schema := range []*syncline.Schema{disputedSchema, orderSchema} {
			w.authors[i] = newAuthor(r, schema.Entity, true, partial)
			w.authors[i].schema = schema
		}
		w.write(o.Txns, func() {
			t := w.authors[0].next()
			if w.rnd.IntN(2) == 0 {
				t.Changes = append(t.Changes, w.authors[1].next().Changes...)
			}
			w.system.Append(t)
		})
		w.system.Advance(r.rnd.IntN(o.Txns / 2))
		w.add("group", false, servedRule{"dim", "customer", "dim", nil}, servedRule{"some", "customer", "some", thirds}, servedRule{"orders", "order", "orders", nil})
		w.add("alone", false, servedRule{"alone", "customer", "alone", nil})
		w.add("hook", true, servedRule{"told", "customer", "told", nil}, servedRule{"ordered", "order", "ordered", nil})
		w.add("late", false, servedRule{"later", "customer", "later", nil}, servedRule{"latest", "order", "latest", nil})
		w.routes[len(w.routes)-1].bornAt = o.Txns + r.rnd.IntN(o.Txns*4)
		w.open()
		if err := w.play(o.Txns*8, func() error { return w.survive(w.act()) }, w.checkAlways); err != nil {
			return err
		}
		return w.heal()
	})
}

func (w *operators) add(id string, events bool, rules ...servedRule) {
	s := &served{w: w, rules: rules, txn: w.rnd.IntN(2) == 0, refused: make(map[refusal]bool), revs: make(map[string]int64), touched: make(map[string][]touch),
		first: make(map[string]int), given: make(map[string]int), store: memtarget.NewStore()}
	o := apply.Options{ID: id, Source: w.name, Start: apply.StartFull, SnapshotCovers: true, Signature: "1", State: w.state, Now: func() time.Time { return w.now },
		Priorities: w.rnd.IntN(2) == 0, Retry: apply.Retry{Max: 1 + w.rnd.IntN(3), MaxDelay: time.Minute},
		Limits:     apply.Limits{MaxRows: 1 + w.rnd.IntN(12), MaxWait: time.Duration(w.rnd.IntN(3)) * time.Second, Window: 1 << 14},
		RequestRun: func(ctx context.Context, run syncline.Run) error { return w.capture.RequestRun(ctx, run) },
		Open: func(context.Context) (syncline.Target, error) {
			if events {
				return s.recorder, nil
			}
			return s.store.Open(memtarget.Options{Route: id, NoTransactions: !s.txn}), nil
		}}
	if events {
		s.recorder, o.Start = memtarget.NewRecorder(), apply.StartEarliest
	}
	for _, r := range rules {
		o.Rules = append(o.Rules, apply.Rule{ID: r.id, Entity: r.entity, Object: r.object, Create: true, Schema: syncline.SchemaEvolve,
			Bind: func(s *syncline.Schema) (*apply.Binding, error) {
				b := &apply.Binding{Out: s}
				if r.keep != nil {
					b.Match = func(b *syncline.Batch, i int) (bool, error) { return r.keep(b.Events[i].Row().Values), nil }
				}
				return b, nil
			}})
	}
	s.driver = driver{from: w.intake, placed: s.store.Sync, options: o}
	w.routes = append(w.routes, s)
}

func (w *operators) prepare() error {
	for _, s := range w.routes {
		if !s.born() {
			continue
		}
		if err := s.driver.prepare(); err != nil {
			return err
		}
	}
	return nil
}

func (s *served) born() bool { return s.w.step >= s.bornAt }

func (w *operators) act() error {
	s := w.routes[w.rnd.IntN(len(w.routes))]
	if !s.born() {
		s = w.routes[0]
	}
	switch n := w.rnd.IntN(26); {
	case n < 4:
		w.note("visible %d", w.system.Advance(1+w.rnd.IntN(3)))
	case n < 8:
		return w.captures(1 + w.rnd.IntN(4))
	case n < 15:
		return s.step()
	case n == 15:
		w.crash()
	case n < 18:
		w.trouble(s)
	case n < 21:
		return s.command()
	case n == 21 && w.rnd.IntN(2) == 0:
		return w.replace()
	case n == 21 && w.syncs:
		return w.sync(s)
	case n < 25:
		return s.doze()
	default:
		w.now = w.now.Add(time.Duration(w.rnd.IntN(600)) * time.Second)
	}
	return nil
}

// captures has the source captured. Where another process has written to the log, this one begins anew.
func (w *operators) captures(n int) error {
	err := w.capturing(n)
	if syncline.CodeOf(err) == "log_fenced" {
		w.note("another process has written to the log")
		w.did("fenced")
		w.open()
		return nil
	}
	return err
}

// replace has the process that captures fall asleep, so that another one takes over, or wakes one that did. Whoever appends first behind what
// both know goes on; the other one must not append.
func (w *operators) replace() error {
	if w.asleep == nil {
		w.note("capture falls asleep")
		old := *w.intake
		w.asleep = &old
		w.open()
		return nil
	}
	err := w.asleep.moves(1 + w.rnd.IntN(6))
	w.note("capture wakes up: %s", syncline.CodeOf(err))
	if err != nil {
		w.asleep = nil
	}
	if syncline.CodeOf(err) == "log_fenced" {
		w.did("fenced")
		return nil
	}
	return err
}

func (s *served) step() error {
	if s.paused {
		return nil
	}
	err := s.take()
	if err == nil {
		err = s.apply()
	}
	if err != nil {
		s.close()
	}
	return err
}

func (w *operators) crash() {
	w.crashed()
	for _, s := range w.routes {
		s.close()
		s.asleep = nil // they were of that process
	}
	w.asleep = nil
	w.logs.Crash()
	w.open()
}

func (w *operators) trouble(s *served) {
	switch w.rnd.IntN(7) {
	case 0:
		w.log.FailNext(memlog.Fault(1 + w.rnd.IntN(4)))
		w.note("the log will fail")
	case 1:
		f := memtarget.Fault(1 + w.rnd.IntN(3))
		w.note("%s will fail", s.options.ID)
		if s.recorder != nil {
			s.recorder.Fail(f)
		} else {
			s.store.Fail(f)
		}
	case 2:
		s.lose(1 + w.rnd.IntN(6))
	case 3:
		w.ailing = true
		w.note("the source will fail")
	default:
		r := s.rules[w.rnd.IntN(len(s.rules))]
		s.refuse(refusal{r.object, syncline.Key(fmt.Sprint(w.rnd.IntN(disputedKeys)))})
	}
}

// lose takes the target's last n writes back.
func (s *served) lose(n int) {
	if s.recorder != nil || s.paused {
		return
	}
	s.w.note("%s lost %d steps", s.options.ID, s.store.LoseTail(n))
	clear(s.revs)
	s.close()
	s.asleep = nil // no connection outlives that
}

// refuse has the target refuse a record, or take it again.
func (s *served) refuse(r refusal) {
	type refuser interface {
		Refuse(string, syncline.Key)
		Accept(string, syncline.Key)
	}
	var target refuser = s.store
	if s.recorder != nil {
		target = s.recorder
	}
	if s.refused[r] = !s.refused[r]; s.refused[r] {
		target.Refuse(r.object, r.key)
	} else {
		target.Accept(r.object, r.key)
	}
	s.w.note("%s refuses %s: %t", r.object, r.key, s.refused[r])
}

// sync is a person who has records read again, holds that, lets it go on or gives it up.
func (w *operators) sync(s *served) error {
	open, err := w.state.OpenRuns(w.ctx, w.name)
	if err != nil {
		return err
	}
	if open = slices.DeleteFunc(open, func(r state.RunRow) bool { _, ours := w.whole[r.ID]; return !ours }); len(open) > 0 && w.rnd.IntN(2) == 0 {
		r := open[w.rnd.IntN(len(open))]
		st := state.Steering{Held: !r.Held, Cancelled: !w.whole[r.ID] && w.rnd.IntN(3) == 0}
		w.note("run %s is steered: %+v", r.ID, st)
		return w.capture.Steer(w.ctx, r.ID, st)
	}
	rule := s.rules[w.rnd.IntN(len(s.rules))]
	r := syncline.Run{ID: fmt.Sprint("hand-", w.step), Kind: syncline.RunFull, Entity: rule.entity}
	switch w.rnd.IntN(4) {
	case 0:
		r.Kind, r.Keys = syncline.RunKeys, []syncline.Key{syncline.Key(fmt.Sprint(w.rnd.IntN(disputedKeys)))}
	case 1:
		r.Reset, r.Routes = true, []string{s.options.ID}
	case 2:
		r.Routes = []string{s.options.ID}
	}
	w.whole[r.ID] = r.Reset
	w.did("sync")
	w.note("run %s of %s for %v, reset %t", r.ID, r.Entity, r.Routes, r.Reset)
	return w.capture.RequestRun(w.ctx, r)
}

func (w *operators) heal() error {
	w.system.Advance(1 << 30)
	for _, s := range w.routes {
		for _, rule := range s.rules {
			for id := range disputedKeys {
				if r := (refusal{rule.object, syncline.Key(fmt.Sprint(id))}); s.refused[r] {
					s.refuse(r)
				}
			}
		}
		if s.paused {
			if err := s.pause(); err != nil {
				return err
			}
		}
	}
	w.log.FailNext()
	w.ailing = false
	w.crash()
	if err := w.settle(); err != nil {
		return err
	}
	for _, s := range w.routes {
		s.lose(w.rnd.IntN(16))
	}
	if err := w.settle(); err != nil {
		return err
	}
	return w.checkEnd()
}

// settle lets everything come to rest.
func (w *operators) settle() error {
	return w.rest(20_000, func() error {
		if err := w.survive(w.captures(4)); err != nil {
			return err
		}
		open, err := w.state.OpenRuns(w.ctx, w.name)
		if err != nil {
			return err
		}
		for _, r := range open {
			if r.Held {
				w.note("run %s goes on", r.ID)
				if err := w.survive(w.capture.Steer(w.ctx, r.ID, state.Steering{})); err != nil {
					return err
				}
			}
		}
		for _, s := range w.routes {
			if err := w.survive(s.step()); err != nil {
				return err
			}
			if err := s.retryAll(); err != nil {
				return err
			}
		}
		return w.checkAlways()
	})
}
