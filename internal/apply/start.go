package apply

import (
	"fmt"
	"strings"

	"syncline"
	"syncline/internal/plant"
)

// StartFacts is all that a slice knows before it runs: its copy of the cursor, the cursor at the target, and the log.
type StartFacts struct {
	// Known: the slice has run before; Cursor is the state store's copy.
	Known  bool
	Cursor syncline.Cursor
	// Placing: the slice was about to begin at Cursor and may not have reached the target.
	Placing bool
	// Anew: an operator asked for that beginning, whatever the target holds.
	Anew bool
	// Keeps: the target can hold the cursor; Held is what it held, if Found, and HeldState the store it belongs to.
	Keeps     bool
	Found     bool
	Held      syncline.Cursor
	HeldState string
	// State is the id of our state store.
	State string
	// Log and Bounds are of the log that the slice reads.
	Log    string
	Bounds syncline.Bounds
}

// StartMove is what a slice does after it took ownership.
type StartMove uint8

const (
	// StartRun goes on at Cursor.
	StartRun StartMove = iota
	// StartPlace writes Cursor at the target first: the slice begins.
	StartPlace
	// StartRefill goes on at Cursor, which lies below what was applied before: the target lost its tail.
	StartRefill
	// StartNeedsSync stops: a part of the log that the slice has not applied is gone.
	StartNeedsSync
	// StartHalt stops: going on would lose or repeat something.
	StartHalt
)

// StartDecision is the answer to StartFacts.
type StartDecision struct {
	Move   StartMove
	Cursor syncline.Cursor
	Err    *syncline.Error // of StartHalt and StartNeedsSync
}

// DecideStart is the table of cursors at start and after a reconnect. It is pure.
func DecideStart(f StartFacts) StartDecision {
	if f.Placing {
		if f.Keeps && f.Found && f.HeldState != f.State && !f.Anew {
			return foreignCursor(f)
		}
		if d, ok := f.inLog(f.Cursor); !ok {
			return d
		}
		c := f.Cursor
		c.Epoch = max(c.Epoch, f.Held.Epoch)
		return StartDecision{Move: StartPlace, Cursor: c}
	}
	at := f.Cursor
	refill := false
	if f.Keeps {
		switch {
		case f.Known && !f.Found:
			return halt("cursor_lost", "the target has lost this route's cursor: it was emptied, replaced or restored from before the route began",
				"check the target, or "+anew)
		case !f.Known && f.Found, f.HeldState != f.State:
			return foreignCursor(f)
		}
		at = f.Held
		refill = f.Held.Before(f.Cursor)
		if f.Cursor.Before(f.Held) && f.Held.Log == f.Cursor.Log {
			return halt("state_lost", fmt.Sprintf("the target is at sequence %d, the state store knows only %d: it was restored from an older copy",
				f.Held.Seq, f.Cursor.Seq), "restore the newer state store, or "+anew)
		}
	}
	if d, ok := f.inLog(at); !ok {
		return d
	}
	if refill {
		return StartDecision{Move: StartRefill, Cursor: at}
	}
	return StartDecision{Move: StartRun, Cursor: at}
}

// inLog reports whether the log has all that stands at the cursor and after it, and what is to be done if not.
func (f *StartFacts) inLog(at syncline.Cursor) (StartDecision, bool) {
	if at.Log != f.Log {
		return halt("log_replaced", "the log is not the one that the cursor counts in", "restore the log directory, or "+anew), false
	}
	if at.Seq > f.Bounds.Last+1 || at.Seq == f.Bounds.Last+1 && at.Index > 0 {
		return halt("log_lost", fmt.Sprintf("the cursor stands at sequence %d, the log ends at %d: it has lost its end", at.Seq, f.Bounds.Last),
			"restore the log directory; the target holds changes that the log no longer has"), false
	}
	if at.Seq < f.Bounds.First && !plant.SilentGap {
		return StartDecision{Move: StartNeedsSync, Cursor: at, Err: syncline.Errorf(syncline.Fatal, "needs_sync",
			"the log begins at sequence %d, the cursor stands at %d: the changes between are gone", f.Bounds.First, at.Seq).
			WithFix("%s", anew)}, false
	}
	return StartDecision{}, true
}

// foreignCursor refuses a target whose cursor another state store wrote: what that store still had to apply is not known here, and
// beginning over it would leave it out without a word.
func foreignCursor(f StartFacts) StartDecision {
	return halt("state_lost", fmt.Sprintf("the target holds a cursor of another state store (%s, ours is %s)", f.HeldState, f.State),
		"restore the state store that belongs to this target, or "+anew)
}

// Lost reports whether a route that stopped with this error has lost its place, so that only a new beginning helps. After any other
// error it goes on where it stood.
func Lost(err error) bool {
	switch code := syncline.CodeOf(err); code {
	case "needs_sync", "cursor_lost", "cursor_damaged", "search_damaged", "state_lost", "journal_trimmed":
		return true
	default:
		return strings.HasPrefix(code, "log_")
	}
}

// anew is how an operator has a halted route begin again; only a route that is named does.
const anew = "begin the route anew: `syncline sync SYSTEM/ENTITY --route ROUTE`"

func halt(code, msg, fix string) StartDecision {
	return StartDecision{Move: StartHalt, Err: syncline.Errorf(syncline.Fatal, code, "%s", msg).WithFix("%s", fix)}
}
