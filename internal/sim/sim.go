// Package sim drives capture and apply from a seed: a history of a source, a few routes, and a plan of faults, all in one
// goroutine and with a clock of its own. What must hold holds at the end of every run, and while it goes on.
//
// The parts that decide are the real ones. Source, log and targets are in memory and lose, at a crash, what was not synced.
package sim

import (
	"context"
	"fmt"
	"time"

	"syncline"
	"syncline/internal/capture"
	"syncline/internal/expression"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
	"syncline/internal/memtarget"
)

// world is everything that one run of Run consists of.
type world struct {
	*run
	*intake
	history *history
	routes  []*route
}

// derived makes some customers archived ones, and others urgent. Where an update does not send the tier, it stays what it is.
var derived = capture.Derivation{Archived: must(expression.Compile(`after.tier == "silver"`)),
	Priority: must(expression.Compile(`after.ver % 5 == 0 ? "critical" : after.ver % 3 == 0 ? "low" : nil`))}

func must(p *expression.Program, err error) *expression.Program {
	if err != nil {
		panic(err)
	}
	return p
}

// Run makes one run: one history, and routes of many kinds.
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Txns == 0 {
		o.Txns = 60
	}
	return start(ctx, o, func(r *run) error {
		w := &world{run: r, history: newHistory(r.rnd, r.now, o.Seed%4 == 0)}
		w.intake = &intake{run: r, name: "crm", system: memsource.NewSystem("crm-system"), snapshot: []string{"customer", "audit"}, derive: derived,
			prepare: w.prepare}
		w.write(o.Txns, func() { w.system.Append(w.history.next()) })
		w.system.Append(w.history.last())
		w.system.Advance(w.rnd.IntN(o.Txns / 2)) // what the first snapshot finds
		w.addRoutes()
		w.open()
		if err := w.play(o.Txns*6, w.act, w.checkAlways); err != nil {
			return err
		}
		return w.heal()
	})
}

// act lets one thing happen.
func (w *world) act() error {
	switch n := w.rnd.IntN(20); {
	case n < 4:
		w.note("visible %d", w.system.Advance(1+w.rnd.IntN(4)))
	case n < 9:
		return w.survive(w.capturing(1 + w.rnd.IntN(4)))
	case n < 17:
		return w.survive(w.routes[w.rnd.IntN(len(w.routes))].step())
	case n == 17:
		w.crash()
	case n == 18:
		return w.survive(w.trouble())
	default:
		w.now = w.now.Add(time.Duration(w.rnd.IntN(600)) * time.Second)
	}
	return nil
}

// trouble makes something fail later on, or an operator do something.
func (w *world) trouble() error {
	r := w.routes[w.rnd.IntN(len(w.routes))]
	if w.history.huge && w.rnd.IntN(3) == 0 {
		return r.retry()
	}
	switch w.rnd.IntN(5) {
	case 0:
		w.log.FailNext(memlog.Fault(1 + w.rnd.IntN(4)))
		w.note("the log will fail")
	case 1:
		r.fail(memtarget.Fault(1 + w.rnd.IntN(3)))
		w.note("%s will fail", r.id)
	case 2:
		r.refuse(syncline.Key(fmt.Sprint(w.rnd.IntN(keys))))
	case 3:
		r.loseTail(w.rnd.IntN(4))
	case 4:
		w.ailing = true
		w.note("the source will fail")
	}
	return nil
}

// crash kills the process: sessions, capture and handles are gone, and the log's unsynced tail.
func (w *world) crash() {
	w.crashed()
	w.close()
	w.logs.Crash()
	w.open()
}

func (w *world) close() {
	for _, r := range w.routes {
		r.close()
	}
}

// prepare makes every route known: a route is registered before capture appends anything.
func (w *world) prepare() error {
	for _, r := range w.routes {
		if err := r.prepare(); err != nil {
			return err
		}
	}
	return nil
}

// heal ends all trouble and lets everything come to rest.
func (w *world) heal() error {
	if t := w.history.shrink(); len(t.Changes) > 0 {
		w.system.Append(t)
	}
	w.system.Advance(1 << 30)
	for _, r := range w.routes {
		r.heal()
	}
	w.log.FailNext()
	w.ailing = false
	w.crash() // faults that were waiting are gone, and recovery is the normal start
	if err := w.settle(); err != nil {
		return err
	}
	for _, r := range w.routes {
		r.loseTail(w.rnd.IntN(16))
	}
	if err := w.settle(); err != nil {
		return err
	}
	return w.checkEnd()
}

// settle lets everything come to rest.
func (w *world) settle() error {
	return w.rest(200_000, func() error {
		if err := w.capturing(12); err != nil && syncline.ClassOf(err) == syncline.Fatal {
			return fmt.Errorf("halted: %w", err)
		}
		for _, r := range w.routes {
			if r.halted != nil && w.rnd.IntN(8) > 0 {
				continue // it stops where it did, sooner or later
			}
			if err := r.step(); err != nil && syncline.ClassOf(err) == syncline.Fatal {
				return fmt.Errorf("halted: %w", err)
			}
			if err := r.giveUp(); err != nil {
				return err
			}
		}
		return nil
	})
}
