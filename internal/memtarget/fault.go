package memtarget

import (
	"syncline"
)

// Fault is a failure that a store injects into one Apply.
type Fault uint8

const (
	// FailBefore: a transient error, nothing happened.
	FailBefore Fault = iota + 1
	// FailMidway: a transient error in mid-write. Without transactions the first half of the changes stays.
	FailMidway
	// FailAfter: everything happened, but the answer is a transient error.
	FailAfter
)

// faults is guarded by the mutex of the store or recorder that holds it.
type faults struct {
	next    []Fault
	refused map[string]map[syncline.Key]bool
}

func newFaults() faults { return faults{refused: map[string]map[syncline.Key]bool{}} }

func (f *faults) take() Fault {
	if len(f.next) == 0 {
		return 0
	}
	first := f.next[0]
	f.next = f.next[1:]
	return first
}

func (f *faults) refuse(object string, k syncline.Key, refuse bool) {
	if f.refused[object] == nil {
		f.refused[object] = map[syncline.Key]bool{}
	}
	if refuse {
		f.refused[object][k] = true
	} else {
		delete(f.refused[object], k)
	}
}

// check returns the error of a change to a refused record.
func (f *faults) check(i int, object string, k syncline.Key) error {
	if !f.refused[object][k] {
		return nil
	}
	return syncline.Errorf(syncline.Rejected, "refused", "object %s refuses the record", object).At(i)
}

var (
	errBefore = syncline.Errorf(syncline.Transient, "injected", "failure before the write")
	errMidway = syncline.Errorf(syncline.Transient, "injected", "failure in the middle of the write")
	errAfter  = syncline.Errorf(syncline.Transient, "answer_lost", "no answer to the commit")
)

// Fail makes the next calls of Apply fail, one fault each, in this order; 0 lets one call pass.
func (s *Store) Fail(next ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, next...)
}

// Refuse makes the object refuse puts of this record, until Accept.
func (s *Store) Refuse(object string, k syncline.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse(object, k, true)
}

// Accept ends Refuse.
func (s *Store) Accept(object string, k syncline.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse(object, k, false)
}
