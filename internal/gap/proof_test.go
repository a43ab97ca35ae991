package gap

import (
	"errors"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/state"
)

// proving is a proof that a test takes through its stages.
type proving struct {
	Proof
	t *testing.T
	g state.Gap
}

func begun(t *testing.T) *proving {
	return &proving{t: t, g: state.Gap{ID: "gap-7", Status: state.GapFilling, Attempts: 1}}
}

func (p *proving) next(want Task) {
	p.t.Helper()
	if got := p.Next(now); got != want {
		p.t.Fatalf("next is task %d, want %d", got, want)
	}
}

// waits checks that nothing has failed and something is waited for.
func (p *proving) waits(err error, why string) {
	p.t.Helper()
	if err = p.Failed(err, now); syncline.CodeOf(err) != "gap_waits" || !strings.Contains(err.Error(), why) {
		p.t.Errorf("waits for %v, want %q", err, why)
	}
}

func (p *proving) no(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// all is what has arrived: the log ends at the entry, and two routes stand behind it.
func all(end syncline.Seq) Arrival {
	return Arrival{LastEntry: end, Routes: []Progress{{Route: "a", Next: end + 1}, {Route: "b", Next: end + 9}}}
}

// compared takes the proof to its verification.
func (p *proving) compared() {
	p.t.Helper()
	p.no(p.Arrived(all(10)))
	p.no(p.Checked(&p.g, "", now))
	p.Vanished(nil)
	p.no(p.Arrived(all(20)))
	p.next(Compare)
	p.Comparing(&p.g, "v")
	p.next(Judge)
}

// TestAProof goes from the reading to the comparison, and waits at each stage for what it needs.
func TestAProof(t *testing.T) {
	p := begun(t)
	p.next(Await)
	p.waits(p.Arrived(Arrival{LastEntry: 3, Routes: []Progress{{Route: "a", State: "starting", Placing: true}}}), "route a is starting")
	p.no(p.Arrived(Arrival{Open: true, LastEntry: 3}))
	if p.next(Await); p.Logged() {
		t.Error("a run that is open is in the log")
	}
	behind := Arrival{LastEntry: 10, Routes: []Progress{{Route: "a", Next: 11}, {Route: "b", State: "degraded", Next: 10}}}
	p.waits(p.Arrived(behind), "route b is degraded")
	if !p.Logged() {
		t.Error("runs that are over are not in the log")
	}
	behind.Open, behind.LastEntry, behind.Routes[1].Next = true, 99, 11 // what comes later is of others
	p.no(p.Arrived(behind))
	p.next(Check)
	p.no(p.Checked(&p.g, "", now))
	p.next(Search)
	p.waits(p.Searching(), "looking")
	p.next(Search)
	p.Vanished([]string{"missing-1"})
	p.next(Await)
	for id, want := range map[string]bool{"missing-1": true, "missing-2": false, Run(&p.g, "item").ID: false} {
		if got := p.Awaits(&p.g, &state.RunRow{Run: syncline.Run{ID: id}}); got != want {
			t.Errorf("Awaits(%s) = %t", id, got)
		}
	}
	p.no(p.Arrived(Arrival{Open: true, LastEntry: 12}))
	if p.next(Await); p.Logged() {
		t.Error("what the records were awaited by counts for the removals")
	}
	p.no(p.Arrived(all(12)))
	p.next(Compare)
	p.Comparing(&p.g, "v")
	p.next(Judge)
	p.waits(p.Judged(&p.g, Verdict{Status: state.VerificationRunning}, now), "verification v")
	p.no(p.Judged(&p.g, Verdict{Status: state.VerificationDone}, now))
	if p.g.Status != state.GapClosed || p.g.Error != "" {
		t.Errorf("the gap is %+v", p.g)
	}
}

// TestARunThatFailed opens the gap again, after a while.
func TestARunThatFailed(t *testing.T) {
	p := begun(t)
	p.g.Attempts = 0
	p.no(p.Arrived(all(10)))
	if err := p.Checked(&p.g, "run r is failed", now); err == nil || p.g.Status != state.GapOpen || p.g.Attempts != 1 || p.g.Next.Sub(now) != time.Minute {
		t.Errorf("the gap is %+v, %v", p.g, err)
	}
}

// TestWhatFailsIsTriedAgain ever more rarely, where it stood.
func TestWhatFailsIsTriedAgain(t *testing.T) {
	p := begun(t)
	p.no(p.Arrived(all(10)))
	p.no(p.Checked(&p.g, "", now))
	for try := 1; try <= 3; try++ {
		if err := p.Failed(errOne, now); !errors.Is(err, errOne) {
			t.Errorf("failed with %v", err)
		}
		if at := now.Add(Delay(try)); p.Next(at.Add(-1)) != Rest || p.Next(at) != Search {
			t.Errorf("after %d tries there is task %d, then %d", try, p.Next(at.Add(-1)), p.Next(at))
		}
	}
}

// TestVerdicts: only what was compared closes a gap, also where it differs; that is said.
func TestVerdicts(t *testing.T) {
	for _, test := range []struct {
		name    string
		v       Verdict
		status  string
		says    string
		fails   string
		pausing time.Duration
	}{
		{"equal", Verdict{Status: state.VerificationDone}, state.GapClosed, "", "", 0},
		{"different", Verdict{Status: state.VerificationDone, Different: 2}, state.GapClosed, "v found 2 records", "", 0},
		{"unsettled", Verdict{Status: state.VerificationDone, Unsettled: 3}, state.GapFilling, "", "of 3 records", probeEvery},
		{"unsettled and different", Verdict{Status: state.VerificationDone, Unsettled: 3, Different: 1}, state.GapFilling, "", "of 3 records", probeEvery},
		{"failed", Verdict{Status: state.VerificationFailed}, state.GapFilling, "", "v is failed", time.Minute},
		{"cancelled", Verdict{Status: state.VerificationCancelled}, state.GapFilling, "", "v is cancelled", time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := begun(t)
			p.compared()
			err := p.Failed(p.Judged(&p.g, test.v, now), now)
			if said := err != nil; said != (test.fails != "") || said && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("Judged = %v, want %q", err, test.fails)
			}
			if p.g.Status != test.status || !strings.Contains(p.g.Error, test.says) || test.says == "" && p.g.Error != "" {
				t.Errorf("the gap is %+v", p.g)
			}
			if at := now.Add(test.pausing); test.fails != "" && (p.Next(at.Add(-1)) != Rest || p.Next(at) != Compare || p.Verification() != "") {
				t.Errorf("then task %d of %q, want another comparison after %v", p.Next(at), p.Verification(), test.pausing)
			}
		})
	}
}

// TestNothingToCompare closes a gap: what is only told of events cannot be looked at.
func TestNothingToCompare(t *testing.T) {
	p := begun(t)
	p.no(p.Arrived(all(10)))
	p.no(p.Checked(&p.g, "", now))
	p.Vanished(nil)
	p.no(p.Arrived(all(10)))
	if p.Comparing(&p.g, ""); p.g.Status != state.GapClosed {
		t.Errorf("the gap is %+v", p.g)
	}
}
