package main

import (
	"strings"
	"testing"
	"time"

	"syncline/internal/ops"
)

// TestAwaitingWhatWasResumed: what works is known after it has done so for a while, what does not when time is up.
func TestAwaitingWhatWasResumed(t *testing.T) {
	const step = 200 * time.Millisecond
	for _, test := range []struct {
		name   string
		states string // one look each; the last one stays
		want   time.Duration
	}{
		{"it works at once", "running", 6 * step},
		{"it works after a while", "halted halted starting running", 9 * step},
		{"it works, and stops again", "running running halted", lookLong},
		{"it never begins", "halted", lookLong},
		{"it is not answered", "degraded", lookLong},
	} {
		a, now := awaited{long: lookLong}, time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
		states := strings.Fields(test.states)
		var after time.Duration
		for i := 0; ; i++ {
			after += step
			if a.look(now.Add(after), after, []standing{{"crm", ops.RouteRunning, nil}, {"r", states[min(i, len(states)-1)], nil}}) {
				break
			}
		}
		if after != test.want {
			t.Errorf("%s: the answer comes after %s, want %s", test.name, after, test.want)
		}
	}
}

// TestTellingWhatBecameOfIt: in which state it is, why, and the way out.
func TestTellingWhatBecameOfIt(t *testing.T) {
	fault := &ops.Fault{Code: "slot_missing", Text: "slot_missing: there is no slot", Fix: "make one"}
	for _, test := range []struct {
		of   standing
		want string
		bad  bool
	}{
		{standing{"crm", ops.RouteRunning, nil}, "crm works\n", false},
		{standing{"crm", ops.RouteStarting, nil}, "crm is starting; see `syncline status`\n", false},
		{standing{"crm", ops.RouteDegraded, fault}, "crm is not answered yet, and tries on: slot_missing: there is no slot\n  fix: make one\n", false},
		{standing{"crm", ops.RouteHalted, fault}, "crm has stopped again, or is not mended (halted): slot_missing: there is no slot\n  fix: make one\n", true},
		{standing{"r", ops.RouteNeedsSync, fault}, "r has stopped again, or is not mended (needs_sync): slot_missing: there is no slot\n  fix: make one\n", true},
		{standing{"r", ops.RoutePaused, nil}, "r is paused\n", false},
	} {
		var b strings.Builder
		test.of.tell(&b)
		if b.String() != test.want || test.of.stopped() != test.bad {
			t.Errorf("%+v is told as %q, %v, want %q, %v", test.of, b.String(), test.of.stopped(), test.want, test.bad)
		}
	}
}
