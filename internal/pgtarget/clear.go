package pgtarget

import (
	"fmt"
	"strings"

	"syncline"
)

// clearing is a Clear of an unordered write.
type clearing struct {
	change int
	b      *binding
}

// queueClear queues the removal of the records that a parent does not have any more. Its parameters are the parent's key, the stamp, and
// the rest of the key of each record that stays.
func (x *transaction) queueClear(i int, c *syncline.Change, b *binding) {
	args := make([][]byte, 0, len(b.key)+1)
	for _, k := range b.key[:c.Parent] {
		args = append(args, x.array(1, func(int) syncline.Value { return c.Row.Values[b.cols[k].src] }))
	}
	if b.guard {
		args = append(args, x.array(1, func(int) syncline.Value { return syncline.Int(c.Order.Version()) }))
	}
	for _, k := range b.key[c.Parent:] {
		args = append(args, x.array(len(c.Keep), func(n int) syncline.Value { return c.Keep[n][b.cols[k].src] }))
	}
	x.queue = append(x.queue, request{shape: x.t.shape(b, kindClear, b.key[:c.Parent], wayArrays, nil), change: i, args: args})
}

// clear writes the removal for a key whose first columns are the parent's.
func (q builder) clear(parent int) string {
	var whose, same, params, names []string
	for i, c := range q.b.key {
		col := &q.b.cols[c]
		if i < parent {
			whose = append(whose, fmt.Sprintf("t.%s = u.c%d::%s", quote(col.name), i, col.cast))
			continue
		}
		n := i - parent
		first := parent + 1
		if q.b.guard {
			first++
		}
		params, names = append(params, fmt.Sprintf("$%d::text[]", first+n)), append(names, fmt.Sprintf("k%d", n))
		same = append(same, fmt.Sprintf("t.%s = k.k%d::%s", quote(col.name), n, col.cast))
	}
	return "DELETE FROM " + q.b.table.name.sql() + " AS t USING " + arrays(parent, q.b.guard, false) + " WHERE " + strings.Join(whose, " AND ") +
		" AND NOT EXISTS (SELECT FROM unnest(" + strings.Join(params, ", ") + ") AS k(" + strings.Join(names, ", ") + ") WHERE " + strings.Join(same, " AND ") + ")" + q.guarded("t")
}
