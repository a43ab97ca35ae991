package capture

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/failpoint"
	"syncline/internal/plant"
	"syncline/internal/state"
)

// Staller is a Source whose clients wait for the log: it is told when nothing can be appended (a full disk), and with nil when
// that is over. Stall does not block and is safe beside Next.
type Staller interface {
	Stall(err error)
}

// Spiller is a Source that reads something before its stream, or beside it, where it is not told how (RunPacer). While it is to spill, it
// brings the changes that its system holds as fast as it can, and nothing else. Spill does not block and is safe beside Next.
type Spiller interface {
	Spill(on bool)
}

// Warner is a Source that knows of changes which it will not bring. Warnings does not block and is safe beside Next.
type Warner interface {
	Warnings() []string
}

// Listener is a Source whose system speaks by itself, or is asked often, where nothing changes too: that it is silent means something.
// Heard is when it was heard of last; zero = it cannot be told. It does not block and is safe beside Next.
type Listener interface {
	Heard() time.Time
}

// open opens the source at the log's end: the last batch is the checkpoint. It returns what machine.opened wants to know.
func (c *Capture) open(ctx context.Context) (last syncline.Position, born bool, err error) {
	end, err := c.end(ctx)
	if err != nil {
		return last, false, err
	}
	source, err := c.next().Open()
	if err != nil {
		return last, false, err
	}
	if err := source.Open(ctx, end.Checkpoint, end.Position); err != nil {
		_ = source.Close() // why it does not open is the error
		return last, false, err
	}
	c.mu.Lock()
	c.source = source // from here on it is told of every run that is requested
	c.spillLocked()
	c.status.Position = end.Position
	c.mu.Unlock()
	if err := c.startRuns(ctx, end); err != nil {
		c.close()
		return last, false, err
	}
	if end.Checkpoint != nil {
		source.Confirm(end.Position) // it is in the log, whatever the source last heard of us
	}
	_, reads := source.(syncline.RunReader)
	return end.Position, end.Checkpoint != nil || !reads, nil
}

// startRuns hands the open runs to the source. What the state store has not heard of the last batch is made up for first.
func (c *Capture) startRuns(ctx context.Context, end *syncline.Batch) error {
	if end.Chunk != nil {
		if err := c.o.Runs.AddSync(ctx, state.RunRow{Run: runOf(end.Chunk), Source: c.o.Source}); err != nil {
			return err
		}
	}
	open, err := c.o.Runs.OpenRuns(ctx, c.o.Source)
	if err != nil {
		return err
	}
	var rows []state.RunRow
	for _, row := range open {
		if end.Chunk != nil && end.Chunk.Run == row.ID && row.Chunks < end.Chunk.Number {
			if err := c.admit(row); err != nil {
				return err
			}
			if err := c.record(ctx, end); err != nil {
				return err
			}
			if end.Chunk.Last {
				continue
			}
		}
		rows = append(rows, row)
	}
	return c.startAll(ctx, rows)
}

// startAll hands runs to the source that nobody waits with. From the first one on that it cannot take yet, they are owed.
func (c *Capture) startAll(ctx context.Context, rows []state.RunRow) error {
	for i, row := range rows {
		later, err := c.startRun(ctx, row)
		switch {
		case later:
			c.mu.Lock()
			c.owed = slices.Concat(rows[i:], slices.DeleteFunc(c.owed, func(owed state.RunRow) bool { return owed.ID == row.ID }))
			c.mu.Unlock()
			return nil
		case err == nil:
		case syncline.ClassOf(err) == syncline.Rejected:
			c.log.Error("run cannot be started", "run", row.ID, "err", err)
			if c.o.Refused != nil {
				c.o.Refused(row.Run, err)
			}
		default:
			return err
		}
	}
	return nil
}

// startOwed hands over what the source could not take before. A chunk of a run is in the log, so it has gone on.
func (c *Capture) startOwed(ctx context.Context) error {
	c.mu.Lock()
	rows := c.owed
	c.owed = nil
	c.mu.Unlock()
	return c.startAll(ctx, rows)
}

func (c *Capture) admit(row state.RunRow) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.admitLocked(row)
}

// admitLocked takes note of a run that the source reads or is about to, and tells the source how before it does.
func (c *Capture) admitLocked(row state.RunRow) error {
	s, err := newSelection(&row.Run)
	if err != nil {
		return err
	}
	if wanted, said := c.wishes[row.ID]; said {
		row.Steering = wanted
	}
	c.runs.admit(row)
	if s != nil && c.sifts[row.ID] == nil {
		c.sifts[row.ID] = s
	}
	c.admission.admit(c.runs[row.ID], c.o.Now())
	c.paceLocked()
	return nil
}

