package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/conflict"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// rivals is a world in which two sources write the records of one object, each what it knows, with clocks that do not agree. What comes of
// it is not to depend on which is heard first, on what is heard together, or on what fails meanwhile.
type rivals struct {
	*run
	intakes [2]*intake
	authors [2]*author
	writers [2]*driver
	store   *memtarget.Store
	policy  conflict.Policy
	txn     bool
	// steady: the target refuses nothing.
	steady  bool
	refused map[syncline.Key]bool
	// waited: events had to wait for more than their turn.
	waited bool
	fault  memtarget.Fault // of the next write
}

// names are those of the sources.
var names = [2]string{"crm", "erp"}

// Rivals makes one run with two sources.
func Rivals(ctx context.Context, o Options) (Result, error) {
	if o.Txns == 0 {
		o.Txns = 25
	}
	return start(ctx, o, func(r *run) error {
		w := &rivals{run: r, txn: r.rnd.IntN(2) == 0, steady: r.rnd.IntN(2) == 0, store: memtarget.NewStore(), refused: make(map[syncline.Key]bool)}
		w.policy = [...]conflict.Policy{
			{Strategy: conflict.LastWriteWins},
			{Strategy: conflict.SourcePriority, Sources: []string{"erp", "crm"}},
			{Strategy: conflict.Merge, Sources: []string{"erp"}, Fields: map[string]conflict.Field{"name": {Policy: conflict.FieldPriority}, "tier": {Policy: conflict.FieldNewest},
				"note": {Policy: conflict.FieldPriority, Sources: []string{"crm"}}, "stock": {Policy: conflict.FieldNewest}, "tags": {Policy: conflict.FieldPriority},
				"rev": {Policy: conflict.FieldNewest}}},
		}[o.Seed%3]
		w.policy.Detect = []conflict.Detector{conflict.Data}
		for s, name := range names {
			a := newAuthor(r, name, false, r.rnd.IntN(2) == 0)
			a.time, a.common = a.time.Add(time.Duration(r.rnd.IntN(3600))*time.Second), true
			in := &intake{run: r, name: name, system: memsource.NewSystem(name + "-system"), prepare: func() error { return w.writers[s].prepare() }}
			w.write(o.Txns, func() { in.system.Append(a.next()) })
			w.authors[s], w.intakes[s], w.waited = a, in, w.waited || a.partial && !w.txn // what was not sent has to be read
			w.writers[s] = writer(in, w.store, w.policy, func() (syncline.Target, error) {
				return &contested{w.store.Open(memtarget.Options{Route: name, NoTransactions: !w.txn}), w}, nil
			})
			w.writers[s].options.Start = apply.StartEarliest
		}
		return w.live(o.Txns * 12)
	})
}

// contested is a route's connection to the target.
type contested struct {
	*memtarget.Target
	w *rivals
}

func (c *contested) Apply(ctx context.Context, write *syncline.Write) (syncline.Result, error) {
	if c.w.fault != 0 {
		c.w.store.Fail(c.w.fault)
		c.w.fault = 0
	}
	return c.Target.Apply(ctx, write)
}

func (w *rivals) live(steps int) error {
	w.open()
	for _, in := range w.intakes {
		for in.capture.Status().Seq == 0 { // what is there before is for a copy, and nobody asks for one
			if err := in.capturing(1); err != nil {
				return err
			}
		}
	}
	if err := w.play(steps, func() error { return w.survive(w.act()) }, func() error { return nil }); err != nil {
		return err
	}
	return w.heal()
}

func (w *rivals) open() {
	for _, in := range w.intakes {
		in.open()
	}
}

func (w *rivals) act() error {
	s := w.rnd.IntN(2)
	switch n := w.rnd.IntN(20); {
	case n < 3:
		w.note("visible %d of %s", w.intakes[s].system.Advance(1+w.rnd.IntN(3)), names[s])
	case n < 8:
		return w.intakes[s].capturing(1 + w.rnd.IntN(4))
	case n < 16:
		return w.step(s)
	case n == 16:
		w.crash()
	case n < 19:
		w.trouble(s)
	default:
		w.now = w.now.Add(time.Duration(w.rnd.IntN(600)) * time.Second)
	}
	return nil
}

func (w *rivals) step(s int) error {
	d := w.writers[s]
	err := d.take()
	if err == nil {
		err = d.apply()
	}
	if err != nil {
		d.close()
	}
	return err
}

