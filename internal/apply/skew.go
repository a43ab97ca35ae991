package apply

import (
	"fmt"
	"log/slog"
	"time"

	"syncline/internal/conflict"
	"syncline/internal/state"
)

// skewLimit is how far ahead of this machine's clock a time may be that decides a conflict. What is beyond it wins against everything that
// is written until that time has come, which is never meant. A clock that is behind shows nowhere: its changes look as if they came late.
const skewLimit = time.Minute

// skewed notes with a conflict that a time which decided it is still to come.
func skewed(c *state.Conflict, latest conflict.Stamp, now time.Time) {
	ahead := latest.Time.Sub(now)
	if latest.Time.IsZero() || ahead <= skewLimit {
		return
	}
	c.Skew = state.Skew{System: latest.Source, Ahead: ahead}
	if c.Note != "" {
		c.Note += "; "
	}
	c.Note += fmt.Sprintf("the clock of %s is %s ahead of this machine's", latest.Source, ahead.Round(time.Second))
}

// Skewed sums up the decisions of a route that went by a time which is still to come.
type Skewed struct {
	// Decisions since the start; Last is the newest of them, and At when it was made.
	Decisions int64
	Last      state.Skew
	At        time.Time
}

// add takes over a commit that is in the state store.
func (s *Skewed) add(c *state.Commit) {
	for i := range c.Conflicts {
		if x := &c.Conflicts[i]; x.Skew.Ahead > 0 {
			s.Decisions++
			s.Last, s.At = x.Skew, x.Updated
		}
	}
}

// skews is what the log is still to be told of them: the first at once, and what follows once in skewEvery.
type skews struct {
	told int64
	next time.Time
}

const skewEvery = 10 * time.Minute

func (k *skews) tell(log *slog.Logger, s Skewed, now time.Time) {
	if s.Decisions == k.told || k.next.After(now) {
		return
	}
	log.Warn("conflicts are decided by a time that is still to come", "system", s.Last.System, "ahead", s.Last.Ahead.Round(time.Second),
		"conflicts", s.Decisions-k.told, "fix", "set the clocks of the systems by NTP")
	k.told, k.next = s.Decisions, now.Add(skewEvery)
}
