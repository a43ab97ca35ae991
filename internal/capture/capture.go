// Package capture is the first of the two loops: it reads a source and appends what it read to the source's log. A source is
// told that something is safe only after the log has it on disk. See DESIGN.md.
package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"syncline"
	"syncline/internal/backoff"
	"syncline/internal/failpoint"
	"syncline/internal/state"
)

// Runs is what capture needs of the state store.
type Runs interface {
	AddRun(ctx context.Context, source string, r syncline.Run) error
	OpenRuns(ctx context.Context, source string) ([]state.RunRow, error)
	UpdateRun(ctx context.Context, r state.RunRow) error
}

// Staller is a Source whose clients wait for the log: it is told when nothing can be appended (a full disk), and with nil when
// that is over.
type Staller interface {
	Stall(err error)
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
	// MinDelay and MaxDelay bound the pause after a transient error: 100 ms and 30 s.
	MinDelay, MaxDelay time.Duration
	Now                func() time.Time // nil = time.Now
	Logger             *slog.Logger     // nil = none
}

// State is how a capture is, in one word.
type State string

const (
	StateStarting State = "starting"
	StateRunning  State = "running"
	StateDegraded State = "degraded" // the source or the log does not answer
	StateHalted   State = "halted"
	StateStopped  State = "stopped"
)

// Status is a capture's own account of itself.
type Status struct {
	State State
	Since time.Time
	// Err is why it is degraded or halted; nil otherwise.
	Err error
	// Position is how far the source's stream is in the log, Seq where that is.
	Position syncline.Position
	Seq      syncline.Seq
	// Events counts what was appended since the start.
	Events int64
	// LastEvent is when the last event was appended.
	LastEvent time.Time
	// Runs are those that the source works on.
	Runs int
}

// Capture moves one source into its log.
type Capture struct {
	o   Options
	log *slog.Logger

	wake chan struct{} // buffered by one: Resume and RequestRun leave a note, Run takes it

	mu     sync.Mutex
	status Status
	source syncline.Source // open, or nil
	runs   map[string]*state.RunRow
}

// New returns a capture that has not begun.
func New(o Options) *Capture {
	if o.Now == nil {
		o.Now = time.Now
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
	return &Capture{o: o, log: o.Logger.With("source", o.Source), wake: make(chan struct{}, 1), runs: make(map[string]*state.RunRow),
		status: Status{State: StateStarting, Since: o.Now()}}
}

// Status returns how the capture is now.
func (c *Capture) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Runs = len(c.runs)
	return s
}

func (c *Capture) set(to State, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.State != to {
		c.status.State, c.status.Since = to, c.o.Now()
	}
	c.status.Err = err
}

// Resume makes a halted capture try again.
func (c *Capture) Resume() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// RequestRun takes note of a run, durably, and hands it to the source if that is open. A run of a known id is not done twice.
func (c *Capture) RequestRun(ctx context.Context, r syncline.Run) error {
	if err := c.o.Runs.AddRun(ctx, c.o.Source, r); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.source == nil {
		return nil // every open run is started when the source is
	}
	return c.startRunLocked(state.RunRow{Run: r, Source: c.o.Source, Status: state.RunRequested})
}

func (c *Capture) startRunLocked(row state.RunRow) error {
	reader, ok := c.source.(syncline.RunReader)
	if !ok {
		return syncline.Errorf(syncline.Rejected, "source_cannot_read", "source %s cannot read records again", c.o.Source)
	}
	c.runs[row.ID] = &row
	return reader.StartRun(row.Run)
}

