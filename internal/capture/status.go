package capture

import (
	"slices"
	"time"

	"syncline"
)

// State is how a capture is, in one word.
type State string

const (
	StateStarting State = "starting"
	StateRunning  State = "running"
	StateDegraded State = "degraded" // the source or the log does not answer
	StateHalted   State = "halted"
	StateStopped  State = "stopped"
)

// Status is a capture's own account of itself.
type Status struct {
	State State
	// Since is when State began; of a source that comes and goes, when that did.
	Since time.Time
	// Err is why it is degraded or halted; nil otherwise.
	Err error
	// Position is how far the source's stream is in the log, Seq where that is.
	Position syncline.Position
	Seq      syncline.Seq
	// Events counts what was appended since the start.
	Events int64
	// LastEvent is when the last event was appended.
	LastEvent time.Time
	// Heard is when the open source heard of its system last, whether anything had changed or not; zero where it cannot tell.
	Heard time.Time
	// Runs are those that the source works on.
	Runs int
	// Warnings are what the open source says of changes that it will not bring, and what could not be derived of events.
	Warnings []string
	// Underived counts, since the start, events of which something could not be derived.
	Underived []Underived
}

// Status returns how the capture is now.
func (c *Capture) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Runs = len(c.runs)
	if w, ok := c.source.(Warner); ok {
		s.Warnings = w.Warnings()
	}
	if l, ok := c.source.(Listener); ok {
		s.Heard = l.Heard()
	}
	s.Underived = c.underivedLocked()
	for i := range s.Underived {
		s.Warnings = append(slices.Clip(s.Warnings), s.Underived[i].warning())
	}
	return s
}

// show makes the machine's state the capture's own account of itself.
func (c *Capture) show() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, now := c.status.State, c.o.Now(); was != c.m.state {
		again := was == StateRunning && now.Sub(c.status.Since) < c.o.MaxDelay && !c.troubled.IsZero()
		c.status.State, c.status.Since = c.m.state, now
		switch c.m.state {
		case StateRunning:
		case StateDegraded:
			if !again {
				c.troubled = now
			}
			c.status.Since = c.troubled
		default:
			c.troubled = time.Time{}
		}
	}
	c.status.Err = c.m.err
}
