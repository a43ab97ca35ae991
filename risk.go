package syncline

import (
	"context"
	"time"
)

// Risky is a Source that can tell what its system keeps for it, and how near it is to not keeping it any longer.
type Risky interface {
	Source
	// Risk asks the system on a connection of its own that ends with it. It changes nothing, works on a Source that is not open as well,
	// and is safe beside everything.
	Risk(ctx context.Context) (SourceRisk, error)
}

// SlotState is whether the system still keeps what a Source has not confirmed.
type SlotState string

const (
	// SlotNone: this kind of source has no slot.
	SlotNone SlotState = ""
	// SlotReserved: everything is kept, within what the system keeps anyway.
	SlotReserved SlotState = "reserved"
	// SlotExtended: more is kept than the system would keep for itself.
	SlotExtended SlotState = "extended"
	// SlotUnreserved: what is needed will be removed at the next occasion.
	SlotUnreserved SlotState = "unreserved"
	// SlotLost: something that is needed was removed. The slot does not come back.
	SlotLost SlotState = "lost"
	// SlotMissing: there is no slot by this name.
	SlotMissing SlotState = "missing"
)

// SourceRisk is what a system keeps for a Source.
type SourceRisk struct {
	// System is who the system says that it is.
	System string
	// Slot is the name of the replication slot; "" where there is none.
	Slot  string
	State SlotState
	// Reason is the system's own word for why a slot was lost; "" where it has none.
	Reason string
	// Active: somebody reads from the slot.
	Active bool
	// HeldBytes is what the system keeps for this source and could otherwise remove.
	HeldBytes int64
	// SafeBytes is how much more may be written before the system removes what is needed; negative = it may do so now, nil = no limit.
	SafeBytes *int64
	// LagBytes is how much was written behind what the source has confirmed.
	LagBytes int64
	// Lag is how long what was written takes until it is confirmed, as the system sees it; 0 where it has not measured that lately.
	Lag time.Duration
	// Over: it is more than an operator has allowed. A Source leaves it alone.
	Over bool
	// HeldChanges is how many changes a change table holds.
	HeldChanges int64
}

// AtRisk reports whether something was lost that the source needs, or is about to be: less than a tenth of what the system may keep in
// all is left, or more is kept than is allowed.
func (r SourceRisk) AtRisk() bool {
	switch r.State {
	case SlotMissing, SlotLost, SlotUnreserved:
		return true
	}
	return r.Over || r.SafeBytes != nil && *r.SafeBytes < (*r.SafeBytes+r.HeldBytes)/10
}

// Gap is what a log goes on without: changes that its source cannot bring any more, or that it was decided to give up. A Source that is
// opened with it begins its stream anew, under the next epoch, instead of refusing to go on. What changed meanwhile is for others to find.
type Gap struct {
	// Epoch is that of the log's end when the gap was declared. A log whose end has a later one has the gap behind it.
	Epoch uint32
	// After is when the stream may begin anew; the system is freed of what it keeps for us before.
	After time.Time
	// Ready says why the stream may not begin anew yet, although the time has come: nobody would take what it brings. nil = it may.
	Ready func(ctx context.Context) error
	// Begin and End note, durably, from which position on changes are missing, and where the stream begins again. Begin is called before
	// anything is given up. Each may be called more than once; the last word counts.
	Begin, End func(ctx context.Context, p Position) error
}

// Declared reports whether a log that ends at this position is to go on behind the gap.
func (g *Gap) Declared(last Position) bool { return g != nil && last.Epoch <= g.Epoch }

// Markable is a Source that can send a mark through its system, to see how long that takes.
type Markable interface {
	Source
	// Mark puts a mark into the system's own log of changes, where it changes nothing, on a connection of its own that ends with it. The
	// stream reaches the commit position that it returns once it has passed the mark, and says so at once. It works on a Source that is not
	// open as well, and is safe beside everything.
	Mark(ctx context.Context) (commit uint64, err error)
}
