package cloudevent

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"syncline"
)

// Shapes gives the records of one source their schemas. JSON has no schema: an entity's columns are all fields that its events
// have had, in the order of their names, so that events with and without an optional field have one schema and no target is
// altered back and forth. What an event did not send is unset, and not touched at a target; what a created record did not send is
// null, because there was nothing before. Each column's kind is what the fields of that name have held so far. Names and kinds are
// remembered over restarts by Append and ParseShapes.
//
// A kind only widens: int to decimal, everything that does not fit together to text. A field that was null at first is
// text: whatever comes fits into it. Not safe for concurrent use.
type Shapes struct {
	kinds map[string]map[string]syncline.Kind // by entity and column
	// schemas are those given out with the current kinds, by entity, and by its columns too where they are not shared.
	schemas map[string]*syncline.Schema
}

// A sender that invents field names must not fill the memory or the checkpoint.
const (
	maxKinds   = 2 * maxColumns
	maxSchemas = 256
	// maxShared bounds the columns of a schema that all events of an entity share. Those of an entity with more have the columns
	// that they bring.
	maxShared = 256
)

// NewShapes returns Shapes that have seen nothing.
func NewShapes() *Shapes {
	return &Shapes{kinds: map[string]map[string]syncline.Kind{}, schemas: map[string]*syncline.Schema{}}
}

// Learn takes note of the kinds in the records. Call it with all records at hand before Event, so that a null at the front
// does not decide. Past 3,200 columns of an entity it takes no note of new ones: they are text.
func (s *Shapes) Learn(records []*Record) {
	nulls := false
	for _, r := range records {
		nulls = s.learn(r, r.before) || nulls
		nulls = s.learn(r, r.after) || nulls
	}
	if !nulls {
		return
	}
	for _, r := range records {
		for _, fields := range [][]field{r.before, r.after} {
			for i := range fields {
				if _, known := s.kinds[r.Entity.Name][fields[i].name]; !known {
					s.note(r.Entity.Name, fields[i].name, syncline.KindText)
				}
			}
		}
	}
}

// learn notes the kinds of one image and reports whether a null of an unknown column was among them.
func (s *Shapes) learn(r *Record, fields []field) (nulls bool) {
	for i := range fields {
		f := &fields[i]
		known, ok := s.kinds[r.Entity.Name][f.name]
		switch {
		case f.value.IsNull():
			nulls = nulls || !ok
		case !ok:
			s.note(r.Entity.Name, f.name, f.kind())
		case f.guessed && fits(known, f.value):
		default:
			if k := widen(known, f.kind()); k != known {
				s.note(r.Entity.Name, f.name, k)
			}
		}
	}
	return nulls
}

func (s *Shapes) note(entity, column string, k syncline.Kind) {
	kinds := s.kinds[entity]
	if kinds == nil {
		kinds = map[string]syncline.Kind{}
		s.kinds[entity] = kinds
	}
	if _, known := kinds[column]; !known && len(kinds) >= maxKinds {
		return
	}
	kinds[column] = k
	clear(s.schemas)
}

// kind is the value's kind; of text from a subject, the one that it looks like.
func (f *field) kind() syncline.Kind {
	if f.guessed && fits(syncline.KindInt, f.value) {
		return syncline.KindInt
	}
	return f.value.Kind()
}

// fits reports whether text is exactly what a value of the kind would say.
func fits(k syncline.Kind, v syncline.Value) bool {
	text := v.Text()
	switch k {
	case syncline.KindText:
		return true
	case syncline.KindInt:
		n, err := strconv.ParseInt(text, 10, 64)
		return err == nil && strconv.FormatInt(n, 10) == text
	case syncline.KindBool:
		return text == "true" || text == "false"
	}
	return false
}

func widen(a, b syncline.Kind) syncline.Kind {
	number := func(k syncline.Kind) bool { return k == syncline.KindInt || k == syncline.KindDecimal }
	switch {
	case a == b:
		return a
	case number(a) && number(b):
		return syncline.KindDecimal
	}
	return syncline.KindText
}

// Event returns the record as an event of a batch, without its place in it. Learn must have seen the record.
func (s *Shapes) Event(r *Record) syncline.Event {
	schema := s.schema(r)
	meta := r.Meta
	e := syncline.Event{Op: r.Op, Schema: schema, Meta: &meta, Before: row(schema, r.before), After: row(schema, r.after)}
	if r.Op == syncline.OpCreated {
		for i := range e.After {
			if e.After[i].IsUnset() {
				e.After[i] = syncline.Null
			}
		}
	}
	return e
}

