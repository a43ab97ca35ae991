package syncline

import (
	"bytes"
	"errors"
	"hash/fnv"
	"slices"
)

// Schema is the shape that the rows of one entity have from some position on. A schema is never changed once rows refer to
// it; a source that sees its table altered makes a new one.
type Schema struct {
	// Entity is the name that the configuration gives to the table ("customer").
	Entity string
	// Table is the source's own name for it, for messages ("public.customer").
	Table string
	// Columns are in the source's order.
	Columns []Column
	// Key are the indexes into Columns of the record's identity, in key order; empty for a keyless table.
	Key []int
	// Version is the index into Columns of the declared version field, or -1.
	Version int
}

// Column is one field of a schema.
type Column struct {
	Name string
	// Kind is what most values of the column are; each value says its own.
	Kind Kind
	// Elem is the kind of an array's elements.
	Elem Kind
	// Type is the source's type with its modifiers ("numeric(12,2)", "varchar(40)[]"); "" where the source has none.
	Type string
	// Nullable is false where the source forbids null.
	Nullable bool
	// Generated is the expression of a generated column, which a target computes, nobody writes and no source sends: it is Unset
	// in every row. A source that sends a column's values leaves it "", however they come about.
	Generated string
	// Default is the constant that rows older than the column have, as an SQL expression of the source; else "".
	Default string
	// Mark is set where no source sends the column: it notes what became of a record that stays at its target. It is not part of the
	// stored form, nor of the fingerprint.
	Mark *Mark
}

// Mark is how a column tells a record that is only kept from one that is there.
type Mark struct {
	// Live is what the column has in a record that is there; null means the same.
	Live Value
	// Gone are the values of records that are kept although they are gone; Any: every value but Live and null is.
	Gone []Value
	Any  bool
	// Other are the values that it has besides, in records that are there.
	Other []Value
}

// IsGone reports whether a record whose column has this value is only kept.
func (m *Mark) IsGone(v Value) bool {
	if v.IsNull() || v.IsUnset() || Equal(v, m.Live) {
		return false
	}
	return m.Any || slices.ContainsFunc(m.Gone, func(g Value) bool { return Equal(v, g) })
}

// Index returns where the column of this name is, or -1.
func (s *Schema) Index(name string) int {
	for i := range s.Columns {
		if s.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// KeyNames returns the names of the key's columns, in key order.
func (s *Schema) KeyNames() []string {
	names := make([]string, len(s.Key))
	for i, c := range s.Key {
		names[i] = s.Columns[c].Name
	}
	return names
}

// Fingerprint is the same for two schemas exactly when rows of the one are rows of the other.
func (s *Schema) Fingerprint() uint64 {
	h := fnv.New64a()
	h.Write(appendSchema(nil, s)) //nolint:errcheck // a hash never fails
	return h.Sum64()
}

// schemaMagic begins the stored form of a schema, version 1: that of a record batch's schemas follows.
const schemaMagic = "SLS\x01"

// AppendSchema appends the stored form of s.
func AppendSchema(dst []byte, s *Schema) []byte { return appendSchema(append(dst, schemaMagic...), s) }

// DecodeSchema reads what AppendSchema wrote.
func DecodeSchema(data []byte) (*Schema, error) {
	rest, ok := bytes.CutPrefix(data, []byte(schemaMagic))
	r := reader{data: rest}
	s := r.schema()
	if !ok || r.bad || len(r.data) > 0 {
		return nil, errors.New("corrupt schema")
	}
	return s, nil
}

// Row is a record: one value for each column of its schema.
type Row struct {
	Schema *Schema
	Values []Value
}

// Field returns the value of the named column; Unset where there is no such column.
func (r Row) Field(name string) Value {
	if r.Schema == nil || r.Values == nil {
		return Unset
	}
	if i := r.Schema.Index(name); i >= 0 {
		return r.Values[i]
	}
	return Unset
}

// Key returns the identity of the row, and false where a part of it is missing.
func (r Row) Key() (Key, bool) {
	if len(r.Schema.Key) == 0 || r.Values == nil {
		return "", false
	}
	buf := make([]byte, 0, 32)
	for i, c := range r.Schema.Key {
		if r.Values[c].kind == KindUnset {
			return "", false
		}
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendKeyPart(buf, r.Values[c])
	}
	return Key(buf), true
}

// Whole reports whether every column that somebody can write was sent.
func (r Row) Whole() bool {
	for i := range r.Values {
		if r.Values[i].kind == KindUnset && r.Schema.Columns[i].Generated == "" {
			return false
		}
	}
	return r.Values != nil
}
