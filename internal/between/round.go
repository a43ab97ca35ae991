package between

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"syncline"
	"syncline/internal/conflict"
	"syncline/internal/failpoint"
	"syncline/internal/plant"
)

// fate is what became of a key.
type fate struct {
	// wrote: a record was changed on either side.
	wrote bool
	// record tells of a conflict, nil where there was none. A person has to decide it where its action is review.
	record *conflict.Record
	// err: a side refused the record, or it keeps changing.
	err error
}

// maxLooks is how often a key is looked at again because it changed meanwhile.
const maxLooks = 5

// reconcile makes both sides hold the same for each of the keys, given by the values of the near side's key. The near side
// is where a change was heard of. Only the near side is read before anything is written; the far side is read, decided and written in
// one step, and where the near side has to be written too, that happens only if it still holds what was read.
// rows is the schema of the near side's rows, and choices what people have decided about keys, by their place.
func (p *Pair) reconcile(ctx context.Context, near int, keys [][]syncline.Value, rows *syncline.Schema, choices map[int]conflict.Choice) ([]fate, error) {
	far := 1 - near
	r := &round{p: p, near: near, rowSchema: rows, choices: choices, fates: make([]fate, len(keys)), seen: make([]Held, len(keys)), plans: make([]plan, len(keys))}
	for side := range r.rows {
		for _, k := range keys {
			r.rows[side] = append(r.rows[side], p.mapping.keyRow(side, near, k))
		}
	}
	pending := make([]int, len(keys))
	for i := range keys {
		pending[i] = i
	}
	for range maxLooks {
		if len(pending) == 0 {
			return r.fates, nil
		}
		var err error
		if pending, err = r.ask(ctx, near, pending, r.look); err != nil {
			return nil, err
		}
		failpoint.Hit("between.looked")
		if pending, err = r.ask(ctx, far, pending, r.decide); err != nil {
			return nil, err
		}
		failpoint.Hit("between.far")
		if pending, err = r.finish(ctx, pending); err != nil {
			return nil, err
		}
		failpoint.Hit("between.near")
	}
	for _, i := range pending {
		r.fates[i].err = syncline.Errorf(syncline.Rejected, "between_moves", "the record changed on %s each time it was about to be written", p.o.Sides[near]).
			WithFix("it is tried again by itself")
	}
	return r.fates, nil
}

// round is one reconcile.
type round struct {
	p     *Pair
	near  int
	rows  [2][][]syncline.Value
	fates []fate
	// rowSchema and choices: see reconcile.
	rowSchema *syncline.Schema
	choices   map[int]conflict.Choice
	// seen is what the near side held when it was read.
	seen []Held
	// plans are for the near side.
	plans []plan
}

// plan is what the near side has to do after the far side.
type plan struct {
	needed bool
	writes [2]bool // the sides whose record changes
	answer answer
	fate   fate
}

// key is the i-th key in text.
func (r *round) key(i int) syncline.Key {
	k, _ := syncline.Row{Schema: r.p.mapping.schemas[0], Values: r.rows[0][i]}.Key()
	return k
}

// ask asks a side about keys, and returns those that it did not refuse.
func (r *round) ask(ctx context.Context, side int, keys []int, decide func(i int, h Held) answer) ([]int, error) {
	refused, err := r.p.ends[side].ask(ctx, r.rows[side], keys, decide)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.p.o.Sides[side], err)
	}
	left := keys[:0:0]
	for _, i := range keys {
		if why := refused[i]; why != nil {
			r.fates[i] = fate{err: fmt.Errorf("%s: %w", r.p.o.Sides[side], why)}
			continue
		}
		left = append(left, i)
	}
	return left, nil
}

func (r *round) look(i int, h Held) answer {
	r.seen[i] = h
	return kept
}

