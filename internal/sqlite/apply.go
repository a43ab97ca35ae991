package sqlite

import (
	"context"
	"errors"
	"slices"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"syncline"
)

// maxArgs is below SQLite's limit of 32,766 arguments. rowCounts are the numbers of rows that statements are made for: few,
// so that they stay prepared.
const maxArgs = 32000

var rowCounts = []int{200, 50, 10, 1}

// Apply implements syncline.Target: everything is one transaction, with the cursor.
func (t *Target) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	res := syncline.Result{Outcomes: make([]syncline.Outcome, len(w.Changes))}
	guard := t.opt.Guard && w.Decide == nil // where it is decided, order vetoes nothing
	bindings, err := t.bindAll(ctx, w.Changes, guard)
	if err != nil {
		return syncline.Result{}, err
	}
	err = t.transaction(ctx, func(x *writer) error {
		if err := x.fence(w.Cursor.Epoch); err != nil {
			return err
		}
		a := &application{w: x, ctx: ctx, changes: w.Changes, bindings: bindings, outcomes: res.Outcomes}
		do := a.grouped
		switch {
		case w.Decide != nil:
			do = func() error { return a.decide(w.Decide, w.Ordered) }
		case w.Ordered:
			do = a.ordered
		}
		if err := do(); err != nil {
			return err
		}
		if err := w.Commit(ctx, res); err != nil {
			return err
		}
		return x.moveCursor(w.Cursor)
	})
	if err != nil {
		return syncline.Result{}, t.recognise(ctx, err, w.Changes, guard)
	}
	return res, nil
}

