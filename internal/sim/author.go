package sim

import (
	"fmt"
	"time"

	"syncline"
	"syncline/internal/memsource"
)

// disputedKeys is the number of different records that several write: very few.
const disputedKeys = 4

var disputedSchema = &syncline.Schema{Entity: "customer", Table: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt}, {Name: "name", Kind: syncline.KindText, Nullable: true}, {Name: "tier", Kind: syncline.KindText, Nullable: true},
	{Name: "note", Kind: syncline.KindText, Nullable: true}, {Name: "stock", Kind: syncline.KindInt, Nullable: true}, {Name: "tags", Kind: syncline.KindText, Nullable: true},
	{Name: "at", Kind: syncline.KindTimestampTZ, Nullable: true}, {Name: "rev", Kind: syncline.KindInt, Nullable: true}}}

const (
	stockColumn = 4
	tagsColumn  = 5
	timeColumn  = 6 // null at the source
	revColumn   = 7
)

// author makes the transactions of a source whose records somebody else writes, too, and remembers all that it has said.
type author struct {
	*run
	name   string
	schema *syncline.Schema
	time   time.Time
	ver    int
	rows   map[int64][]syncline.Value
	// said has, by record and column, each value that was another one than before.
	said map[int64][][]saying
	// deletes: records are deleted, which the field by field account cannot follow. deleted are those that were.
	deletes bool
	deleted map[int64]bool
	// partial: what did not change is often not sent.
	partial bool
	// common: sources often say the same.
	common bool
}

// saying is a value of a field, and when it was given.
type saying struct {
	value syncline.Value
	time  time.Time
}

func newAuthor(r *run, name string, deletes, partial bool) *author {
	return &author{run: r, name: name, schema: disputedSchema, time: r.now, deletes: deletes, partial: partial, rows: make(map[int64][]syncline.Value),
		said: make(map[int64][][]saying), deleted: make(map[int64]bool)}
}

// next returns a transaction of a few changes, later than the one before.
func (a *author) next() memsource.Txn {
	a.time = a.time.Add(time.Duration(1+a.rnd.IntN(240)) * time.Second)
	t := memsource.Txn{Time: a.time}
	for range 1 + a.rnd.IntN(3) {
		t.Changes = append(t.Changes, a.change())
	}
	return t
}

func (a *author) change() memsource.Change {
	a.ver++
	id := int64(a.rnd.IntN(disputedKeys))
	row, there := a.rows[id]
	switch {
	case !there:
		row = []syncline.Value{syncline.Int(id), a.text(), a.text(), a.text(), syncline.Int(int64(a.ver)), syncline.Text(a.word()), syncline.Null, a.rev()}
		a.say(id, row)
		return memsource.Change{Op: syncline.OpCreated, Schema: a.schema, After: row}
	case a.deletes && a.rnd.IntN(8) == 0:
		delete(a.rows, id)
		a.deleted[id] = true
		return memsource.Change{Op: syncline.OpDeleted, Schema: a.schema, Before: []syncline.Value{row[0], syncline.Unset, syncline.Unset,
			syncline.Unset, syncline.Unset, syncline.Unset, syncline.Unset, syncline.Unset}}
	}
	after := append([]syncline.Value(nil), row...)
	for range 1 + a.rnd.IntN(2) {
		switch column := 1 + a.rnd.IntN(5); column {
		case stockColumn:
			n, _ := row[column].AsInt()
			after[column] = syncline.Int(n + int64(a.rnd.IntN(5)+1))
		case tagsColumn:
			after[column] = syncline.Text(row[column].Text() + ", " + a.word())
		default:
			after[column] = a.text()
		}
	}
	after[revColumn] = a.rev()
	sent := append([]syncline.Value(nil), after...)
	for i := range sent[1:] {
		if i++; a.partial && syncline.Equal(after[i], row[i]) && a.rnd.IntN(3) == 0 {
			sent[i] = syncline.Unset
		}
	}
	c := memsource.Change{Op: syncline.OpUpdated, Schema: a.schema, After: sent}
	if a.rnd.IntN(4) == 0 {
		c.Before = row
	}
	a.say(id, after)
	return c
}

func (a *author) text() syncline.Value {
	if a.common && a.rnd.IntN(2) == 0 {
		return syncline.Text([]string{"a", "b"}[a.rnd.IntN(2)])
	}
	return syncline.Text(fmt.Sprintf("%s %d", a.name, a.ver))
}

func (a *author) word() string        { return fmt.Sprintf("%s%d", a.name, a.ver) }
func (a *author) rev() syncline.Value { return syncline.Int(int64(a.ver) * 10) }

func (a *author) say(id int64, row []syncline.Value) {
	a.rows[id] = row
	if a.said[id] == nil {
		a.said[id] = make([][]saying, len(row))
	}
	for i, v := range row {
		if n := len(a.said[id][i]); n == 0 || !syncline.Equal(a.said[id][i][n-1].value, v) {
			a.said[id][i] = append(a.said[id][i], saying{v, a.time})
		}
	}
}

// last is what the source said last of a field.
func (a *author) last(id int64, column int) saying {
	all := a.said[id][column]
	return all[len(all)-1]
}