// Run captures until ctx ends; then the batch in hand is appended and it returns nil. hard ends the wait for that. A capture
// that cannot go on stays in Run, halted, until Resume or the end.
func (c *Capture) Run(ctx, hard context.Context) error {
	defer c.set(StateStopped, nil)
	failures := 0
	for ctx.Err() == nil {
		s, err := c.Begin(ctx)
		if err == nil {
			if s.born {
				c.set(StateRunning, nil)
			}
			for err == nil && ctx.Err() == nil {
				if err = s.step(ctx, hard); err == nil {
					failures = 0
				}
			}
			s.Close()
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		if syncline.ClassOf(err) != syncline.Transient { // a batch that the log refuses is refused again
			c.set(StateHalted, err)
			c.log.Error("capture stopped", "code", syncline.CodeOf(err), "err", err)
			select {
			case <-ctx.Done():
			case <-c.wake:
			}
			failures = 0
			continue
		}
		failures++
		c.pause(ctx, err, failures)
	}
	return nil
}

// pause waits a random time up to a bound that doubles.
func (c *Capture) pause(ctx context.Context, err error, failures int) {
	d := backoff.Delay(c.o.MinDelay, c.o.MaxDelay, failures)
	c.set(StateDegraded, err)
	c.log.Warn("source or log does not answer", "code", syncline.CodeOf(err), "err", err, "retry_in", d)
	wait(ctx, d)
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Session is a source between its opening and an error.
type Session struct {
	c      *Capture
	source syncline.Source
	last   syncline.Position
	// born is false until a source that was never captured has said from where on it will miss nothing: before that, it is not
	// running.
	born bool
}

// Begin opens the source at the log's end: the last batch is the checkpoint.
func (c *Capture) Begin(ctx context.Context) (*Session, error) {
	checkpoint, last, err := c.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	source, err := c.o.Open()
	if err != nil {
		return nil, err
	}
	if err := source.Open(ctx, checkpoint, last); err != nil {
		_ = source.Close()
		return nil, err
	}
	open, err := c.o.Runs.OpenRuns(ctx, c.o.Source)
	if err != nil {
		_ = source.Close()
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source = source
	c.status.Position = last
	for _, row := range open {
		if err := c.startRunLocked(row); err != nil {
			c.log.Error("run cannot be started", "run", row.ID, "err", err)
		}
	}
	if checkpoint != nil {
		source.Confirm(last) // it is in the log, whatever the source last heard of us
	}
	_, reads := source.(syncline.RunReader)
	return &Session{c: c, source: source, last: last, born: checkpoint != nil || !reads}, nil
}

// Reader opens the source at the log's end to read records from it while Run does not work. What Next returns is not appended
// and nothing is confirmed, so that the next Run goes on as if it had never been.
func (c *Capture) Reader(ctx context.Context) (syncline.RunReader, error) {
	checkpoint, last, err := c.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	source, err := c.o.Open()
	if err != nil {
		return nil, err
	}
	reader, ok := source.(syncline.RunReader)
	if !ok {
		return nil, errors.Join(syncline.Errorf(syncline.Rejected, "source_cannot_read", "source %s cannot read records again", c.o.Source), source.Close())
	}
	if err := source.Open(ctx, checkpoint, last); err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return reader, nil
}

// checkpoint reads the end of the log.
func (c *Capture) checkpoint(ctx context.Context) ([]byte, syncline.Position, error) {
	bounds, err := c.o.Log.Bounds(ctx)
	if err != nil || bounds.Last == 0 {
		return nil, syncline.Position{}, err
	}
	r, err := c.o.Log.Read(ctx, bounds.Last)
	if err != nil {
		return nil, syncline.Position{}, err
	}
	defer r.Close() //nolint:errcheck // it holds nothing that could be lost
	e, err := r.Next(ctx)
	if err != nil {
		return nil, syncline.Position{}, err
	}
	b, err := syncline.DecodeBatch(e.Data)
	if err != nil {
		return nil, syncline.Position{}, syncline.Errorf(syncline.Fatal, "log_corrupt", "read the end of the log of %s: %w", c.o.Source, err).
			WithFix("restore the log directory from a backup")
	}
	c.mu.Lock()
	c.status.Seq = e.Seq
	c.mu.Unlock()
	return b.Checkpoint, b.Position, nil
}

// Close closes the source.
func (s *Session) Close() {
	c := s.c
	c.mu.Lock()
	c.source = nil
	clear(c.runs)
	c.mu.Unlock()
	if err := s.source.Close(); err != nil {
		c.log.Warn("source did not close cleanly", "err", err)
	}
}

// step moves one batch.
func (s *Session) step(ctx, hard context.Context) error {
	b, err := s.source.Next(ctx)
	if err != nil {
		return err
	}
	return s.Store(ctx, hard, b)
}

// Store appends the batch and then confirms it.
func (s *Session) Store(ctx, hard context.Context, b *syncline.Batch) error {
	if err := s.check(b); err != nil {
		return err
	}
	failpoint.Hit("capture.append.before")
	seq, err := s.append(ctx, hard, b)
	if err != nil {
		return err
	}
	failpoint.Hit("capture.append.after")
	s.last = b.Position
	if !s.born && (b.Position.Commit > 0 || b.Chunk != nil || !b.Sync) {
		s.born = true
		s.c.set(StateRunning, nil)
	}
	s.source.Confirm(b.Position)
	failpoint.Hit("capture.confirm.after")
	s.c.count(b, seq)
	if b.Chunk != nil {
		return s.c.progress(hard, b)
	}
	return nil
}

// check refuses a batch that would break the order that everything downstream relies on.
func (s *Session) check(b *syncline.Batch) error {
	if b.Position.Compare(s.last) < 0 {
		return syncline.Errorf(syncline.Fatal, "position_backwards", "source %s went back from %s to %s", s.c.o.Source, s.last, b.Position)
	}
	if b.Chunk == nil && len(b.Events) > 0 {
		if at := b.PositionOf(0); at.Compare(s.last) <= 0 {
			return syncline.Errorf(syncline.Fatal, "position_backwards", "source %s sent %s again, the log has %s", s.c.o.Source, at, s.last)
		}
	}
	b.Source = s.c.o.Source
	return nil
}

// append stores the batch, for as long as it takes: a log that is full or does not answer stops the source, and nothing is
// lost. Once ctx has ended it tries no further.
func (s *Session) append(ctx, hard context.Context, b *syncline.Batch) (syncline.Seq, error) {
	staller, _ := s.source.(Staller)
	for failures := 1; ; failures++ {
		seq, err := s.c.o.Log.Append(hard, b)
		if err == nil {
			if failures > 1 {
				if s.born {
					s.c.set(StateRunning, nil)
				}
				s.c.log.Info("log takes events again")
				if staller != nil {
					staller.Stall(nil)
				}
			}
			return seq, nil
		}
		if syncline.ClassOf(err) != syncline.Transient || ctx.Err() != nil {
			return 0, fmt.Errorf("append to the log of %s: %w", s.c.o.Source, err)
		}
		if staller != nil {
			staller.Stall(err)
		}
		s.c.pause(ctx, err, failures)
	}
}

func (c *Capture) count(b *syncline.Batch, seq syncline.Seq) {
	if c.o.Appended != nil {
		c.o.Appended(seq, len(b.Events))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Position, c.status.Seq = b.Position, seq
	if len(b.Events) > 0 {
		c.status.Events += int64(len(b.Events))
		c.status.LastEvent = c.o.Now()
	}
}

// progress notes how far a run is in the log.
func (c *Capture) progress(ctx context.Context, b *syncline.Batch) error {
	c.mu.Lock()
	row, known := c.runs[b.Chunk.Run]
	if !known { // the source began it by itself: the first snapshot
		row = &state.RunRow{Run: syncline.Run{ID: b.Chunk.Run, Kind: b.Chunk.Kind, Entity: b.Chunk.Entity, Routes: b.Chunk.Routes}, Source: c.o.Source}
		c.runs[b.Chunk.Run] = row
	}
	row.Status, row.Chunks = state.RunRunning, b.Chunk.Number
	row.Rows += int64(len(b.Events))
	if b.Chunk.Last {
		row.Status = state.RunDone
		delete(c.runs, b.Chunk.Run)
	}
	copied := *row
	c.mu.Unlock()
	if b.Chunk.Last {
		c.log.Info("run is in the log", "run", copied.ID, "entity", copied.Entity, "rows", copied.Rows)
	}
	if !known {
		if err := c.o.Runs.AddRun(ctx, c.o.Source, copied.Run); err != nil {
			return err
		}
	}
	return c.o.Runs.UpdateRun(ctx, copied)
}
