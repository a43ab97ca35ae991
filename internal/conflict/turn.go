package conflict

import (
	"errors"
	"slices"

	"syncline"
)

// Turn is the decision about several events of one record, one after the other, each as if it had come by itself, of which one write
// comes. It ends with the next Begin of its resolver.
type Turn struct {
	r      *Resolver
	theirs []syncline.Value // what the target has, with what was decided so far
	was    []byte           // the shadow as the target has it
	shadow shadow
	fresh  bool // nothing is remembered of the record
	// recalled: theirs is what the shadow tells.
	recalled bool
	recall   []syncline.Value // room for that
	// alone: one source has written all of that, and no other has said anything. It is so in most cases, and saves most of the questions.
	alone bool
	// touched: the shadow is another one by now.
	touched bool
	// answers are about the present event, by column.
	answers []answers
	one     deciding

	decision syncline.Decision
	// written are the columns that the decision has values for.
	written []bool

	in  decoder
	out encoder
	// room is for the rows of the next decisions, which come by the thousand.
	room []syncline.Value
}

// roomRows is for how many rows there is room at a time.
const roomRows = 64

// copyOf returns a row of its own with the same values.
func (t *Turn) copyOf(row []syncline.Value) []syncline.Value {
	n := len(row)
	if len(t.room) < n {
		t.room = make([]syncline.Value, n*roomRows)
	}
	out := t.room[:n:n]
	t.room = t.room[n:]
	copy(out, row)
	return out
}

// answers are what was found out about a column.
type answers struct {
	same, changed answer
	affirmed      bool
}

// answer is yes or no once the question was asked.
type answer uint8

const (
	yes answer = iota + 1
	no
)

func (a *answer) of(ask func() bool) bool {
	if *a == 0 {
		*a = no
		if ask() {
			*a = yes
		}
	}
	return *a == yes
}

// Begin takes what the target holds of a record.
func (r *Resolver) Begin(held syncline.Held) (*Turn, error) {
	if r.turn == nil {
		r.turn = &Turn{r: r, answers: make([]answers, len(r.schema.Columns)), written: make([]bool, len(r.schema.Columns))}
	}
	t := r.turn
	t.theirs, t.was, t.fresh, t.touched, t.decision = held.Values, held.Shadow, held.Shadow == nil, false, syncline.Decision{}
	t.recalled, t.alone = held.Untouched, false
	clear(t.written)
	if t.fresh {
		t.shadow.reset(len(r.schema.Columns))
		return t, nil
	}
	switch err := t.in.decode(&t.shadow, held.Shadow, r.names); {
	case errors.Is(err, errOtherShadow):
		return nil, syncline.Errorf(syncline.Fatal, "shadow_format", "%w", err).
			WithFix("run the build that wrote it; or remove all that the target's _syncline_shadow has of the object, resume the route, and run a full sync")
	case err != nil:
		return nil, syncline.Errorf(syncline.Rejected, "shadow_damaged", "%w", err).
			WithFix("find out who changed the target's _syncline_shadow; remove what it has of this record, so that the next event counts as the first, then retry the task")
	}
	if t.recalled && !t.remember() {
		return nil, syncline.ErrUnread
	}
	return t, nil
}

// remember takes what is remembered of an untouched record for what the target holds, but for the key. It fails where a column is not
// among it, and where an expression may look at the record.
func (t *Turn) remember() bool {
	if t.shadow.gone >= 0 || len(t.r.business) > 0 {
		return false
	}
	t.recall, t.alone = t.recall[:0], len(t.in.sources) == 1 && len(t.shadow.logs) > 0
	for i := range t.shadow.columns {
		f := &t.shadow.columns[i]
		if !t.r.key[i] && (!f.there || f.value.IsUnset()) {
			return false
		}
		t.recall = append(t.recall, f.value)
		if t.r.key[i] {
			t.recall[i] = syncline.Unset
			continue
		}
		t.alone = t.alone && f.stamp >= 0 && len(f.said) == 0
	}
	t.theirs = t.recall
	return true
}

// next begins with an event.
func (t *Turn) next(ev *Event, ours, base []syncline.Value) *deciding {
	clear(t.answers)
	t.one = deciding{Turn: t, ev: ev, ours: ours, base: base}
	return &t.one
}

// stored is the shadow that the target is to keep.
func (t *Turn) stored() []byte {
	if !t.touched {
		return t.was
	}
	return t.out.encode(&t.shadow, t.r.names)
}

// Decide judges the next event, as Resolver.Decide does. The verdict has no shadow, see Decision.
func (t *Turn) Decide(ev *Event, ours, base []syncline.Value) (Verdict, error) {
	v, err := t.judge(ev, ours, base)
	if err != nil || v.Outcome > syncline.OutcomeKept {
		return v, err
	}
	switch v.Op {
	case syncline.ChangePut:
		now := merged(v.Values, t.theirs)
		for i := range now {
			t.written[i] = t.written[i] || !v.Values[i].IsUnset()
		}
		t.theirs, t.decision.Op = now, syncline.ChangePut
	case syncline.ChangeDelete:
		t.theirs, t.decision.Op = nil, syncline.ChangeDelete
	}
	t.decision.Outcome, t.alone = v.Outcome, false
	t.fresh = t.fresh && !t.touched
	return v, nil
}

// recallable reports whether the shadow tells all values of the record, once these have been written.
func (t *Turn) recallable(values []syncline.Value) bool {
	if t.recalled {
		return true
	}
	for i := range t.shadow.columns {
		if t.r.key[i] {
			continue
		}
		is := syncline.Unset
		if t.theirs != nil {
			is = t.theirs[i]
		}
		if values != nil && !values[i].IsUnset() {
			is = values[i]
		}
		if f := &t.shadow.columns[i]; !f.there || is.IsUnset() || !syncline.Equal(f.value, is) {
			return false
		}
	}
	return true
}

// Decision is what all events together make of the record.
func (t *Turn) Decision() syncline.Decision {
	d := t.decision
	d.Shadow, d.Recallable = t.stored(), t.recallable(nil)
	if d.Op == syncline.ChangePut {
		d.Values = slices.Clone(t.theirs)
		for i := range d.Values {
			if !t.written[i] {
				d.Values[i] = syncline.Unset
			}
		}
	}
	return d
}
