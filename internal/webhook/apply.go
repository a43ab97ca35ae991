package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"syncline"
	"syncline/internal/document"
)

// delivery names an event at an object.
type delivery struct{ object, id string }

// Apply sends the changes. Those of one key are sent one after the other; a change of the key itself ties both keys
// together; an event without a key (a truncate, a row of a keyless table) is sent when all before it are done, and before
// all after it. After a transient or fatal error nothing new is begun, what is under way is waited for, and what was
// delivered is remembered: a repeated Write goes on where this one stopped.
func (t *Target) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	r := &run{t: t, changes: w.Changes, outcomes: make([]syncline.Outcome, len(w.Changes)), done: make([]bool, len(w.Changes)),
		rejected: map[int]error{}, blocked: map[record]bool{}}
	err := r.all(ctx)
	res := syncline.Result{Outcomes: r.outcomes, Rejected: r.rejected}
	if err == nil {
		err = w.Commit(ctx, res)
	}
	if err != nil {
		t.delivered = r.delivered()
		t.log.Debug("write given up", "route", t.opts.Route, "changes", len(w.Changes), "delivered", len(t.delivered), "code", syncline.CodeOf(err))
		return syncline.Result{}, err
	}
	t.delivered = nil
	return res, nil
}

// run is one Apply.
type run struct {
	t       *Target
	changes []syncline.Change
	// outcomes and done have one writer for each index: whoever has the change's lane.
	outcomes []syncline.Outcome
	done     []bool

	mu       sync.Mutex
	rejected map[int]error
	blocked  map[record]bool // records with a rejected change
	failed   error           // why nothing new is begun; a fatal error replaces a transient one
}

// record is one record of an object.
type record struct {
	object string
	key    syncline.Key
}

// records returns the record that the change is about and the one that it was before, where that had another key; false
// for a change without a key.
func records(c *syncline.Change) (is, was record, ok bool) {
	to, from, ok := c.Concerns()
	return record{c.Object, to}, record{c.Object, from}, ok
}

func (r *run) all(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range r.changes {
		if r.changes[i].Op != syncline.ChangeSend {
			return syncline.Errorf(syncline.Fatal, "change_unsupported", "a webhook is sent events, it holds no records").At(i)
		}
	}
	for next := 0; next < len(r.changes); {
		var lanes [][]int
		lanes, next = split(r.changes, next)
		if err := r.lanes(ctx, lanes); err != nil {
			return err
		}
	}
	return nil
}

// split returns the lanes of the changes from start up to the next one without a key, and where to go on. That one is a
// lane for itself.
func split(changes []syncline.Change, start int) (lanes [][]int, next int) {
	lane := map[record]int{}
	for i := start; i < len(changes); i++ {
		is, was, ok := records(&changes[i])
		if !ok {
			if i == start {
				return [][]int{{i}}, i + 1
			}
			return compact(lanes), i
		}
		to, known := lane[is]
		from, knownOld := lane[was]
		switch {
		case known && knownOld && to != from:
			lanes[to] = append(lanes[to], lanes[from]...)
			slices.Sort(lanes[to])
			lanes[from] = nil
			for rec, n := range lane {
				if n == from {
					lane[rec] = to
				}
			}
		case known:
		case knownOld:
			to = from
		default:
			to = len(lanes)
			lanes = append(lanes, nil)
		}
		lanes[to] = append(lanes[to], i)
		lane[is], lane[was] = to, to
	}
	return compact(lanes), len(changes)
}

func compact(lanes [][]int) [][]int {
	kept := lanes[:0]
	for _, l := range lanes {
		if len(l) > 0 {
			kept = append(kept, l)
		}
	}
	return kept
}

// lanes carries out the lanes, as many at once as there may be requests.
func (r *run) lanes(ctx context.Context, lanes [][]int) error {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(r.t.opts.Concurrency, len(lanes)) {
		workers.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(lanes) {
					return
				}
				for _, i := range lanes[n] {
					if !r.one(ctx, i) {
						return
					}
				}
			}
		})
	}
	workers.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// one carries out a change and reports whether to go on.
func (r *run) one(ctx context.Context, i int) bool {
	c := &r.changes[i]
	is, was, keyed := records(c)
	r.mu.Lock()
	stop := r.failed != nil
	held := keyed && (r.blocked[is] || r.blocked[was])
	if held {
		r.blocked[is], r.blocked[was] = true, true
		r.outcomes[i] = syncline.OutcomeHeld
	}
	r.mu.Unlock()
	if stop || held {
		return !stop
	}
	var err error
	if !r.t.delivered[r.delivery(i)] {
		if err = tellable(c); err == nil {
			err = r.t.send(ctx, c)
		}
	}
	if err == nil {
		r.outcomes[i], r.done[i] = syncline.OutcomeApplied, true
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if syncline.ClassOf(err) == syncline.Rejected {
		r.outcomes[i], r.rejected[i] = syncline.OutcomeRejected, err
		if keyed {
			r.blocked[is], r.blocked[was] = true, true
		}
		return true
	}
	r.failed = worse(r.failed, fmt.Errorf("event %s: %w", c.ID(), err))
	return false
}

// tellable refuses a record that its document would not tell as it is. What it was before is told as well as JSON can: a change that corrects
// a record must not be refused for what it corrects.
func tellable(c *syncline.Change) error {
	if c.Row.Values == nil || c.Batch.Events[c.Event].After == nil {
		return nil
	}
	return document.Check(c.Row)
}

// worse returns the error that decides: a fatal one, else the one that asks for the longer pause, else the first.
func worse(a, b error) error {
	if a == nil {
		return b
	}
	if syncline.ClassOf(a) == syncline.Fatal || syncline.ClassOf(b) == syncline.Fatal {
		if syncline.ClassOf(a) == syncline.Fatal {
			return a
		}
		return b
	}
	var ra, rb *RetryError
	if errors.As(b, &rb) && (!errors.As(a, &ra) || rb.After > ra.After) {
		return b
	}
	return a
}

func (r *run) delivery(i int) delivery {
	c := &r.changes[i]
	return delivery{c.Object, c.ID()}
}

// delivered are the events of this Write that took effect, now or when it was tried before.
func (r *run) delivered() map[delivery]bool {
	list := map[delivery]bool{}
	for i := range r.changes {
		if d := r.delivery(i); r.done[i] || r.t.delivered[d] {
			list[d] = true
		}
	}
	return list
}
