// Package between keeps two tables of two systems equal, in both directions: two-way rules. Its DESIGN.md says how and why.
package between

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"syncline"
	"syncline/internal/conflict"
	"syncline/internal/failpoint"
)

// Truncated says what becomes of the other side where one was emptied by TRUNCATE.
type Truncated uint8

const (
	// TruncatedHalt stops the rule before anything is removed.
	TruncatedHalt Truncated = iota
	// TruncatedDelete takes it as the deletion of every record.
	TruncatedDelete
)

// Options describe a two-way rule. Route, Sides, Open, Describe and Reread are required.
type Options struct {
	// Route names the rule at both sides.
	Route string
	Sides [2]Side
	// Open connects to a side; it is called again after each error. Describe returns what the side's rows look like now.
	Open     [2]func(context.Context) (syncline.Target, error)
	Describe [2]func(context.Context) (*syncline.Schema, error)
	// Fields pairs columns that have other names: first side to second side.
	Fields map[string]string
	// Ignore are columns of the first side that are not paired.
	Ignore []string
	// Policy makes the policy for these shared columns; nil = a person decides every conflict.
	Policy func(columns []syncline.Column) (*Policy, error)
	// Truncated is what a TRUNCATE does; Reread asks for all records of a side through its log.
	Truncated Truncated
	Reread    func(ctx context.Context, side int) error
	// State is the id of the state store, for the cursors at the sides.
	State  string
	Now    func() time.Time // nil = time.Now
	Logger *slog.Logger     // nil = none
}

// Pair owns both sides of a two-way rule. Its two lanes are the targets of two routes, one for each side's log; whatever comes through
// them is looked at by one owner at a time, so that everything about a key happens in one order. It is safe for concurrent use.
type Pair struct {
	o   Options
	log *slog.Logger

	// owner holds the one token of whoever may use what follows; buffered by one.
	owner   chan struct{}
	ends    [2]*end // nil while they are not open
	mapping *Mapping
	policy  *Policy
	brake   brake
	lanes   int // open lanes
	// truncated is why both lanes halt, nil while they do not.
	truncated error

	mu       sync.Mutex
	warnings []string
}

// New returns a pair that is not connected yet.
func New(o Options) *Pair {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Pair{o: o, log: o.Logger.With("route", o.Route), owner: make(chan struct{}, 1)}
}

// Warnings are what was found out about the columns when the sides were opened last.
func (p *Pair) Warnings() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.warnings
}

// acquire waits for the pair. release gives it back.
func (p *Pair) acquire(ctx context.Context) error {
	select {
	case p.owner <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Pair) release() { <-p.owner }

// ready opens both sides, if they are not.
func (p *Pair) ready(ctx context.Context) error {
	if p.ends[0] != nil {
		return nil
	}
	if err := p.open(ctx); err != nil {
		return errors.Join(err, p.shut())
	}
	return nil
}

func (p *Pair) open(ctx context.Context) error {
	m, err := p.match(ctx)
	if err != nil {
		return err
	}
	policy := &Policy{}
	if p.o.Policy != nil {
		if policy, err = p.o.Policy(m.Columns()); err != nil {
			return err
		}
	}
	p.mapping, p.policy = m, policy
	for side := range p.ends {
		target, err := p.o.Open[side](ctx)
		if err != nil {
			return fmt.Errorf("open %s: %w", p.o.Sides[side], err)
		}
		e := &end{side: side, object: p.o.Sides[side].Object, mapping: m, target: target}
		p.ends[side] = e
		if e.cursor, err = openEnd(ctx, target, p.o.State); err != nil {
			return fmt.Errorf("take over %s: %w", p.o.Sides[side], err)
		}
		if d, ok := target.(syncline.Definer); ok {
			if _, err := d.Define(ctx, syncline.Definition{Object: e.object, Schema: m.schemas[side]}); err != nil {
				return fmt.Errorf("look at %s: %w", p.o.Sides[side], err)
			}
		}
	}
	return nil
}

// Check pairs the columns without opening either side for writing, and returns what each side would be written with, and what an operator
// should know.
func (p *Pair) Check(ctx context.Context) (schemas [2]*syncline.Schema, warnings []string, err error) {
	m, err := p.match(ctx)
	if err != nil {
		return schemas, nil, err
	}
	if p.o.Policy != nil {
		_, err = p.o.Policy(m.Columns())
	}
	return m.schemas, m.warnings, err
}

// rematch opens the sides anew where their columns have changed.
func (p *Pair) rematch(ctx context.Context) error {
	m, err := p.match(ctx)
	if err != nil {
		return err
	}
	if p.ends[0] != nil && m.equal(p.mapping) {
		return nil
	}
	if err := p.shut(); err != nil {
		return err
	}
	return p.ready(ctx)
}

// moved makes an error transient that came because the columns of a side are no longer those that were paired.
func (p *Pair) moved(ctx context.Context, err error) error {
	m, now := p.match(ctx)
	switch {
	case now != nil && syncline.ClassOf(now) == syncline.Fatal:
		return now
	case now == nil && !m.equal(p.mapping):
		return syncline.Errorf(syncline.Transient, "between_table_changed", "the columns have changed: %w", err)
	}
	return err
}

// match pairs the columns that both sides have now.
func (p *Pair) match(ctx context.Context) (*Mapping, error) {
	var tables [2]*syncline.Schema
	for side := range tables {
		var err error
		if tables[side], err = p.o.Describe[side](ctx); err != nil {
			return nil, fmt.Errorf("look up the columns of %s: %w", p.o.Sides[side], err)
		}
	}
	m, err := newMapping(p.o.Sides, tables, p.o.Fields, p.o.Ignore)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.warnings = m.warnings
	p.mu.Unlock()
	return m, nil
}

// shut closes both sides: after an error nobody knows what they have done. Opening them again waits until it is over.
func (p *Pair) shut() error {
	var errs []error
	for side, e := range p.ends {
		if e != nil {
			errs = append(errs, e.target.Close())
		}
		p.ends[side] = nil
	}
	return errors.Join(errs...)
}

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
		if moved[i] = h.round() != r.seen[i].round() || !equalRecords(h.Record, r.seen[i].Record); moved[i] {
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
