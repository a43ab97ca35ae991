package capture

import (
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

// progress takes over that the batch, a chunk of a run, is in the log, and returns how far the run is. known is false for a run
// that the source began by itself: the first copy.
func (r roster) progress(source string, b *syncline.Batch) (now state.RunRow, known bool) {
	row, known := r[b.Chunk.Run]
	if !known {
		row = &state.RunRow{Run: runOf(b.Chunk), Source: source}
		r[b.Chunk.Run] = row
	}
	row.Status, row.Chunks = state.RunRunning, b.Chunk.Number
	row.Rows += int64(len(b.Events)) + b.Chunk.Events
	if b.Chunk.Last {
		if row.Status, row.Error = state.RunDone, b.Chunk.Failed; row.Error != "" {
			row.Status = state.RunFailed
		}
		delete(r, b.Chunk.Run)
	}
	return *row, known
}
