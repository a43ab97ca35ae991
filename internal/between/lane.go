package between

import (
	"context"
	"errors"

	"syncline"
	"syncline/internal/conflict"
	"syncline/internal/owner"
)

// Lane is the target of the route that reads one side's log. What it is given is the keys of records that changed there; it makes both
// sides hold the same for them. It is done with a key once the sides are: to hear of it again changes nothing, so that it needs no cursor.
type Lane struct {
	p    *Pair
	side int
	// choices are for the next Apply, found is of the last one; both by change.
	choices map[int]conflict.Choice
	found   map[int]*conflict.Record
}

// Choose gives the next Apply what people have decided about its changes.
func (l *Lane) Choose(choices map[int]conflict.Choice) { l.choices = choices }

// Conflicts are what the last Apply found.
func (l *Lane) Conflicts() map[int]*conflict.Record { return l.found }

// Lane opens the lane of a side's log.
func (p *Pair) Lane(ctx context.Context, side int) (*Lane, error) {
	if err := p.acquire(ctx); err != nil {
		return nil, err
	}
	defer p.release()
	if p.fenced[side] {
		p.owned, p.fenced = [2]uint64{}, [2]bool{}
	}
	if err := p.ready(ctx); err != nil {
		p.fenced[side] = owner.Contested(err)
		return nil, err
	}
	p.lanes++
	return &Lane{p: p, side: side}, nil
}

// Traits are those of a state target that can do nothing special: it is handed whole records, which are keys only.
func (l *Lane) Traits() syncline.Traits { return syncline.Traits{} }

// Close closes the sides with the last lane.
func (l *Lane) Close() error {
	if l.p == nil {
		return nil
	}
	p := l.p
	l.p = nil
	_ = p.acquire(context.Background()) // whoever has it gives it back: its own context ends
	defer p.release()
	if p.lanes--; p.lanes > 0 {
		return nil
	}
	return p.shut()
}

// Define is told that the columns of the lane's side have changed, or may have.
func (l *Lane) Define(ctx context.Context, _ syncline.Definition) (syncline.Defined, error) {
	if err := l.p.acquire(ctx); err != nil {
		return syncline.Defined{}, err
	}
	defer l.p.release()
	warnings := l.p.Warnings()
	err := l.p.rematch(ctx)
	if owner.Contested(err) {
		l.p.fenced[l.side] = true
	}
	return syncline.Defined{Warnings: warnings}, err
}

// Apply reconciles the keys of the changes.
func (l *Lane) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	p := l.p
	if err := p.acquire(ctx); err != nil {
		return syncline.Result{}, err
	}
	defer p.release()
	res, err := l.apply(ctx, w)
	if owner.Contested(err) && p.ends[0] != nil { // whether somebody has replaced us is found out by taking the sides again
		if err = p.shut(); err == nil {
			res, err = l.apply(ctx, w)
		}
	}
	switch {
	case !owner.Contested(err):
	case p.ends[0] == nil: // the sides could not be taken
		p.fenced[l.side] = true
	default: // they were, and somebody came back once more
		err = syncline.Errorf(syncline.Transient, "fenced", "write both sides of rule %s: %w", p.o.Route, err)
	}
	l.choices = nil
	if err != nil && p.ends[0] != nil && syncline.ClassOf(err) == syncline.Fatal {
		err = p.moved(ctx, err)
	}
	if err == nil {
		err = w.Commit(ctx, res)
	}
	if err != nil {
		return syncline.Result{}, errors.Join(err, p.shut())
	}
	return res, nil
}

func (l *Lane) apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	res := syncline.Result{Outcomes: make([]syncline.Outcome, len(w.Changes)), Rejected: make(map[int]error)}
	if l.p.truncated != nil {
		return res, l.p.truncated
	}
	if err := l.p.ready(ctx); err != nil {
		return res, err
	}
	var keys [][]syncline.Value
	number := make(map[syncline.Key]int)
	of := make([]int, len(w.Changes))
	for i := range w.Changes {
		c := &w.Changes[i]
		if c.Op == syncline.ChangeTruncate {
			if err := l.truncated(ctx); err != nil {
				return res, err
			}
			of[i] = -1
			continue
		}
		k, ok := c.Row.Key()
		if !ok {
			return res, syncline.Errorf(syncline.Fatal, "write_malformed", "change %d of the write has no whole key", i).At(i)
		}
		n, known := number[k]
		if !known {
			n = len(keys)
			number[k] = n
			keys = append(keys, keyValues(c.Row))
		}
		of[i] = n
	}
	choices := make(map[int]conflict.Choice)
	for i, c := range l.choices {
		choices[of[i]] = c
	}
	var rows *syncline.Schema
	for i := range w.Changes {
		if of[i] >= 0 {
			rows = w.Changes[i].Row.Schema // of a route of one rule there is one
		}
	}
	if err := l.sighted(ctx, w.Changes); err != nil {
		return res, err
	}
	fates, err := l.p.reconcile(ctx, l.side, keys, rows, choices)
	if err != nil {
		return res, err
	}
	l.found = make(map[int]*conflict.Record)
	for i, n := range of {
		if n < 0 {
			continue
		}
		f := &fates[n]
		if f.record != nil {
			l.found[i] = f.record
		}
		switch {
		case f.err != nil:
			res.Outcomes[i], res.Rejected[i] = syncline.OutcomeRejected, f.err
		case f.record != nil && f.record.Action == conflict.Review:
			res.Outcomes[i] = syncline.OutcomeConflict
		case !f.wrote:
			res.Outcomes[i] = syncline.OutcomeStale // an echo, or both sides agree already
		}
	}
	return res, nil
}

func keyValues(r syncline.Row) []syncline.Value {
	parts := make([]syncline.Value, len(r.Schema.Key))
	for i, c := range r.Schema.Key {
		parts[i] = r.Values[c]
	}
	return parts
}

// truncated decides what a TRUNCATE of the lane's side means. Where it halts, both lanes do: to the other one, each record that it hears of
// would be deleted. Where it goes on, every record of the other side is looked at then, and counts as deleted
// where it is not there any more; those that came back since are not.
func (l *Lane) truncated(ctx context.Context) error {
	p := l.p
	if p.o.Truncated == TruncatedDelete {
		return p.o.Reread(ctx, 1-l.side)
	}
	p.truncated = syncline.Errorf(syncline.Fatal, "between_truncated", "%s was emptied by TRUNCATE; %s still has its records", p.o.Sides[l.side], p.o.Sides[1-l.side]).
		WithFix("if they are to go there too, or were put back by hand, set `truncated: delete` in the rule and start again: records that are missing are deleted, the others stay")
	return p.truncated
}

// KeyOnly makes of a row of a side's table what a lane wants of it: its key. The other columns are null, since the row is read from the side.
func KeyOnly(s *syncline.Schema) (func(row []syncline.Value) []syncline.Value, error) {
	if len(s.Key) == 0 {
		return nil, syncline.Errorf(syncline.Fatal, "between_key", "%s has no key: its records cannot be told apart", s.Table).
			WithFix("give the table a primary key, or declare the entity's key")
	}
	return func(row []syncline.Value) []syncline.Value {
		out := make([]syncline.Value, len(row))
		for i := range out {
			out[i] = syncline.Null
		}
		for _, c := range s.Key {
			out[c] = row[c]
		}
		return out
	}, nil
}
