// Package between keeps two tables of two systems equal, in both directions: two-way rules. Its DESIGN.md says how and why.
package between

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"syncline"
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
	// owned are the epochs under which this process had the sides last, 0 = not yet.
	owned [2]uint64
	// fenced are the lanes that halted because another process has the sides. Such a lane is opened again by an operator, who has decided.
	fenced [2]bool
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
		if e.cursor, err = p.o.openEnd(ctx, target, p.owned[side]); err != nil {
			return fmt.Errorf("take over %s: %w", p.o.Sides[side], err)
		}
		p.owned[side] = e.cursor.Epoch
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
