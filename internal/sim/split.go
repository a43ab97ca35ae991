package sim

import (
	"fmt"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/expression"
	"syncline/internal/memtarget"
)

// tags are the names of a record's children. Which of them it has depends on its notes, so that an update that did not send them cannot tell.
var tags = []string{"a", "b", "c"}

// children makes of a customer the schema of its children: its own key with a tag, and what is the same for all of them.
func children(s *syncline.Schema) *syncline.Schema {
	out := *s
	out.Key = []int{0, 1}
	out.Columns = []syncline.Column{s.Columns[0], {Name: "tag", Kind: syncline.KindText}, s.Columns[1], s.Columns[2]}
	return &out
}

// childRows makes the children of a customer. Those that are sent as events are told by the version, which every event has but one of a
// record that is gone.
func (r *route) childRows(row []syncline.Value) ([][]syncline.Value, error) {
	var number int
	switch {
	case r.events && row[1].IsUnset():
		return nil, &expression.UnsetError{Column: "ver"}
	case r.events:
		_, _ = fmt.Sscan(row[1].Text(), &number)
	case row[3].IsUnset():
		return nil, &expression.UnsetError{Column: "notes"}
	default:
		_, _ = fmt.Sscanf(row[3].Text(), "notes of %d", &number) // small notes have none
	}
	var rows [][]syncline.Value
	for i, tag := range tags {
		if number>>i&1 == 1 {
			rows = append(rows, []syncline.Value{row[0], syncline.Text(tag), row[1], row[2]})
		}
	}
	return rows, nil
}

// divided has the route make several records of each.
func (r *route) divided(b *apply.Binding, s *syncline.Schema) {
	b.Split = &apply.Split{Out: children(s), Parent: 1, Rows: func(_ *syncline.Batch, _ int, parent []syncline.Value) ([][]syncline.Value, error) {
		return r.childRows(parent)
	}}
}

// made are the records that the rule makes of a row of the source.
func (r *route) made(row syncline.Row) ([]syncline.Row, error) {
	if r.keep != nil && !r.keep(row) {
		return nil, nil
	}
	if !r.splits {
		row.Schema, row.Values = r.schema(), row.Values[:len(r.schema().Columns)]
		return []syncline.Row{row}, nil
	}
	var out []syncline.Row
	rows, err := r.childRows(row.Values)
	for _, values := range rows {
		out = append(out, syncline.Row{Schema: r.schema(), Values: values})
	}
	return out, err
}

// checkSets sees that all children of a record are of one version of it: they come and go together.
func (r *route) checkSets() error {
	sets := make(map[string]int64)
	return r.eachRow(func(k string, ver int64) error {
		parent, _, _ := strings.Cut(k, ",")
		if was, known := sets[parent]; known && was != ver {
			return fmt.Errorf("record %s has children of versions %d and %d", parent, was, ver)
		}
		sets[parent] = ver
		return nil
	})
}

// parents are the keys of the record that the delivery tells of, as the source has them.
func parents(s *memtarget.Sent) (keys []syncline.Key) {
	ev := &s.Change.Batch.Events[s.Change.Event]
	if k, ok := ev.Key(); ok {
		keys = append(keys, k)
	}
	if k, moved := ev.OldKey(); moved {
		keys = append(keys, k)
	}
	return keys
}

// checkParts sees that each event was sent for each child that it makes of its record and for no other, and where it does not tell of any,
// for the record.
func (r *route) checkParts() error {
	parts := make(map[string][]string)
	for _, s := range r.recorder.Sent() {
		if !slices.Contains(parts[s.ID], string(s.Change.Part)) {
			parts[s.ID] = append(parts[s.ID], string(s.Change.Part))
		}
	}
	return r.w.eachBatch(func(b *syncline.Batch) error {
		for i := range b.Events {
			ev := &b.Events[i]
			if ev.Schema.Entity != r.entity || ev.Stub > 0 || b.Chunk != nil && len(b.Chunk.Routes) > 0 {
				continue
			}
			want := []string{""} // the key of a parent is none of a child
			if row := ev.Row().Values; row != nil && !row[1].IsUnset() {
				rows, err := r.childRows(row)
				if err != nil {
					return err
				}
				want = nil
				for _, values := range rows {
					k, _ := syncline.Row{Schema: children(ev.Schema), Values: values}.Key()
					want = append(want, string(k))
				}
			}
			id := b.EventID(i)
			slices.Sort(parts[id])
			if !slices.Equal(parts[id], want) {
				return fmt.Errorf("G6: event %s (%s) was sent for children %q, and has %q", id, ev.Op, parts[id], want)
			}
		}
		return nil
	})
}
