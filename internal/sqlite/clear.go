package sqlite

import (
	"math/bits"
	"strings"
)

// clear removes the records that a parent does not have any more.
func (a *application) clear(i int) error {
	c, b := &a.changes[i], a.bindings[i]
	if c.Parent < 1 || c.Parent >= len(b.key) {
		return a.malformed(i)
	}
	if !a.named(i, c.Parent) {
		return nil
	}
	for _, k := range b.key[:c.Parent] {
		a.w.value(&b.columns[k], c.Row.Values[b.columns[k].index])
	}
	n := rounded(len(c.Keep))
	for j := range n {
		keep := c.Keep[min(j, len(c.Keep)-1)] // the last one fills up
		for _, k := range b.key[c.Parent:] {
			a.w.value(&b.columns[k], keep[b.columns[k].index])
		}
	}
	a.order(i)
	_, err := a.w.exec(b.clear(c.Parent, n))
	return err
}

// rounded makes one statement do for many numbers of records.
func rounded(n int) int {
	if n == 0 {
		return 0
	}
	return 1 << bits.Len(uint(n-1))
}

// clear deletes what a parent has, but for n records.
func (b *binding) clear(parent, n int) string {
	return b.text("clear"+strings.Repeat("+", parent), n, func() string {
		var whose, rest []string
		for i, k := range b.key {
			name := quote(b.columns[k].name)
			if i < parent {
				whose = append(whose, name+" = ?")
			} else {
				rest = append(rest, name)
			}
		}
		out := "DELETE FROM " + quote(b.table.name) + " WHERE " + strings.Join(whose, " AND ")
		if n > 0 {
			row := "(" + placeholders(len(rest)) + ")"
			out += " AND (" + strings.Join(rest, ", ") + ") NOT IN (VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ") + ")"
		}
		if b.guard {
			out += " AND " + b.newer()
		}
		return out
	})
}
