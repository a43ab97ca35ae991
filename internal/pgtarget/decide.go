package pgtarget

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"syncline"
)

// A write with decisions reads its records' rows with their versions, and changes only the versions that it read. Where the table has no
// column for shadows it locks the rows instead, and reads their shadows from a table, which only those write who have the row's lock.
// A shadow without a row is locked itself, and the row is looked for again. What has neither is added under the eyes of the unique index.
// Where somebody else was first, the whole write is done again.

// errMoved: a record or a shadow is no longer what was read.
var errMoved = errors.New("a record changed while its conflict was decided")

// maxMoves is how often a write is done again because of that.
const maxMoves = 5

// deciding is one change of a write with decisions.
type deciding struct {
	held    syncline.Held
	version int64  // of the row, where it has a shadow column
	apart   []byte // the shadow as the shadow table has it
	done    bool   // it is decided
}

// looking are changes of one object and one schema, in the order of their keys.
type looking struct {
	b       *binding
	object  string
	name    string // of the object, as the shadow table has it
	schema  *syncline.Schema
	members []int
	shadows shadowWrites
}

// key is the name that the shadow of a change's record has.
func (x *transaction) key(i int) syncline.Key {
	key, _ := x.w.Changes[i].Row.Key()
	return key
}

// decideAll turns the changes into what is decided, in one look for each object, and queues it.
func (x *transaction) decideAll(ctx context.Context) error {
	list, err := x.look(ctx)
	if err != nil {
		return err
	}
	for _, l := range list {
		x.sort(l.members, l.b)
		if err := x.hold(ctx, l); err != nil {
			return err
		}
	}
	return x.decideHeld(ctx, list)
}

// decideEach does the same for one change after the other.
func (x *transaction) decideEach(ctx context.Context) error {
	for i := range x.w.Changes {
		c := &x.w.Changes[i]
		if c.Op == syncline.ChangeTruncate {
			o, err := x.t.object(ctx, x.s, c.Object)
			if err != nil {
				return err
			}
			x.queueTruncate(i, c, o.table)
			if err := x.queueForget(c.Object); err != nil {
				return err
			}
			continue
		}
		l, err := x.lookAt(ctx, i)
		if err != nil {
			return err
		}
		if err := x.hold(ctx, l); err != nil {
			return err
		}
		if err := x.decideHeld(ctx, []*looking{l}); err != nil {
			return err
		}
	}
	return nil
}

// decideHeld decides what is not decided yet, and queues everything.
func (x *transaction) decideHeld(ctx context.Context, list []*looking) error {
	for _, l := range list {
		for _, i := range l.members {
			if err := x.decide(l, i); err != nil {
				return err
			}
		}
	}
	if err := x.queueDecided(ctx, list); err != nil {
		return err
	}
	for _, l := range list {
		x.queueShadows(l.name, &l.shadows)
	}
	return nil
}

// prepare checks the changes before the transaction begins.
func (x *transaction) prepare(ctx context.Context) error {
	if err := x.t.shadows(ctx, x.s); err != nil {
		return err
	}
	x.decided = make([]deciding, len(x.w.Changes))
	// The decisions take the place of the caller's changes, which it keeps.
	x.w = &syncline.Write{Changes: slices.Clone(x.w.Changes), Ordered: x.w.Ordered, Cursor: x.w.Cursor, Commit: x.w.Commit, Decide: x.w.Decide, Recalls: x.w.Recalls}
	for i := range x.w.Changes {
		c := &x.w.Changes[i]
		if c.OldKey != nil || c.Op != syncline.ChangeTruncate && (c.Row.Schema == nil || len(c.Row.Schema.Key) == 0) {
			return syncline.Errorf(syncline.Fatal, "write_malformed", "change %d of the write cannot be decided about", i).At(i)
		}
	}
	return x.bindAll(ctx)
}

// look sorts the changes by object and schema.
func (x *transaction) look(ctx context.Context) ([]*looking, error) {
	var list []*looking
	var l *looking
	for i := range x.w.Changes {
		c := &x.w.Changes[i]
		is := func(l *looking) bool { return l.object == c.Object && l.schema == c.Row.Schema }
		if l == nil || !is(l) {
			at := slices.IndexFunc(list, is)
			if at < 0 {
				one, err := x.lookAt(ctx, i)
				if err != nil {
					return nil, err
				}
				l, list = one, append(list, one)
				continue
			}
			l = list[at]
		}
		if err := l.b.check(i, c); err != nil {
			return nil, err
		}
		l.members = append(l.members, i)
	}
	return list, nil
}

// lookAt begins with one change.
func (x *transaction) lookAt(ctx context.Context, i int) (*looking, error) {
	c := &x.w.Changes[i]
	b, err := x.t.deciding(ctx, x.s, c.Object, c.Row.Schema)
	if err != nil {
		return nil, err
	}
	l := &looking{b: b, object: c.Object, schema: c.Row.Schema, members: []int{i}}
	if l.name, err = x.s.shadowObject(c.Object); err != nil {
		return nil, err
	}
	return l, b.check(i, c)
}

