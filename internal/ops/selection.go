package ops

import (
	"strings"
	"time"

	"syncline"
	"syncline/internal/state"
)

// Choice chooses tasks that agree with every field that is set.
type Choice struct {
	Status state.TaskStatus `query:"status" json:"status,omitempty" enum:"pending,executing,completed,failed,conflict,cancelled"`
	Why    string           `query:"reason" json:"status_reason,omitempty" enum:"retrying,held,reading,superseded,filtered,skipped" doc:"Why it is pending or completed."`
	Route  string           `query:"route" json:"route,omitempty"`
	Rule   string           `query:"rule" json:"rule,omitempty"`
	Source string           `query:"source" json:"source,omitempty" doc:"The system that the event comes from."`
	Target string           `query:"target" json:"target,omitempty" doc:"The system that is written to."`
	Entity string           `query:"entity" json:"entity,omitempty"`
	Key    string           `query:"key" json:"key,omitempty" doc:"The key at the target."`
	Code   string           `query:"code" json:"code,omitempty" doc:"The error's code."`
	Class  string           `query:"class" json:"class,omitempty" enum:"rejected,transient,fatal" doc:"The error's class."`
	From   time.Time        `query:"from" json:"from,omitzero" doc:"Only tasks that the route came to at this time or after."`
	To     time.Time        `query:"to" json:"to,omitzero" doc:"Only tasks that the route came to before this time."`
}

// TaskQuery is a page of a list of tasks. Without a status the list has those that are not simply done: what waits, and what was given
// up.
type TaskQuery struct {
	Choice
	After string `query:"after" doc:"The next of the page before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// Selection chooses among the tasks that wait. An empty one chooses none, so that a field which is left out by mistake does not give
// everything up.
type Selection struct {
	IDs []string `json:"ids,omitempty" maxItems:"10000" doc:"Only these tasks."`
	Choice
}

// Empty reports whether no field is set.
func (s *Selection) Empty() bool { return len(s.IDs) == 0 && s.Choice == (Choice{}) }

func (s *Selection) check() error {
	if s.Empty() {
		return syncline.Errorf(syncline.Rejected, "selection_empty", "no task is chosen").
			WithFix("give ids, or at least one of status, route, rule, source, target, entity, key, code, class, from and to")
	}
	return stretch(s.From, s.To)
}

// stretch refuses one that ends before it begins; a zero time is no bound.
func stretch(from, to time.Time) error {
	if from.IsZero() || to.IsZero() || from.Before(to) {
		return nil
	}
	return syncline.Errorf(syncline.Rejected, "range_invalid", "from is not before to, which is now where none is given").WithFix("give a time before it")
}

// Chooser returns what tells whether a task is chosen. Routes are those to Target, which is not looked at without them.
func (s *Selection) Chooser(routes map[string]bool) func(*state.Exception) bool {
	ids := make(map[string]bool, len(s.IDs))
	for _, id := range s.IDs {
		ids[id] = true
	}
	is := func(want, got string) bool { return want == "" || want == got }
	return func(x *state.Exception) bool {
		status, reason := x.Public()
		return !s.Empty() && (len(ids) == 0 || ids[x.Task]) && is(string(s.Status), string(status)) && is(s.Why, reason) &&
			is(s.Route, x.Route) && OfRule(s.Rule, x.Rule) && is(s.Source, x.Source) && (s.Target == "" || routes[x.Route]) &&
			is(s.Entity, x.Entity) && is(s.Key, string(x.Key)) && is(s.Code, x.Code) && is(s.Class, x.Class) &&
			!x.Created.Before(s.From) && (s.To.IsZero() || x.Created.Before(s.To))
	}
}

// OfRule reports whether a task's rule is the wanted one, or its part for one of several entities; "" wants all.
func OfRule(want, rule string) bool {
	return want == "" || rule == want || strings.HasPrefix(rule, want+"/")
}
