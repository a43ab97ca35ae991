package capture

import (
	"time"

	"syncline"
	"syncline/internal/state"
)

// roster holds the runs that the source works on, by id.
type roster map[string]*state.RunRow

// admit adds a run. One that is known keeps what is known of it.
func (r roster) admit(row state.RunRow) {
	if _, known := r[row.ID]; !known {
		r[row.ID] = &row
	}
}

// runOf is the run that the chunk is of, as far as a chunk tells.
func runOf(c *syncline.Chunk) syncline.Run {
	return syncline.Run{ID: c.Run, Kind: c.Kind, Entity: c.Entity, Routes: c.Routes}
}

// meter tells how many rows a run reads in a second, over the last seconds.
type meter struct {
	since time.Time
	rows  int64
	rate  float64
	last  time.Time
}

const (
	// meterSpan is over how long rows are counted, meterStale after how long without any the rate is 0.
	meterSpan  = 2 * time.Second
	meterStale = 10 * time.Second
)

func (m *meter) add(rows int, now time.Time) {
	if m.since.IsZero() {
		m.since = now
	}
	m.rows, m.last = m.rows+int64(rows), now
	if d := now.Sub(m.since); d >= meterSpan || m.rate == 0 && d >= meterSpan/4 {
		m.rate, m.since, m.rows = float64(m.rows)/d.Seconds(), now, 0
	}
}

// progress takes over that the batch, a chunk of a run that was read of so many rows, is in the log as this entry, and returns how far the run is. known is false for a run
// that the source began by itself: the first copy.
func (r roster) progress(source string, b *syncline.Batch, scanned int, seq syncline.Seq) (now state.RunRow, known bool) {
	row, known := r[b.Chunk.Run]
	if !known {
		row = &state.RunRow{Run: runOf(b.Chunk), Source: source}
		r[b.Chunk.Run] = row
	}
	row.Status, row.Chunks = state.RunRunning, b.Chunk.Number
	row.Rows += int64(len(b.Events)) + b.Chunk.Events
	row.Scanned += int64(scanned)
	row.Seq = seq
	if b.Chunk.Last {
		if row.Error == "" {
			row.Error = b.Chunk.Failed
		}
		switch {
		case row.Error != "":
			row.Status = state.RunFailed
		case row.Cancelled:
			row.Status = state.RunCancelled
		default:
			row.Status = state.RunDone
		}
		delete(r, b.Chunk.Run)
	}
	return *row, known
}
