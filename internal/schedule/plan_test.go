package schedule

import (
	"math/rand/v2"
	"testing"
	"time"

	"syncline/internal/state"
	"syncline/internal/timetable"
)

func plan(t testing.TB, spec timetable.Spec) *Plan {
	t.Helper()
	table, err := timetable.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return &Plan{ID: "s", Table: table, Timing: "t", Misfire: RunOnce, Overlap: SkipOverlap, Enabled: true}
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// TestStep: what becomes of an occurrence at 12:05 of a schedule of every five minutes.
func TestStep(t *testing.T) {
	m := func(minutes float64) time.Time { return noon.Add(time.Duration(minutes * float64(time.Minute))) }
	for _, c := range []struct {
		name   string
		change func(*Plan, *Standing)
		now    time.Time
		want   Decision
		next   time.Time
		queued time.Time
	}{
		{"not yet", nil, m(4.9), Decision{Wake: m(5)}, m(5), time.Time{}},
		{"in time", nil, m(5), Decision{Begin: true, Cause: CauseSchedule, Due: m(5)}, m(10), time.Time{}},
		{"a little late", nil, m(5.9), Decision{Begin: true, Cause: CauseSchedule, Due: m(5)}, m(10), time.Time{}},
		{"at the end of the grace", nil, m(6), Decision{Begin: true, Cause: CauseSchedule, Due: m(5)}, m(10), time.Time{}},
		{"late", nil, m(7), Decision{Begin: true, Cause: CauseLate, Due: m(5)}, m(10), time.Time{}},
		{"very late, and once for all", nil, m(62), Decision{Begin: true, Cause: CauseLate, Due: m(60), Missed: 11}, m(65), time.Time{}},
		{"very late, but in time for the last one", nil, m(60.5), Decision{Begin: true, Cause: CauseLate, Due: m(60), Missed: 11}, m(65), time.Time{}},
		{"in time for the second", nil, m(10), Decision{Begin: true, Cause: CauseLate, Due: m(10), Missed: 1}, m(15), time.Time{}},
		{"late, and skipped", func(p *Plan, _ *Standing) { p.Misfire = SkipMissed }, m(62), Decision{Passed: state.ScheduleMissed, Cause: CauseSchedule, Due: m(60), Missed: 12}, m(65), time.Time{}},
		{"skipped, but in time for the last one", func(p *Plan, _ *Standing) { p.Misfire = SkipMissed }, m(60.5),
			Decision{Begin: true, Cause: CauseLate, Due: m(60), Missed: 11}, m(65), time.Time{}},
		{"running", func(_ *Plan, s *Standing) { s.Running = true }, m(5), Decision{Passed: state.ScheduleSkipped, Cause: CauseSchedule, Due: m(5), Missed: 1}, m(10), time.Time{}},
		{"running, and queued", func(p *Plan, s *Standing) { s.Running, p.Overlap = true, Queue }, m(5), Decision{}, m(10), m(5)},
		{"running, and one is queued already", func(p *Plan, s *Standing) { s.Running, p.Overlap, s.Queued = true, Queue, m(0) }, m(5),
			Decision{Passed: state.ScheduleSkipped, Cause: CauseSchedule, Due: m(5), Missed: 1}, m(10), m(0)},
		{"queued, and nothing runs any more", func(p *Plan, s *Standing) { p.Overlap, s.Queued = Queue, m(0) }, m(3),
			Decision{Begin: true, Cause: CauseQueue, Due: m(0)}, m(5), time.Time{}},
		{"paused", func(_ *Plan, s *Standing) { s.Paused = true }, m(62), Decision{}, m(5), time.Time{}},
		{"paused, and queued", func(_ *Plan, s *Standing) { s.Paused, s.Queued = true, m(0) }, m(3), Decision{}, m(5), m(0)},
		{"disabled", func(p *Plan, _ *Standing) { p.Enabled = false }, m(62), Decision{}, time.Time{}, time.Time{}},
		{"another timetable", func(_ *Plan, s *Standing) { s.Signature = "was" }, m(62), Decision{Wake: m(67)}, m(67), time.Time{}},
		{"another timetable, and queued", func(_ *Plan, s *Standing) { s.Signature, s.Queued = "was", m(0) }, m(3), Decision{Wake: m(8)}, m(8), time.Time{}},
		{"the clock is set back a little", nil, m(-4), Decision{Wake: m(5)}, m(5), time.Time{}},
		{"the clock is set back", nil, m(-60), Decision{Wake: m(-55)}, m(-55), time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := plan(t, timetable.Spec{Every: 5 * time.Minute})
			s := Standing{Signature: p.Timing, Settled: m(0), Next: m(5)}
			if c.change != nil {
				c.change(p, &s)
			}
			got, d := p.Step(s, c.now)
			if d != c.want {
				t.Errorf("Step = %+v, want %+v", d, c.want)
			}
			if got.Next != c.next || got.Queued != c.queued {
				t.Errorf("Step leaves next %s, queued %s, want %s and %s", got.Next, got.Queued, c.next, c.queued)
			}
		})
	}
}