// decide judges a key by what the near side held when it was read and what the far side holds, and says what the far side has to do.
func (r *round) decide(i int, h Held) answer {
	far := 1 - r.near
	var held [2]Held
	held[r.near], held[far] = r.seen[i], h
	held = r.p.policy.calm(held)
	v, decided := r.choose(i, held)
	choice, chosen := r.choices[i]
	if !decided {
		v = Decide(held, r.p.policy)
	}
	pl := plan{writes: v.Write, fate: fate{wrote: v.Write[0] || v.Write[1]}}
	switch {
	case decided:
		pl.fate.record = r.record(held, v, &choice, false)
	case v.Conflict && !r.elsewhere(held), v.Overlaps > 0 && !v.Conflict:
		pl.fate.record = r.record(held, v, nil, chosen)
	}
	a := kept
	switch {
	case v.Conflict:
	case !decided && r.p.o.Truncated == TruncatedHalt && v.Result == nil && v.Write[r.near] && removed(held, far):
		// That the far side has deleted it is heard of from its own log, or it was emptied, which is not for this lane to follow.
		pl.fate.wrote = false
	case pl.fate.wrote && r.p.brake.holds(r.p.o.Now(), r.key(i)):
		pl.fate = fate{err: r.p.bounced(held)}
	case v.Forget:
		pl.needed = held[r.near].Shadow != nil
		if h.Shadow != nil {
			a = answer{}
		}
	default:
		var writes [2][]syncline.Value
		for side, write := range v.Write {
			if !write || v.Result == nil {
				continue
			}
			var err error
			if writes[side], err = r.p.mapping.write(side, v.Result); err != nil {
				pl.fate = fate{err: fmt.Errorf("%s: %w", r.p.o.Sides[side], err)}
				r.plans[i] = pl
				return kept
			}
		}
		if v.Write[far] || v.Note {
			a = r.to(far, v, writes[far], held)
			held[far] = Held{Record: v.Result, Shadow: a.shadow}
		}
		if v.Write[r.near] {
			pl.needed, pl.answer = true, r.to(r.near, v, writes[r.near], held)
		}
	}
	r.plans[i] = pl
	return a
}

// to is the answer that makes a side hold the result.
func (r *round) to(side int, v Verdict, values []syncline.Value, held [2]Held) answer {
	a := answer{shadow: shadow(side, v.Result, held)}
	switch {
	case !v.Write[side]:
	case v.Result == nil:
		a.op = syncline.ChangeDelete
	default:
		a.op, a.record = syncline.ChangePut, values
	}
	return a
}

// finish writes the near side where it has to be, and returns the keys that have to be looked at again because it has moved on.
func (r *round) finish(ctx context.Context, keys []int) (again []int, err error) {
	var write []int
	for _, i := range keys {
		r.fates[i] = r.plans[i].fate
		if one := r.plans[i].writes; r.fates[i].wrote && one[0] != one[1] {
			side := 0
			if one[1] {
				side = 1
			}
			r.p.brake.note(r.p.o.Now(), r.key(i), side)
		}
		if r.plans[i].needed {
			write = append(write, i)
		}
	}
	moved := make(map[int]bool)
	write, err = r.ask(ctx, r.near, write, func(i int, h Held) answer {
		if moved[i] = !plant.WriteOver && (h.round() != r.seen[i].round() || !equalRecords(h.Record, r.seen[i].Record)); moved[i] {
			return kept
		}
		return r.plans[i].answer
	})
	for _, i := range write {
		if moved[i] {
			again = append(again, i)
		}
	}
	return again, err
}

// bounced is the reason why a key is left alone that goes to and fro.
func (p *Pair) bounced(held [2]Held) error {
	var names []string
	for i, name := range p.mapping.names {
		if !syncline.Equal(field(held[0].Record, i), field(held[1].Record, i)) {
			names = append(names, strconv.Quote(name))
		}
	}
	return syncline.Errorf(syncline.Rejected, "between_bounces", "what is written of %s comes back changed from %s and from %s, again and again", strings.Join(names, ", "), p.o.Sides[0], p.o.Sides[1]).
		WithFix("where triggers set these columns, name them in `ignore`, or the time of a change in `conflict.time_field`; else the task is tried again by itself")
}