// bindAll returns the binding of each change. Nothing is written yet, so the connection can still be asked.
func (t *Target) bindAll(ctx context.Context, changes []syncline.Change, guard bool) ([]*binding, error) {
	out := make([]*binding, len(changes))
	for i := range changes {
		c := &changes[i]
		if i > 0 && c.Object == changes[i-1].Object && c.Row.Schema == changes[i-1].Row.Schema {
			out[i] = out[i-1]
			continue
		}
		var err error
		if out[i], err = t.bindingOf(ctx, t.conn, c.Object, c.Row.Schema, guard); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// recognise looks for the reason of a statement that SQLite did not understand: somebody has changed the table.
func (t *Target) recognise(ctx context.Context, err error, changes []syncline.Change, guard bool) error {
	if syncline.CodeOf(err) != "statement_refused" {
		return err
	}
	clear(t.bindings)
	if _, again := t.bindAll(ctx, changes, guard); again != nil {
		return again
	}
	return err
}

// fence refuses a write of an owner that is not the owner any more. The write lock is held: what it reads stays true.
func (x *writer) fence(epoch uint64) error {
	x.arg(x.t.opt.Route)
	x.arg(int64(x.t.opt.Slice))
	row, err := x.row("SELECT epoch FROM _syncline_cursor WHERE route = ? AND slice = ?")
	var e *sqlite.Error
	if row == nil && err == nil || errors.As(err, &e) && e.Code() == sqlite3.SQLITE_ERROR {
		return syncline.Errorf(syncline.Fatal, "cursor_lost", "route %s, slice %d has no cursor at the target", x.t.opt.Route, x.t.opt.Slice).
			WithFix("if the target was restored or emptied on purpose, `syncline sync SYSTEM/ENTITY --route ROUTE`")
	}
	if err != nil {
		return classify(err, "read the cursor of route %s", x.t.opt.Route)
	}
	if now, _ := row[0].(int64); uint64(now) != epoch {
		return syncline.Errorf(syncline.Fatal, "fenced", "route %s, slice %d belongs to epoch %d now, not %d", x.t.opt.Route, x.t.opt.Slice, now, epoch)
	}
	return nil
}

func (x *writer) moveCursor(c syncline.Cursor) error {
	for _, v := range []any{c.Log, int64(c.Seq), int64(c.Index), x.t.opt.Route, int64(x.t.opt.Slice)} {
		x.arg(v)
	}
	_, err := x.exec("UPDATE _syncline_cursor SET log = ?, seq = ?, idx = ? WHERE route = ? AND slice = ?")
	return classify(err, "move the cursor of route %s", x.t.opt.Route)
}

// application carries out the changes of one Write.
type application struct {
	w *writer
	// ctx is the caller's; it is looked at between statements.
	ctx      context.Context
	changes  []syncline.Change
	bindings []*binding
	outcomes []syncline.Outcome
}

// batch are changes of one kind on one object with one schema.
type batch struct {
	b   *binding
	op  syncline.ChangeOp
	all []int
}

// grouped does deletes first, so that a unique value that moves from a deleted record to another one is free, then
// records that keep some columns, then whole ones.
func (a *application) grouped() error {
	var deletes, partial, whole []*batch
	var clears []int
	for i := range a.changes {
		c := &a.changes[i]
		list := &whole
		switch {
		case c.Op == syncline.ChangeDelete && len(c.Row.Schema.Key) > 0:
			list = &deletes
		case c.Op == syncline.ChangePut && len(c.Row.Schema.Key) > 0 && c.OldKey == nil:
			if !a.whole(i) {
				list = &partial
			}
		case c.Op == syncline.ChangeMark && len(c.Row.Schema.Key) > 0 && c.OldKey == nil:
			list = &partial
		case c.Op == syncline.ChangeInsert:
		case c.Op == syncline.ChangeClear:
			clears = append(clears, i)
			continue
		default:
			return a.malformed(i)
		}
		if err := a.check(i); err != nil {
			return err
		}
		if c.Op == syncline.ChangeDelete && !a.named(i, len(a.bindings[i].key)) {
			continue
		}
		if n := len(*list); n > 0 && (*list)[n-1].b == a.bindings[i] && (*list)[n-1].op == c.Op {
			(*list)[n-1].all = append((*list)[n-1].all, i)
			continue
		}
		at := slices.IndexFunc(*list, func(o *batch) bool { return o.b == a.bindings[i] && o.op == c.Op })
		if at < 0 {
			*list = append(*list, &batch{b: a.bindings[i], op: c.Op, all: []int{i}})
			continue
		}
		(*list)[at].all = append((*list)[at].all, i)
	}
	for _, i := range clears {
		if err := a.one(i); err != nil {
			return err
		}
	}
	for _, g := range slices.Concat(deletes, partial, whole) {
		if err := a.batch(g); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) malformed(i int) error {
	return syncline.Errorf(syncline.Fatal, "write_malformed", "change %d of the write is none that this target takes in this place", i).At(i)
}

// whole reports whether every column that is written was sent.
func (a *application) whole(i int) bool {
	values := a.changes[i].Row.Values
	for _, c := range a.bindings[i].columns {
		if !c.generated && values[c.index].IsUnset() {
			return false
		}
	}
	return true
}

// checkKey refuses a record without a key: null is no identity to SQLite's unique indexes.
func (a *application) checkKey(i int) error {
	c := &a.changes[i]
	if c.Op == syncline.ChangeInsert {
		return nil
	}
	for _, k := range c.Row.Schema.Key {
		if v := c.Row.Values[k]; v.IsNull() || v.IsUnset() {
			return syncline.Errorf(syncline.Rejected, "key_null", "%s: key column %q has no value", c.Object, c.Row.Schema.Columns[k].Name).At(i)
		}
	}
	return nil
}

// batch carries out the changes with as many rows to a statement as there are, or one by one where each has an outcome.
func (a *application) batch(g *batch) error {
	one := g.op == syncline.ChangePut && !a.whole(g.all[0]) || g.op == syncline.ChangeMark
	perRow := max(len(g.b.columns)+1, 1)
	for left := g.all; len(left) > 0; {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		n := 1
		if !one && !g.b.guard {
			for _, n = range rowCounts {
				if n <= len(left) && n*perRow <= maxArgs {
					break
				}
			}
		}
		if err := a.some(g, left[:n]); err != nil {
			return err
		}
		left = left[n:]
	}
	return nil
}

// some carries out changes of a batch in one statement.
func (a *application) some(g *batch, these []int) error {
	if len(these) == 1 {
		return a.one(these[0])
	}
	for _, i := range these {
		if g.op == syncline.ChangeDelete {
			a.key(i)
		} else {
			a.row(i)
		}
	}
	var text string
	switch g.op {
	case syncline.ChangeDelete:
		text = g.b.remove(len(these))
	case syncline.ChangeInsert:
		text = g.b.insert(len(these))
	default:
		text = g.b.upsert(len(these))
	}
	if _, err := a.w.exec(text); err != nil {
		return a.culprit(these, classify(err, "write to %s", g.b.object))
	}
	return nil
}

// culprit finds the change that was refused, by doing them one by one; all is rolled back afterwards. The savepoint is for
// tables whose constraints roll the whole transaction back: it begins another.
func (a *application) culprit(these []int, err error) error {
	if syncline.ClassOf(err) != syncline.Rejected {
		return err
	}
	if _, e := a.w.conn.ExecContext(a.w.ctx, "SAVEPOINT culprit", nil); e != nil {
		return err
	}
	for _, i := range these {
		if e := a.one(i); e != nil {
			return e
		}
	}
	return err
}

// key adds the key of the record as arguments.
func (a *application) key(i int) {
	for _, k := range a.bindings[i].key {
		c := &a.bindings[i].columns[k]
		a.w.value(c, a.changes[i].Row.Values[c.index])
	}
}

// row adds the whole row as arguments.
func (a *application) row(i int) {
	values := a.changes[i].Row.Values
	for n := range a.bindings[i].columns {
		if c := &a.bindings[i].columns[n]; !c.generated {
			a.w.value(c, values[c.index])
		}
	}
	a.order(i)
}

// order adds the order of the change where the guard needs it.
func (a *application) order(i int) {
	if a.bindings[i].guard {
		a.w.arg(a.changes[i].Order.Version())
	}
}
