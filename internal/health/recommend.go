package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"syncline"
)

// Recommendation is what is not as it should be, and what to do.
type Recommendation struct {
	// Level is how bad it is for the whole; healthy for what needs looking after and is no trouble by itself.
	Level Level  `json:"level" enum:"healthy,warning,critical"`
	Kind  string `json:"kind" doc:"What is wrong, in a word that does not change: rates, source_stopped, source_degraded, source_silent, slot_lost, slot_at_risk, route_stopped, route_degraded, route_stalled, route_rates, late, log_disk, failed_tasks, open_conflicts, slow, canary_late, differences, schedule_missed, schedule_failed."`
	// What it is about, as far as it is about one.
	Source string `json:"source,omitempty"`
	Route  string `json:"route,omitempty"`
	Rule   string `json:"rule,omitempty"`
	Target string `json:"target,omitempty"`
	// Schedule is the id of timed work.
	Schedule string `json:"schedule,omitempty"`
	Error    string `json:"error,omitempty" doc:"The code of the error."`
	Class    string `json:"class,omitempty" doc:"The class of the error."`
	Count    int64  `json:"count,omitempty" doc:"How many tasks or events it is about."`
	Text     string `json:"text"`
	// Command is one that can be run as it is.
	Command string `json:"command" doc:"What to run, to see more or to mend it."`
}

// waiting recommends what to do with tasks that wait for a person.
func (a *assessment) waiting() {
	for i := range a.in.Waiting {
		a.report.Waiting.add(&a.in.Waiting[i])
	}
	// What is too few for advice is still somebody's to see to: it waits until then.
	if n := a.report.Waiting.Failed; n > 0 && n <= a.th.FailedTasks {
		a.note(verb(n, "failed task waits", "failed tasks wait") + ": `syncline tasks --status failed`")
	}
	if n := a.report.Waiting.Conflict; n > 0 && n <= a.th.OpenConflicts {
		a.note(verb(n, "conflict waits", "conflicts wait") + " for a person: `syncline conflicts`")
	}
	for _, w := range a.merged("failed") {
		if a.report.Waiting.Failed <= a.th.FailedTasks {
			break
		}
		a.say(Recommendation{Level: Healthy, Kind: "failed_tasks", Route: w.Route, Rule: w.Rule, Target: w.Target, Error: w.Code, Class: w.Class, Count: w.Tasks,
			Text:    failedTasks(&w),
			Command: retryCommand(w)})
	}
	for _, w := range a.merged("conflict") {
		if a.report.Waiting.Conflict <= a.th.OpenConflicts {
			break
		}
		a.say(Recommendation{Level: Healthy, Kind: "open_conflicts", Route: w.Route, Rule: w.Rule, Target: w.Target, Error: w.Code, Class: w.Class, Count: w.Tasks,
			Text:    openConflicts(&w),
			Command: "syncline conflicts --rule " + w.Rule})
	}
}

func failedTasks(w *Waiting) string {
	code := cmp.Or(w.Code, "no code")
	if w.Tasks == 1 {
		return fmt.Sprintf("1 task of rule %s to %s has failed with %s: see why, and try it again once that is mended", w.Rule, w.Target, code)
	}
	return fmt.Sprintf("%d tasks of rule %s to %s have failed with %s: see why, and try them again once that is mended", w.Tasks, w.Rule, w.Target, code)
}

func openConflicts(w *Waiting) string {
	if w.Tasks == 1 {
		return fmt.Sprintf("1 conflict of rule %s at %s waits for a person", w.Rule, w.Target)
	}
	return fmt.Sprintf("%d conflicts of rule %s at %s wait for a person", w.Tasks, w.Rule, w.Target)
}

func retryCommand(w Waiting) string {
	command := "syncline tasks retry --status failed --rule " + w.Rule
	if w.Code != "" {
		command += " --code " + w.Code
	}
	return command
}

// mostListed bounds how many rules a report names for one trouble.
const mostListed = 20

// merged are the tasks of the status, those that are most first.
func (a *assessment) merged(status string) []Waiting {
	var list []Waiting
	for _, w := range a.in.Waiting {
		if w.Status == status && w.Tasks > 0 {
			list = append(list, w)
		}
	}
	slices.SortStableFunc(list, func(x, y Waiting) int { return int(min(max(y.Tasks-x.Tasks, -1), 1)) })
	return list[:min(len(list), mostListed)]
}

