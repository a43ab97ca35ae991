package sim

import (
	"errors"
	"time"

	"syncline"
	"syncline/internal/capture"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
)

// maxBatch is what the log takes: any batch of these histories, whose checkpoints tell of every run, but one with a huge record.
const maxBatch = 48 << 10

// intake is one source with its log, and what captures it.
type intake struct {
	*run
	name     string
	system   *memsource.System
	snapshot []string // entities that are copied first
	derive   capture.Derivation
	// prepare registers the routes that read the log.
	prepare func() error

	log *memlog.Log
	// source points to what the capture has opened last.
	source  **memsource.Source
	capture *capture.Capture
	ailing  bool // the source will fail
	// rivals: others append to the log, too.
	rivals bool
}

// open is the start of the process.
func (w *intake) open() {
	opened := new(*memsource.Source)
	w.log, w.source = w.logs.Log(w.name), opened
	w.capture = capture.New(capture.Options{Source: w.name, Log: w.log, Runs: w.state, Now: func() time.Time { return w.now },
		Limits: capture.Limits{Events: 1 + w.rnd.IntN(16)}, Derive: map[string]capture.Derivation{"customer": w.derive},
		Open: func() (syncline.Source, error) {
			*opened = memsource.New(memsource.Options{Name: w.name, System: w.system, Snapshot: w.snapshot,
				MaxEvents: 1 + w.rnd.IntN(8), ChunkRows: 1 + w.rnd.IntN(4)})
			return *opened, nil
		}})
}

// capturing lets the source and the log have up to n moves, in any order that is possible: what the source gives may come before or
// after what the log answers.
func (w *intake) capturing(n int) error {
	if err := w.prepare(); err != nil {
		return err
	}
	return w.moves(n)
}

// moves is capturing, for routes that are registered.
func (w *intake) moves(n int) error {
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
		case after.State == capture.StateHalted && syncline.CodeOf(after.Err) == "log_fenced" && w.rivals:
			return after.Err
		case after.State == capture.StateHalted: // runs that routes asked for never come then, and nothing of these histories stops a source
			return broken("capture has halted: %w", after.Err)
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
func (w *intake) read() error {
	if w.ailing {
		w.ailing = false
		w.note("the source fails")
		w.capture.Take(nil, errors.New("the source does not answer"))
		return nil
	}
	b, ok, err := (*w.source).TryNext()
	if err != nil || !ok {
		return err
	}
	w.note("read %d events to %s", len(b.Events), b.Position)
	w.capture.Take(b, nil)
	return nil
}

// eachBatch reads the log.
func (w *intake) eachBatch(each func(*syncline.Batch) error) error {
	reader, err := w.log.Reader(1)
	if err != nil {
		return err
	}
	for {
		e, ok, err := reader.TryNext()
		if err != nil || !ok {
			return err
		}
		b, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			return err
		}
		if err := each(b); err != nil {
			return err
		}
	}
}
