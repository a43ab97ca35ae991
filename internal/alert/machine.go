package alert

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

const (
	// Gather is the least time between two messages of one rule: what changes meanwhile is told together.
	Gather = time.Minute
	// flapWithin and flapChanges say when an alert flaps: so many changes were told in this time. Then it is told of at most every flapEvery.
	flapWithin  = time.Hour
	flapChanges = 6
	flapEvery   = 30 * time.Minute
)

// The states of an instance.
const (
	statePending = "pending" // the condition holds, not yet for long enough
	stateFiring  = "firing"
	stateOver    = "over" // remembered for what was told of it
)

// Instance is what is remembered of one rule over one set of labels.
type Instance struct {
	Rule   string            `json:"rule"`
	Labels map[string]string `json:"labels,omitempty"`
	// State is pending, firing or over.
	State string `json:"state"`
	// Since is when the condition came to hold, Ended when it ceased to.
	Since time.Time `json:"since"`
	Ended time.Time `json:"ended,omitzero"`
	// Values were seen last while the condition held.
	Values map[string]float64 `json:"values,omitempty"`
	// Told: the last that was told of it is that it fires. TellAt is when anything was told of it.
	Told   bool      `json:"told,omitempty"`
	ToldAt time.Time `json:"told_at,omitzero"`
	// Changes are when changes were told, at most flapChanges of them, within flapWithin.
	Changes []time.Time `json:"changes,omitempty"`
}

// Key tells instances apart.
func (i *Instance) Key() string { return i.Rule + " " + LabelText(i.Labels) }

// Firing reports whether the condition has held for long enough.
func (i *Instance) Firing() bool { return i.State == stateFiring }

// Active reports whether the condition holds.
func (i *Instance) Active() bool { return i.State != stateOver }

// Flapping reports whether it is told of less often.
func (i *Instance) Flapping() bool { return len(i.Changes) >= flapChanges }

// Input is what a step looks at.
type Input struct {
	Rules    []*Rule
	Silences []Silence
	Signals  []Signal
	Now      time.Time
	// Settling: the process has just begun, and signals may not show yet what is wrong. Nothing is over then.
	Settling bool
}

// Output is what comes of a step.
type Output struct {
	// Instances are those that are remembered from now on, by their keys.
	Instances map[string]Instance
	// Messages are to be delivered: whoever keeps the instances keeps these with them, or neither.
	Messages []Message
	// Failed are the rules whose condition could not be evaluated, and why. What is remembered of them stays.
	Failed map[string]error
}

// Step goes on from what is remembered.
//
// What is true and what was told are kept apart, and a message is whatever makes the two agree. So nothing is told twice, and what may not
// be told now (a silence, a rule that has just been told of, an alert that flaps) is told later, if it is still news then.
func Step(was map[string]Instance, in Input) Output {
	out := Output{Instances: make(map[string]Instance, len(was)), Failed: make(map[string]error)}
	of := make(map[string][]*Instance)
	for _, key := range slices.Sorted(maps.Keys(was)) {
		i := was[key]
		of[i.Rule] = append(of[i.Rule], &i)
	}
	for _, r := range in.Rules {
		if !r.Enabled {
			continue
		}
		list, err := r.update(of[r.Name], &in)
		if err != nil {
			out.Failed[r.Name] = err
		}
		out.Messages = append(out.Messages, r.tell(list, &in)...)
		for _, i := range list {
			if i.remembered(in.Now) {
				out.Instances[i.Key()] = *i
			}
		}
		delete(of, r.Name)
	}
	for _, rule := range slices.Sorted(maps.Keys(of)) {
		if gone := slices.DeleteFunc(of[rule], func(i *Instance) bool { return !i.Told }); len(gone) > 0 {
			out.Messages = append(out.Messages, message(&Rule{Spec: Spec{Name: rule, Severity: Info}}, Withdrawn, gone, 0, in.Now))
		}
	}
	slices.SortStableFunc(out.Messages, func(a, b Message) int { return BySeverity(a.Severity, b.Severity) })
	return out
}

