package pgtarget

import (
	"fmt"
	"slices"
	"strings"

	"syncline"
)

// binding is how rows of one schema are written to one table.
type binding struct {
	table *table
	cols  []boundColumn
	key   []int // indexes into cols, in the order of the schema's key
	guard bool
	exact bool // the source has the target's own types
	// narrow are the columns that do not hold all that comes.
	narrow []int
	// shadow is the place of the shadow column among cols, where the rows that it writes are decided about and the table has one; else 0,
	// which is never its place. A row is then changed only if it is still the version that was read.
	shadow int
	// revisable: there are columns that an update can set.
	revisable bool
	optimism  optimism
	// shapes are the statements made so far, by their kind and mask.
	shapes map[string]*shape
	// read asks for the rows of keys, and peek for their versions and shadows alone; nil until they are needed.
	read, peek *shape
	// temps are the names of the temporary tables, by the columns that they hold. No two groups of a write share one.
	temps map[string]string
}

// boundColumn is a column that both sides have and that may be written.
type boundColumn struct {
	src    int // index into the schema's columns
	name   string
	cast   string
	key    bool
	equal  bool // can be compared as itself, else as text
	fixed  bool // cannot be updated
	family family
	mark   *syncline.Mark
	typ    string
	holds  func(text []byte) bool // see narrowing
}

// bind fits a schema to a table. It leaves out columns that the table lacks and those that the table computes; warnings
// name them. A generated column of the source is left out always: whoever has it computes it.
func bind(object string, t *table, s *syncline.Schema, o *Options) (*binding, []string, error) {
	b := &binding{table: t, guard: o.Guard, exact: o.PostgresSource, shapes: map[string]*shape{}, temps: map[string]string{}}
	var warnings []string
	written := map[string]bool{guardColumn: o.Guard}
	at := make(map[int]int, len(s.Columns))
	for i := range s.Columns {
		c := &s.Columns[i]
		tc := t.column(c.Name)
		if c.Mark != nil {
			if err := bindMark(object, t, c); err != nil {
				return nil, nil, err
			}
		}
		switch {
		case tc == nil && c.Generated == "":
			warnings = append(warnings, fmt.Sprintf("%s has no column %q: it is not written", object, c.Name))
			continue
		case tc == nil || tc.gen || c.Generated != "":
			continue
		}
		narrow := o.narrows(c, tc)
		switch {
		case narrow.what == "":
		case narrow.holds == nil:
			warnings = append(warnings, fmt.Sprintf("column %q of %s is %s: %s", c.Name, object, tc.typ, narrow.what))
		default:
			warnings = append(warnings, fmt.Sprintf("column %q of %s is %s: %s, so that records which it would change wait (value_inexact)", c.Name, object, tc.typ, narrow.what))
		}
		at[i] = len(b.cols)
		written[c.Name] = true
		if narrow.holds != nil {
			b.narrow = append(b.narrow, len(b.cols))
		}
		b.cols = append(b.cols, boundColumn{src: i, name: c.Name, cast: tc.cast, equal: tc.equality, fixed: tc.identity, family: families[tc.cast], mark: c.Mark, typ: tc.typ, holds: narrow.holds})
	}
	for _, k := range s.Key {
		i, ok := at[k]
		if !ok {
			return nil, nil, syncline.Errorf(syncline.Fatal, "column_missing", "%s has no column %q, which is part of the key", object, s.Columns[k].Name).
				WithFix("add the column at the target")
		}
		b.cols[i].key = true
		b.key = append(b.key, i)
		if b.cols[i].holds == nil {
			if b.cols[i].holds = o.unpads(&s.Columns[k], t.column(s.Columns[k].Name).holds); b.cols[i].holds != nil {
				b.narrow = append(b.narrow, i)
			}
		}
	}
	if names := s.KeyNames(); len(names) > 0 && !t.hasKey(names) {
		return nil, nil, syncline.Errorf(syncline.Fatal, "key_index_missing", "%s has no unique index on its key (%s)", object, strings.Join(names, ", ")).
			WithFix("CREATE UNIQUE INDEX ON %s (%s)", t.name.sql(), quoteAll(names))
	}
	if o.Guard && len(s.Key) > 0 && t.column(guardColumn) == nil {
		return nil, nil, syncline.Errorf(syncline.Fatal, "guard_missing", "%s has no column %s, which several rules on one table need", object, guardColumn).
			WithFix("ALTER TABLE %s ADD COLUMN %s bigint", t.name.sql(), guardColumn)
	}
	b.guard = o.Guard && len(s.Key) > 0
	b.revisable = slices.ContainsFunc(b.cols, func(c boundColumn) bool { return !c.key && !c.fixed })
	for i := range t.cols {
		if c := &t.cols[i]; c.notNull && !c.hasValue && !written[c.name] {
			warnings = append(warnings, fmt.Sprintf("column %q of %s must not be null, has no default and is not written: inserts will be refused", c.name, object))
		}
	}
	return b, warnings, nil
}

