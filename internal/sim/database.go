package sim

import (
	"context"
	"fmt"
	"slices"

	"syncline"
	"syncline/internal/memsource"
	"syncline/internal/memtarget"
)

// sharedKeys is the number of different records of two sides: very few.
const sharedKeys = 3

const shared = "customer"

// record is one of either side: id, name, total, note.
type record = []syncline.Value

// database is one side: a store that users and the rule write, and a source that tells of whatever was written.
type database struct {
	*intake
	w      *sides
	side   int
	schema *syncline.Schema
	store  *memtarget.Store
	users  *memtarget.Target
	cursor syncline.Cursor
	// refused are the records that nobody can write.
	refused map[syncline.Key]bool
}

func newRecord(id int64) record {
	return record{syncline.Int(id), syncline.Text("new"), syncline.Decimal("0"), syncline.Text("new")}
}

// found makes the table.
func (d *database) found() error {
	d.refused, d.cursor = make(map[syncline.Key]bool), syncline.Cursor{Log: "users", Seq: 1, Epoch: 1}
	d.users = d.store.Open(memtarget.Options{Route: "users"})
	if err := d.users.Place(d.ctx, d.cursor, "users"); err != nil {
		return err
	}
	_, err := d.users.Define(d.ctx, syncline.Definition{Object: shared, Schema: d.schema, Create: true})
	d.store.Sync()
	return err
}

// all returns every record by its key.
func (d *database) all() map[int64]record {
	all := make(map[int64]record)
	err := d.users.Scan(d.ctx, shared, d.schema, func(r syncline.Row) error {
		id, err := r.Values[0].AsInt()
		all[id] = r.Values
		return err
	})
	if err != nil {
		panic(err)
	}
	return all
}

// put writes a record as a user does, who knows nothing of shadows; nil deletes it. It reports whether it was written.
func (d *database) put(id int64, r record) bool {
	c := syncline.Change{Op: syncline.ChangePut, Object: shared, Row: syncline.Row{Schema: d.schema, Values: r}}
	if r == nil {
		c.Op, c.Row.Values = syncline.ChangeDelete, d.keyOnly(id, syncline.Null)
	}
	was := d.all()
	_, err := d.users.Apply(d.ctx, &syncline.Write{Changes: []syncline.Change{c}, Cursor: d.cursor, Commit: func(context.Context, syncline.Result) error { return nil }})
	if syncline.CodeOf(err) == "refused" {
		return false
	}
	if err != nil {
		panic(err)
	}
	d.w.written.users++
	d.tell(was, nil)
	return true
}

func (d *database) keyOnly(id int64, rest syncline.Value) record {
	return record{syncline.Int(id), rest, rest, rest}
}

// tell has the source tell of what is not as it was, or was written as it is, and returns the keys.
func (d *database) tell(was map[int64]record, again map[int64]bool) (ids []int64) {
	is, t := d.all(), memsource.Txn{Time: d.now}
	for id := range int64(sharedKeys) {
		if slices.EqualFunc(was[id], is[id], syncline.Equal) && !again[id] {
			continue
		}
		ids = append(ids, id)
		switch {
		case is[id] == nil:
			t.Changes = append(t.Changes, memsource.Change{Op: syncline.OpDeleted, Schema: d.schema, Before: d.keyOnly(id, syncline.Unset)})
		case was[id] == nil:
			t.Changes = append(t.Changes, memsource.Change{Op: syncline.OpCreated, Schema: d.schema, After: is[id]})
		default:
			t.Changes = append(t.Changes, memsource.Change{Op: syncline.OpUpdated, Schema: d.schema, After: is[id]})
		}
	}
	if len(t.Changes) > 0 {
		d.system.Append(t)
	}
	return ids
}

// visible lets capture see all that was written; it cannot be lost any more.
func (d *database) visible() {
	d.store.Sync()
	d.system.Advance(1 << 30)
}

