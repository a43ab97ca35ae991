package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"syncline"
)

// binding is how rows of one schema are written to and read from one table.
type binding struct {
	object string
	table  *table
	schema *syncline.Schema
	// columns are those that both have; the table's generated ones are only read. The source's are left out: it sends no values.
	columns []bound
	// key are the places of the key among columns, in key order.
	key []int
	// guard: the table has the guard column and it is used.
	guard bool
	// texts are the statements made so far, by what they do and for how many rows.
	texts map[string]string
}

// bound is a column of the schema that the table has.
type bound struct {
	index     int // in the schema
	name      string
	typ       colType
	any       bool
	affinity  affinity
	generated bool
	mark      *syncline.Mark
}

// columnNames returns the target's name for each column. SQLite does not tell names apart by the case of their letters:
// a second name of the same letters gets a number.
func columnNames(s *syncline.Schema) []string {
	names, used := make([]string, len(s.Columns)), map[string]bool{}
	for i, c := range s.Columns {
		names[i] = c.Name
		for n := 2; used[fold(names[i])]; n++ {
			names[i] = c.Name + "_" + strconv.Itoa(n)
		}
		used[fold(names[i])] = true
	}
	return names
}

func objectMissing(object string) *syncline.Error {
	return syncline.Errorf(syncline.Fatal, "object_missing", "there is no table %s at the target", object).
		WithFix("create it, or let the rule do it with create: true")
}

// binding returns the binding of the object for the schema, from the tables as they were when first asked.
func (t *Target) binding(ctx context.Context, q querier, object string, s *syncline.Schema) (*binding, error) {
	return t.bindingOf(ctx, q, object, s, t.opt.Guard)
}

// bindingOf does the same with a guard or without.
func (t *Target) bindingOf(ctx context.Context, q querier, object string, s *syncline.Schema, guard bool) (*binding, error) {
	if b := t.bindings[object][bindingKey{s.Fingerprint(), guard}]; b != nil {
		return b, nil
	}
	name, err := parseName(object)
	if err != nil {
		return nil, err
	}
	tab, err := loadTable(ctx, q, name)
	if errors.Is(err, errNoTable) {
		return nil, objectMissing(object)
	}
	if err != nil {
		return nil, err
	}
	b, _, err := bind(object, tab, s, guard)
	if err != nil {
		return nil, err
	}
	t.keep(b, guard)
	return b, nil
}

// bindingKey is what a binding is made for, beside the object.
type bindingKey struct {
	schema uint64 // its fingerprint
	guard  bool
}

func (t *Target) keep(b *binding, guard bool) {
	if t.bindings[b.object] == nil || len(t.bindings[b.object]) >= 32 {
		t.bindings[b.object] = map[bindingKey]*binding{}
	}
	t.bindings[b.object][bindingKey{b.schema.Fingerprint(), guard}] = b
}

// bind matches a schema with a table. The warnings name columns that are left out.
func bind(object string, tab *table, s *syncline.Schema, guard bool) (*binding, []string, error) {
	b := &binding{object: object, table: tab, schema: s, texts: map[string]string{}}
	var warnings []string
	place := make([]int, len(s.Columns))
	names := columnNames(s)
	for i, c := range s.Columns {
		place[i] = -1
		if c.Generated != "" {
			continue
		}
		at := index(tab.columns, names[i])
		if c.Mark != nil {
			if err := bindMark(object, tab, at, &c); err != nil {
				return nil, nil, err
			}
		}
		if at < 0 {
			warnings = append(warnings, fmt.Sprintf("%s has no column %q: it is left out", object, names[i]))
			continue
		}
		place[i] = len(b.columns)
		b.columns = append(b.columns, bound{index: i, name: tab.columns[at].Name, typ: colType{kind: c.Kind, scale: -1}, any: c.Type == "ANY",
			affinity:  affinityOf(tab.columns[at].Type),
			generated: tab.columns[at].generated, mark: c.Mark})
	}
	var key []string
	for _, k := range s.Key {
		if place[k] < 0 {
			return nil, nil, syncline.Errorf(syncline.Fatal, "column_missing", "%s has no column %q, which is part of the key", object, names[k]).
				WithFix("add the column, or rename the field in the rule's transform")
		}
		b.key, key = append(b.key, place[k]), append(key, b.columns[place[k]].name)
	}
	if len(key) > 0 && !tab.hasUnique(key) {
		return nil, nil, syncline.Errorf(syncline.Fatal, "key_index_missing", "%s has no unique index on its key (%s)", object, strings.Join(key, ", ")).
			WithFix("CREATE UNIQUE INDEX ON %s (%s)", quote(tab.name), strings.Join(key, ", "))
	}
	if b.guard = guard && len(key) > 0; b.guard && index(tab.columns, guardColumn) < 0 {
		return nil, nil, syncline.Errorf(syncline.Fatal, "guard_missing", "%s has no column %s, which several rules on one table need", object, guardColumn).
			WithFix("ALTER TABLE %s ADD COLUMN %s INTEGER", quote(tab.name), guardColumn)
	}
	return b, warnings, nil
}

// written lists the columns that take values.
func (b *binding) written() (out []bound) {
	for _, c := range b.columns {
		if !c.generated {
			out = append(out, c)
		}
	}
	return out
}

func (b *binding) isKey(c bound) bool {
	return slices.ContainsFunc(b.key, func(k int) bool { return b.columns[k].index == c.index })
}

