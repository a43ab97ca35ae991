package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"syncline"
	"syncline/internal/memsource"
)

// keys is the number of different keys: few, so that much happens to each.
const keys = 8

var (
	customerSchema = &syncline.Schema{Entity: "customer", Table: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt}, {Name: "ver", Kind: syncline.KindInt, Nullable: true},
		{Name: "tier", Kind: syncline.KindText, Nullable: true}, {Name: "notes", Kind: syncline.KindText, Nullable: true},
	}}
	// auditSchema has no key; its rows are distinct.
	auditSchema = &syncline.Schema{Entity: "audit", Table: "audit", Version: -1, Columns: []syncline.Column{
		{Name: "n", Kind: syncline.KindInt}, {Name: "what", Kind: syncline.KindText, Nullable: true},
	}}
)

// history makes transactions that could have been committed: it knows what the tables hold.
type history struct {
	rnd      *rand.Rand
	now      time.Time
	customer *syncline.Schema // as it is now
	told     *syncline.Schema // as the last event of the table had it
	rows     map[int64][]syncline.Value
	audit    [][]syncline.Value
	ver      int64
	// huge: now and then a customer has notes that the log does not take.
	huge bool
}

func newHistory(rnd *rand.Rand, now time.Time, huge bool) *history {
	return &history{rnd: rnd, now: now, huge: huge, customer: customerSchema, told: customerSchema, rows: make(map[int64][]syncline.Value)}
}

// last returns a transaction after which every change of the customer's table has been seen.
func (h *history) last() memsource.Txn {
	h.ver++
	return memsource.Txn{Time: h.now, Changes: []memsource.Change{h.customerChange()}}
}

// next returns a transaction of one to six changes.
func (h *history) next() memsource.Txn {
	h.now = h.now.Add(time.Second)
	t := memsource.Txn{Time: h.now}
	for range 1 + h.rnd.IntN(6) {
		t.Changes = append(t.Changes, h.change())
	}
	return t
}

func (h *history) change() memsource.Change {
	h.ver++
	switch n := h.rnd.IntN(40); {
	case n < 6:
		return h.auditChange()
	case n == 6:
		return h.alter()
	case n == 7:
		clear(h.rows)
		h.told = h.customer
		return memsource.Change{Op: syncline.OpTruncated, Schema: h.customer}
	}
	return h.customerChange()
}

func (h *history) customerChange() memsource.Change {
	h.told = h.customer
	id := int64(h.rnd.IntN(keys))
	row, there := h.rows[id]
	switch {
	case !there:
		return h.insert(id)
	case h.rnd.IntN(5) == 0:
		delete(h.rows, id)
		return memsource.Change{Op: syncline.OpDeleted, Schema: h.customer, Before: h.before(id, row)}
	case h.rnd.IntN(6) == 0:
		return h.rekey(id, row)
	}
	return h.update(id, row)
}

func (h *history) insert(id int64) memsource.Change {
	row := []syncline.Value{syncline.Int(id), h.version(), h.tier(), h.notes()}
	for range h.customer.Columns[len(row):] {
		row = append(row, h.extra())
	}
	h.rows[id] = row
	return memsource.Change{Op: syncline.OpCreated, Schema: h.customer, After: row}
}

// update changes the version, sometimes the tier, and sends the notes only where they changed, as PostgreSQL does with large values.
func (h *history) update(id int64, row []syncline.Value) memsource.Change {
	after := []syncline.Value{row[0], h.version(), row[2], syncline.Unset}
	if h.rnd.IntN(3) == 0 {
		after[2] = h.tier()
	}
	if h.rnd.IntN(3) == 0 {
		after[3] = h.notes()
	}
	for i := range row[len(after):] {
		after = append(after, [...]syncline.Value{syncline.Unset, row[4+i], h.extra()}[h.rnd.IntN(3)])
	}
	c := memsource.Change{Op: syncline.OpUpdated, Schema: h.customer, After: after}
	if h.rnd.IntN(4) == 0 {
		c.Before = row
	}
	h.rows[id] = whole(after, row)
	return c
}

func (h *history) rekey(id int64, row []syncline.Value) memsource.Change {
	to := int64(h.rnd.IntN(keys))
	for range keys {
		if _, taken := h.rows[to]; !taken {
			break
		}
		to = (to + 1) % keys
	}
	if _, taken := h.rows[to]; taken {
		return h.update(id, row)
	}
	after := []syncline.Value{syncline.Int(to), h.version(), row[2], syncline.Unset}
	if h.rnd.IntN(3) == 0 { // it may leave a rule, or come into one, under its new key
		after[2] = h.tier()
	}
	if h.rnd.IntN(2) == 0 {
		after[3] = row[3]
	}
	after = append(after, row[len(after):]...)
	delete(h.rows, id)
	h.rows[to] = whole(after, row)
	return memsource.Change{Op: syncline.OpUpdated, Schema: h.customer, Before: h.before(id, row), After: after}
}

// before is the old row as a source sends it: only its key, or all of it.
func (h *history) before(id int64, row []syncline.Value) []syncline.Value {
	if h.rnd.IntN(3) == 0 {
		return row
	}
	key := []syncline.Value{syncline.Int(id)}
	for range row[1:] {
		key = append(key, syncline.Unset)
	}
	return key
}

func (h *history) notes() syncline.Value {
	text := fmt.Sprint("notes of ", h.ver)
	if h.huge && h.rnd.IntN(5) == 0 {
		text += strings.Repeat(".", maxBatch)
	}
	return syncline.Text(text)
}

// shrink returns a transaction that writes every record whole and small, where there were huge ones: what waits behind one of those is
// obsolete then.
func (h *history) shrink() memsource.Txn {
	t := memsource.Txn{Time: h.now}
	for id := range int64(keys) {
		if row, there := h.rows[id]; there && h.huge {
			h.ver++
			h.rows[id] = append([]syncline.Value{row[0], h.version(), row[2], syncline.Text("small")}, row[own:]...)
			h.told = h.customer
			t.Changes = append(t.Changes, memsource.Change{Op: syncline.OpUpdated, Schema: h.customer, After: h.rows[id]})
		}
	}
	return t
}

func (h *history) tier() syncline.Value {
	return [...]syncline.Value{syncline.Text("gold"), syncline.Text("silver"), syncline.Text("test"), syncline.Null}[h.rnd.IntN(4)]
}

func (h *history) auditChange() memsource.Change {
	if len(h.audit) > 0 && h.rnd.IntN(4) == 0 {
		i := h.rnd.IntN(len(h.audit))
		old := h.audit[i]
		if h.rnd.IntN(2) == 0 {
			h.audit = append(h.audit[:i:i], h.audit[i+1:]...)
			return memsource.Change{Op: syncline.OpDeleted, Schema: auditSchema, Before: old}
		}
		h.audit[i] = []syncline.Value{syncline.Int(h.ver), syncline.Text("changed")}
		return memsource.Change{Op: syncline.OpUpdated, Schema: auditSchema, Before: old, After: h.audit[i]}
	}
	row := []syncline.Value{syncline.Int(h.ver), syncline.Text("new")}
	h.audit = append(h.audit, row)
	return memsource.Change{Op: syncline.OpCreated, Schema: auditSchema, After: row}
}

func whole(after, row []syncline.Value) []syncline.Value {
	out := append([]syncline.Value(nil), after...)
	for i := range out {
		if out[i].IsUnset() {
			out[i] = row[i]
		}
	}
	return out
}
