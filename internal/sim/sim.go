// Package sim drives capture and apply from a seed: a history of a source, a few routes, and a plan of faults, all in one
// goroutine and with a clock of its own. What must hold holds at the end of every run, and while it goes on.
//
// The parts that decide are the real ones. Source, log and targets are in memory and lose, at a crash, what was not synced.
package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"syncline"
	"syncline/internal/capture"
	"syncline/internal/expression"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// Options of a run. The zero value but for Seed is what tests use.
type Options struct {
	Seed uint64
	// Txns is the length of the source's history; 0 = 60.
	Txns int
	// Dir is where the state store is kept; it is emptied at the end.
	Dir string
}

// Result tells what a run did.
type Result struct {
	// Trace is the same for the same options: a hash over everything that was observable.
	Trace   uint64
	Crashes int
	Steps   int
	// Stubs is the number of events whose record was too large for the log.
	Stubs int
	// Kept is the number of records that are gone from the source or have left, and stayed at a target that keeps them.
	Kept int
	// Passed is the number of events that an urgent one from further on was sent before.
	Passed int
}

// world is everything that one run consists of.
type world struct {
	ctx     context.Context
	rnd     *rand.Rand
	now     time.Time
	history *history
	system  *memsource.System
	logs    *memlog.Store
	state   *state.Store
	log     *memlog.Log
	source  *memsource.Source
	capture *capture.Capture
	broken  bool // the source will fail
	routes  []*route
	trace   strings.Builder
	result  Result
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

// maxBatch is what the log takes: any batch of these histories, whose checkpoints tell of every run, but one with a huge record.
const maxBatch = 48 << 10

var errCrash = errors.New("the process was killed")

// Run makes one run. The error tells which promise was broken.
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Txns == 0 {
		o.Txns = 60
	}
	w := &world{ctx: ctx, rnd: rand.New(rand.NewPCG(o.Seed, 0x5F3759DF)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.system = memsource.NewSystem("crm-system")
	w.history = newHistory(w.rnd, w.now, o.Seed%4 == 0)
	for range o.Txns {
		w.system.Append(w.history.next())
	}
	w.system.Append(w.history.last())
	w.system.Advance(w.rnd.IntN(o.Txns / 2)) // what the first snapshot finds
	ids := 0
	w.logs = memlog.New(memlog.Options{MaxBatch: maxBatch, Now: func() time.Time { return w.now }, NewID: func() string { ids++; return fmt.Sprint("log", ids) }})
	var err error
	if w.state, err = state.Open(ctx, state.Options{Path: filepath.Join(o.Dir, "state.db")}); err != nil {
		return w.result, err
	}
	defer os.RemoveAll(o.Dir) //nolint:errcheck // a temporary directory
	defer w.state.Close()     //nolint:errcheck // its directory goes
	w.addRoutes()
	if err := w.live(o); err != nil {
		return w.result, fmt.Errorf("%w\nlast steps:\n%s", err, tail(w.trace.String(), 30))
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(w.trace.String()))
	w.result.Trace = h.Sum64()
	return w.result, nil
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (w *world) note(format string, args ...any) {
	fmt.Fprintf(&w.trace, format+"\n", args...)
}

// live lets things happen until the history is over, heals everything, and checks what must hold.
func (w *world) live(o Options) error {
	w.open()
	for step := 0; step < o.Txns*6; step++ {
		w.result.Steps++
		w.now = w.now.Add(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
		if err := w.act(); err != nil {
			return err
		}
		if err := w.checkAlways(); err != nil {
			return err
		}
	}
	return w.heal()
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
		w.broken = true
		w.note("the source will fail")
	}
	return nil
}

// survive turns a crash and errors that a process outlives into a restart of the part.
func (w *world) survive(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, errCrash) {
		w.crash()
		return nil
	}
	if syncline.ClassOf(err) == syncline.Fatal {
		return fmt.Errorf("halted: %w", err)
	}
	w.note("error: %s", syncline.CodeOf(err))
	return nil
}

// crash kills the process: sessions, capture and handles are gone, and the log's unsynced tail.
func (w *world) crash() {
	w.note("crash")
	w.result.Crashes++
	w.close()
	w.logs.Crash()
	w.open()
}

func (w *world) close() {
	for _, r := range w.routes {
		r.close()
	}
}

// open is the start of the process.
func (w *world) open() {
	w.log, w.source = w.logs.Log("crm"), nil
	w.capture = capture.New(capture.Options{Source: "crm", Log: w.log, Runs: w.state, Now: func() time.Time { return w.now },
		Limits: capture.Limits{Events: 1 + w.rnd.IntN(16)}, Derive: map[string]capture.Derivation{"customer": derived},
		Open: func() (syncline.Source, error) {
			w.source = memsource.New(memsource.Options{Name: "crm", System: w.system, Snapshot: []string{"customer", "audit"},
				MaxEvents: 1 + w.rnd.IntN(8), ChunkRows: 1 + w.rnd.IntN(4)})
			return w.source, nil
		}})
}

// capturing lets the source and the log have up to n moves, in any order that is possible: what the source gives may come before or
// after what the log answers.
func (w *world) capturing(n int) error {
	for _, r := range w.routes { // a route is registered before capture appends anything
		if err := r.prepare(); err != nil {
			return err
		}
	}
	for range n {
		if w.capture.Wants() && w.rnd.IntN(2) == 0 {
			if err := w.read(); err != nil {
				return err
			}
			continue
		}
		before := w.capture.Status()
		did, err := w.capture.Step(w.ctx)
		if err != nil {
			return err
		}
		after := w.capture.Status()
		switch {
		case after.State == capture.StateHalted: // runs that routes asked for never come then, and nothing of these histories stops a source
			return syncline.Errorf(syncline.Fatal, "promise_broken", "capture has halted: %w", after.Err)
		case before.Seq != after.Seq:
			w.note("captured %d events to %s", after.Events-before.Events, after.Position)
		case before.State != after.State:
			w.note("capture is %s: %s", after.State, syncline.CodeOf(after.Err))
		case !did && w.capture.Wants():
			if err := w.read(); err != nil {
				return err
			}
		}
	}
	return nil
}

// read gives capture what the source has now, or its failure.
func (w *world) read() error {
	if w.broken {
		w.broken = false
		w.note("the source fails")
		w.capture.Take(nil, errors.New("the source does not answer"))
		return nil
	}
	b, ok, err := w.source.TryNext()
	if err != nil || !ok {
		return err
	}
	w.note("read %d events to %s", len(b.Events), b.Position)
	w.capture.Take(b, nil)
	return nil
}

// heal ends all trouble and lets everything come to rest.
func (w *world) heal() error {
	w.note("heal")
	if t := w.history.shrink(); len(t.Changes) > 0 {
		w.system.Append(t)
	}
	w.system.Advance(1 << 30)
	for _, r := range w.routes {
		r.heal()
	}
	w.log.FailNext()
	w.broken = false
	w.crash() // faults that were waiting are gone, and recovery is the normal start
	for quiet := 0; quiet < 3; {
		if w.result.Steps++; w.result.Steps > 200_000 {
			return errors.New("it does not come to rest")
		}
		before := w.trace.Len()
		if err := w.capturing(4); err != nil && syncline.ClassOf(err) == syncline.Fatal {
			return fmt.Errorf("halted: %w", err)
		}
		for _, r := range w.routes {
			if err := r.step(); err != nil && syncline.ClassOf(err) == syncline.Fatal {
				return fmt.Errorf("halted: %w", err)
			}
			if err := r.giveUp(); err != nil {
				return err
			}
		}
		quiet++
		if w.trace.Len() != before {
			quiet = 0
		}
		w.now = w.now.Add(10 * time.Minute)
	}
	return w.checkEnd()
}