// TestTheClockOfASlowSchedule: set back by more than two hours, a daily one does not wait for the day to come again.
func TestTheClockOfASlowSchedule(t *testing.T) {
	p := plan(t, timetable.Spec{Every: 24 * time.Hour})
	s := Standing{Signature: p.Timing, Settled: noon, Next: noon.Add(24 * time.Hour)}
	for back, want := range map[time.Duration]time.Time{time.Hour: s.Next, 3 * time.Hour: noon.Add(21 * time.Hour)} {
		if _, d := p.Step(s, noon.Add(-back)); d != (Decision{Wake: want}) {
			t.Errorf("Step of a clock set back by %s = %+v, want to wake at %s", back, d, want)
		}
	}
}

// TestLongOutageOfAFastSchedule: what a year of seconds has passed is not counted to its end.
func TestLongOutageOfAFastSchedule(t *testing.T) {
	p := plan(t, timetable.Spec{Cron: "* * * * * *"})
	now := noon.AddDate(1, 0, 0)
	s, d := p.Step(Standing{Signature: p.Timing, Settled: noon, Next: noon.Add(time.Second)}, now)
	if !d.Begin || d.Missed != counted || s.Next != now.Add(time.Second) {
		t.Errorf("Step = %+v with next %s, want a run for %d, and the next second", d, s.Next, counted)
	}
}

// TestClockThatJumps: whatever the clock does, a jump costs one run more at the most, and from the last jump or run on none is waited for
// longer than for two occurrences.
func TestClockThatJumps(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		spec := []timetable.Spec{{Every: 5 * time.Minute}, {Cron: "*/5 * * * *"}, {Every: 5 * time.Minute, Jitter: time.Minute}}[seed%3]
		p := plan(t, spec)
		if seed%2 == 0 {
			p.Misfire = SkipMissed
		}
		shown, lived := noon, time.Duration(0) // what the clock shows, and how long it has been
		var s Standing
		last, begun, jumps := time.Duration(0), 0, 0
		for range 3000 {
			tick := time.Duration(r.IntN(20)+1) * time.Second
			shown, lived = shown.Add(tick), lived+tick
			if r.IntN(200) == 0 {
				shown = shown.Add(time.Duration(r.Int64N(int64(8*time.Hour))) - 4*time.Hour)
				jumps++
				last = lived
			}
			begins := 0
			for {
				next, d := p.Step(s, shown)
				s = next
				if d.Begin {
					begins++
				}
				if !d.Begin && d.Passed == "" && d.Missed == 0 {
					break
				}
			}
			if begins > 1 {
				t.Fatalf("seed %d: %d runs begin at once", seed, begins)
			}
			if begins == 1 {
				last, begun = lived, begun+1
			}
			if wait := lived - last; wait > 11*time.Minute+20*time.Second {
				t.Fatalf("seed %d: no run for %s", seed, wait)
			}
		}
		if most := int(lived/(5*time.Minute)) + jumps + 1; begun > most {
			t.Errorf("seed %d: %d runs in %s with %d jumps, want at most %d", seed, begun, lived, jumps, most)
		}
	}
}