func (w *rivals) crash() {
	w.crashed()
	w.close()
	w.logs.Crash()
	w.open()
}

func (w *rivals) close() {
	for _, d := range w.writers {
		d.close()
	}
}

func (w *rivals) trouble(s int) {
	switch n := w.rnd.IntN(5); {
	case n == 0:
		w.intakes[s].log.FailNext(memlog.Fault(1 + w.rnd.IntN(4)))
		w.note("the log of %s will fail", names[s])
	case n == 1:
		w.fault = memtarget.Fault(1 + w.rnd.IntN(3))
		w.note("the target will fail")
	case n == 2 && !w.steady:
		k := syncline.Key(fmt.Sprint(w.rnd.IntN(disputedKeys)))
		if w.refused[k] = !w.refused[k]; w.refused[k] {
			w.store.Refuse(disputed, k)
		} else {
			w.store.Accept(disputed, k)
		}
		w.waited = true
		w.note("record %s is refused: %t", k, w.refused[k])
	case n == 3:
		w.note("the target lost %d steps", w.store.LoseTail(1+w.rnd.IntN(6)))
		w.close()
	case n == 4:
		w.intakes[s].ailing = true
		w.note("%s will fail", names[s])
	}
}

func (w *rivals) heal() error {
	for k := range w.refused {
		w.store.Accept(disputed, k)
	}
	w.fault = 0
	for _, in := range w.intakes {
		in.system.Advance(1 << 30)
		in.log.FailNext()
		in.ailing = false
	}
	w.crash()
	if err := w.settle(); err != nil {
		return err
	}
	w.note("the target lost %d steps", w.store.LoseTail(w.rnd.IntN(16)))
	w.close()
	if err := w.settle(); err != nil {
		return err
	}
	return w.checkEnd()
}

// settle lets everything come to rest.
func (w *rivals) settle() error {
	return w.rest(20_000, func() error {
		for s := range w.intakes {
			if err := w.survive(w.intakes[s].capturing(4)); err != nil {
				return err
			}
			if err := w.survive(w.step(s)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *rivals) checkEnd() error {
	for _, d := range w.writers {
		if err := checkCounts(d); err != nil {
			return err
		}
	}
	list, _, err := w.state.Conflicts(w.ctx, state.ConflictFilter{Limit: 1000})
	if err != nil {
		return err
	}
	w.result.Did["conflict"] = len(list)
	held, err := contents(w.run, w.store)
	if err != nil {
		return err
	}
	for id := range int64(disputedKeys) {
		var said []*author
		for _, a := range w.authors {
			if a.said[id] != nil {
				said = append(said, a)
			}
		}
		if (held[id] == nil) != (len(said) == 0) {
			return fmt.Errorf("record %d of %d sources is %v", id, len(said), held[id])
		}
		for column := 1; column < len(held[id]); column++ {
			want, byTime := w.winner(said, id, column)
			if w.waited && byTime && slices.ContainsFunc(said, func(a *author) bool { return syncline.Equal(held[id][column], a.last(id, column).value) }) {
				continue // events that have waited together count as one, which happened with the last of them
			}
			if !syncline.Equal(held[id][column], want.value) {
				return fmt.Errorf("G13: with %s, %s of record %d is %s, and should be %s of %s\n%s", w.policy.Strategy, disputedSchema.Columns[column].Name, id,
					held[id][column], want.value, want.time.Format(time.TimeOnly), w.account(said, id, column))
			}
		}
	}
	return nil
}

// winner is what the policy makes of the last that each source has said of a field; byTime says whether that is the later one.
func (w *rivals) winner(said []*author, id int64, column int) (best saying, byTime bool) {
	best = said[0].last(id, column)
	if len(said) == 1 {
		return best, false
	}
	erp := said[1].last(id, column)
	policy := w.policy.Fields[disputedSchema.Columns[column].Name]
	switch {
	case w.policy.Strategy == conflict.SourcePriority, policy.Policy == conflict.FieldPriority && policy.Sources == nil:
		return erp, false
	case policy.Policy == conflict.FieldPriority:
		return best, false
	case best.time.After(erp.time):
		return best, true
	}
	return erp, true // of one moment the name decides
}

// account is what the sources have said of a field.
func (w *rivals) account(said []*author, id int64, column int) string {
	var lines []string
	for _, a := range said {
		line := a.name + ":"
		for _, s := range a.said[id][column] {
			line += fmt.Sprintf(" %s %s,", s.time.Format(time.TimeOnly), s.value)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
