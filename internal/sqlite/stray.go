package sqlite

import (
	"strconv"
	"strings"

	"syncline"
)

// affinity is what SQLite makes of a value in a column, by the column's declared type ("Determination Of Column Affinity" in its manual).
type affinity uint8

const (
	affinityNone    affinity = iota
	affinityText             // numbers become text, of 15 digits
	affinityNumeric          // text that looks like a number becomes one: a 64-bit integer or a double
	affinityReal             // the same, and integers become doubles
)

func affinityOf(decl string) affinity {
	decl = strings.ToUpper(decl)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(decl, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("INT"):
		return affinityNumeric
	case has("CHAR", "CLOB", "TEXT"):
		return affinityText
	case decl == "" || has("BLOB"):
		return affinityNone
	case has("REAL", "FLOA", "DOUB"): //nolint:misspell // SQLite looks for these four letters
		return affinityReal
	}
	return affinityNumeric
}

// check refuses a record that the table would not hold as it is.
func (a *application) check(i int) error {
	if err := a.checkKey(i); err != nil || a.changes[i].Op == syncline.ChangeDelete {
		return err
	}
	c := &a.changes[i]
	for n := range a.bindings[i].columns {
		col := &a.bindings[i].columns[n]
		if v := c.Row.Values[col.index]; !col.keeps(v) {
			return syncline.Errorf(syncline.Rejected, "kind_mismatch", "write to %s: SQLite would make another value of %s in column %q, by the column's declared type", c.Object, v.Kind(), col.name).
				WithFix("declare the column as the rule would make it (TEXT for decimals and texts), correct the value in the source, or use a convert step").At(i)
		}
	}
	return nil
}

// named reports whether the first n columns of the record's key come back from the table as they are. Where they do not, check has refused to write
// the record, and what the table has under what SQLite makes of them is another one.
func (a *application) named(i, n int) bool {
	b := a.bindings[i]
	for _, k := range b.key[:n] {
		if col := &b.columns[k]; !col.keeps(a.changes[i].Row.Values[col.index]) {
			return false
		}
	}
	return true
}

// namedBefore does the same for the key that the record had.
func (a *application) namedBefore(i int) bool {
	b := a.bindings[i]
	for n, v := range a.changes[i].OldKey {
		if !b.columns[b.key[n]].keeps(v) {
			return false
		}
	}
	return true
}

// keeps reports whether the column has a value as it is; one that is generated is not given any.
func (c *bound) keeps(v syncline.Value) bool {
	return c.generated || c.affinity < affinityNumeric || c.holds(v)
}

// holds reports whether a value comes back from the column as it is.
func (c *bound) holds(v syncline.Value) bool {
	switch v.Kind() {
	case syncline.KindNull, syncline.KindUnset, syncline.KindBytes, syncline.KindFloat:
		return true
	case syncline.KindInt, syncline.KindBool:
		if c.affinity == affinityNumeric {
			return true
		}
	}
	switch stored := c.store(v).(type) {
	case string:
		made, is := numeric(stored, c.affinity)
		if !is {
			return true
		}
		back := c.read(made)
		return syncline.Equal(back, v) || back.Kind() != v.Kind() && back.Text() == v.Text()
	case int64:
		return c.affinity != affinityReal || int64(float64(stored)) == stored
	}
	return true
}

// numeric returns the number that SQLite makes of a text; false where it stays one.
func numeric(text string, a affinity) (any, bool) {
	text = strings.Trim(text, " \t\n\v\f\r")
	if strings.Trim(text, "0123456789+-.eE") != "" || !strings.ContainsAny(text, "0123456789") {
		return nil, false
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && a != affinityReal {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && f == 0 {
		return nil, false
	}
	return f, true
}
