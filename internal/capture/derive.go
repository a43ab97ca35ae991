package capture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"syncline"
	"syncline/internal/expression"
)

// Derivation says of an entity's events what their source cannot say. It is evaluated before the append, so that every route sees the
// same, and pure, so that a batch that is read again is the same. What cannot be evaluated changes nothing: the event keeps its type, and
// its priority is normal. A nil program derives nothing.
type Derivation struct {
	// Archived and Merged turn an event that leaves a record into one that says so. Merged goes first. They judge rows that a run
	// reads, too: else a copy would bring back what was removed as archived.
	Archived, Merged *expression.Program
	// Into are the parts of the key of the record that survives a merge, in key order.
	Into []*expression.Program
	// Priority gives an event that has none its priority, by name; null is normal. For a delete, after is the record that goes.
	Priority *expression.Program
}

// Underived counts events of an entity for which a Derivation could not be evaluated.
type Underived struct {
	Entity string
	// Failed evaluations went wrong; Unsent ones needed a column that the source did not send.
	Failed, Unsent int64
	// Err is the last failure.
	Err error
}

// tellEvery is how often the log is told of failures that go on.
const tellEvery = 10 * time.Minute

// maxShapes bounds the schemas whose programs are kept.
const maxShapes = 64

// deriver carries derivations out. It is used by one goroutine at a time.
type deriver struct {
	entities map[string]Derivation
	shapes   map[*syncline.Schema]*derivation
	// failed is told of each event that stays as it is.
	failed func(entity string, err error)
}

// derivation is a Derivation bound to a schema. A program that does not fit has its error.
type derivation struct {
	archived, merged, priority derivedValue
	into                       []derivedValue
}

type derivedValue struct {
	bound *expression.Bound
	err   error
}

func newDeriver(entities map[string]Derivation, failed func(string, error)) *deriver {
	return &deriver{entities: entities, shapes: make(map[*syncline.Schema]*derivation), failed: failed}
}

// batch derives what it can of the events.
func (d *deriver) batch(b *syncline.Batch) {
	if len(d.entities) == 0 {
		return
	}
	for i := range b.Events {
		if at := d.of(b.Events[i].Schema); at != nil {
			d.event(at, b, i)
		}
	}
}

// of returns the schema's derivation, nil where there is none.
func (d *deriver) of(s *syncline.Schema) *derivation {
	if at, known := d.shapes[s]; known {
		return at
	}
	if len(d.shapes) >= maxShapes {
		clear(d.shapes)
	}
	var at *derivation
	if e, ok := d.entities[s.Entity]; ok {
		at = &derivation{archived: bindTo(e.Archived, s), merged: bindTo(e.Merged, s), priority: bindTo(e.Priority, s)}
		for _, p := range e.Into {
			at.into = append(at.into, bindTo(p, s))
		}
	}
	d.shapes[s] = at
	return at
}

func bindTo(p *expression.Program, s *syncline.Schema) (v derivedValue) {
	if p != nil {
		v.bound, v.err = p.Bind(s, s)
	}
	return v
}

// Fit binds the derivation to a schema: its error says why it does not fit.
func (e Derivation) Fit(s *syncline.Schema) error {
	for _, p := range append([]*expression.Program{e.Archived, e.Merged, e.Priority}, e.Into...) {
		if v := bindTo(p, s); v.err != nil {
			return v.err
		}
	}
	if e.Merged != nil && len(e.Into) != len(s.Key) {
		return intoParts(s, len(e.Into))
	}
	return nil
}

func intoParts(s *syncline.Schema, parts int) error {
	return syncline.Errorf(syncline.Fatal, "derive_failed", "the key of %s has %d parts, and `into` gives %d", s.Entity, len(s.Key), parts).
		WithFix("write one expression in `into` for each part of the key")
}

func (d *deriver) event(at *derivation, b *syncline.Batch, i int) {
	e := &b.Events[i]
	switch e.Op {
	case syncline.OpCreated, syncline.OpUpdated, syncline.OpSnapshot, syncline.OpRepair:
		if err := at.operation(b, i); err != nil {
			d.failed(e.Schema.Entity, fmt.Errorf("type_when: %w", err))
		}
	case syncline.OpTruncated, syncline.OpAbsent:
		return
	}
	if e.Priority() != syncline.PriorityNormal {
		return
	}
	p, err := at.rank(b, i)
	if err != nil {
		d.failed(e.Schema.Entity, fmt.Errorf("priority: %w", err))
		return
	}
	if p != syncline.PriorityNormal {
		metaOf(e).Priority = p
	}
}

