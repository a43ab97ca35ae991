package capture

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/failpoint"
	"syncline/internal/state"
)

// Staller is a Source whose clients wait for the log: it is told when nothing can be appended (a full disk), and with nil when
// that is over. Stall does not block and is safe beside Next.
type Staller interface {
	Stall(err error)
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
		if err := c.o.Runs.AddRun(ctx, c.o.Source, runOf(end.Chunk)); err != nil {
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
			c.admit(row)
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

func (c *Capture) admit(row state.RunRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs.admit(row)
}

// close closes the source.
func (c *Capture) close() {
	c.mu.Lock()
	source := c.source
	c.source = nil
	clear(c.runs)
	c.owed = nil // the next source gets every open run
	c.mu.Unlock()
	if err := source.Close(); err != nil {
		c.log.Warn("source did not close cleanly", "err", err)
	}
}

// append stores the batch, rows that are too large for the log as stubs. It touches nothing that changes meanwhile.
func (c *Capture) append(ctx context.Context, b *syncline.Batch) error {
	failpoint.Hit("capture.append.before")
	seq, err := c.o.Log.Append(ctx, b)
	if syncline.CodeOf(err) == "log_batch_too_large" {
		seq, err = c.appendSmaller(ctx, b, err)
	}
	if err != nil {
		return err
	}
	failpoint.Hit("capture.append.after")
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
	return nil
}

// confirm tells the source what is safe.
func (c *Capture) confirm() {
	c.source.Confirm(c.m.logged)
	failpoint.Hit("capture.confirm.after")
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
	row, known := c.runs.progress(c.o.Source, b)
	c.mu.Unlock()
	if b.Chunk.Last {
		level := slog.LevelInfo
		if strings.HasPrefix(row.ID, state.ReadRun) {
			level = slog.LevelDebug // a route's own reading: like an event
		}
		if row.Status == state.RunFailed {
			c.log.Warn("run failed", "run", row.ID, "entity", row.Entity, "rows", row.Rows, "err", row.Error)
		} else {
			c.log.Log(ctx, level, "run is in the log", "run", row.ID, "entity", row.Entity, "rows", row.Rows)
		}
	}
	if !known {
		if err := c.o.Runs.AddRun(ctx, c.o.Source, row.Run); err != nil {
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
