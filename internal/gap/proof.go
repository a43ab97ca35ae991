package gap

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"syncline"
	"syncline/internal/state"
)

// Proof is how far the filling of a gap has got: its records are read, what the source does not have any more is removed, everything is
// compared. It is begun again by a process that begins: each part can be repeated. The zero value has just begun.
type Proof struct {
	stage stage
	// end is where the log ended when what is awaited was in it; 0 = it is not in it yet.
	end syncline.Seq
	// removals are the runs by which goes what has vanished, verification is the comparison.
	removals     []string
	verification string
	// tries counts what failed, after is when to go on.
	tries int
	after time.Time
}

type stage uint8

const (
	reading   stage = iota // the records are on their way to the targets
	read                   // they are there, unless a run has failed
	searching              // somebody looks for what has vanished
	removing               // what has vanished is on its way
	removed                // everything is there
	comparing              // and a verification looks whether it is
)

// Task is what the proof needs next.
type Task uint8

const (
	// Rest: nothing yet, its time has not come.
	Rest Task = iota
	// Await: see how far the runs and the routes are, then call Arrived.
	Await
	// Check: see whether a run has failed, then call Checked.
	Check
	// Search: have what has vanished looked for and removed, then call Vanished.
	Search
	// Compare: begin a verification with repair, then call Comparing.
	Compare
	// Judge: see what became of Verification, then call Judged.
	Judge
)

// Next is what the proof needs.
func (p *Proof) Next(now time.Time) Task {
	if now.Before(p.after) {
		return Rest
	}
	return [...]Task{reading: Await, read: Check, searching: Search, removing: Await, removed: Compare, comparing: Judge}[p.stage]
}

// Failed takes over that what was to be done has failed, and returns why: it is tried again, ever more rarely. What is only waited for has not failed.
func (p *Proof) Failed(err error, now time.Time) error {
	if err != nil && syncline.CodeOf(err) != "gap_waits" {
		p.tries++
		p.after = now.Add(Delay(p.tries))
	}
	return err
}

func waits(format string, args ...any) error {
	return syncline.Errorf(syncline.Transient, "gap_waits", format, args...)
}

// Awaits reports whether the run is one that has to be in the log before the proof goes on.
func (p *Proof) Awaits(g *state.Gap, run *state.RunRow) bool {
	if p.stage == removing {
		return slices.Contains(p.removals, run.ID)
	}
	return Reads(g, run)
}

// Logged reports whether what is awaited is known to be in the log.
func (p *Proof) Logged() bool { return p.end > 0 }

// Arrival is how far what is awaited has got.
type Arrival struct {
	// Open: one of the runs is not all in the log. LastEntry is where the log ends. Neither matters once it is Logged.
	Open      bool
	LastEntry syncline.Seq
	Routes    []Progress
}

// Progress is where a route is.
type Progress struct {
	Route, State string
	// Placing: it has yet to ask for its records.
	Placing bool
	// Next is the entry that it applies next.
	Next syncline.Seq
}

// Arrived goes on once the runs are in the log and the routes have come to its end as it was then; the error says what is waited for.
func (p *Proof) Arrived(a Arrival) error {
	for _, r := range a.Routes {
		if r.Placing {
			return waits("route %s is %s and has not begun", r.Route, r.State)
		}
	}
	if p.end == 0 {
		if a.Open {
			return nil // it shows for itself
		}
		p.end = a.LastEntry
	}
	for _, r := range a.Routes {
		if r.Next <= p.end {
			return waits("route %s is %s and has not come to the end of what was read", r.Route, r.State)
		}
	}
	p.stage, p.end = p.stage+1, 0
	return nil
}

// Checked takes over why one of the runs came to nothing, "" = none did. If one did, the gap is read again.
func (p *Proof) Checked(g *state.Gap, failed string, now time.Time) error {
	if failed == "" {
		p.stage = searching
		return nil
	}
	g.Attempts = max(g.Attempts, 1) // also that of an operator who has begun the route anew
	g.Status, g.Next = state.GapOpen, now.Add(Delay(g.Attempts))
	return errors.New(failed)
}

// Searching says what is waited for while somebody looks.
func (p *Proof) Searching() error {
	return waits("looking for records that the source does not have any more")
}

// Vanished takes over by which runs goes what the source does not have any more.
func (p *Proof) Vanished(runs []string) { p.stage, p.removals = removing, runs }

// Comparing takes over which verification compares everything; "" = there is nothing that could be compared, and the gap is closed.
func (p *Proof) Comparing(g *state.Gap, verification string) {
	if p.stage, p.verification = comparing, verification; verification == "" {
		g.Status, g.Error = state.GapClosed, ""
	}
}

// Verification is the one that compares everything.
func (p *Proof) Verification() string { return p.verification }

// Verdict is what a verification came to.
type Verdict struct {
	// Status is one of state's.
	Status string
	// Unsettled are records of which could not be told in time whether they are as they should be, Different those that are not, in spite of
	// the repair.
	Unsettled, Different int64
}

// Judged closes the gap if everything was compared. What could not be told proves nothing: that is compared again.
func (p *Proof) Judged(g *state.Gap, v Verdict, now time.Time) error {
	id := p.verification
	switch {
	case v.Status == state.VerificationRunning:
		return waits("everything is there; verification %s compares it", id)
	case v.Status != state.VerificationDone:
		p.stage, p.verification = removed, ""
		return fmt.Errorf("verification %s is %s", id, v.Status)
	case v.Unsettled > 0: // most often a target or the source was away for a moment
		p.stage, p.verification = removed, ""
		p.tries++
		p.after = now.Add(min(probeEvery<<min(p.tries-1, 10), maxDelay))
		return waits("of %d records verification %s could not tell in time whether they are there: they are compared again", v.Unsettled, id)
	}
	if g.Status, g.Error = state.GapClosed, ""; v.Different > 0 {
		g.Error = fmt.Sprintf("verification %s found %d records that differ", id, v.Different)
	}
	return nil
}