// restore takes back what is not visible yet, whoever wrote it. An operator then has both sides read anew, since nobody else can know.
func (d *database) restore() error {
	d.store.LoseTail(1 << 30)
	d.system.Restore(d.system.Advance(0))
	d.note("%s lost its last writes: %v", d.name, d.all())
	d.w.crash()
	for s, o := range d.w.databases {
		if err := d.w.lanes[s].prepare(); err != nil {
			return err
		}
		run := syncline.Run{ID: fmt.Sprintf("anew-%s-%d", o.name, d.w.result.Steps), Kind: syncline.RunFull, Entity: "customer", Routes: []string{d.w.lanes[s].options.ID}}
		if err := o.capture.RequestRun(d.ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// refuse has nobody write a record, or lets them again.
func (d *database) refuse(k syncline.Key) {
	if d.refused[k] = !d.refused[k]; d.refused[k] {
		d.store.Refuse(shared, k)
	} else {
		d.store.Accept(shared, k)
	}
	d.note("%s refuses %s: %t", d.name, k, d.refused[k])
}

// watched is the rule's connection to a side. Users write at any moment, and the process may be killed.
type watched struct {
	*memtarget.Target
	d *database
}

var errKilled = syncline.Errorf(syncline.Transient, "killed", "the process is gone")

func (c *watched) Apply(ctx context.Context, write *syncline.Write) (syncline.Result, error) {
	d := c.d
	if err := d.w.meddle(); err != nil {
		return syncline.Result{}, err
	}
	if d.w.fault != 0 {
		d.store.Fail(d.w.fault)
		d.w.fault = 0
	}
	was := d.all()
	with := *write
	written := make(map[int64]bool) // as it was decided last
	with.Decide = func(change int, held syncline.Held) (syncline.Decision, error) {
		id, _ := write.Changes[change].Row.Values[0].AsInt()
		decision, err := write.Decide(change, held)
		written[id] = decision.Op == syncline.ChangePut && err == nil
		return decision, err
	}
	with.Commit = func(ctx context.Context, res syncline.Result) error {
		err := write.Commit(ctx, res)
		if err == nil {
			err = d.w.meddle()
		}
		was = d.all()
		return err
	}
	res, err := c.Target.Apply(ctx, &with)
	if err != nil {
		clear(written) // or it cannot be known
	}
	for _, id := range d.tell(was, written) {
		d.w.written.rule++
		d.note("the rule writes %d of %s: %v", id, d.name, d.all()[id])
	}
	if err == nil {
		err = d.w.meddle()
	}
	return res, err
}

// meddle is what happens at some moment of the rule's work.
func (w *sides) meddle() error {
	if w.calm {
		return nil
	}
	switch w.rnd.IntN(16) {
	case 0, 1:
		return w.databases[w.rnd.IntN(2)].user()
	case 2:
		return errKilled
	}
	return nil
}

// user is one who writes something.
func (d *database) user() error {
	id := int64(d.rnd.IntN(sharedKeys))
	r := slices.Clone(d.all()[id])
	text := func() syncline.Value { return syncline.Text([]string{"a", "b", "c", "d"}[d.rnd.IntN(4)]) }
	count := func() { r[2] = syncline.Decimal(fmt.Sprint(number(r) + d.rnd.IntN(5) - 2)) }
	switch {
	case d.w.kind == oneFieldEach && r == nil:
		return nil // it is still to come
	case d.w.kind == oneFieldEach && d.rnd.IntN(2) == 0:
		count()
	case d.w.kind == oneFieldEach:
		r[1+2*d.side] = text() // the first side changes the name, the second one the note
	case r == nil:
		r = record{syncline.Int(id), text(), syncline.Decimal("1"), text()}
	case d.rnd.IntN(5) == 0:
		r = nil
	default:
		switch d.rnd.IntN(3) {
		case 0:
			r[1] = text()
		case 1:
			count()
		case 2:
			r[3] = text()
		}
	}
	was := d.all()[id]
	if !d.put(id, r) {
		return nil
	}
	d.note("a user writes %d of %s: %v", id, d.name, r)
	if d.w.kind == oneFieldEach {
		want, own := slices.Clone(d.w.wanted[id]), 1+2*d.side
		want[own], want[2] = r[own], syncline.Decimal(fmt.Sprint(number(want)+number(r)-number(was)))
		d.w.wanted[id] = want
	}
	return nil
}

// number is what the record counts.
func number(r record) (n int) {
	_, _ = fmt.Sscan(r[2].Text(), &n)
	return n
}
