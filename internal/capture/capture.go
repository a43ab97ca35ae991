// Package capture is the first of the two loops: it reads a source and appends what it read to the source's log. A source is
// told that something is safe only after the log has it on disk. See DESIGN.md.
package capture

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"syncline"
	"syncline/internal/state"
)

// Runs is what capture needs of the state store.
type Runs interface {
	AddSync(ctx context.Context, r state.RunRow) error
	SteerRun(ctx context.Context, id string, s state.Steering) error
	OpenRuns(ctx context.Context, source string) ([]state.RunRow, error)
	UpdateRun(ctx context.Context, r state.RunRow) error
}

// Options describe a capture. Source, Open, Log and Runs are required.
type Options struct {
	Source string
	// Open makes the source; Source.Open is called by capture. It is called again after each transient error.
	Open func() (syncline.Source, error)
	Log  syncline.Log
	Runs Runs
	// Appended is told of every batch that is in the log; it must not block. nil = nobody.
	Appended func(seq syncline.Seq, events int)
	// Stalled is told why the log did not take a batch, each time it was tried; it must not block. nil = nobody.
	Stalled func(err error)
	// Refused is told of a run that the source will not do where whoever asked for it has gone on: the source was not open then, or could
	// not take it yet. It must not block. nil = nobody.
	Refused func(run syncline.Run, err error)
	// Applied returns the entry of the log below which the slowest of the routes that work has applied everything; no routes = all that read the
	// entity. It must not block. nil = all is applied.
	Applied func(entity string, routes []string) syncline.Seq
	// Derive says by entity what its events do not say themselves. nil = nothing.
	Derive map[string]Derivation
	Limits Limits
	// MinDelay and MaxDelay bound the pause after a transient error: 100 ms and 30 s.
	MinDelay, MaxDelay time.Duration
	Now                func() time.Time // nil = time.Now
	Logger             *slog.Logger     // nil = none
}

// Capture moves one source into its log. What it does next is decided by its machine; the methods carry it out.
type Capture struct {
	o   Options // Open and Derive need mu
	log *slog.Logger

	traced atomic.Pointer[Traced] // see SetTraced

	wake  chan struct{} // buffered by one: Resume leaves a note, Run takes it
	renew chan struct{} // likewise, of Reopen
	steer chan struct{} // likewise, of Steer and of runs that are handed over
	anew  chan struct{} // likewise, of Drop

	// m and reader belong to the goroutine of Run, or to the caller of Wants, Take and Step. reader is nil without Run.
	// away: the log was told of an error that closed the source.
	m      *machine
	reader *reader
	away   bool
	derive *deriver

	mu     sync.Mutex
	status Status
	source syncline.Source // open, or nil; the methods of RunReader need mu
	runs   roster
	owed   []state.RunRow // what the open source could not take yet, the oldest first
	// wishes is what is wanted of runs that are not over, where that was said since the start. sifts are the conditions of the open source's
	// runs, unsifted how many rows a chunk had before.
	wishes    map[string]state.Steering
	sifts     map[string]*selection
	unsifted  map[*syncline.Batch]int
	meters    map[string]*meter
	admission admission
	missed    map[string]*missed
	// troubled is when the trouble began that the source is or was in last; zero = none. One that opens and fails again before the longest
	// pause is over is still in it.
	troubled time.Time
}

