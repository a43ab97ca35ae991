package between

import (
	"context"
	"errors"
	"fmt"

	"syncline"
)

// Look is what both sides hold for a key, and what would be decided about that now.
type Look struct {
	// Schemas are of the records of each side, by its own names; of a shadow those of the first side count.
	Schemas [2]*syncline.Schema
	Held    [2]Held
	// Keys are the key as each side has it.
	Keys    [2]syncline.Key
	Verdict Verdict
}

// Look looks at a key, given by its parts as the side has them, and writes nothing. It waits for the batch that the pair has in hand.
func (p *Pair) Look(ctx context.Context, side int, key []string) (l Look, err error) {
	if err := p.acquire(ctx); err != nil {
		return l, syncline.Errorf(syncline.Transient, "route_busy", "rule %s has a batch in hand that takes long", p.o.Route).WithFix("ask again")
	}
	defer p.release()
	if err := p.ready(ctx); err != nil {
		return l, err
	}
	if p.lanes == 0 { // nobody else will
		defer func() { err = errors.Join(err, p.shut()) }()
	}
	m := p.mapping
	columns := m.schemas[side].Key
	if len(key) != len(columns) {
		return l, syncline.Errorf(syncline.Rejected, "bad_key", "the key of %s has %d parts", p.o.Sides[side], len(columns))
	}
	values := make([]syncline.Value, len(key))
	for i, part := range key {
		values[i] = syncline.Raw(m.schemas[side].Columns[columns[i]].Kind, []byte(part))
	}
	l.Schemas = m.schemas
	for n := range p.ends {
		row := m.keyRow(n, side, values)
		l.Keys[n], _ = syncline.Row{Schema: m.schemas[n], Values: row}.Key()
		refused, err := p.ends[n].ask(ctx, [][]syncline.Value{row}, []int{0}, func(_ int, h Held) answer {
			l.Held[n] = h
			return kept
		})
		if err == nil {
			err = refused[0]
		}
		if err != nil {
			if syncline.ClassOf(err) != syncline.Rejected {
				err = errors.Join(err, p.shut())
			}
			return l, fmt.Errorf("%s: %w", p.o.Sides[n], err)
		}
	}
	l.Verdict = Decide(p.policy.calm(l.Held), p.policy)
	return l, nil
}
