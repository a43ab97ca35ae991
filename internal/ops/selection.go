package ops

import (
	"syncline"
	"syncline/internal/state"
)

// Selection chooses among the tasks that wait those that agree with every field that is set. An empty one chooses none, so that a field
// which is left out by mistake does not give everything up.
type Selection struct {
	IDs    []string `json:"ids,omitempty" maxItems:"10000" doc:"Only these tasks."`
	Status string   `json:"status,omitempty" enum:"retrying,held,reading,failed"`
	Route  string   `json:"route,omitempty"`
	Rule   string   `json:"rule,omitempty"`
	Source string   `json:"source,omitempty"`
	Entity string   `json:"entity,omitempty"`
	Key    string   `json:"key,omitempty" doc:"The key at the target."`
	Code   string   `json:"code,omitempty"`
}

// Empty reports whether no field is set.
func (s *Selection) Empty() bool {
	return len(s.IDs) == 0 && s.Status == "" && s.Route == "" && s.Rule == "" && s.Source == "" && s.Entity == "" && s.Key == "" && s.Code == ""
}

func (s *Selection) check() error {
	if s.Empty() {
		return syncline.Errorf(syncline.Rejected, "selection_empty", "no task is chosen").
			WithFix("give ids, or at least one of status, route, rule, source, entity, key and code")
	}
	return nil
}

// Chooser returns what tells whether a task is chosen.
func (s *Selection) Chooser() func(*state.Exception) bool {
	ids := make(map[string]bool, len(s.IDs))
	for _, id := range s.IDs {
		ids[id] = true
	}
	is := func(want, got string) bool { return want == "" || want == got }
	return func(x *state.Exception) bool {
		return !s.Empty() && (len(ids) == 0 || ids[x.Task]) && is(s.Status, x.Status) && is(s.Route, x.Route) && is(s.Rule, x.Rule) &&
			is(s.Source, x.Source) && is(s.Entity, x.Entity) && is(s.Key, string(x.Key)) && is(s.Code, x.Code)
	}
}
