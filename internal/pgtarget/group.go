package pgtarget

import (
	"context"
	"encoding/binary"
	"slices"

	"syncline"
)

// group are changes of one object that one statement carries out.
type group struct {
	b      *binding
	kind   kind
	mask   []int // indexes into b.cols of the columns that are written
	object int   // place of the object in the order of first change
	// members are indexes into the Write; fresh of them are of records that are new as far as the source tells.
	members []int
	fresh   int
	bytes   int
	way     way
	shape   *shape
	binary  bool // its rows were copied so
}

// group sorts the changes of an unordered write into groups. Rows with the same mask mostly stand together, so the last
// group of the operation is tried first.
func (x *transaction) group(ctx context.Context) ([]*group, error) {
	var groups []*group
	objects := map[string]int{}
	var b *binding
	var schema *syncline.Schema
	var object string
	for i := range x.w.Changes {
		c := &x.w.Changes[i]
		if err := x.supported(i, c); err != nil {
			return nil, err
		}
		if c.Row.Schema != schema || c.Object != object {
			var err error
			if b, err = x.t.binding(ctx, x.s, c.Object, c.Row.Schema); err != nil {
				return nil, err
			}
			if _, ok := objects[c.Object]; !ok {
				objects[c.Object] = len(objects)
			}
			schema, object = c.Row.Schema, c.Object
			x.deferrable = x.deferrable || b.table.deferrable
		}
		if c.Op == syncline.ChangeClear {
			if b.named(c.Row, c.Parent) {
				x.clears = append(x.clears, clearing{i, b})
			}
			continue
		}
		op := opKind(c)
		if op == kindDelete && !b.named(c.Row, len(b.key)) {
			continue
		}
		if op != kindDelete {
			if err := b.check(i, c); err != nil {
				return nil, err
			}
		}
		at := slices.IndexFunc(groups, func(g *group) bool { return g.b == b && g.takes(op, c.Row.Values) })
		if at < 0 {
			g := &group{b: b, kind: op, mask: b.maskOf(op, c.Row.Values), object: objects[c.Object]}
			if op == kindPut && len(g.mask) < len(b.cols) {
				g.kind = kindUpdate
			}
			groups = append(groups, g)
			at = len(groups) - 1
		}
		g := groups[at]
		g.members = append(g.members, i)
		if c.Fresh {
			g.fresh++
		}
		for j := range c.Row.Values {
			g.bytes += len(c.Row.Values[j].Bytes())
		}
	}
	return x.choose(groups), nil
}

func opKind(c *syncline.Change) kind {
	switch c.Op {
	case syncline.ChangeDelete:
		return kindDelete
	case syncline.ChangeInsert:
		return kindInsert
	case syncline.ChangeMark:
		return kindMark
	}
	return kindPut
}

// partial reports whether the group writes to records only that are there.
func (g *group) partial() bool { return g.kind == kindUpdate || g.kind == kindMark }

// status is the question what became of changes of the group that had no effect.
func (g *group) status() kind {
	if g.kind == kindUpdate {
		return kindPresent
	}
	return kindStatus
}

// takes reports whether a row of this operation belongs to the group.
func (g *group) takes(op kind, values []syncline.Value) bool {
	if g.kind != op && (g.kind != kindUpdate || op != kindPut) {
		return false
	}
	if op == kindDelete {
		return true
	}
	next := 0
	for i := range g.b.cols {
		in := next < len(g.mask) && g.mask[next] == i
		if in {
			next++
		}
		if in == values[g.b.cols[i].src].IsUnset() {
			return false
		}
	}
	return true
}

func (b *binding) maskOf(op kind, values []syncline.Value) []int {
	if op == kindDelete {
		return b.key
	}
	mask := make([]int, 0, len(b.cols))
	for i := range b.cols {
		if !values[b.cols[i].src].IsUnset() {
			mask = append(mask, i)
		}
	}
	return mask
}

// checkKey refuses a record whose key has a null: ON CONFLICT would take it for a new one each time.
func (b *binding) checkKey(i int, c *syncline.Change) error {
	for _, k := range b.key {
		if v := c.Row.Values[b.cols[k].src]; v.IsNull() || v.IsUnset() {
			return syncline.Errorf(syncline.Rejected, "key_null", "%s: key column %q has no value", c.Object, b.cols[k].name).At(i)
		}
	}
	return nil
}