// metaOf gives the event a Meta of its own.
func metaOf(e *syncline.Event) *syncline.Meta {
	m := syncline.Meta{}
	if e.Meta != nil {
		m = *e.Meta
	}
	e.Meta = &m
	return e.Meta
}

// operation turns the event into a merged or an archived one where it is one.
func (at *derivation) operation(b *syncline.Batch, i int) error {
	e := &b.Events[i]
	in := expression.Input{Batch: b, Index: i, After: e.After, Before: e.Before}
	merged, err := at.merged.true(&in)
	if err != nil {
		return err
	}
	if merged {
		into, err := at.survivor(&in, e)
		if err != nil {
			return err
		}
		metaOf(e).Into, e.Op = into, syncline.OpMerged
		return nil
	}
	archived, err := at.archived.true(&in)
	if archived {
		e.Op = syncline.OpArchived
	}
	return err
}

// survivor is the key of the record that the event's was merged into.
func (at *derivation) survivor(in *expression.Input, e *syncline.Event) (syncline.Key, error) {
	if len(at.into) != len(e.Schema.Key) || len(at.into) == 0 {
		return "", intoParts(e.Schema, len(at.into))
	}
	parts := make([]syncline.Value, len(at.into))
	for n, p := range at.into {
		var err error
		if parts[n], err = p.value(in); err != nil {
			return "", err
		}
		if parts[n].IsNull() {
			return "", syncline.Errorf(syncline.Rejected, "derive_failed", "the record was merged, and `into` is null")
		}
	}
	into := syncline.MakeKey(parts...)
	if key, _ := e.Key(); key == into {
		return "", syncline.Errorf(syncline.Rejected, "derive_failed", "the record was merged, and `into` is its own key")
	}
	return into, nil
}

// rank is the event's priority.
func (at *derivation) rank(b *syncline.Batch, i int) (syncline.Priority, error) {
	e := &b.Events[i]
	v, err := at.priority.value(&expression.Input{Batch: b, Index: i, After: e.Row().Values, Before: e.Before})
	if err != nil || v.IsNull() {
		return syncline.PriorityNormal, err
	}
	p, ok := syncline.ParsePriority(v.Text())
	if !ok || v.Kind() != syncline.KindText {
		return p, syncline.Errorf(syncline.Rejected, "derive_failed", "a priority is low, normal, high or critical, and this is another %s", v.Kind())
	}
	return p, nil
}

func (v *derivedValue) value(in *expression.Input) (syncline.Value, error) {
	if v.bound == nil {
		return syncline.Null, v.err
	}
	return v.bound.Value(in)
}

func (v *derivedValue) true(in *expression.Input) (bool, error) {
	if v.bound == nil {
		return false, v.err
	}
	return v.bound.True(in)
}

// underived takes note of an event that stays as it is.
func (c *Capture) underived(entity string, err error) {
	now := c.o.Now()
	c.mu.Lock()
	u := c.missed[entity]
	if u == nil {
		u = &missed{Underived: Underived{Entity: entity}}
		c.missed[entity] = u
	}
	unsent := errors.Is(err, expression.ErrUnset)
	if unsent {
		u.Unsent++
	} else {
		u.Failed, u.Err = u.Failed+1, err
	}
	failed, tell := u.Failed, !unsent && !now.Before(u.next)
	if tell {
		u.next = now.Add(tellEvery)
	}
	c.mu.Unlock()
	if tell {
		c.log.Warn("events keep their type, or have normal priority: an expression failed", "entity", entity, "events", failed, "code", syncline.CodeOf(err), "err", err)
	}
}

// missed is an Underived, and when the log is told again.
type missed struct {
	Underived
	next time.Time
}

// underivedLocked lists what could not be derived since the start, by entity.
func (c *Capture) underivedLocked() (list []Underived) {
	for _, entity := range slices.Sorted(maps.Keys(c.missed)) {
		list = append(list, c.missed[entity].Underived)
	}
	return list
}

func (u *Underived) warning() string {
	if u.Failed == 0 {
		return fmt.Sprintf("entity %s: %d events did not bring a column that type_when or priority needs: they keep their type, and their priority is normal", u.Entity, u.Unsent)
	}
	return fmt.Sprintf("entity %s: type_when or priority failed on %d events, which keep their type or have normal priority; the last time: %v", u.Entity, u.Failed, u.Err)
}

// deriving is a source whose batches are derived, for whoever reads it beside Run.
type deriving struct {
	syncline.RunReader
	derive *deriver
}

func (d deriving) Next(ctx context.Context) (*syncline.Batch, error) {
	b, err := d.RunReader.Next(ctx)
	if err == nil {
		d.derive.batch(b)
	}
	return b, err
}
