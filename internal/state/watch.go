package state

import (
	"maps"
	"slices"
	"sync"
)

// Watch is told of what is committed. It never holds a commit up: a reader that is slow is told more at once.
type Watch struct {
	// C is sent to by the store after a commit; it has room for one, because what was committed is read from elsewhere.
	C chan struct{}

	mu   sync.Mutex
	sums map[string]*Counts // by rule; of rules, so bounded
}

// Sums returns what was committed by rule since it was last called, in the order of the rules.
func (w *Watch) Sums() []RuleCounts {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []RuleCounts
	for _, rule := range slices.Sorted(maps.Keys(w.sums)) {
		list = append(list, RuleCounts{Rule: rule, Counts: *w.sums[rule]})
	}
	clear(w.sums)
	return list
}

func (w *Watch) add(rules []RuleCounts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range rules {
		sum := w.sums[rules[i].Rule]
		if sum == nil {
			sum = &Counts{}
			w.sums[rules[i].Rule] = sum
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
	w = &Watch{C: make(chan struct{}, 1), sums: make(map[string]*Counts)}
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
func (s *Store) publish(j *Journal) {
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	for w := range s.watchers.list {
		if j != nil {
			w.add(j.Rules)
		}
		select {
		case w.C <- struct{}{}:
		default:
		}
	}
}
