package schedule

import (
	"time"

	"syncline/internal/state"
	"syncline/internal/timetable"
)

// Plan is a schedule: when, and what.
type Plan struct {
	ID    string
	Table *timetable.Table
	// Timing is the timetable in words. Where it changes, the next occurrence is reckoned anew.
	Timing  string
	Misfire Misfire
	Overlap Overlap
	// Enabled: occurrences begin runs. Without it, only a person does.
	Enabled bool
	// Implicit: it is there without having been written down.
	Implicit bool
	Work     Work
}

// Misfire is what becomes of occurrences that nobody was there for.
type Misfire string

const (
	// RunOnce has one run make up for all of them.
	RunOnce Misfire = "run_once"
	// SkipMissed leaves them out.
	SkipMissed Misfire = "skip"
)

// Overlap is what becomes of an occurrence that comes while a run is under way.
type Overlap string

const (
	// SkipOverlap leaves it out.
	SkipOverlap Overlap = "skip"
	// Queue has one run follow, however many occurrences came.
	Queue Overlap = "queue"
)

// Why a run began.
const (
	CauseSchedule = "schedule"
	// CauseLate is that of a run that begins later than the grace, or that stands for earlier occurrences, however punctual it is for the last one.
	CauseLate   = "late"
	CauseQueue  = "queue"
	CauseManual = "manual"
)

const (
	// grace is how late a run may begin and still be in time.
	grace = time.Minute
	// counted bounds how many missed occurrences are counted.
	counted = 1000
	// disagreement bounds how far the clock may be set back before occurrences that were settled come again.
	disagreement = 2 * time.Hour
)

// Standing is where a schedule stands, as far as it decides what is next.
type Standing struct {
	Signature string
	// Settled is the last occurrence that something became of, or the moment from which on they count; Next is the one after it.
	Settled, Next time.Time
	// Queued is an occurrence that waits for the run that is under way; zero = none.
	Queued          time.Time
	Paused, Running bool
}

// Decision is what is to be done now.
type Decision struct {
	// Begin: a run begins.
	Begin bool
	// Passed is state.ScheduleMissed or state.ScheduleSkipped where no run begins for an occurrence.
	Passed string
	// Cause and Due are those of the run, or of the occurrence that has passed.
	Cause string
	Due   time.Time
	// Missed counts the occurrences of which none came.
	Missed int64
	// Wake is when to decide again; zero = when something changes.
	Wake time.Time
}

// Step decides what is next. It is to be called again at once after what it decided was done.
//
// However far the clock goes forward, at most one run makes up for what it passed. When it goes back, occurrences that were settled do not
// come again, unless that would mean to wait for longer than the time between two of them, or disagreement: then they are reckoned anew.
func (p *Plan) Step(s Standing, now time.Time) (Standing, Decision) {
	if signature := p.signature(); s.Signature != signature {
		s.Signature, s.Queued = signature, time.Time{}
		s = p.reckon(s, now)
	}
	if !p.Enabled || s.Paused {
		return s, Decision{}
	}
	if back := min(s.Next.Sub(s.Settled), disagreement); !s.Next.IsZero() && now.Before(s.Settled.Add(-back)) {
		s = p.reckon(s, now)
	}
	if !s.Running && !s.Queued.IsZero() {
		d := Decision{Begin: true, Cause: CauseQueue, Due: p.due(s.Queued)}
		s.Queued = time.Time{}
		return s, d
	}
	due := p.due(s.Next)
	if s.Next.IsZero() || now.Before(due) {
		return s, Decision{Wake: due}
	}
	return p.settle(s, now)
}

// signature tells standings of this timetable from those of another one. While a schedule is disabled it has none: what comes
// meanwhile is not missed.
func (p *Plan) signature() string {
	if !p.Enabled {
		return "disabled"
	}
	return p.Timing
}

// reckon has occurrences count from now on.
func (p *Plan) reckon(s Standing, now time.Time) Standing {
	s.Settled, s.Next = instant(now), time.Time{}
	if p.Enabled {
		s.Next = instant(p.Table.Next(now))
	}
	return s
}

// settle decides about all occurrences that are due.
func (p *Plan) settle(s Standing, now time.Time) (Standing, Decision) {
	last, passed := s.Next, int64(0)
	next := instant(p.Table.Next(last))
	for !next.IsZero() && !now.Before(p.due(next)) && passed < counted {
		last, passed = next, passed+1
		next = instant(p.Table.Next(next))
	}
	d := Decision{Cause: CauseSchedule, Due: p.due(last), Missed: passed}
	s.Settled, s.Next = last, next
	if passed == counted {
		s = p.reckon(s, now)
	}
	late := now.Sub(d.Due) > grace
	switch {
	case s.Running && p.Overlap == Queue && s.Queued.IsZero():
		s.Queued = last
		return s, Decision{Missed: passed}
	case s.Running:
		d.Passed, d.Missed = state.ScheduleSkipped, passed+1
	case late && p.Misfire == SkipMissed:
		d.Passed, d.Missed = state.ScheduleMissed, passed+1
	default:
		d.Begin = true
		if late || passed > 0 {
			d.Cause = CauseLate
		}
	}
	return s, d
}

func (p *Plan) due(occurrence time.Time) time.Time { return p.Table.Due(p.ID, occurrence) }

// instant is a moment as the state store keeps it.
func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}
