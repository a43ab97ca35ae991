package syncline

import (
	"strconv"
	"time"
)

// Seq numbers the record batches of one log from 1, without gaps.
type Seq uint64

// RunKind says why a run reads records.
type RunKind uint8

const (
	// RunSnapshot is the first copy of an entity.
	RunSnapshot RunKind = 1
	// RunFull reads all records of an entity again.
	RunFull RunKind = 2
	// RunKeys reads named records again.
	RunKeys RunKind = 3
	// RunPoll asks a polled entity for what is new behind its watermark. What it finds are events of the stream, not of its chunks: the
	// run has one chunk, which is the last and empty.
	RunPoll RunKind = 4
	// RunSweep looks for records of a polled entity that are gone. It has one chunk like a poll.
	RunSweep RunKind = 5
)

func (k RunKind) String() string {
	switch k {
	case RunSnapshot:
		return "snapshot"
	case RunFull:
		return "full"
	case RunKeys:
		return "keys"
	case RunPoll:
		return "incremental"
	case RunSweep:
		return "sweep"
	}
	return "run(" + strconv.Itoa(int(k)) + ")"
}

// Chunk names the part of a run that a batch holds.
type Chunk struct {
	Run  string
	Kind RunKind
	// Number counts the run's chunks from 1, so that a chunk that is whole in the log is recognised when it comes again.
	Number uint32
	// Entity is the one that the chunk was read from.
	Entity string
	// Routes are the only routes that apply the chunk; empty = every route of the entity.
	Routes []string
	// First marks the run's first chunk of the entity: with Reset, everything that the routes hold of it is removed before.
	First bool
	Reset bool
	// Last marks the run's last chunk of the entity; it may be without rows.
	Last bool
	// EmptyBefore says that the entity had no rows at the target side of this run when it began, as the source can know it:
	// the table's first copy.
	EmptyBefore bool
	// Events counts, in the last chunk of a poll or a sweep, those that it added to the stream.
	Events int64
	// Failed says, in a last chunk, why the run could not be done, beginning with an error's code; "" = it is done.
	Failed string
	// Cut says that the run does not bring every record of the entity: it was given up, or only some were asked for.
	Cut bool
}

// Batch is a record batch: a run of events of one source in commit order, what is appended, stored and read as one.
// A batch and everything it refers to is immutable once it has been handed to a log.
type Batch struct {
	Source string
	// Position is where capture stands in the source's stream after this batch: no event at or below it will be appended
	// later. Every batch has it, those of runs too.
	Position Position
	// Checkpoint is what the source needs to go on after this batch (its identity, slot, progress of runs); only the source
	// can read it. Restart = hand the last batch's checkpoint to Source.Open.
	Checkpoint []byte
	// Sync asks capture to append and confirm this batch, alone, before it calls Next again.
	Sync bool
	// Partial says that the last transaction goes on in the next batch.
	Partial bool
	// Chunk is set on a batch of a run.
	Chunk  *Chunk
	Txns   []Txn
	Events []Event
}

// EventID returns the stable identity of the i-th event: the same at every attempt, restart and replay.
func (b *Batch) EventID(i int) string {
	if m := b.Events[i].Meta; m != nil && m.ID != "" {
		return m.ID
	}
	var room [64]byte // most ids fit
	return string(b.AppendEventID(room[:0], i))
}

// AppendEventID appends the event's id to dst.
func (b *Batch) AppendEventID(dst []byte, i int) []byte {
	e := &b.Events[i]
	if e.Meta != nil && e.Meta.ID != "" {
		return append(dst, e.Meta.ID...)
	}
	dst = append(append(dst, b.Source...), '/')
	if b.Chunk != nil {
		dst = append(append(dst, b.Chunk.Run...), '/')
		dst = strconv.AppendUint(dst, uint64(b.Chunk.Number), 10)
	} else {
		dst = append(strconv.AppendUint(dst, uint64(b.Position.Epoch), 10), '/')
		dst = strconv.AppendUint(dst, b.Txns[e.Txn].Commit, 16)
	}
	return strconv.AppendUint(append(dst, '/'), uint64(e.Ordinal), 10)
}

// PositionOf returns where the i-th event stands in the stream; an event of a run stands where its chunk does.
func (b *Batch) PositionOf(i int) Position {
	if b.Chunk != nil {
		return b.Position
	}
	e := &b.Events[i]
	return Position{Epoch: b.Position.Epoch, Commit: b.Txns[e.Txn].Commit, Ordinal: e.Ordinal}
}

// TimeOf returns when the i-th event happened by its source's clock; zero where the source has no time.
func (b *Batch) TimeOf(i int) time.Time {
	e := &b.Events[i]
	if e.Meta != nil && !e.Meta.Time.IsZero() {
		return e.Meta.Time
	}
	if e.Txn < len(b.Txns) {
		return b.Txns[e.Txn].Time
	}
	return time.Time{}
}
