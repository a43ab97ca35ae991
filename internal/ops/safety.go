package ops

import "time"

// SourceRisk is what a system keeps for its source, and how near it is to keeping it no longer.
type SourceRisk struct {
	// At is when the system was asked.
	At time.Time `json:"at"`
	// System is who the system says that it is.
	System string `json:"system_id,omitempty"`
	Slot   string `json:"slot,omitempty"`
	// SlotState is reserved, extended, unreserved (needed changes may be removed any moment), lost or missing; Reason is the system's word for a loss.
	SlotState string `json:"slot_state,omitempty" enum:"reserved,extended,unreserved,lost,missing"`
	Reason    string `json:"reason,omitempty"`
	// Active: the slot is being read.
	Active bool `json:"active"`
	// HeldBytes is what the system keeps for the source, SafeBytes how much more it may write before it removes what is needed (absent =
	// no limit), LagBytes what it has written behind what was confirmed, LagSeconds how long a change takes until it is confirmed.
	HeldBytes  int64   `json:"held_bytes"`
	SafeBytes  *int64  `json:"safe_bytes,omitempty"`
	LagBytes   int64   `json:"lag_bytes"`
	LagSeconds float64 `json:"lag_seconds"`
	// HeldChanges is how many changes a change table holds.
	HeldChanges int64 `json:"held_changes,omitempty"`
	// AtRisk: something that is needed was lost or is about to be.
	AtRisk bool `json:"at_risk"`
}

// DeclaredGap is what was given up before the targets had it.
type DeclaredGap struct {
	ID string `json:"id"`
	// Status is declared (the source has to begin its stream anew), open (what is missing has to be read) or filling (it is being read).
	Status string `json:"status" enum:"declared,open,filling"`
	// Reason is the code of why it was given up, By who decided so.
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
	// From and To are where a source's stream ends and begins again, FromSeq and ToSeq the entries of the log that a route lacks.
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	FromSeq uint64 `json:"from_seq,omitempty"`
	ToSeq   uint64 `json:"to_seq,omitempty"`
	// Attempts counts how often it was begun to read what is missing. Next is when that is tried, where it has to wait; Error is why it did not
	// succeed.
	Attempts int        `json:"attempts"`
	Next     *time.Time `json:"next,omitempty"`
	Error    string     `json:"error,omitempty"`
}
