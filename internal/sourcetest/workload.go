package sourcetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"syncline"
)

// application writes to the system under test and knows what it committed.
type application struct {
	sys      System
	entities []string
	rng      *rand.Rand
	// rows is the committed content by entity; committed the changes in commit order.
	rows      map[string][][]syncline.Value
	committed []Change
	nextID    int64
}

func newApplication(sys System, seed uint64, entities ...string) *application {
	return &application{sys: sys, entities: entities, rng: rand.New(rand.NewPCG(seed, 1)), rows: map[string][][]syncline.Value{}}
}

// commit carries out the changes in one transaction.
func (a *application) commit(t *testing.T, changes ...Change) {
	t.Helper()
	tx := a.sys.Begin(t)
	for _, c := range changes {
		tx.Exec(t, c)
	}
	tx.Commit(t)
	a.note(changes)
}

// note records what a transaction committed.
func (a *application) note(changes []Change) {
	for _, c := range changes {
		a.rows[c.Entity] = replay(a.rows[c.Entity], c)
	}
	a.committed = append(a.committed, changes...)
}

// transaction commits one to five random changes; one in six is rolled back.
func (a *application) transaction(t *testing.T) {
	t.Helper()
	scratch := map[string][][]syncline.Value{}
	for e, rows := range a.rows {
		scratch[e] = slices.Clone(rows)
	}
	var changes []Change
	for range 1 + a.rng.IntN(5) {
		c := a.random(a.entities[a.rng.IntN(len(a.entities))], scratch)
		scratch[c.Entity] = replay(scratch[c.Entity], c)
		changes = append(changes, c)
	}
	if a.rng.IntN(6) > 0 {
		a.commit(t, changes...)
		return
	}
	tx := a.sys.Begin(t)
	for _, c := range changes {
		tx.Exec(t, c)
	}
	tx.Rollback(t)
}

// random returns a change that fits the rows: never an update that changes nothing.
func (a *application) random(entity string, rows map[string][][]syncline.Value) Change {
	have := rows[entity]
	kind := a.rng.IntN(10)
	if len(have) < 3 || kind < 4 {
		return a.insert(entity)
	}
	old := have[a.rng.IntN(len(have))]
	if kind < 6 {
		return Change{Op: syncline.OpDeleted, Entity: entity, Old: old}
	}
	row := slices.Clone(old)
	fresh := a.insert(entity).New
	switch {
	case kind == 6 && len(Tables[entity].Key) > 0: // another key, everything else as it was
		row[0] = fresh[0]
	case kind == 7: // everything but the key
		copy(row[len(Tables[entity].Key):], fresh[len(Tables[entity].Key):])
	default: // one short column: a long one beside it is not sent by some systems
		i := min(2, len(row)-1)
		row[i] = fresh[i]
	}
	if slices.EqualFunc(old, row, syncline.Equal) {
		return a.insert(entity)
	}
	return Change{Op: syncline.OpUpdated, Entity: entity, Old: old, New: row}
}

// insert returns a new row with a key that was never used.
func (a *application) insert(entity string) Change {
	a.nextID++
	id := a.nextID
	var row []syncline.Value
	switch entity {
	case Item:
		row = []syncline.Value{syncline.Int(id), syncline.Text(fmt.Sprintf("名 'é %d", id)), syncline.Int(a.rng.Int64()), a.longText()}
		if a.rng.IntN(4) == 0 {
			row[1] = syncline.Null
		}
	case Pair:
		row = []syncline.Value{syncline.Int(id / 3), syncline.Text(fmt.Sprintf("b,%%%d", id)), syncline.Text(fmt.Sprint(a.rng.IntN(1000)))}
	case Loose:
		row = []syncline.Value{syncline.Int(id % 4), syncline.Text([]string{"", "x", "x"}[a.rng.IntN(3)])}
	}
	return Change{Op: syncline.OpCreated, Entity: entity, New: row}
}

// longText is long and random enough for PostgreSQL to store it out of line, or it is null.
func (a *application) longText() syncline.Value {
	if a.rng.IntN(3) == 0 {
		return syncline.Null
	}
	b := make([]byte, 9000)
	for i := range b {
		b[i] = byte('!' + a.rng.IntN(90))
	}
	return syncline.Raw(syncline.KindText, b)
}

// fill commits n inserts into each entity, in transactions of at most 50.
func (a *application) fill(t *testing.T, n int) {
	t.Helper()
	for _, e := range a.entities {
		for left := n; left > 0; left -= 50 {
			var changes []Change
			for range min(left, 50) {
				changes = append(changes, a.insert(e))
			}
			a.commit(t, changes...)
		}
	}
}

// replay returns the rows after the change. The rows given may be overwritten.
func replay(rows [][]syncline.Value, c Change) [][]syncline.Value {
	switch c.Op {
	case syncline.OpCreated:
		return append(rows, c.New)
	case syncline.OpTruncated:
		return nil
	}
	i := slices.IndexFunc(rows, func(r []syncline.Value) bool { return slices.EqualFunc(r, c.Old, syncline.Equal) })
	if c.Op == syncline.OpDeleted {
		return slices.Delete(rows, i, i+1)
	}
	rows[i] = c.New
	return rows
}
