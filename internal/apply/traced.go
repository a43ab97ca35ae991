package apply

import (
	"time"

	"syncline"
)

// Attempt is what came of giving a stretch of the log to the target. It is valid only while it is told of.
type Attempt struct {
	From, To   syncline.Cursor
	Changes    int
	Began, End time.Time
	Err        error
	plan       *plan
}

// Events calls each for the events that a rule of the route wanted, an event that several wanted once for each.
func (a *Attempt) Events(each func(seq syncline.Seq, index int, e *syncline.Event)) {
	for i := range a.plan.tasks {
		t := &a.plan.tasks[i]
		each(t.entry.seq, t.entry.first+int(t.event), &t.entry.batch.Events[t.event])
	}
}

// SetTraced has f told of every attempt from now on; nil = nobody. It is called in the route's loop, and must not block.
func (r *Route) SetTraced(f func(*Attempt)) {
	if f == nil {
		r.traced.Store(nil)
		return
	}
	r.traced.Store(&f)
}

// trace tells of an attempt, before what came of it takes effect.
func (r *Route) trace(done *applied, now time.Time) {
	if f := r.traced.Load(); f != nil {
		(*f)(&Attempt{From: done.plan.from, To: done.plan.to, Changes: len(done.plan.changes), Began: done.start, End: now, Err: done.err, plan: done.plan})
	}
}
