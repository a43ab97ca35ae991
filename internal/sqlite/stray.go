package sqlite

import (
	"math"
	"strconv"
	"strings"

	"syncline"
)

// check refuses a record that the table would not hold as it is.
func (a *application) check(i int) error {
	if err := a.checkKey(i); err != nil || a.changes[i].Op == syncline.ChangeDelete {
		return err
	}
	c := &a.changes[i]
	for n := range a.bindings[i].columns {
		col := &a.bindings[i].columns[n]
		if v := c.Row.Values[col.index]; v.Kind() != col.typ.kind && !col.holds(v) {
			return syncline.Errorf(syncline.Rejected, "kind_mismatch", "write to %s: column %q holds %s where %s is expected, and SQLite would round it or take it for a number",
				c.Object, col.name, v.Kind(), col.typ.kind).WithFix("correct the value in the source, or use a convert step in the rule's transform").At(i)
		}
	}
	return nil
}

// holds reports whether a column of numbers keeps a value of another kind than its own.
func (c *bound) holds(v syncline.Value) bool {
	switch c.typ.kind {
	case syncline.KindBool, syncline.KindInt, syncline.KindFloat:
	default:
		return true
	}
	switch v.Kind() {
	case syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal:
		if _, err := v.AsInt(); err == nil && c.typ.kind != syncline.KindFloat {
			return true
		}
		f, err := v.AsFloat()
		return err == nil && (syncline.Equal(syncline.Float(f), v) || math.IsNaN(f))
	case syncline.KindText, syncline.KindRaw, syncline.KindJSON:
		_, err := strconv.ParseFloat(strings.TrimSpace(v.Text()), 64)
		return err != nil || !strings.ContainsAny(v.Text(), "0123456789") // inf and nan are words to SQLite
	}
	return true
}
