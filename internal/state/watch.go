package state

import (
	"cmp"
	"slices"
	"sync"
)

// Watch is told of what is committed. It never holds a commit up: a reader that is slow is told more at once.
type Watch struct {
	// C is sent to by the store after a commit; it has room for one, because what was committed is read from elsewhere.
	C chan struct{}

	mu   sync.Mutex
	sums map[ruleOf]*Counts // of rules, so bounded
}

// ruleOf names a rule of a route.
type ruleOf struct{ route, rule string }

// RuleSum is what a rule of a route has done.
type RuleSum struct {
	Route, Rule string
	Counts      Counts
}

// Sums returns what was committed by rule since it was last called, in the order of the routes.
func (w *Watch) Sums() []RuleSum {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]RuleSum, 0, len(w.sums))
	for of, sum := range w.sums {
		list = append(list, RuleSum{of.route, of.rule, *sum})
	}
	clear(w.sums)
	slices.SortFunc(list, func(a, b RuleSum) int { return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Rule, b.Rule)) })
	return list
}

func (w *Watch) add(route string, rules []RuleCounts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range rules {
		of := ruleOf{route, rules[i].Rule}
		sum := w.sums[of]
		if sum == nil {
			sum = &Counts{}
			w.sums[of] = sum
		}
		sum.add(rules[i].Counts, 1)
	}
}

// watchers are who is told of commits.
type watchers struct {
	mu   sync.Mutex
	list map[*Watch]bool
}

// Watch returns a watch that is told of commits from now on, until stop is called.
func (s *Store) Watch() (w *Watch, stop func()) {
	w = &Watch{C: make(chan struct{}, 1), sums: make(map[ruleOf]*Counts)}
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	if s.watchers.list == nil {
		s.watchers.list = make(map[*Watch]bool)
	}
	s.watchers.list[w] = true
	return w, func() {
		s.watchers.mu.Lock()
		defer s.watchers.mu.Unlock()
		delete(s.watchers.list, w)
	}
}

// publish tells of a commit that is on disk.
func (s *Store) publish(route string, j *Journal) {
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	for w := range s.watchers.list {
		if j != nil {
			w.add(route, j.Rules)
		}
		select {
		case w.C <- struct{}{}:
		default:
		}
	}
}