// decide puts the decision in the place of the change, unless it is there already.
func (x *transaction) decide(l *looking, i int) error {
	c, of := &x.w.Changes[i], &x.decided[i]
	if of.done {
		return nil
	}
	d, err := x.w.Decide(i, of.held)
	if err != nil {
		return &commitError{err}
	}
	of.done = true
	x.res.Outcomes[i] = d.Outcome
	op, values, there := d.Op, d.Values, of.there()
	switch {
	case op == syncline.ChangeDelete && !there, op == syncline.ChangePut && l.same(values, &of.held):
		op = 0
	case op == syncline.ChangePut && !there && slices.ContainsFunc(values, syncline.Value.IsUnset):
		values = slices.Clone(values)
		for j := range values {
			if values[j].IsUnset() {
				values[j] = syncline.Null
			}
		}
	case op == syncline.ChangeDelete:
		values = c.Row.Values
	}
	stays := op == syncline.ChangePut || op == 0 && there
	apart := d.Shadow
	if l.b.shadow > 0 && stays {
		if there { // what stands apart, if anything, is as of when the row was added
			apart = of.apart
		}
		op, values = x.withShadow(l.schema, op, values, i, &d)
	}
	switch {
	case l.b.shadow > 0 && there && (!stays || d.Shadow == nil && of.held.Shadow != nil):
		l.shadows.replace(x.key(i), d.Shadow)
	case of.apart != nil || apart != nil:
		l.shadows.note(x.key(i), of.apart, apart)
	}
	c.Op, c.Row.Values = op, values
	return nil
}

// withShadow adds the shadow to the values of a change's row. A record that stays as it is gets its shadow alone.
func (x *transaction) withShadow(schema *syncline.Schema, op syncline.ChangeOp, values []syncline.Value, i int, d *syncline.Decision) (syncline.ChangeOp, []syncline.Value) {
	if of := &x.decided[i]; op == 0 {
		if of.apart == nil && bytes.Equal(of.held.Shadow, d.Shadow) && (of.held.Shadow == nil) == (d.Shadow == nil) {
			return 0, values
		}
		// Everything but the key is left alone.
		values = x.w.Changes[i].Row.Values
	}
	out := x.places(len(schema.Columns) + 1)
	copy(out, values)
	if op == 0 {
		for j := range schema.Columns {
			if !slices.Contains(schema.Key, j) {
				out[j] = syncline.Unset
			}
		}
	}
	if d.Shadow != nil {
		out[len(out)-1] = syncline.Bytes(x.tagged(d.Shadow, d.Recallable))
	}
	return syncline.ChangePut, out
}

// there reports whether the record is.
func (d *deciding) there() bool { return d.held.Values != nil || d.held.Untouched }

// same reports whether a row with these values is already what it is to become, to the letter. Of an untouched one that is known where only
// its key is set.
func (l *looking) same(values []syncline.Value, held *syncline.Held) bool {
	if held.Untouched {
		for i := range values {
			if !values[i].IsUnset() && !slices.Contains(l.schema.Key, i) {
				return false
			}
		}
		return true
	}
	if len(held.Values) != len(values) {
		return false
	}
	for i := range values {
		if v, h := values[i], held.Values[i]; !v.IsUnset() && !h.IsUnset() && (v.IsNull() != h.IsNull() || string(v.Bytes()) != string(h.Bytes())) {
			return false
		}
	}
	return true
}

func (x *transaction) queueDecided(ctx context.Context, list []*looking) error {
	groups := x.groups(list)
	if err := x.makeTemps(ctx, groups); err != nil {
		return err
	}
	return x.queueGroups(ctx, groups)
}

// groups sorts what was decided into groups: rows that are there are updated or deleted, the others are added.
func (x *transaction) groups(list []*looking) []*group {
	var groups []*group
	for n, l := range list {
		for _, i := range l.members {
			c, k := &x.w.Changes[i], kindMark // of rows that are there, if only kept
			switch {
			case c.Op == 0:
				continue
			case c.Op == syncline.ChangeDelete:
				k = kindDelete
			case !x.decided[i].there():
				k = kindAdd
			}
			at := slices.IndexFunc(groups, func(g *group) bool { return g.b == l.b && g.kind == k && g.takes(k, c.Row.Values) })
			if at < 0 {
				at = len(groups)
				groups = append(groups, &group{b: l.b, kind: k, mask: l.b.maskOf(k, c.Row.Values), object: n})
			}
			g := groups[at]
			g.members = append(g.members, i)
			for j := range c.Row.Values {
				g.bytes += len(c.Row.Values[j].Bytes())
			}
		}
	}
	for _, g := range groups {
		g.way = g.best(x.t.copyMin)
		g.shape = x.t.shape(g.b, g.kind, g.mask, g.way, nil)
	}
	return groups
}
