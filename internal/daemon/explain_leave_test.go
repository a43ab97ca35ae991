package daemon

import (
	"testing"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/trial"
)

// TestWhatBecomesOfARecordThatIsNotWanted: it leaves by the rule's on.left, unless the rule passes over the event itself.
func TestWhatBecomesOfARecordThatIsNotWanted(t *testing.T) {
	when, changed, priority := trial.Check{What: "when"}, trial.Check{What: "only_if_changed", Changed: true}, trial.Check{What: "min_priority", Event: true}
	for _, tt := range []struct {
		name   string
		left   apply.Action
		op     syncline.Op
		checks []trial.Check
		holds  bool
		want   string
	}{
		{"hard", apply.ActionHard, syncline.OpUpdated, []trial.Check{when}, true, "removes"},
		{"soft", apply.ActionSoft, syncline.OpUpdated, []trial.Check{when}, true, "keeps"},
		{"ignore", apply.ActionIgnore, syncline.OpUpdated, []trial.Check{when}, true, "nothing"},
		{"a step leaves it out", apply.ActionHard, syncline.OpUpdated, nil, true, "removes"},
		{"it never was there", apply.ActionHard, syncline.OpCreated, []trial.Check{when}, true, "nothing"},
		{"nothing of interest has changed", apply.ActionHard, syncline.OpUpdated, []trial.Check{{Holds: true}, changed}, true, "nothing"},
		{"it leaves, whatever changed", apply.ActionSoft, syncline.OpUpdated, []trial.Check{changed, when}, true, "keeps"},
		{"the event is not urgent", apply.ActionHard, syncline.OpUpdated, []trial.Check{priority, when}, true, "nothing"},
		{"a target of events", apply.ActionHard, syncline.OpUpdated, []trial.Check{when}, false, "nothing"},
	} {
		got := leaves(&apply.Rule{Left: tt.left}, &syncline.Event{Op: tt.op}, &trial.Outcome{Checks: tt.checks}, tt.holds)
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