// text returns a statement, made once.
func (b *binding) text(what string, n int, build func() string) string {
	id := what + strconv.Itoa(n)
	if b.texts[id] == "" {
		b.texts[id] = build()
	}
	return b.texts[id]
}

// newer is true where the guard lets a change of order ? pass.
func (b *binding) newer() string {
	return fmt.Sprintf("(%s IS NULL OR %s <= ?)", quote(guardColumn), quote(guardColumn))
}

// matches is the condition on the whole key.
func (b *binding) matches() string {
	parts := make([]string, len(b.key))
	for i, k := range b.key {
		parts[i] = quote(b.columns[k].name) + " = ?"
	}
	return strings.Join(parts, " AND ")
}

// insert adds n rows.
func (b *binding) insert(n int) string {
	return b.text("insert", n, func() string {
		var names []string
		for _, c := range b.written() {
			names = append(names, quote(c.name))
		}
		if b.guard {
			names = append(names, quote(guardColumn))
		}
		row := "(" + placeholders(len(names)) + ")"
		return "INSERT INTO " + quote(b.table.name) + " (" + strings.Join(names, ", ") + ") VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ")
	})
}

// upsert makes n records be as given.
func (b *binding) upsert(n int) string {
	return b.text("upsert", n, func() string {
		var key, sets []string
		for _, k := range b.key {
			key = append(key, quote(b.columns[k].name))
		}
		for _, c := range b.written() {
			if !b.isKey(c) {
				sets = append(sets, quote(c.name)+" = excluded."+quote(c.name))
			}
		}
		out := b.insert(n) + " ON CONFLICT (" + strings.Join(key, ", ") + ") DO "
		if b.guard {
			guard := quote(guardColumn)
			sets = append(sets, guard+" = excluded."+guard)
			return out + "UPDATE SET " + strings.Join(sets, ", ") + " WHERE " + quote(b.table.name) + "." + guard + " IS NULL OR " +
				quote(b.table.name) + "." + guard + " <= excluded." + guard
		}
		if len(sets) == 0 {
			return out + "NOTHING"
		}
		return out + "UPDATE SET " + strings.Join(sets, ", ")
	})
}

// update writes the given columns of one record; the key's values follow, and the order of a guarded one, and with present what
// kept takes: then a record that is only kept is not there.
func (b *binding) update(columns []bound, present bool) string {
	mask := make([]byte, 0, 4*len(columns))
	for _, c := range columns {
		mask = append(strconv.AppendInt(mask, int64(c.index), 10), ',')
	}
	if present {
		mask = append(mask, 'p')
	}
	return b.text("update"+string(mask), 1, func() string {
		var sets []string
		for _, c := range columns {
			sets = append(sets, quote(c.name)+" = ?")
		}
		where := b.matches()
		if b.guard {
			sets, where = append(sets, quote(guardColumn)+" = ?"), where+" AND "+b.newer()
		}
		if present {
			where += b.present()
		}
		if len(sets) == 0 { // nothing to write: is the record there?
			sets = []string{quote(b.columns[b.key[0]].name) + " = " + quote(b.columns[b.key[0]].name)}
		}
		return "UPDATE " + quote(b.table.name) + " SET " + strings.Join(sets, ", ") + " WHERE " + where
	})
}

// remove deletes n records.
func (b *binding) remove(n int) string {
	return b.text("remove", n, func() string {
		out := "DELETE FROM " + quote(b.table.name) + " WHERE "
		switch {
		case n == 1 && b.guard:
			return out + b.matches() + " AND " + b.newer()
		case n == 1:
			return out + b.matches()
		case len(b.key) == 1:
			return out + quote(b.columns[b.key[0]].name) + " IN (" + placeholders(n) + ")"
		}
		var key []string
		for _, k := range b.key {
			key = append(key, quote(b.columns[k].name))
		}
		row := "(" + placeholders(len(key)) + ")"
		return out + "(" + strings.Join(key, ", ") + ") IN (VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ") + ")"
	})
}

// removeAll deletes what a TRUNCATE takes away: with a guard, others write the table too, and what is newer stays.
func (b *binding) removeAll() string {
	return b.text("removeAll", 1, func() string {
		out := "DELETE FROM " + quote(b.table.name)
		if b.guard {
			out += " WHERE " + b.newer()
		}
		return out
	})
}

// exists asks whether the record is there.
func (b *binding) exists() string {
	return b.text("exists", 1, func() string { return "SELECT 1 FROM " + quote(b.table.name) + " WHERE " + b.matches() })
}

// one is the number of one row that is equal in every column.
func (b *binding) one() string {
	var same []string
	for _, c := range b.written() {
		same = append(same, quote(c.name)+" IS ?")
	}
	return fmt.Sprintf("%s = (SELECT %s FROM %s WHERE %s LIMIT 1)", b.table.rowid, b.table.rowid, quote(b.table.name), strings.Join(same, " AND "))
}

// removeOne deletes one row of a keyless table that is equal.
func (b *binding) removeOne() string {
	return b.text("removeOne", 1, func() string { return "DELETE FROM " + quote(b.table.name) + " WHERE " + b.one() })
}

// replaceOne turns one row of a keyless table into another.
func (b *binding) replaceOne() string {
	return b.text("replaceOne", 1, func() string {
		var sets []string
		for _, c := range b.written() {
			sets = append(sets, quote(c.name)+" = ?")
		}
		return "UPDATE " + quote(b.table.name) + " SET " + strings.Join(sets, ", ") + " WHERE " + b.one()
	})
}
