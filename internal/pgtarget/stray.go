package pgtarget

import (
	"bytes"
	"strings"

	"syncline"
)

// PostgreSQL reads much as a value of a type that means something else, or something else each time: now as the time of the write, 20240101
// and 1/2/2003 as days, yes as true, inf as infinity, the text \x41 as a byte; it drops a zone that a type lacks. A source without types of its
// own has such values where the column's kind is another one. They are refused here, where the server would take them.

// family says what a type takes, as far as it matters to a value of another kind.
type family uint8

const (
	familyOther family = iota
	familyText
	familyNumber
	familyFloat
	familyBool
	familyBytes
	familyDay // a date, or a time of day
	familyMoment
	familyUUID
	familyJSON
)

var families = map[string]family{
	"text": familyText, "character varying": familyText, "character": familyText, "bpchar": familyText, "name": familyText, `"char"`: familyText,
	"citext": familyText, "smallint": familyNumber, "integer": familyNumber, "bigint": familyNumber, "numeric": familyNumber,
	"real": familyFloat, "double precision": familyFloat, "boolean": familyBool, "bytea": familyBytes, "date": familyDay,
	"time without time zone": familyDay, "time with time zone": familyDay, "timestamp without time zone": familyMoment,
	"timestamp with time zone": familyMoment, "uuid": familyUUID, "json": familyJSON, "jsonb": familyJSON,
}

// check refuses a record that cannot be written as it is.
func (b *binding) check(i int, c *syncline.Change) error {
	if err := b.checkKey(i, c); err != nil {
		return err
	}
	for _, n := range b.narrow {
		if col := &b.cols[n]; c.Op != syncline.ChangeDelete || col.key {
			if !col.roomFor(c.Row.Values[col.src]) {
				fix := "widen the column, or make a char(n) text, or round the value in the rule's transform (calculate, format, convert)"
				if c.Op == syncline.ChangeDelete {
					fix = "cancel the task: the table never had the record"
				}
				return syncline.Errorf(syncline.Rejected, "value_inexact", "write to %s: column %q (%s) would not hold the value exactly", c.Object, col.name, col.typ).
					WithFix("%s", fix).At(i)
			}
		}
	}
	n, misread := b.stray(c.Row.Schema, c.Row.Values)
	switch {
	case n < 0:
		return nil
	case misread:
		return syncline.Errorf(syncline.Rejected, "value_invalid", "write to %s: column %q holds a word for the time at which it is read", c.Object, b.cols[n].name).
			WithFix("correct the value in the source, or use a convert step in the rule's transform").At(i)
	}
	src := b.cols[n].src
	return syncline.Errorf(syncline.Rejected, "kind_mismatch", "write to %s: column %q holds %s where %s is expected", c.Object, b.cols[n].name, c.Row.Values[src].Kind(), c.Row.Schema.Columns[src].Kind).
		WithFix("correct the value in the source, or use a convert step in the rule's transform").At(i)
}

// stray returns the first column whose value the server would take for something else, or -1; misread: it is of the column's kind, and a word for
// the time at which it is read. Sources that have PostgreSQL's own types send nothing else.
func (b *binding) stray(s *syncline.Schema, values []syncline.Value) (column int, misread bool) {
	if b.exact {
		return -1, false
	}
	for n := range b.cols {
		col := &b.cols[n]
		if col.src >= len(values) { // a shadow, which is ours
			continue
		}
		if stray, misread := col.mistakes(values[col.src], s.Columns[col.src].Kind); stray {
			return n, misread
		}
	}
	return -1, false
}

// mistakes reports whether the server would take a value, which should be of this kind, for something else.
func (c *boundColumn) mistakes(v syncline.Value, kind syncline.Kind) (stray, misread bool) {
	switch k := v.Kind(); {
	case k == syncline.KindNull || k == syncline.KindUnset:
		return false, false
	case k == kind:
		misread = k == syncline.KindText && (c.family == familyDay || c.family == familyMoment) && namesNow(v.Bytes())
		return misread, misread
	}
	return !c.takes(v), false
}

// named reports whether the first n columns of a row's key are what the table would have them as. Where they are not, check has refused to write
// the record, and what stands under the key that the server would make of it is another one: there is nothing to delete or to clear.
func (b *binding) named(row syncline.Row, n int) bool {
	for _, k := range b.key[:n] {
		if !b.same(k, row.Schema, row.Values[b.cols[k].src]) {
			return false
		}
	}
	return true
}

// namedBefore does the same for the key that a record had.
func (b *binding) namedBefore(c *syncline.Change) bool {
	for i, v := range c.OldKey {
		if !b.same(b.key[i], c.Row.Schema, v) {
			return false
		}
	}
	return true
}

// same reports whether a column has the value as it is, or the server refuses it by itself.
func (b *binding) same(n int, s *syncline.Schema, v syncline.Value) bool {
	col := &b.cols[n]
	if stray, _ := col.mistakes(v, s.Columns[col.src].Kind); stray && !b.exact {
		return false
	}
	return col.holds == nil || col.roomFor(v)
}

// checkOld refuses to look for a row of a keyless object that was never written, because of a value that check refuses: the server would make
// another value of it, and another row may have that.
func (b *binding) checkOld(i int, c *syncline.Change) error {
	found := true
	for _, n := range b.narrow {
		found = found && b.cols[n].roomFor(c.Before[b.cols[n].src])
	}
	if n, _ := b.stray(c.Row.Schema, c.Before); !found || n >= 0 {
		return rowNotFound(i, c)
	}
	return nil
}

// roomFor reports whether the column, which is narrower than its source, holds the value.
func (c *boundColumn) roomFor(v syncline.Value) bool {
	return v.IsNull() || v.IsUnset() || v.Kind() == syncline.KindBytes || c.holds(v.Bytes())
}

// takes reports whether the column's type holds a value of another kind than the column's, or the server refuses it by itself.
func (c *boundColumn) takes(v syncline.Value) bool {
	k := v.Kind()
	if k == syncline.KindBytes || c.family == familyBytes {
		return k == syncline.KindBytes && c.family == familyBytes
	}
	switch c.family {
	case familyNumber:
		return k.Number()
	case familyFloat:
		f, err := v.AsFloat()
		return k.Number() && err == nil && syncline.Equal(syncline.Float(f), v)
	case familyBool:
		return k == syncline.KindBool
	case familyMoment:
		return k == syncline.KindTimestamp || k == syncline.KindTimestampTZ
	case familyDay:
		return k == syncline.KindDate && c.cast == "date" || k == syncline.KindTime && c.cast == "time without time zone"
	case familyUUID:
		return k == syncline.KindUUID
	case familyJSON:
		return k == syncline.KindJSON || k == syncline.KindBool || k.Number()
	}
	return true
}

// namesNow reports whether one of the words is one that the server replaces by a time that depends on the clock.
func namesNow(text []byte) bool {
	letters := func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }
	for word := range bytes.FieldsFuncSeq(text, letters) {
		switch strings.ToLower(string(word)) {
		case "now", "today", "tomorrow", "yesterday":
			return true
		}
	}
	return false
}
