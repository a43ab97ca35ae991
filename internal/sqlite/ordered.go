package sqlite

import (
	"errors"

	"syncline"
)

// ordered carries out the changes one after the other. Inserts in a row are one batch: they do not depend on each other.
func (a *application) ordered() error {
	for i := 0; i < len(a.changes); {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		end := i
		for end < len(a.changes) && a.changes[end].Op == syncline.ChangeInsert && a.bindings[end] == a.bindings[i] {
			end++
		}
		if end > i+1 {
			g := &batch{b: a.bindings[i], op: syncline.ChangeInsert}
			for ; i < end; i++ {
				g.all = append(g.all, i)
			}
			if err := a.batch(g); err != nil {
				return err
			}
			continue
		}
		if err := a.one(i); err != nil {
			return err
		}
		i++
	}
	return nil
}

// one carries out one change and sets its outcome.
func (a *application) one(i int) error {
	c, b := &a.changes[i], a.bindings[i]
	keyless := len(c.Row.Schema.Key) == 0
	var err error
	switch {
	case c.Op == syncline.ChangeTruncate:
		a.order(i)
		_, err = a.w.exec(b.removeAll())
	case c.Op == syncline.ChangeInsert && keyless:
		if err = a.check(i); err == nil {
			a.row(i)
			_, err = a.w.exec(b.insert(1))
		}
	case c.Op == syncline.ChangeDelete && keyless:
		err = a.equal(i, b.removeOne(), false)
	case c.Op == syncline.ChangeReplace && keyless:
		if err = a.check(i); err == nil {
			err = a.equal(i, b.replaceOne(), true)
		}
	case keyless:
		return a.malformed(i)
	case c.Op == syncline.ChangeClear:
		err = a.clear(i)
	default:
		if err = a.check(i); err == nil {
			err = a.keyed(i)
		}
	}
	return at(classify(err, "write to %s", b.object), i)
}

// at names the change in an error that has a class.
func at(err error, i int) error {
	var e *syncline.Error
	if errors.As(err, &e) && e.Change < 0 {
		e.Change = i
	}
	return err
}

func (a *application) keyed(i int) error {
	c, b := &a.changes[i], a.bindings[i]
	switch {
	case c.Op == syncline.ChangeDelete && !a.named(i, len(b.key)):
		return nil
	case c.Op == syncline.ChangeDelete:
		a.key(i)
		a.order(i)
		n, err := a.w.exec(b.remove(1))
		if err != nil || n > 0 || !b.guard {
			return err
		}
		there, err := a.there(i)
		if there {
			a.outcomes[i] = syncline.OutcomeStale
		}
		return err
	case c.Op == syncline.ChangeInsert:
		a.row(i)
		_, err := a.w.exec(b.insert(1))
		return err
	case c.Op == syncline.ChangeMark && c.OldKey == nil:
		return a.update(i, false)
	case c.Op != syncline.ChangePut:
		return a.malformed(i)
	}
	if c.OldKey != nil && a.namedBefore(i) {
		moved, err := a.move(i)
		if moved || err != nil {
			return err
		}
	}
	if a.whole(i) {
		a.row(i)
		n, err := a.w.exec(b.upsert(1))
		if err == nil && n == 0 && b.guard {
			a.outcomes[i] = syncline.OutcomeStale
		}
		return err
	}
	return a.update(i, true)
}

// update writes the columns that were sent to a record that is there; with present, one that is only kept is not.
func (a *application) update(i int, present bool) error {
	b, values := a.bindings[i], a.changes[i].Row.Values
	var sent []bound
	for _, c := range b.columns {
		if !c.generated && !b.isKey(c) && !values[c.index].IsUnset() {
			sent = append(sent, c)
			a.w.value(&c, values[c.index])
		}
	}
	a.order(i)
	a.key(i)
	a.order(i)
	if present {
		a.kept(i)
	}
	n, err := a.w.exec(b.update(sent, present))
	if err != nil || n > 0 {
		return err
	}
	a.outcomes[i] = syncline.OutcomeMissing
	if b.guard {
		newer, err := a.newer(i)
		if newer {
			a.outcomes[i] = syncline.OutcomeStale
		}
		return err
	}
	return nil
}

// there asks for the record of the change.
func (a *application) there(i int) (bool, error) {
	a.key(i)
	row, err := a.w.row(a.bindings[i].exists())
	return row != nil, err
}

// newer asks whether the record of the change is newer than it, as the guard tells.
func (a *application) newer(i int) (bool, error) {
	a.key(i)
	a.order(i)
	row, err := a.w.row(a.bindings[i].exists() + " AND NOT " + a.bindings[i].newer())
	return row != nil, err
}

// move carries the record over from its old key, in the place of whatever stands at the new one, and reports whether
// there was one to carry.
func (a *application) move(i int) (bool, error) {
	c, b := &a.changes[i], a.bindings[i]
	old := func() {
		for n, v := range c.OldKey {
			a.w.value(&b.columns[b.key[n]], v)
		}
	}
	old()
	row, err := a.w.row(b.exists())
	if row == nil || err != nil {
		return false, err
	}
	was, is := syncline.MakeKey(c.OldKey...), a.keyOf(i)
	if b.guard {
		old()
		a.order(i)
		row, err := a.w.row(b.exists() + " AND NOT " + b.newer())
		if row != nil || err != nil {
			return false, err // another record by now, which stays
		}
		newer, err := a.newer(i)
		if err != nil {
			return false, err
		}
		if newer {
			a.outcomes[i] = syncline.OutcomeStale
			if was != is { // what stands at the old key has gone from there
				old()
				a.order(i)
				_, err = a.w.exec(b.remove(1))
			}
			return true, err
		}
	}
	if was != is {
		a.key(i)
		a.order(i)
		if _, err := a.w.exec(b.remove(1)); err != nil {
			return false, err
		}
	}
	var sent []bound
	for _, col := range b.columns {
		if v := c.Row.Values[col.index]; !col.generated && !v.IsUnset() {
			sent = append(sent, col)
			a.w.value(&col, v)
		}
	}
	a.order(i)
	old()
	a.order(i)
	n, err := a.w.exec(b.update(sent, false))
	if err == nil && n == 0 {
		a.outcomes[i] = syncline.OutcomeStale
	}
	return true, err
}

func (a *application) keyOf(i int) syncline.Key {
	k, _ := a.changes[i].Row.Key()
	return k
}

// equal changes one row of a keyless table that is equal to Before. A row that was never written, because of a value that check refuses, is not
// looked for: SQLite would make another value of it, and another row may have that.
func (a *application) equal(i int, text string, replace bool) error {
	c, b := &a.changes[i], a.bindings[i]
	if c.Before == nil {
		return a.malformed(i)
	}
	for _, col := range b.columns {
		if !col.keeps(c.Before[col.index]) {
			return rowNotFound(i, c)
		}
	}
	if replace {
		a.row(i)
	}
	for _, col := range b.columns {
		if !col.generated {
			a.w.value(&col, c.Before[col.index])
		}
	}
	n, err := a.w.exec(text)
	if err == nil && n == 0 {
		return rowNotFound(i, c)
	}
	return err
}

func rowNotFound(i int, c *syncline.Change) error {
	return syncline.Errorf(syncline.Rejected, "row_not_found", "%s has no row equal to the one to change", c.Object).At(i)
}
