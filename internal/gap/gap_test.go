package gap

import (
	"errors"
	"testing"
	"time"

	"syncline"
	"syncline/internal/state"
)

var (
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	errOne = errors.New("one")
)

// TestDelay grows from nothing to an hour.
func TestDelay(t *testing.T) {
	for before, want := range map[int]time.Duration{0: 0, 1: time.Minute, 2: 2 * time.Minute, 6: 32 * time.Minute, 7: time.Hour, 1000: time.Hour} {
		if got := Delay(before); got != want {
			t.Errorf("Delay(%d) = %v, want %v", before, got, want)
		}
	}
}

func TestOfSource(t *testing.T) {
	for _, test := range []struct {
		name string
		g    state.Gap
		want Move
	}{
		{"released, and waits for room", state.Gap{Status: state.GapDeclared}, Wake},
		{"released again, and its time has not come", state.Gap{Status: state.GapDeclared, Next: now.Add(time.Second)}, Wait},
		{"begun anew", state.Gap{Status: state.GapOpen}, Look},
		{"failed, and its time has not come", state.Gap{Status: state.GapOpen, Attempts: 1, Next: now.Add(time.Second)}, Wait},
		{"failed, and the clock was set back", state.Gap{Status: state.GapOpen, Attempts: 1, Next: now.Add(30 * 24 * time.Hour)}, Look},
		{"released again, and the clock was set back", state.Gap{Status: state.GapDeclared, Next: now.Add(maxDelay + 1)}, Wake},
		{"the longest wait", state.Gap{Status: state.GapOpen, Attempts: 9, Next: now.Add(maxDelay)}, Wait},
		{"being filled", state.Gap{Status: state.GapFilling, Attempts: 1, Next: now}, Prove},
	} {
		if got := OfSource(&test.g, now); got != test.want {
			t.Errorf("%s: move %d, want %d", test.name, got, test.want)
		}
	}
}

func TestOfRoute(t *testing.T) {
	const r = "r"
	later, created, never := now.Add(time.Minute), now.Add(-time.Hour), now.Add(30*24*time.Hour)
	for _, test := range []struct {
		name string
		g    state.Gap
		r    Route
		want Move
		err  error
		then state.Gap
	}{
		{"its time has come", state.Gap{Route: r, Status: state.GapOpen, Next: now}, Route{Lost: errOne}, Look, nil, state.Gap{Route: r, Status: state.GapOpen, Next: now}},
		{"its time has not come", state.Gap{Route: r, Status: state.GapOpen, Next: later}, Route{Lost: errOne}, Wait, nil, state.Gap{Route: r, Status: state.GapOpen, Next: later}},
		{"the clock was set back", state.Gap{Route: r, Status: state.GapOpen, Next: never}, Route{Lost: errOne}, Look, nil, state.Gap{Route: r, Status: state.GapOpen, Next: never}},
		{"paused", state.Gap{Route: r, Status: state.GapFilling, Attempts: 1}, Route{Paused: true, Lost: errOne}, Wait, nil, state.Gap{Route: r, Status: state.GapFilling, Attempts: 1}},
		{"gone", state.Gap{Route: r, Status: state.GapOpen}, Route{Gone: true}, Wait, nil, state.Gap{Route: r, Status: state.GapClosed, Error: "the route is gone"}},
		{"an operator has begun it anew", state.Gap{Route: r, Status: state.GapOpen, Next: later, Error: "x", Created: created}, Route{}, Wait, nil,
			state.Gap{Route: r, Status: state.GapFilling, Next: created, Created: created}},
		{"its run has failed, and its time has not come", state.Gap{Route: r, Status: state.GapOpen, Attempts: 1, Next: later}, Route{}, Wait, nil,
			state.Gap{Route: r, Status: state.GapOpen, Attempts: 1, Next: later}},
		{"its run has failed", state.Gap{Route: r, Status: state.GapOpen, Attempts: 1, Next: now}, Route{}, Look, nil, state.Gap{Route: r, Status: state.GapOpen, Attempts: 1, Next: now}},
		{"being filled", state.Gap{Route: r, Status: state.GapFilling, Attempts: 1, Next: now}, Route{}, Prove, nil, state.Gap{Route: r, Status: state.GapFilling, Attempts: 1, Next: now}},
		{"lost while it was filled", state.Gap{Route: r, Status: state.GapFilling, Attempts: 2, Next: now}, Route{Lost: errOne}, Wait, errOne,
			state.Gap{Route: r, Status: state.GapOpen, Attempts: 2, Next: now.Add(2 * time.Minute)}},
	} {
		got, err := OfRoute(&test.g, test.r, now)
		if got != test.want || !errors.Is(err, test.err) || test.g != test.then {
			t.Errorf("%s: move %d, %v, %+v, want %d, %v, %+v", test.name, got, err, test.g, test.want, test.err, test.then)
		}
	}
}

