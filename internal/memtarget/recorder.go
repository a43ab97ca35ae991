package memtarget

import (
	"context"
	"slices"
	"sync"

	"syncline"
)

// Recorder is an event target that keeps what it was sent. It has no cursor. It is safe for concurrent use.
type Recorder struct {
	mu sync.Mutex
	faults
	sent []Sent
}

// Sent is one delivered event.
type Sent struct {
	ID     string
	Object string
	Key    syncline.Key
	Change syncline.Change
}

// NewRecorder returns a recorder that has received nothing.
func NewRecorder() *Recorder { return &Recorder{faults: newFaults()} }

// Traits are those of a webhook.
func (r *Recorder) Traits() syncline.Traits { return syncline.Traits{Events: true, Partial: true} }

// Close does nothing: what was sent can still be read.
func (r *Recorder) Close() error { return nil }

// Sent returns what was delivered so far, repeats included, in order.
func (r *Recorder) Sent() []Sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// Fail makes the next calls of Apply fail, see Store.Fail.
func (r *Recorder) Fail(next ...Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = append(r.next, next...)
}

// Refuse makes the receiver refuse events of this record, until Accept.
func (r *Recorder) Refuse(object string, k syncline.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse(object, k, true)
}

// Accept ends Refuse.
func (r *Recorder) Accept(object string, k syncline.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse(object, k, false)
}

// Apply delivers the events in order. It holds later events of a record whose event was refused, under whichever key.
func (r *Recorder) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if err := ctx.Err(); err != nil {
		return syncline.Result{}, err
	}
	res, fault, err := r.deliver(w)
	if err != nil {
		return syncline.Result{}, err
	}
	if err := w.Commit(ctx, res); err != nil {
		return syncline.Result{}, err
	}
	if fault == FailAfter {
		return syncline.Result{}, errAfter
	}
	return res, nil
}

func (r *Recorder) deliver(w *syncline.Write) (syncline.Result, Fault, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fault := r.take()
	if fault == FailBefore {
		return syncline.Result{}, fault, errBefore
	}
	res := syncline.Result{Outcomes: make([]syncline.Outcome, len(w.Changes)), Rejected: map[int]error{}}
	type id struct {
		object string
		key    syncline.Key
	}
	held := map[id]bool{}
	for i := range w.Changes {
		if fault == FailMidway && i >= len(w.Changes)/2 {
			return syncline.Result{}, fault, errMidway
		}
		c := w.Changes[i]
		if c.Op != syncline.ChangeSend {
			return syncline.Result{}, fault, syncline.Errorf(syncline.Fatal, "write_malformed", "change %d of the write is no event", i).At(i)
		}
		key, keyed := c.Batch.Events[c.Event].Key()
		if c.Row.Values != nil {
			key, keyed = c.Row.Key()
		}
		is, was := id{c.Object, key}, id{c.Object, key}
		if to, from, ok := c.Concerns(); ok {
			is.key, was.key, keyed = to, from, true
		}
		if keyed && (held[is] || held[was]) {
			res.Outcomes[i], held[is], held[was] = syncline.OutcomeHeld, true, true
			continue
		}
		if err := r.check(i, c.Object, key); err != nil {
			res.Outcomes[i], res.Rejected[i], held[is], held[was] = syncline.OutcomeRejected, err, true, true
			continue
		}
		r.sent = append(r.sent, Sent{ID: c.Batch.EventID(c.Event), Object: c.Object, Key: key, Change: c})
	}
	return res, fault, nil
}