// Kind returns the kind that the column has by now, and false where nothing is known of it.
func (s *Shapes) Kind(entity, column string) (syncline.Kind, bool) {
	k, ok := s.kinds[entity][column]
	return k, ok
}

// Schema returns the schema that events of the entity have by now, nil where nothing is known of it, or its events do not share one.
func (s *Shapes) Schema(entity *Entity) *syncline.Schema {
	if n := len(s.kinds[entity.Name]); n == 0 || n > maxShared {
		return nil
	}
	for _, name := range entity.Key {
		if _, known := s.kinds[entity.Name][name]; !known {
			return nil
		}
	}
	return s.schema(&Record{Entity: entity})
}

// schema returns the schema of the record's entity.
func (s *Shapes) schema(r *Record) *syncline.Schema {
	id, shared := r.Entity.Name, len(s.kinds[r.Entity.Name]) <= maxShared
	var names []string
	if !shared {
		names = r.fieldNames()
		id += "\x00" + strings.Join(names, "\x00")
	}
	if known, ok := s.schemas[id]; ok {
		return known
	}
	if shared {
		names = slices.Sorted(maps.Keys(s.kinds[r.Entity.Name]))
	}
	schema := &syncline.Schema{Entity: r.Entity.Name, Table: r.Entity.Name, Version: -1, Columns: make([]syncline.Column, len(names))}
	for i, name := range names {
		kind, ok := s.kinds[r.Entity.Name][name]
		if !ok {
			kind = syncline.KindText
		}
		schema.Columns[i] = syncline.Column{Name: name, Kind: kind, Nullable: !slices.Contains(r.Entity.Key, name)}
		if name == r.Entity.Version {
			schema.Version = i
		}
	}
	for _, name := range r.Entity.Key {
		schema.Key = append(schema.Key, schema.Index(name))
	}
	if len(s.schemas) >= maxSchemas {
		clear(s.schemas)
	}
	s.schemas[id] = schema
	return schema
}

// fieldNames are the names of the fields that the record has before or after, sorted.
func (r *Record) fieldNames() []string {
	names := make([]string, 0, len(r.before)+len(r.after))
	for _, fields := range [][]field{r.before, r.after} {
		for i := range fields {
			names = append(names, fields[i].name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// row puts sorted fields under the schema's sorted columns; nil stays nil.
func row(schema *syncline.Schema, fields []field) []syncline.Value {
	if fields == nil {
		return nil
	}
	values := make([]syncline.Value, len(schema.Columns))
	at := 0
	for i := range values {
		if at == len(fields) || fields[at].name != schema.Columns[i].Name {
			values[i] = syncline.Unset
			continue
		}
		values[i] = fields[at].value
		if k := schema.Columns[i].Kind; fields[at].guessed && k != syncline.KindText && fits(k, fields[at].value) {
			values[i] = syncline.Raw(k, fields[at].value.Bytes())
		}
		at++
	}
	return values
}

// Append appends what ParseShapes needs: the kinds by entity and column, in the order of their names.
func (s *Shapes) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.kinds)))
	for _, entity := range slices.Sorted(maps.Keys(s.kinds)) {
		kinds := s.kinds[entity]
		dst = appendText(dst, entity)
		dst = binary.AppendUvarint(dst, uint64(len(kinds)))
		for _, column := range slices.Sorted(maps.Keys(kinds)) {
			dst = append(appendText(dst, column), byte(kinds[column]))
		}
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

var errShapes = errors.New("corrupt shapes")

// ParseShapes reads what Append wrote.
func ParseShapes(data []byte) (*Shapes, error) {
	s := NewShapes()
	bad := false
	number := func() uint64 {
		n, w := binary.Uvarint(data)
		if w <= 0 {
			bad = true
			return 0
		}
		data = data[w:]
		return n
	}
	text := func() string {
		n := number()
		if n > uint64(len(data)) {
			bad = true
			return ""
		}
		t := string(data[:n])
		data = data[n:]
		return t
	}
	for n := number(); n > 0 && !bad; n-- {
		entity, kinds := text(), map[string]syncline.Kind{}
		s.kinds[entity] = kinds
		for m := number(); m > 0 && !bad; m-- {
			column := text()
			if len(data) == 0 || !syncline.Kind(data[0]).Valid() {
				return nil, errShapes
			}
			kinds[column] = syncline.Kind(data[0])
			data = data[1:]
		}
	}
	if bad || len(data) != 0 {
		return nil, errShapes
	}
	return s, nil
}