// makeTemps makes the temporary tables that are missing, outside of the transaction where it can: they outlive its rollback then.
func (x *transaction) makeTemps(ctx context.Context, groups []*group) error {
	for _, g := range groups {
		if g.shape.temp == "" {
			continue
		}
		if _, ok := x.s.temps[g.shape.temp]; ok {
			continue
		}
		var define []request
		for _, sql := range g.shape.make {
			define = append(define, request{sql: sql, change: -1})
		}
		if err := x.s.run(ctx, define); err != nil {
			return err
		}
		x.s.temps[g.shape.temp] = struct{}{}
		if x.s.pg.TxStatus() != 'I' {
			x.made = append(x.made, g.shape.temp)
		}
	}
	return nil
}

// unmake forgets the temporary tables that were made in the transaction, which was rolled back.
func (x *transaction) unmake() {
	for _, temp := range x.made {
		delete(x.s.temps, temp)
	}
}

// queueGroups carries out the groups: deletes before puts, so that a unique value may pass from a deleted record to another;
// children's deletes before their parents', whose puts come first. What is not copied waits in the queue for the next round trip.
func (x *transaction) queueGroups(ctx context.Context, groups []*group) error {
	slices.SortStableFunc(groups, func(a, b *group) int {
		switch {
		case a.kind == kindDelete && b.kind == kindDelete:
			return b.object - a.object
		case a.kind == kindDelete:
			return -1
		case b.kind == kindDelete:
			return 1
		}
		return a.object - b.object
	})
	for _, c := range x.clears {
		x.queueClear(c.change, &x.w.Changes[c.change], c.b)
		if len(x.arena) > maxArena {
			if err := x.flush(ctx); err != nil {
				return err
			}
		}
	}
	for _, g := range groups {
		if err := x.queueGroup(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

func (x *transaction) queueGroup(ctx context.Context, g *group) error {
	if g.way != wayArrays {
		if err := x.flush(ctx); err != nil {
			return err
		}
		if err := x.copy(ctx, g); err != nil {
			return err
		}
	}
	switch g.way {
	case wayDirect:
		g.b.optimism.confirmed()
		x.queueTypes(g)
		return nil
	case wayRevise:
		return x.revise(ctx, g)
	}
	r := request{shape: g.shape, change: g.only()}
	if g.way == wayArrays {
		r.args = x.rowArgs(g)
	}
	switch {
	case g.kind == kindAdd || g.b.shadow > 0:
		r.done = func(n int64) error {
			if n < int64(len(g.members)) {
				return errMoved
			}
			return nil
		}
	case x.w.Decide != nil: // the rows are locked
	case g.partial() || g.b.guard:
		r.done = func(n int64) error {
			if n < int64(len(g.members)) {
				x.recheck = append(x.recheck, g)
			}
			return nil
		}
	}
	x.queue = append(x.queue, r)
	if len(x.arena) > maxArena {
		return x.flush(ctx)
	}
	return nil
}

// only is the change of a group of one, for errors.
func (g *group) only() int {
	if len(g.members) == 1 {
		return g.members[0]
	}
	return -1
}

// rowArgs encodes the columns of a group as arrays.
func (x *transaction) rowArgs(g *group) [][]byte { return x.args(g, g.mask) }

// keyArgs encodes the keys of a group.
func (x *transaction) keyArgs(g *group) [][]byte { return x.args(g, g.b.key) }

func (x *transaction) args(g *group, cols []int) [][]byte {
	args := x.columnArgs(g.b, g.members, cols)
	if g.b.stamped() {
		args = append(args, x.array(len(g.members), func(i int) syncline.Value { return x.stamp(g.b, g.members[i]) }))
	}
	return args
}

func (x *transaction) columnArgs(b *binding, members, cols []int) [][]byte {
	args := make([][]byte, 0, len(cols)+1)
	for _, col := range cols {
		src := b.cols[col].src
		args = append(args, x.array(len(members), func(i int) syncline.Value { return x.w.Changes[members[i]].Row.Values[src] }))
	}
	return args
}

// stamp is what a change's row carries beside its columns.
func (x *transaction) stamp(b *binding, change int) syncline.Value {
	if b.guard {
		return syncline.Int(x.w.Changes[change].Order.Version())
	}
	return syncline.Int(x.decided[change].version)
}

// array encodes one parameter in the arena. A parameter keeps its bytes when the arena moves on to a larger place.
func (x *transaction) array(n int, value func(i int) syncline.Value) []byte {
	start := len(x.arena)
	x.arena = appendArray(x.arena, n, value)
	return x.arena[start:len(x.arena):len(x.arena)]
}

func int4(v int) []byte    { return binary.BigEndian.AppendUint32(nil, uint32(v)) }
func int8(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