// others recommends what to do about what verifications and schedules have found.
func (a *assessment) others() {
	for _, d := range a.in.Differing {
		one := Recommendation{Level: Warning, Kind: "differences", Rule: d.Rule, Target: d.Target, Count: d.Records,
			Text:    differing(d.Records, d.Rule, d.Target),
			Command: "syncline verify --repair " + d.Rule}
		if d.MaxRepair > 0 {
			one.Text += "; see first why so many do: `syncline verify show " + d.Verification + "`"
			one.Command = fmt.Sprintf("syncline verify --repair --max-repair %d %s", d.MaxRepair, d.Rule)
		}
		a.say(one)
	}
	for _, s := range a.in.Schedules {
		one := Recommendation{Level: Warning, Kind: "schedule_failed", Schedule: s.ID, Count: s.Failed, Command: "syncline schedules history " + s.ID,
			Text: fmt.Sprintf("schedule %s: its last run failed, %d in a row", s.ID, s.Failed)}
		if s.Failed == 0 {
			one.Kind, one.Count, one.Text = "schedule_missed", s.Missed, fmt.Sprintf("schedule %s: %s not come when due", s.ID, verb(s.Missed, "of its runs has", "of its runs have"))
		}
		a.say(one)
	}
}

func differing(records int64, rule, target string) string {
	if records == 1 {
		return fmt.Sprintf("1 record of rule %s differs at %s, by its last verification", rule, target)
	}
	return fmt.Sprintf("%d records of rule %s differ at %s, by its last verification", records, rule, target)
}

// slow recommends something about routes whose batches take long.
func (a *assessment) slow() {
	for i := range a.in.Routes {
		r := &a.in.Routes[i]
		if r.Execution == nil || *r.Execution <= a.th.Slow {
			continue
		}
		x := Recommendation{Level: Healthy, Kind: "slow", Route: r.ID, Target: r.Target, Count: r.Tasks.Read,
			Text: fmt.Sprintf("batches of route %s take %s on average, more than %s: see whether %s is slow, or batch.max_rows too large", r.ID,
				r.Execution.Round(time.Millisecond), Short(a.th.Slow), r.Target),
			Command: "syncline stats --route " + r.ID}
		if len(r.Rules) == 1 {
			x.Rule = r.Rules[0]
		}
		a.say(x)
	}
}

// recommend tells of what a slot is about to lose, or has lost.
func (r *Risk) recommend() []Recommendation {
	if r.Slot == "" {
		return nil
	}
	one := Recommendation{Level: Critical, Kind: "slot_lost", Command: "syncline status"}
	switch {
	case r.SlotState == string(syncline.SlotMissing):
		one.Text = fmt.Sprintf("the server has no slot %s any more: changes since then are not kept for us", r.Slot)
	case r.SlotState == string(syncline.SlotLost):
		one.Text = fmt.Sprintf("the server has given up the WAL of slot %s: what was not captured yet cannot be read from it any more", r.Slot)
	case r.AtRisk && r.SafeBytes == nil && r.SlotState != string(syncline.SlotUnreserved):
		one.Kind, one.Text = "slot_at_risk", fmt.Sprintf("slot %s holds %s of WAL, more than wal_budget.limit allows", r.Slot, bytes(r.HeldBytes))
	case r.AtRisk:
		one.Kind, one.Text = "slot_at_risk", fmt.Sprintf("slot %s holds %s of WAL, and the server is about to remove what is needed", r.Slot, bytes(r.HeldBytes))
	case r.SlotState == string(syncline.SlotExtended):
		one.Level, one.Kind, one.Text = Warning, "slot_at_risk", fmt.Sprintf("slot %s holds %s of WAL, more than the server would keep for itself", r.Slot, bytes(r.HeldBytes))
	default:
		return nil
	}
	return []Recommendation{one}
}

func bytes(n int64) string {
	const mib = 1 << 20
	if n < mib {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/mib)
}

// Lost reports whether what is needed of the source is gone.
func (r *Risk) Lost() bool {
	return r.Slot != "" && (r.SlotState == string(syncline.SlotMissing) || r.SlotState == string(syncline.SlotLost))
}

// told is an error, whose code has been said, with the way out of it.
func told(code, text, fix string) string {
	text = strings.TrimPrefix(text, code+": ")
	if fix == "" {
		return text
	}
	return text + "; fix: " + fix
}

// named is the command that the way out names, else another one.
func named(fix, otherwise string) string {
	if _, rest, ok := strings.Cut(fix, "`syncline "); ok {
		if command, _, ok := strings.Cut(rest, "`"); ok && command == strings.ToLower(command) { // capital letters stand for what is to be put in
			return "syncline " + command
		}
	}
	return otherwise
}