// update brings what is remembered of the rule up to what is true now.
func (r *Rule) update(list []*Instance, in *Input) ([]*Instance, error) {
	holds, err := r.evaluate(in.Signals)
	if err != nil {
		return list, fmt.Errorf("evaluate %s: %w", r.Name, err)
	}
	for _, i := range list {
		key := LabelText(i.Labels)
		f, ok := holds[key]
		delete(holds, key)
		switch {
		case ok:
			i.holds(r, f, in.Now)
		case in.Settling || i.State == stateOver:
		default:
			if i.State == stateFiring {
				i.Ended = in.Now
			}
			i.State = stateOver
		}
	}
	for _, key := range slices.Sorted(maps.Keys(holds)) {
		f := holds[key]
		i := &Instance{Rule: r.Name, Labels: f.labels, State: stateOver}
		i.holds(r, f, in.Now)
		list = append(list, i)
	}
	return list, nil
}

func (i *Instance) holds(r *Rule, f found, now time.Time) {
	i.Values = f.values
	if i.State == stateOver {
		i.State, i.Since, i.Ended = statePending, now, time.Time{}
	}
	if now.Before(i.Since) { // the clock was set back
		i.Since = now
	}
	if i.State == statePending && now.Sub(i.Since) >= r.For {
		i.State = stateFiring
	}
}

// tell returns what is to be told of the rule now, and notes in the instances that it was.
func (r *Rule) tell(list []*Instance, in *Input) (messages []Message) {
	var last time.Time
	firing := 0
	for _, i := range list {
		i.forgetChanges(in.Now)
		if i.ToldAt.After(last) && !i.ToldAt.After(in.Now) {
			last = i.ToldAt
		}
		if i.State == stateFiring {
			firing++
		}
	}
	if !last.IsZero() && in.Now.Sub(last) < Gather {
		return nil
	}
	var begun, ended, again []*Instance
	due := false
	for _, i := range list {
		switch fires := i.State == stateFiring; {
		case Covering(in.Silences, i.Rule, i.Labels, in.Now) != nil:
		case fires && i.Told:
			again = append(again, i)
			due = due || r.Repeat > 0 && (in.Now.Sub(i.ToldAt) >= r.Repeat || in.Now.Before(i.ToldAt))
		case fires == i.Told || i.Flapping() && in.Now.Sub(i.ToldAt) < flapEvery:
		case fires:
			begun = append(begun, i)
		default:
			ended = append(ended, i)
		}
	}
	for _, i := range slices.Concat(begun, ended) {
		i.Told, i.ToldAt = !i.Told, in.Now
		i.Changes = append(i.Changes, in.Now)
		if len(i.Changes) > flapChanges {
			i.Changes = i.Changes[1:]
		}
	}
	if len(begun) > 0 {
		messages = append(messages, message(r, Firing, begun, firing, in.Now))
	}
	if len(ended) > 0 {
		messages = append(messages, message(r, Resolved, ended, firing, in.Now))
	}
	if due {
		for _, i := range again {
			i.ToldAt = in.Now
		}
		messages = append(messages, message(r, Reminder, again, firing, in.Now))
	}
	return messages
}

func (i *Instance) forgetChanges(now time.Time) {
	i.Changes = slices.DeleteFunc(slices.Clone(i.Changes), func(at time.Time) bool { return now.Sub(at) > flapWithin || at.After(now) })
}

// remembered reports whether the instance still matters: what is over does until that was told, and for as long as it may flap.
func (i *Instance) remembered(now time.Time) bool {
	return i.State != stateOver || i.Told || len(i.Changes) > 0 || !i.ToldAt.IsZero() && now.Sub(i.ToldAt) < Gather
}

func message(r *Rule, what string, list []*Instance, firing int, now time.Time) Message {
	m := Message{ID: r.Name + "-" + what + "-" + strconv.FormatInt(now.UnixMicro(), 36), At: now, What: what, Rule: r.Name, Severity: r.Severity,
		Summary: r.Summary, Firing: firing, Channels: slices.Clone(r.Send), Alerts: []Alert{}}
	for _, i := range list {
		if len(m.Alerts) == maxListed {
			m.More = len(list) - maxListed
			break
		}
		a := Alert{Labels: i.Labels, Values: i.Values, Since: i.Since, Flapping: i.Flapping()}
		if !i.Ended.IsZero() {
			a.Ended = &i.Ended
		}
		m.Alerts = append(m.Alerts, a)
	}
	return m
}
