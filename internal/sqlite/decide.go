package sqlite

import (
	"bytes"
	"slices"

	"syncline"
)

// A write with decisions has the database's write lock from its first look to its commit: nobody comes between.

// makeShadows keeps what the last decision about each record left (syncline.Decision.Shadow), in a table beside the cursor.
const makeShadows = `CREATE TABLE IF NOT EXISTS _syncline_shadow (object TEXT NOT NULL, key BLOB NOT NULL, data BLOB NOT NULL,
	PRIMARY KEY (object, key)) WITHOUT ROWID`

// decide judges and carries out the changes: one after the other where they are in order, else the removals first.
func (a *application) decide(decide func(int, syncline.Held) (syncline.Decision, error), ordered bool) error {
	if _, err := a.w.exec(makeShadows); err != nil {
		return classify(err, "make the table of shadows")
	}
	a.changes = slices.Clone(a.changes) // the decisions take their place
	shadows := make([][2][]byte, len(a.changes))
	carryOut := func(i int) error {
		if err := a.carryOut(i); err != nil {
			return err
		}
		return a.keepShadow(i, shadows[i][0], shadows[i][1])
	}
	for i := range a.changes {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if a.changes[i].Op == syncline.ChangeTruncate {
			if !ordered {
				return a.malformed(i)
			}
			if err := a.forget(i); err != nil {
				return err
			}
			continue
		}
		var err error
		if shadows[i][0], shadows[i][1], err = a.judge(i, decide); err != nil {
			return err
		}
		if ordered {
			if err := carryOut(i); err != nil {
				return err
			}
		}
	}
	if ordered {
		return nil
	}
	for _, removals := range []bool{true, false} {
		for i := range a.changes {
			if (a.changes[i].Op == syncline.ChangeDelete) == removals {
				if err := carryOut(i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// judge puts the decision in the place of a change and returns the record's shadow, as it was and as it is to be.
func (a *application) judge(i int, decide func(int, syncline.Held) (syncline.Decision, error)) (was, is []byte, err error) {
	c, b := &a.changes[i], a.bindings[i]
	if len(c.Row.Schema.Key) == 0 || c.OldKey != nil {
		return nil, nil, a.malformed(i)
	}
	if err := a.check(i); err != nil {
		return nil, nil, err
	}
	if !a.named(i, len(b.key)) { // of a deletion: everything else was checked
		return nil, nil, syncline.Errorf(syncline.Rejected, "kind_mismatch", "delete from %s: SQLite would make another value of the key, by the columns' declared types", c.Object).
			WithFix("cancel the task: the table never had the record").At(i)
	}
	a.key(i)
	stored, err := a.w.row(b.byKey())
	if err != nil {
		return nil, nil, at(classify(err, "read %s", b.object), i)
	}
	held := syncline.Held{}
	if stored != nil {
		held.Values = b.read(func(i int) any { return stored[i] })
	}
	if held.Shadow, err = a.shadow(i); err != nil {
		return nil, nil, err
	}
	d, err := decide(i, held)
	if err != nil {
		return nil, nil, err
	}
	a.outcomes[i] = d.Outcome
	c.Op = d.Op
	if d.Op == syncline.ChangePut {
		if c.Row.Values = d.Values; held.Values != nil && !c.Row.Whole() {
			c.Op = syncline.ChangeMark // it is there, if only kept
		}
		if held.Values == nil {
			c.Row.Values = slices.Clone(d.Values)
			for j, v := range c.Row.Values {
				if v.IsUnset() {
					c.Row.Values[j] = syncline.Null
				}
			}
		}
	}
	return held.Shadow, d.Shadow, nil
}

// carryOut does what was decided. The outcome is the decision's.
func (a *application) carryOut(i int) error {
	if a.changes[i].Op == 0 {
		return nil
	}
	outcome := a.outcomes[i]
	err := a.one(i)
	a.outcomes[i] = outcome
	return err
}

func (a *application) shadow(i int) ([]byte, error) {
	a.shadowKey(i)
	row, err := a.w.row("SELECT data FROM _syncline_shadow WHERE object = ? AND key = ?")
	if row == nil || err != nil {
		return nil, classify(err, "read the shadow of a record of %s", a.bindings[i].object)
	}
	data, _ := row[0].([]byte)
	return append([]byte{}, data...), nil
}

func (a *application) keepShadow(i int, was, is []byte) error {
	if bytes.Equal(was, is) && (was == nil) == (is == nil) {
		return nil
	}
	text := "DELETE FROM _syncline_shadow WHERE object = ? AND key = ?"
	if is != nil {
		text = "INSERT OR REPLACE INTO _syncline_shadow (object, key, data) VALUES (?, ?, ?)"
	}
	a.shadowKey(i)
	if is != nil {
		a.w.arg(is)
	}
	_, err := a.w.exec(text)
	return classify(err, "write the shadow of a record of %s", a.bindings[i].object)
}

func (a *application) shadowKey(i int) {
	a.w.arg(fold(a.bindings[i].table.name))
	a.w.arg([]byte(a.keyOf(i)))
}

// forget empties the table and removes its shadows.
func (a *application) forget(i int) error {
	if err := a.one(i); err != nil {
		return err
	}
	a.w.arg(fold(a.bindings[i].table.name))
	_, err := a.w.exec("DELETE FROM _syncline_shadow WHERE object = ?")
	return classify(err, "remove the shadows of %s", a.bindings[i].object)
}

// byKey reads the record of a key.
func (b *binding) byKey() string {
	return b.text("byKey", 1, func() string {
		names := make([]string, len(b.columns))
		for i, c := range b.columns {
			names[i] = quote(c.name)
		}
		return "SELECT " + plain(names) + " FROM " + quote(b.table.name) + " WHERE " + b.matches()
	})
}