// TestUntil: what a stream waits for is the gap's time, and nothing that a wrong clock gave.
func TestUntil(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{-time.Hour: 0, 0: 0, time.Minute: time.Minute, maxDelay: maxDelay, maxDelay + 1: 0, 30 * 24 * time.Hour: 0} {
		got := Until(&state.Gap{Next: now.Add(in)}, now)
		if got.IsZero() != (want == 0) || want > 0 && got.Sub(now) != want {
			t.Errorf("%s before its time, a stream waits until %s; want %s", in, got, want)
		}
	}
}

// TestTry: a try begins where there is room and the target answers, and counts from then on.
func TestTry(t *testing.T) {
	for _, test := range []struct {
		name  string
		route string
		on    Ground
		begin bool
		err   error
		wait  time.Duration
	}{
		{"source", "", Ground{}, true, nil, 0},
		{"source without room", "", Ground{Refused: errOne}, false, errOne, 0},
		{"route", "r", Ground{Asked: true}, true, nil, 0},
		{"route without room", "r", Ground{Refused: errOne, Asked: true}, false, errOne, 0},
		{"route whose target was not asked", "r", Ground{}, false, nil, 0},
		{"route whose target is down", "r", Ground{Asked: true, Silent: errOne}, false, errOne, probeEvery},
	} {
		g := state.Gap{Route: test.route, Status: state.GapOpen, Next: now, Attempts: 3}
		begin, err := Try(&g, test.on, now)
		tries := 3
		if test.begin {
			tries++
		}
		if begin != test.begin || !errors.Is(err, test.err) || g.Attempts != tries || g.Next.Sub(now) != test.wait || g.Status != state.GapOpen {
			t.Errorf("%s: %t, %v, %+v", test.name, begin, err, g)
		}
	}
}

func TestTried(t *testing.T) {
	g := state.Gap{Route: "r", Status: state.GapOpen, Attempts: 3, Error: "x"}
	if err := Tried(&g, errOne, now); !errors.Is(err, errOne) || g.Status != state.GapOpen || g.Next.Sub(now) != Delay(3) {
		t.Errorf("a try that failed: %v, %+v", err, g)
	}
	if err := Tried(&g, nil, now); err != nil || g.Status != state.GapFilling || !g.Next.Equal(now) || g.Error != "" {
		t.Errorf("a try that began: %v, %+v", err, g)
	}
}

// TestReads: the runs of the present try count, those of a try before, of others and of operators do not.
func TestReads(t *testing.T) {
	of, source := state.Gap{ID: "gap-7", Route: "r", Attempts: 2, Next: now.Add(300 * time.Nanosecond)}, state.Gap{ID: "gap-7", Attempts: 2}
	if id := Run(&of, "item", "r").ID; id != "refill-7-2-item" {
		t.Errorf("the run is %s", id)
	}
	for _, test := range []struct {
		g       *state.Gap
		id      string
		route   string
		created time.Time
		want    bool
	}{
		{&of, "refill-7-2-item", "r", now, true},
		{&of, "refill-7-1-item", "r", now, false},
		{&of, "refill-71-2-item", "r", now, false},
		{&of, "start-r-item-9", "r", now, true}, // the store has no nanoseconds
		{&of, "start-r-item-9", "r", now.Add(-time.Second), false},
		{&of, "start-q-item-9", "q", now, false},
		{&of, "full-1", "r", now, false},
		{&source, "refill-7-2-item", "r", now, true},
		{&source, "start-r-item-9", "", now, false},
	} {
		run := state.RunRow{Run: syncline.Run{ID: test.id, Routes: []string{test.route}}, Created: test.created}
		if got := Reads(test.g, &run); got != test.want {
			t.Errorf("Reads(%q, %s of %s) = %t", test.g.Route, test.id, test.created, got)
		}
	}
}

// TestRemovable is what was seen, and refuses much of a large target.
func TestRemovable(t *testing.T) {
	for _, test := range []struct {
		missing, records int64
		most             float64
	}{{0, 10, 10}, {3, 4, 75}, {100, 200, 50}, {101, 2000, 10}, {600, 2000, -1}} {
		most, err := Removable("shop/item", []Absence{{At: "w/item", Missing: test.missing, Records: test.records, Percent: float64(test.missing) / float64(test.records) * 100}})
		if err != nil && (test.most >= 0 || syncline.CodeOf(err) != "missing_too_many") || err == nil && most != test.most {
			t.Errorf("Removable(%d of %d) = %v, %v, want %v", test.missing, test.records, most, err, test.most)
		}
	}
}
