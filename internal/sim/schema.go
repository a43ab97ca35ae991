package sim

import (
	"fmt"
	"slices"

	"syncline"
	"syncline/internal/memsource"
)

// own is the number of columns that the customer's table always has; those behind them come and go.
var own = len(customerSchema.Columns)

// extras are the names of columns that come and go: few, so that names come back.
var extras = []string{"a", "b", "c"}

// extra is a value of such a column.
func (h *history) extra() syncline.Value {
	if h.rnd.IntN(4) == 0 {
		return syncline.Null
	}
	return syncline.Text(fmt.Sprint("extra ", h.ver))
}

// version is the next value of the customer's version.
func (h *history) version() syncline.Value {
	if h.customer.Columns[1].Kind == syncline.KindDecimal {
		return syncline.Decimal(fmt.Sprint(h.ver))
	}
	return syncline.Int(h.ver)
}

// alter adds, drops or renames a column of the customer's table, or makes its version's type wider.
func (h *history) alter() memsource.Change {
	next := *h.customer
	next.Columns = slices.Clone(h.customer.Columns)
	var free []string
	for _, name := range extras {
		// A column that is dropped and added again before any row says so is not told from the old one.
		if next.Index(name) < 0 && h.told.Index(name) < 0 {
			free = append(free, name)
		}
	}
	extra := len(next.Columns) - own
	fill := func(row []syncline.Value) []syncline.Value { return row }
	switch n := h.rnd.IntN(8); {
	case n == 0 && next.Columns[1].Kind == syncline.KindInt:
		next.Columns[1].Kind = syncline.KindDecimal
		fill = func(row []syncline.Value) []syncline.Value {
			row = slices.Clone(row)
			row[1] = syncline.Decimal(row[1].Text())
			return row
		}
	case n < 3 && extra > 0:
		at := own + h.rnd.IntN(extra)
		next.Columns = slices.Delete(next.Columns, at, at+1)
		fill = func(row []syncline.Value) []syncline.Value { return slices.Delete(slices.Clone(row), at, at+1) }
	case n < 4 && extra > 0 && len(free) > 0:
		at := own + h.rnd.IntN(extra) // it keeps its default, which says nothing of what its rows have now
		next.Columns[at].Name = free[h.rnd.IntN(len(free))]
	case len(free) > 0:
		c := syncline.Column{Name: free[h.rnd.IntN(len(free))], Kind: syncline.KindText, Nullable: true}
		v, ver := syncline.Null, h.ver
		if n%2 == 0 {
			v, c.Default = syncline.Text(fmt.Sprint("default ", ver)), fmt.Sprintf("'default %d'", ver)
		}
		computed := n == 5 // a default that is not the same for every row
		next.Columns = append(next.Columns, c)
		fill = func(row []syncline.Value) []syncline.Value {
			if computed {
				v = syncline.Text(fmt.Sprintf("made %d for %s", ver, row[0].Text()))
			}
			return append(row[:len(row):len(row)], v)
		}
	}
	h.customer = &next
	for id, row := range h.rows {
		h.rows[id] = fill(row)
	}
	return memsource.Change{Schema: h.customer, Reshape: func(r syncline.Row) []syncline.Value { return fill(r.Values) }}
}