// shape is one statement over rows that write the same columns of a table.
type shape struct {
	name string // unique among all shapes of the target
	sql  string // where rows are copied into the table itself, the question whether their columns have the types of the encoders
	// temp is the temporary table that a large group is copied to, make its definition, copy the command, for rows as text.
	temp, copy string
	make       []string
	// encoders are those of the columns where rows can be copied in binary, else nil.
	encoders []encoder
	// textual are the copies that are still made as text all the same, lastTextual how many those were the last time.
	textual, lastTextual int
}

// kind is what a statement does.
type kind byte

const (
	kindPut      kind = 'p' // whole rows: insert or update
	kindUpdate   kind = 'u' // some columns of rows that are there
	kindMark     kind = 'm' // some columns of rows that are there or only kept
	kindFill     kind = 'f' // whole rows: insert where none is there
	kindAdd      kind = 'a' // whole rows: insert, where none may be there
	kindDelete   kind = 'd'
	kindInsert   kind = 'i' // keyless
	kindRemove   kind = 'r' // keyless: one equal row
	kindReplace  kind = 'x' // keyless: one equal row
	kindStatus   kind = 's' // which keys are there, and whether newer than the change
	kindPresent  kind = 't' // the same; what is only kept and not newer is not there
	kindDislodge kind = '1' // re-key, first: remove the record that stands at the new key
	kindMove     kind = '2' // re-key, then: give the old record the new key
	kindClear    kind = 'c' // what a parent has, but for some
	kindVacate   kind = '3' // re-key, last and guarded only: remove the old record where a newer one stood at the new key
)

// shape returns the statement of this kind over the columns of mask. nulls are the columns that are null in the row that a
// keyless statement looks for.
func (t *Target) shape(b *binding, k kind, mask []int, w way, nulls []int) *shape {
	if w == wayRevise {
		w = wayMerge
	}
	id := appendColumns([]byte{byte(k), byte(w)}, mask)
	id = appendColumns(append(id, '/', '/'), nulls)
	if s, ok := b.shapes[string(id)]; ok {
		return s
	}
	t.shapes++
	s := &shape{name: fmt.Sprintf("_syncline_%d", t.shapes)}
	b.shapes[string(id)] = s
	q := builder{b: b, mask: mask}
	switch w {
	case wayDirect:
		if s.copy, s.encoders = q.copy(), b.encodersOf(mask); s.encoders != nil {
			s.sql = q.types()
		}
		return s
	case wayMerge:
		cols := string(appendColumns([]byte{use(k)}, mask))
		if s.temp = b.temps[cols]; s.temp == "" {
			s.temp = s.name
			b.temps[cols] = s.temp
		}
		q.temp = s.temp
		s.make, s.copy, s.encoders = q.tempTable(), "COPY pg_temp."+s.temp+" FROM STDIN", b.encodersOf(mask)
	}
	switch k {
	case kindPut:
		s.sql = q.put("")
	case kindFill:
		s.sql = q.put(q.absent())
	case kindAdd:
		s.sql = q.insert() + " ON CONFLICT (" + q.key() + ") DO NOTHING"
	case kindUpdate:
		s.sql = q.update(true)
	case kindMark:
		s.sql = q.update(false)
	case kindDelete:
		s.sql = q.delete()
	case kindInsert:
		s.sql = q.insert()
	case kindRemove, kindReplace:
		s.sql = q.one(k, nulls)
	case kindStatus, kindPresent:
		s.sql = q.status(k == kindPresent)
	case kindClear:
		s.sql = q.clear(len(mask))
	case kindDislodge, kindMove, kindVacate:
		s.sql = q.rekey(k)
	}
	return s
}

// use tells groups apart that may stand beside each other with the same columns.
func use(k kind) byte {
	switch k {
	case kindDelete:
		return 1
	case kindMark:
		return 2
	}
	return 0
}

func appendColumns(dst []byte, cols []int) []byte {
	for _, i := range cols {
		dst = append(dst, byte(i), byte(i>>8))
	}
	return dst
}