// New returns a capture that has not begun.
func New(o Options) *Capture {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Applied == nil {
		o.Applied = func(string, []string) syncline.Seq { return math.MaxUint64 }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MinDelay <= 0 {
		o.MinDelay = 100 * time.Millisecond
	}
	if o.MaxDelay <= 0 {
		o.MaxDelay = 30 * time.Second
	}
	c := &Capture{o: o, log: o.Logger.With("source", o.Source), wake: make(chan struct{}, 1), renew: make(chan struct{}, 1), steer: make(chan struct{}, 1), anew: make(chan struct{}, 1), m: newMachine(o.Source, o.Limits),
		runs: make(roster), missed: make(map[string]*missed), wishes: make(map[string]state.Steering), sifts: make(map[string]*selection), meters: make(map[string]*meter), status: Status{State: StateStarting, Since: o.Now()}}
	c.derive = newDeriver(o.Derive, c.underived)
	return c
}

// Resume makes a capture that is halted, or waits to try again, do that now.
func (c *Capture) Resume() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Traced is told of a batch that was appended. It must not block, nor keep the batch.
type Traced func(seq syncline.Seq, b *syncline.Batch, began, end time.Time)

// SetTraced has f told of every batch that is appended from now on; nil = nobody.
func (c *Capture) SetTraced(f Traced) {
	if f == nil {
		c.traced.Store(nil)
		return
	}
	c.traced.Store(&f)
}

// Kind says which source is opened, and what is derived of its events. The fields are those of Options.
type Kind struct {
	Open   func() (syncline.Source, error)
	Derive map[string]Derivation
}

// Reopen has the capture work with another kind of source: once what the open one gave is in the log, it is closed, and the new one goes
// on from there. It does not wait for that.
func (c *Capture) Reopen(k Kind) {
	c.mu.Lock()
	c.o.Open, c.o.Derive = k.Open, k.Derive
	c.mu.Unlock()
	select {
	case c.renew <- struct{}{}:
	default:
	}
}

// Spill has the changes that the source's system holds brought into the log before anything else, until it is called with false.
func (c *Capture) Spill(on bool) {
	c.mu.Lock()
	was := c.admission.spill
	c.admission.spill = on
	c.spillLocked()
	c.mu.Unlock()
	if was != on {
		c.noteSteer()
	}
}

func (c *Capture) spillLocked() {
	if s, ok := c.source.(Spiller); ok {
		s.Spill(c.admission.spill)
	}
}

// Drop closes the source, without waiting for the log to take what it gave, and opens one at the log's end. It does not wait for that.
func (c *Capture) Drop() {
	select {
	case c.anew <- struct{}{}:
	default:
	}
}

// next is what is opened next.
func (c *Capture) next() Kind {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Kind{c.o.Open, c.o.Derive}
}

// RequestRun takes note of a run, durably, and hands it to the source, or does so later: when the source is open, or can take it. A run of
// a known id is not done twice.
func (c *Capture) RequestRun(ctx context.Context, r syncline.Run) error {
	return c.RequestSync(ctx, state.RunRow{Run: r})
}

// RequestSync is RequestRun for a run with a rate and an estimate.
func (c *Capture) RequestSync(ctx context.Context, row state.RunRow) error {
	row.Source, row.Status = c.o.Source, state.RunRequested
	if err := c.o.Runs.AddSync(ctx, row); err != nil {
		return err
	}
	_, err := c.startRun(ctx, row)
	return err
}

// Steer takes note of what is wanted of a run that is not over, durably, and has the source heed it: at once, or when it is open. A chunk that
// is being read is not interrupted.
func (c *Capture) Steer(ctx context.Context, id string, s state.Steering) error {
	c.mu.Lock()
	_, paces := c.source.(syncline.RunPacer)
	deaf := c.source != nil && !paces
	c.mu.Unlock()
	if deaf {
		return syncline.Errorf(syncline.Rejected, "sync_not_steerable", "source %s reads what it was asked for in one go", c.o.Source).
			WithFix("wait for the sync to end; `syncline pause` holds back the routes that apply it")
	}
	if err := c.o.Runs.SteerRun(ctx, id, s); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wishes[id] = s
	if row := c.runs[id]; row != nil {
		row.Steering = s
		c.admission.admit(row, c.o.Now())
	}
	c.noteSteer()
	return nil
}

// RunRate returns how many rows of the run are read in a second, lately.
func (c *Capture) RunRate(id string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.meters[id]
	if m == nil || c.o.Now().Sub(m.last) > meterStale {
		return 0
	}
	return m.rate
}

func (c *Capture) noteSteer() {
	select {
	case c.steer <- struct{}{}:
	default:
	}
}

// startRun hands the run to the source; one that is not open gets every open run when it is. What the source refuses has failed:
// nobody hands it over again. later: the source cannot take it yet, and it is owed.
func (c *Capture) startRun(ctx context.Context, row state.RunRow) (later bool, err error) {
	later, err = c.handOver(row)
	if err == nil || syncline.ClassOf(err) != syncline.Rejected {
		return later, err
	}
	row.Status, row.Error = state.RunFailed, err.Error()
	if e := c.o.Runs.UpdateRun(ctx, row); e != nil {
		return false, e
	}
	return false, err
}

func (c *Capture) handOver(row state.RunRow) (later bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.source == nil {
		return false, nil
	}
	reader, ok := c.source.(syncline.RunReader)
	if !ok {
		return false, syncline.Errorf(syncline.Rejected, "source_cannot_read", "source %s cannot read records again", c.o.Source)
	}
	if err := c.admitLocked(row); err != nil {
		return false, err
	}
	same := func(owed state.RunRow) bool { return owed.ID == row.ID }
	switch err := reader.StartRun(row.Run); {
	case err == nil:
		c.noteSteer()
		c.owed = slices.DeleteFunc(c.owed, same)
		return false, nil
	case syncline.ClassOf(err) != syncline.Transient:
		c.forgetLocked(row.ID)
		return false, err
	}
	// mu is held since the source said so: the chunk after which it is asked again is yet to come.
	if !slices.ContainsFunc(c.owed, same) {
		c.owed = append(c.owed, row)
	}
	return true, nil
}

// Reader opens the source at the log's end to read records from it while Run does not work. What Next returns is not appended
// and nothing is confirmed, so that the next Run goes on as if it had never been.
func (c *Capture) Reader(ctx context.Context) (syncline.RunReader, error) {
	last, err := c.end(ctx)
	if err != nil {
		return nil, err
	}
	kind := c.next()
	source, err := kind.Open()
	if err != nil {
		return nil, err
	}
	reader, ok := source.(syncline.RunReader)
	if !ok {
		return nil, errors.Join(syncline.Errorf(syncline.Rejected, "source_cannot_read", "source %s cannot read records again", c.o.Source), source.Close())
	}
	if err := source.Open(ctx, last.Checkpoint, last.Position); err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return deriving{reader, newDeriver(kind.Derive, func(string, error) {})}, nil
}

// end reads the log's last batch; an empty one stands for that of an empty log.
func (c *Capture) end(ctx context.Context) (*syncline.Batch, error) {
	bounds, err := c.o.Log.Bounds(ctx)
	if err != nil || bounds.Last == 0 {
		return &syncline.Batch{}, err
	}
	r, err := c.o.Log.Read(ctx, bounds.Last)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // it holds nothing that could be lost
	e, err := r.Next(ctx)
	if err != nil {
		return nil, err
	}
	b, err := syncline.DecodeBatch(e.Data)
	if err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "log_corrupt", "read the end of the log of %s: %w", c.o.Source, err).
			WithFix("restore the log directory from a backup")
	}
	c.mu.Lock()
	c.status.Seq = e.Seq
	c.mu.Unlock()
	return b, nil
}
