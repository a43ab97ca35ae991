package syncline

import (
	"fmt"
	"strconv"
	"time"
)

// Op is what happened to a record. The numbers are part of the record batch format.
type Op uint8

// The events of one record, and the two that concern a whole entity and are barriers: nothing is reordered across them.
const (
	OpCreated  Op = 1
	OpUpdated  Op = 2
	OpDeleted  Op = 3
	OpMerged   Op = 4
	OpArchived Op = 5
	// OpSnapshot is a record read by a run, as it stood at the run's position.
	OpSnapshot Op = 6
	// OpRepair is a record read again because a target differs.
	OpRepair Op = 7
	// OpTruncated removes every record of the entity.
	OpTruncated Op = 8
	// OpAbsent is the answer to a read of one key that the source no longer holds; Before carries the key.
	OpAbsent Op = 9

	opEnd Op = 10
)

var opNames = [opEnd]string{"", "created", "updated", "deleted", "merged", "archived", "snapshot", "repair", "truncated", "absent"}

func (o Op) String() string {
	if o > 0 && o < opEnd {
		return opNames[o]
	}
	return "op(" + strconv.Itoa(int(o)) + ")"
}

// ParseOp returns the operation of this name, 0 if there is none.
func ParseOp(name string) Op {
	for i := Op(1); i < opEnd; i++ {
		if opNames[i] == name {
			return i
		}
	}
	return 0
}

// Priority orders events of different keys; an event without one is normal.
type Priority int8

const (
	PriorityLow      Priority = -1
	PriorityNormal   Priority = 0
	PriorityHigh     Priority = 1
	PriorityCritical Priority = 2
)

func (p Priority) String() string {
	switch p {
	case PriorityLow:
		return "low"
	case PriorityHigh:
		return "high"
	case PriorityCritical:
		return "critical"
	}
	return "normal"
}

// ParsePriority returns the priority of this name.
func ParsePriority(name string) (Priority, bool) {
	for p := PriorityLow; p <= PriorityCritical; p++ {
		if p.String() == name {
			return p, true
		}
	}
	return 0, false
}

// Position is where an event stands in its source's stream. Positions of one epoch are totally ordered; a higher epoch
// follows a lower one.
type Position struct {
	// Epoch counts the incarnations of the source that an operator has accepted (1 for the first).
	Epoch uint32
	// Commit is the source's commit position: a commit LSN, a change table's sequence, an intake counter.
	Commit uint64
	// Ordinal is the event's place in its transaction, from 1, counted before any filter of ours. 0 stands before all of them.
	Ordinal uint32
}

// Compare returns -1, 0 or 1.
func (p Position) Compare(q Position) int {
	switch {
	case p.Epoch != q.Epoch:
		return order(p.Epoch < q.Epoch)
	case p.Commit != q.Commit:
		return order(p.Commit < q.Commit)
	case p.Ordinal != q.Ordinal:
		return order(p.Ordinal < q.Ordinal)
	}
	return 0
}

func order(less bool) int {
	if less {
		return -1
	}
	return 1
}

func (p Position) String() string { return fmt.Sprintf("%d/%X/%d", p.Epoch, p.Commit, p.Ordinal) }

// Txn is a source transaction that events of a batch belong to.
type Txn struct {
	// Commit is Position.Commit of its events.
	Commit uint64
	// XID is the source's own transaction number, 0 where it has none.
	XID uint64
	// Time is the commit time by the source's clock.
	Time time.Time
	// Origin names who wrote it where the source says so (a replication origin, the mark of one of our routes); else "".
	Origin string
}

// Meta is what an event may carry beside its record. Most events of a database have none.
type Meta struct {
	// ID is the event's id as its publisher gave it; "" lets Batch.EventID derive one.
	ID          string
	Time        time.Time
	Correlation string
	User        string
	Session     string
	Reason      string
	Tags        []string
	Priority    Priority
	// Into is the surviving record of a merge.
	Into Key
	// Version is the publisher's version of the record; 0 = none.
	Version int64
	// Superseded: an event of the same key with a higher version came before. No rule applies it.
	Superseded bool
	// Trace is the W3C traceparent.
	Trace string
}

// Event is one change of one record, inside a batch.
type Event struct {
	Op     Op
	Schema *Schema
	// Txn is the index into Batch.Txns.
	Txn int
	// Ordinal is Position.Ordinal; in a run, the row's place in its chunk.
	Ordinal uint32
	// Stub is 0 for all but a few events. Otherwise the event is a stub (see Event.AsStub), and this is the size of the record's
	// values in bytes; math.MaxUint32 stands for that many or more.
	Stub uint32
	// Before is the record before the change as far as the source sent it (Unset elsewhere); nil = not sent at all, or a stub of
	// a table without a key.
	Before []Value
	// After is the record after the change; nil for a delete, and for a stub of a table without a key.
	After []Value
	// Meta is nil for most events.
	Meta *Meta
}

// Row returns the record that the event leaves, or for a delete the one that it removes.
func (e *Event) Row() Row {
	if e.After != nil {
		return Row{e.Schema, e.After}
	}
	return Row{e.Schema, e.Before}
}

// Key returns the identity of the record after the event, and false for a keyless table or a truncate.
func (e *Event) Key() (Key, bool) { return e.Row().Key() }

// OldKey returns the identity before the event where the event changed it, and whether it did.
func (e *Event) OldKey() (Key, bool) {
	if e.Before == nil || e.After == nil {
		return "", false
	}
	was, ok := Row{e.Schema, e.Before}.Key()
	if !ok {
		return "", false
	}
	is, ok := Row{e.Schema, e.After}.Key()
	return was, ok && was != is
}

// Priority returns the event's priority.
func (e *Event) Priority() Priority {
	if e.Meta == nil {
		return PriorityNormal
	}
	return e.Meta.Priority
}

// Barrier reports whether nothing may be reordered across the event.
func (e *Event) Barrier() bool { return e.Op == OpTruncated }

// Changed reports whether the event says that the column changed, as far as it can be told: a column that was not sent did
// not, one without a before image may have.
func (e *Event) Changed(column int) bool {
	if e.After == nil || e.After[column].kind == KindUnset {
		return false
	}
	if e.Before == nil || e.Before[column].kind == KindUnset {
		return true
	}
	return !Equal(e.Before[column], e.After[column])
}
