package pgtarget

import (
	"context"
	"slices"

	"syncline"
)

// queueOrdered queues each change by itself, in order.
func (x *transaction) queueOrdered(ctx context.Context) error {
	order, err := x.emptiedFirst(ctx)
	if err != nil {
		return err
	}
	for _, i := range order {
		if err := x.queueChange(ctx, i, &x.w.Changes[i]); err != nil {
			return err
		}
		if len(x.arena) > maxArena {
			if err := x.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// emptiedFirst returns the changes in their order, but for what one TRUNCATE empties: tables that others refer to come behind those, and
// of such the last one first, because a TRUNCATE … CASCADE names parents before children.
func (x *transaction) emptiedFirst(ctx context.Context) ([]int, error) {
	changes := x.w.Changes
	order := make([]int, len(changes))
	for i := range order {
		order[i] = i
	}
	for from := 0; from < len(order); from++ {
		to := from
		for to < len(order) && changes[to].Op == syncline.ChangeTruncate {
			to++
		}
		if to-from < 2 {
			continue
		}
		run := order[from:to]
		referenced := make(map[int]bool, len(run))
		for _, i := range run {
			o, err := x.t.object(ctx, x.s, changes[i].Object)
			if err != nil {
				return nil, err
			}
			referenced[i] = o.table.referenced
		}
		slices.SortStableFunc(run, func(a, b int) int {
			switch {
			case referenced[a] && referenced[b]:
				return b - a
			case referenced[a]:
				return 1
			case referenced[b]:
				return -1
			}
			return 0
		})
		from = to
	}
	return order, nil
}

func (x *transaction) queueChange(ctx context.Context, i int, c *syncline.Change) error {
	o, err := x.t.object(ctx, x.s, c.Object)
	if err != nil {
		return err
	}
	if c.Op == syncline.ChangeTruncate {
		x.queueTruncate(i, c, o.table)
		return nil
	}
	b, err := x.t.binding(ctx, x.s, c.Object, c.Row.Schema)
	if err != nil {
		return err
	}
	if c.Op == syncline.ChangeClear {
		if b.named(c.Row, c.Parent) {
			x.queueClear(i, c, b)
		}
		return nil
	}
	if c.Op != syncline.ChangeDelete {
		if err := b.check(i, c); err != nil {
			return err
		}
	}
	switch {
	case c.Op == syncline.ChangeReplace || c.Op == syncline.ChangeDelete && len(b.key) == 0:
		if err := b.checkOld(i, c); err != nil {
			return err
		}
		x.queueOne(i, c, b)
		return nil
	case c.Op == syncline.ChangeDelete && !b.named(c.Row, len(b.key)):
		return nil
	case c.OldKey != nil && b.namedBefore(c):
		x.queueRekey(i, c, b)
	}
	x.queueRow(i, c, b)
	return nil
}

// queueRow queues a put, a delete or an insert. Where its count alone does not tell the outcome, the question follows it at
// once: a later change may be to the same record.
func (x *transaction) queueRow(i int, c *syncline.Change, b *binding) {
	op := opKind(c)
	g := &group{b: b, kind: op, mask: b.maskOf(op, c.Row.Values), members: []int{i}}
	if op == kindPut && len(g.mask) < len(b.cols) {
		g.kind = kindUpdate
	}
	r := request{shape: x.t.shape(b, g.kind, g.mask, wayArrays, nil), change: i, args: x.rowArgs(g)}
	if g.partial() {
		r.done = func(n int64) error {
			if n == 0 {
				x.res.Outcomes[i] = syncline.OutcomeMissing
			}
			return nil
		}
	}
	x.queue = append(x.queue, r)
	if !b.guard {
		return
	}
	x.queue = append(x.queue, request{shape: x.t.shape(b, g.status(), b.key, wayArrays, nil), change: i, args: x.keyArgs(g), row: func(v [][]byte) {
		x.res.Outcomes[i] = syncline.OutcomeApplied
		if string(v[1]) == "t" {
			x.res.Outcomes[i] = syncline.OutcomeStale
		}
	}})
}

// queueRekey carries the old record over to the new key, as far as both are there; the put follows. Where only the new one
// is there the put updates that.
func (x *transaction) queueRekey(i int, c *syncline.Change, b *binding) {
	var args [][]byte
	for _, k := range b.key {
		args = append(args, x.array(1, func(int) syncline.Value { return c.Row.Values[b.cols[k].src] }))
	}
	for _, v := range c.OldKey {
		args = append(args, x.array(1, func(int) syncline.Value { return v }))
	}
	if b.guard {
		args = append(args, x.array(1, func(int) syncline.Value { return syncline.Int(c.Order.Version()) }))
	}
	kinds := []kind{kindDislodge, kindMove}
	if b.guard {
		kinds = append(kinds, kindVacate)
	}
	for _, k := range kinds {
		x.queue = append(x.queue, request{shape: x.t.shape(b, k, b.key, wayArrays, nil), change: i, args: args})
	}
}

// queueOne queues the delete or replacement of one row of a keyless object.
func (x *transaction) queueOne(i int, c *syncline.Change, b *binding) {
	k := kindRemove
	var mask, nulls []int
	var args [][]byte
	if c.Op == syncline.ChangeReplace {
		k = kindReplace
		mask = b.maskOf(k, c.Row.Values)
		for _, m := range mask {
			args = append(args, x.array(1, func(int) syncline.Value { return c.Row.Values[b.cols[m].src] }))
		}
	}
	for m := range b.cols {
		v := c.Before[b.cols[m].src]
		if v.IsNull() {
			nulls = append(nulls, m)
			continue
		}
		args = append(args, x.array(1, func(int) syncline.Value { return v }))
	}
	x.queue = append(x.queue, request{shape: x.t.shape(b, k, mask, wayArrays, nulls), change: i, args: args, done: func(n int64) error {
		if n == 0 {
			return rowNotFound(i, c)
		}
		return nil
	}})
}

func rowNotFound(i int, c *syncline.Change) error {
	return syncline.Errorf(syncline.Rejected, "row_not_found", "%s has no row equal to the one to change", c.Object).At(i)
}

// queueTruncate empties the table. With a guard, others write it too: only what is not newer goes.
func (x *transaction) queueTruncate(i int, c *syncline.Change, t *table) {
	r := request{sql: "TRUNCATE " + t.name.sql(), change: i}
	switch {
	case x.t.truncates(t):
	case x.t.guards(t):
		r.sql = "DELETE FROM " + t.name.sql() + " AS t WHERE " + notNewer("t", "$1::bigint")
		r.args = [][]byte{int8(uint64(c.Order.Version()))}
	default:
		r.sql = "DELETE FROM " + t.name.sql()
	}
	x.queue = append(x.queue, r)
}

// truncates reports whether the table is emptied by TRUNCATE. One that a foreign key refers to cannot be.
func (t *Target) truncates(tab *table) bool { return !t.guards(tab) && !tab.referenced }

func (t *Target) guards(tab *table) bool { return t.o.Guard && tab.column(guardColumn) != nil }
