package daemon

import (
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/capture"
	"syncline/internal/config"
)

// TestWALBudget: each bound has its level, which is left only well below it; a slot is released when the limit is passed for long, nothing
// is taken away meanwhile, and it is we who hold it.
func TestWALBudget(t *testing.T) {
	const mb = 1_000_000
	hold := config.WALBudget{Warn: 100 * mb, Spill: 200 * mb, Limit: 400 * mb, OnLimit: config.OnLimitHold, ReleaseAfter: 30 * time.Second}
	release := hold
	release.OnLimit = config.OnLimitRelease
	type look struct {
		after     time.Duration // since the look before
		held, lag int64         // in megabytes
		state     syncline.SlotState
		level     walLevel
		release   bool
	}
	for name, test := range map[string]struct {
		budget config.WALBudget
		looks  []look
	}{
		"up and down": {hold, []look{
			{0, 99, 99, "", walCalm, false},
			{10, 100, 100, "", walWarned, false},
			{10, 95, 95, "", walWarned, false},
			{10, 89, 89, "", walCalm, false},
			{10, 250, 250, "", walSpilling, false},
			{10, 185, 185, "", walSpilling, false},
			{10, 170, 170, "", walWarned, false},
			{10, 500, 500, "", walOver, false},
			{1000, 900, 900, "", walOver, false}, // it holds
			{10, 0, 0, "", walCalm, false},
		}},
		"nobody takes it": {release, []look{
			{0, 450, 450, "", walOver, false},
			{20, 460, 460, "", walOver, false},
			{10, 470, 470, "", walOver, true},
		}},
		"it is being taken": {release, []look{
			{0, 450, 450, "", walOver, false},
			{20, 445, 440, "", walOver, false},
			{20, 440, 430, "", walOver, false},
			{20, 435, 420, "", walOver, false},
			{20, 435, 420, "", walOver, false},
			{10, 435, 420, "", walOver, true},
		}},
		"it hardly sinks": {release, []look{
			{0, 450, 450, "", walOver, false},
			{20, 450, 448, "", walOver, false},
			{10, 450, 447, "", walOver, true},
		}},
		"a transaction holds it": {release, []look{
			{0, 450, 10, "", walOver, false},
			{100, 900, 10, "", walOver, false},
		}},
		"it is lost, or gone": {release, []look{
			{0, 450, 450, syncline.SlotLost, walOver, false},
			{100, 450, 450, syncline.SlotLost, walOver, false},
			{100, 450, 450, syncline.SlotMissing, walCalm, false},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			var w walWatch
			for i, l := range test.looks {
				now = now.Add(l.after * time.Second)
				if l.state == "" {
					l.state = syncline.SlotExtended
				}
				r := syncline.SourceRisk{Slot: "s", State: l.state, HeldBytes: l.held * mb, LagBytes: l.lag * mb}
				if got := w.look(&test.budget, &r, now); got != l.release || w.level != l.level {
					t.Errorf("look %d: release = %t, level %d, want %t, %d", i, got, w.level, l.release, l.level)
				}
				if text := w.warning(&test.budget, &r); (text == "") != (l.level == walCalm) {
					t.Errorf("look %d: warning = %q", i, text)
				} else if taken := "most of which is in the log"; text != "" && strings.Contains(text, taken) != (l.lag < l.held/2) {
					t.Errorf("look %d: warning = %q, says of %d MB of %d that they are taken", i, text, l.held-l.lag, l.held)
				}
			}
		})
	}
}

// TestABudgetThatIsTakenAway holds up nothing any more: what waited because of it goes on.
func TestABudgetThatIsTakenAway(t *testing.T) {
	h := newHouse(t, config.Log{})
	s := h.set().sources[0]
	s.capture = capture.New(capture.Options{Source: "crm"})
	r := syncline.SourceRisk{Slot: "s", State: syncline.SlotExtended, HeldBytes: 300, LagBytes: 300}
	s.system.Capture = &config.Capture{WALBudget: &config.WALBudget{Warn: 100, Spill: 200, Limit: 400, OnLimit: config.OnLimitHold}}
	h.watchBudget(t.Context(), s, &r, time.Now())
	if !s.spilling.Load() || *s.walWarning.Load() == "" {
		t.Errorf("beyond wal_budget.spill the source spills: %t, warning %q", s.spilling.Load(), *s.walWarning.Load())
	}
	s.system.Capture = &config.Capture{}
	h.watchBudget(t.Context(), s, &r, time.Now())
	if s.spilling.Load() || *s.walWarning.Load() != "" || r.Over {
		t.Errorf("without a budget the source spills: %t, warning %q", s.spilling.Load(), *s.walWarning.Load())
	}
}
