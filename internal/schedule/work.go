package schedule

import (
	"context"
	"fmt"
	"strings"
)

// The kinds of work.
const (
	KindSync   = "sync"
	KindVerify = "verify"
	KindHealth = "health"
)

// Mode is how a sync reads an entity.
type Mode string

const (
	// Full reads all records.
	Full Mode = "full"
	// Incremental reads what has changed behind the watermark.
	Incremental Mode = "incremental"
	// Sweep reads the keys, and finds what was deleted.
	Sweep Mode = "sweep"
)

// Work is what a run is to do.
type Work struct {
	// Kind is one of the constants above.
	Kind string
	// System, Entity, Mode and To are those of a sync; To are the target systems, none = all.
	System, Entity string
	Mode           Mode
	To             []string
	// Rules and Repair are those of a verification; no rules = all.
	Rules  []string
	Repair string
	// Schedule and Run say for whom. A run that was cut off and goes on has the same one.
	Schedule, Run string
}

func (w Work) String() string {
	switch w.Kind {
	case KindSync:
		text := fmt.Sprintf("sync %s/%s (%s)", w.System, w.Entity, w.Mode)
		if len(w.To) > 0 {
			text += " to " + strings.Join(w.To, ", ")
		}
		return text
	case KindVerify:
		text := "verify " + strings.Join(w.Rules, ", ")
		if len(w.Rules) == 0 {
			text = "verify all rules"
		}
		if w.Repair != "" && w.Repair != "off" {
			text += " (repair: " + w.Repair + ")"
		}
		return text
	}
	return w.Kind
}

// Outcome is what a run did.
type Outcome struct {
	// Counts are by name, in snake_case.
	Counts map[string]int64
	// Note says more in words; may be empty.
	Note string
}

// Kind carries out work of a kind.
type Kind struct {
	// Do returns when it is done, or soon after ctx ends.
	Do func(ctx context.Context, w Work) (Outcome, error)
	// Resumes: Do with the Run of a call that was cut off goes on where that was, or finds that all is done.
	Resumes bool
}
