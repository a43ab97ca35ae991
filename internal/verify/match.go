package verify

import (
	"bytes"
	"slices"

	"syncline"
)

// Matcher compares records of one schema. Columns that the target computes, that say what became of a record, and that nobody sent or can
// tell are left out.
type Matcher struct {
	schema *syncline.Schema
	// columns are those that count, outside those whose values were asked outside.
	columns, outside []int
	// Documents: the target holds documents, which have one null for that of a JSON column and for none at all.
	Documents bool
}

// NewMatcher returns a matcher for records of the schema; outside names the columns whose values are not the source's.
func NewMatcher(s *syncline.Schema, outside []string) *Matcher {
	m := &Matcher{schema: s}
	for i := range s.Columns {
		c := &s.Columns[i]
		switch {
		case c.Generated != "" || c.Mark != nil:
		case slices.Contains(outside, c.Name):
			m.outside = append(m.outside, i)
		default:
			m.columns = append(m.columns, i)
		}
	}
	return m
}

// Equal reports whether what the target holds is what it should; enriched, whether a column that was asked outside differs.
func (m *Matcher) Equal(want, held []syncline.Value) (equal, enriched bool) {
	for _, i := range m.columns {
		if !m.same(i, want[i], held[i]) {
			return false, false
		}
	}
	for _, i := range m.outside {
		if !m.same(i, want[i], held[i]) {
			return true, true
		}
	}
	return true, false
}

// same is true of what cannot be compared, too. Most values are the same text, which costs least to see.
func (m *Matcher) same(column int, want, held syncline.Value) bool {
	if want.Identical(held) || want.IsUnset() || held.IsUnset() || syncline.Equal(want, held) {
		return true
	}
	switch k := m.schema.Columns[column].Kind; {
	case want.Kind() == syncline.KindJSON && held.IsNull():
		return m.Documents && string(bytes.TrimSpace(want.Bytes())) == "null"
	case want.Kind() != k || held.Kind() != k:
		return syncline.Alike(want, held)
	}
	return false
}

// Fields names the columns that differ, but for those that were asked outside.
func (m *Matcher) Fields(want, held []syncline.Value) []string {
	var names []string
	for _, i := range m.columns {
		if !m.same(i, want[i], held[i]) {
			names = append(names, m.schema.Columns[i].Name)
		}
	}
	return names
}

// Kept reports whether the record only stands for one that is gone.
func Kept(s *syncline.Schema, values []syncline.Value) bool {
	for i := range s.Columns {
		if m := s.Columns[i].Mark; m != nil && i < len(values) && m.IsGone(values[i]) {
			return true
		}
	}
	return false
}

// KeysOf is the schema of what a listing of the target's keys needs to tell: the key, and whether the record is only kept.
func KeysOf(s *syncline.Schema) *syncline.Schema {
	out := &syncline.Schema{Entity: s.Entity, Table: s.Table, Version: -1}
	for i := range s.Columns {
		at := slices.Index(s.Key, i)
		if at < 0 && s.Columns[i].Mark == nil {
			continue
		}
		out.Columns = append(out.Columns, s.Columns[i])
	}
	for _, k := range s.Key {
		out.Key = append(out.Key, out.Index(s.Columns[k].Name))
	}
	return out
}