// forgetLocked drops what is known of a run that is over.
func (c *Capture) forgetLocked(id string) {
	delete(c.runs, id)
	delete(c.sifts, id)
	delete(c.wishes, id)
	delete(c.meters, id)
	c.admission.forget(id)
}

// pace tells the source how to read its runs from now on, and returns when to look again; zero = once something happens.
func (c *Capture) pace() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paceLocked()
}

func (c *Capture) paceLocked() time.Time {
	if len(c.admission.runs) == 0 || c.source == nil {
		return time.Time{}
	}
	now := c.o.Now()
	c.admission.look(c.o.Applied, now)
	tell, again := c.admission.paces(now)
	if pacer, ok := c.source.(syncline.RunPacer); ok {
		for _, p := range tell {
			pacer.Pace(p.run, p.to)
		}
	}
	return again
}

// close closes the source.
func (c *Capture) close() {
	c.mu.Lock()
	source := c.source
	c.source = nil
	clear(c.runs)
	clear(c.sifts)
	clear(c.unsifted)
	c.admission = admission{live: c.admission.live, spill: c.admission.spill}
	c.owed = nil // the next source gets every open run
	c.mu.Unlock()
	if err := source.Close(); err != nil {
		c.log.Warn("source did not close cleanly", "err", err)
	}
}

// append stores the batch, rows that are too large for the log as stubs. It touches nothing that changes meanwhile.
func (c *Capture) append(ctx context.Context, b *syncline.Batch) error {
	if plant.AckBeforeAppend {
		c.confirmEarly(b)
	}
	failpoint.Hit("capture.append.before")
	traced := c.traced.Load()
	var began time.Time
	if traced != nil {
		began = c.o.Now()
	}
	seq, err := c.o.Log.Append(ctx, b)
	if syncline.CodeOf(err) == "log_batch_too_large" {
		seq, err = c.appendSmaller(ctx, b, err)
	}
	if err != nil {
		return err
	}
	failpoint.Hit("capture.append.after")
	if traced != nil {
		(*traced)(seq, b, began, c.o.Now())
	}
	if c.o.Appended != nil {
		c.o.Appended(seq, len(b.Events))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Position, c.status.Seq = b.Position, seq
	c.admission.appended(b, seq, c.o.Now())
	if len(b.Events) > 0 {
		c.status.Events += int64(len(b.Events))
		c.status.LastEvent = c.o.Now()
	}
	return nil
}

// confirm tells the source what is safe.
func (c *Capture) confirm() {
	c.source.Confirm(c.m.logged)
	failpoint.Hit("capture.confirm.after")
}

// confirmEarly is a planted bug: the log may never have the batch.
func (c *Capture) confirmEarly(b *syncline.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.source != nil {
		c.source.Confirm(b.Position)
	}
}

// note records the chunk, and goes on with the runs that have waited for the source to do so.
func (c *Capture) note(ctx context.Context, b *syncline.Batch) error {
	if err := c.record(ctx, b); err != nil {
		return err
	}
	return c.startOwed(ctx)
}

// record notes how far the run is of which the batch is a chunk.
func (c *Capture) record(ctx context.Context, b *syncline.Batch) error {
	c.mu.Lock()
	scanned, sifted := c.unsifted[b]
	if !sifted {
		scanned = len(b.Events)
	}
	delete(c.unsifted, b)
	if c.meters[b.Chunk.Run] == nil {
		c.meters[b.Chunk.Run] = &meter{since: c.o.Now()}
	}
	c.meters[b.Chunk.Run].add(scanned, c.o.Now())
	row, known := c.runs.progress(c.o.Source, b, scanned, c.status.Seq)
	if b.Chunk.Last {
		c.forgetLocked(row.ID)
	} else if !known {
		c.admission.admit(&row, c.o.Now())
	}
	c.mu.Unlock()
	if b.Chunk.Last {
		level := slog.LevelInfo
		if strings.HasPrefix(row.ID, state.ReadRun) || row.Kind == syncline.RunPoll && row.Rows == 0 {
			level = slog.LevelDebug // a route's own reading, or a poll of nothing new: like an event
		}
		if row.Status == state.RunFailed {
			c.log.Warn("run failed", "run", row.ID, "entity", row.Entity, "rows", row.Rows, "err", row.Error)
		} else {
			c.log.Log(ctx, level, "run is in the log", "run", row.ID, "entity", row.Entity, "rows", row.Rows, "status", row.Status)
		}
	}
	if !known {
		if err := c.o.Runs.AddSync(ctx, row); err != nil {
			return err
		}
	}
	return c.o.Runs.UpdateRun(ctx, row)
}

// stall tells a source whose clients wait for the log; nil says that it is over.
func (c *Capture) stall(err error) {
	if s, ok := c.source.(Staller); ok {
		s.Stall(err)
	}
}
