// Package gap decides how what a log or a route lacks is read again, and when that has been proven to be at the targets. It has no I/O, clock
// or goroutine: the daemon looks, tells what it has seen, and carries out what is to be done. See DESIGN.md.
package gap

import (
	"time"

	"syncline/internal/state"
)

const (
	// Every is how often gaps are looked at, Soon while one is being filled: each look moves it on by a step.
	Every = 5 * time.Second
	Soon  = time.Second
	// Memory is for how long a gap counts against the next one: what is lost again and again is read again ever more rarely.
	Memory = 24 * time.Hour
	// Room is the share of a log's quota that routes may hold when a gap begins to be read: all of it goes through the log.
	Room = 0.5

	maxDelay = time.Hour
	// probeEvery is how often a target is tried that did not answer.
	probeEvery = 10 * time.Second
)

// Delay is the wait after so many tries, or gaps within Memory.
func Delay(before int) time.Duration {
	if before == 0 {
		return 0
	}
	return min(time.Minute<<min(before-1, 10), maxDelay)
}

// Due reports whether the gap's time has come. It is kept as a time of day: one that is farther away than any wait was given by a clock that has
// been set back since, and is not waited for.
func Due(g *state.Gap, now time.Time) bool {
	wait := g.Next.Sub(now)
	return wait <= 0 || wait > maxDelay
}

// Until is the gap's time as now's clock has it, whatever is done to that meanwhile where now has a monotonic reading; zero = it has come.
func Until(g *state.Gap, now time.Time) time.Time {
	if Due(g, now) {
		return time.Time{}
	}
	return now.Add(g.Next.Sub(now))
}

// Move is what is done next about a gap.
type Move uint8

const (
	Wait Move = iota
	// Wake: its source may be waiting for room in the log; if it does, and there is some, have it try again.
	Wake
	// Look: find out on what Ground its records could be read, then call Try.
	Look
	// Prove: do what the Proof of the gap says.
	Prove
)

// OfSource moves the gap of a source on.
func OfSource(g *state.Gap, now time.Time) Move {
	switch {
	case !Due(g, now):
		return Wait
	case g.Status == state.GapDeclared:
		return Wake
	case g.Status == state.GapFilling:
		return Prove
	}
	return Look
}

// Route is how the route of a gap is.
type Route struct {
	// Gone: the configuration does not have it. Paused: an operator holds it back.
	Gone, Paused bool
	// Lost is why it has no hold on its log and needs a sync; nil = it has one.
	Lost error
}

// OfRoute moves the gap of a route on. The error is why it has to be filled once more.
func OfRoute(g *state.Gap, r Route, now time.Time) (Move, error) {
	switch filling := g.Status == state.GapFilling; {
	case r.Gone:
		g.Status, g.Error = state.GapClosed, "the route is gone"
	case r.Paused:
	case filling && r.Lost != nil:
		g.Status, g.Next = state.GapOpen, now.Add(Delay(g.Attempts))
		return Wait, r.Lost
	case filling:
		return Prove, nil
	case r.Lost == nil && g.Attempts == 0: // an operator has begun it anew
		g.Status, g.Next, g.Error = state.GapFilling, g.Created, ""
	case Due(g, now):
		return Look, nil
	}
	return Wait, nil
}

// Ground is what the reading of a gap's records stands on.
type Ground struct {
	// Refused is why they cannot be read now: the source does not work, or there is no room in its log.
	Refused error
	// Asked: the target of the gap's route was asked, and Silent is why it did not answer. The gap of a source asks none.
	Asked  bool
	Silent error
}

// Try begins a try, or does not; the error says why. Tried is to be told what came of it.
func Try(g *state.Gap, on Ground, now time.Time) (begin bool, err error) {
	switch {
	case on.Refused != nil:
		return false, on.Refused
	case g.Route != "" && !on.Asked:
		return false, nil
	case on.Silent != nil:
		g.Next = now.Add(probeEvery)
		return false, on.Silent
	}
	g.Attempts++
	return true, nil
}

// Tried takes over that everything was asked for, or why not.
func Tried(g *state.Gap, err error, now time.Time) error {
	if err != nil {
		g.Next = now.Add(Delay(g.Attempts))
		return err
	}
	g.Status, g.Error = state.GapFilling, ""
	if g.Route != "" {
		g.Next = now
	}
	return nil
}
