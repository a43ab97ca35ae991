package pgtarget

import (
	"fmt"
	"strconv"
	"strings"
)

// builder writes the statements of one binding over the columns of a mask. In all of them t is the table and u the rows to
// write, with columns c0, c1, … in the order of the mask, then g, the stamp.
type builder struct {
	b    *binding
	mask []int
	temp string // the temporary table that holds the rows; "" = parameters
}

func (q builder) names() string {
	names := make([]string, len(q.mask))
	for i, c := range q.mask {
		names[i] = q.b.cols[c].name
	}
	return quoteAll(names)
}

// value is column i of the mask as a value of the table's type.
func (q builder) value(i int) string {
	if q.temp != "" {
		return "u.c" + strconv.Itoa(i)
	}
	return "u.c" + strconv.Itoa(i) + "::" + q.b.cols[q.mask[i]].cast
}

// stamped: beside the columns of its mask a row has a stamp, the order of its change or the version of the row that it replaces.
func (b *binding) stamped() bool { return b.guard || b.shadow > 0 }

// stampType is the type of what a row has beside its columns.
func (b *binding) stampType() string {
	if b.guard {
		return "bigint"
	}
	return "xid"
}

func (q builder) guard() string {
	if q.temp != "" {
		return "u.g"
	}
	return "u.g::" + q.b.stampType()
}

// from is the row source; ordinality adds o, from 1.
func (q builder) from(ordinality bool) string {
	if q.temp != "" {
		return "pg_temp." + q.temp + " AS u"
	}
	return arrays(len(q.mask), q.b.stamped(), ordinality)
}

func arrays(n int, guard, ordinality bool) string {
	var params, names []string
	for i := range n {
		params = append(params, fmt.Sprintf("$%d::text[]", i+1))
		names = append(names, fmt.Sprintf("c%d", i))
	}
	if guard {
		params = append(params, fmt.Sprintf("$%d::text[]", n+1))
		names = append(names, "g")
	}
	with := ""
	if ordinality {
		with = " WITH ORDINALITY"
		names = append(names, "o")
	}
	return "unnest(" + strings.Join(params, ", ") + ")" + with + " AS u(" + strings.Join(names, ", ") + ")"
}

// tempTable makes the temporary table. Its types are those that the binding knows, whatever the table's are by now. Large values are not
// compressed there: that would be done for nothing, and takes the server most of its time with them.
func (q builder) tempTable() []string {
	var cols, plain []string
	for i, c := range q.mask {
		col := q.b.table.column(q.b.cols[c].name)
		as := "c" + strconv.Itoa(i)
		cols = append(cols, quote(col.name)+"::"+col.typ+" AS "+as)
		if col.toasted {
			plain = append(plain, "ALTER "+as+" SET STORAGE EXTERNAL")
		}
	}
	if q.b.stamped() {
		cols = append(cols, "NULL::"+q.b.stampType()+" AS g")
	}
	made := []string{"CREATE TEMPORARY TABLE " + q.temp + " WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS AS SELECT " + strings.Join(cols, ", ") +
		" FROM " + q.b.table.name.sql() + " WITH NO DATA"}
	if plain != nil {
		made = append(made, "ALTER TABLE pg_temp."+q.temp+" "+strings.Join(plain, ", "))
	}
	return made
}

// insert is the part that plain inserts and upserts share.
func (q builder) insert() string {
	names, values := q.names(), make([]string, len(q.mask))
	over := ""
	for i, c := range q.mask {
		values[i] = q.value(i)
		if q.b.cols[c].fixed {
			over = " OVERRIDING SYSTEM VALUE"
		}
	}
	if q.b.guard {
		names += ", " + guardColumn
		values = append(values, q.guard())
	}
	return "INSERT INTO " + q.b.table.name.sql() + " AS t (" + names + ")" + over + " SELECT " + strings.Join(values, ", ") + " FROM " + q.from(false)
}

// copy writes the command that takes rows into the table itself.
func (q builder) copy() string {
	names := q.names()
	if q.b.guard {
		names += ", " + guardColumn
	}
	return "COPY " + q.b.table.name.sql() + " (" + names + ") FROM STDIN"
}

// types finds the columns of the mask that have the types which the binding knows.
func (q builder) types() string {
	var as []string
	for _, c := range q.mask {
		col := q.b.table.column(q.b.cols[c].name)
		as = append(as, fmt.Sprintf("(%d, %d)", col.num, col.oid))
	}
	return fmt.Sprintf("SELECT FROM pg_attribute WHERE attrelid = %d AND (attnum, atttypid) IN (%s)", q.b.table.oid, strings.Join(as, ", "))
}

// absent is the condition that no row of the key is there.
func (q builder) absent() string {
	return " WHERE NOT EXISTS (SELECT FROM " + q.b.table.name.sql() + " AS x WHERE " + q.on("x") + ")"
}

// key lists the key's columns.
func (q builder) key() string {
	var key []string
	for _, c := range q.b.key {
		key = append(key, q.b.cols[c].name)
	}
	return quoteAll(key)
}

// put writes the upsert of the rows that meet the condition.
func (q builder) put(where string) string {
	var set []string
	for _, c := range q.mask {
		if col := &q.b.cols[c]; !col.key && !col.fixed {
			set = append(set, quote(col.name)+" = EXCLUDED."+quote(col.name))
		}
	}
	sql := q.insert() + where + " ON CONFLICT (" + q.key() + ") DO "
	if q.b.guard {
		set = append(set, guardColumn+" = EXCLUDED."+guardColumn)
		return sql + "UPDATE SET " + strings.Join(set, ", ") + " WHERE " + notNewer("t", "EXCLUDED."+guardColumn)
	}
	if len(set) == 0 {
		return sql + "NOTHING"
	}
	return sql + "UPDATE SET " + strings.Join(set, ", ")
}

// notNewer holds for a row that the change may touch. Equal orders pass: two rules may write one record for one event, and
// a repeated change is the same change.
func notNewer(alias, guard string) string {
	return "(" + alias + "." + guardColumn + " IS NULL OR " + alias + "." + guardColumn + " <= " + guard + ")"
}

// on joins the table to the rows by the key.
func (q builder) on(alias string) string {
	var eq []string
	for i, c := range q.mask {
		if q.b.cols[c].key {
			eq = append(eq, alias+"."+quote(q.b.cols[c].name)+" = "+q.value(i))
		}
	}
	return strings.Join(eq, " AND ")
}

func (q builder) guarded(alias string) string {
	switch {
	case q.b.guard:
		return " AND " + notNewer(alias, q.guard())
	case q.b.shadow > 0:
		return " AND " + version(alias) + " = " + q.guard()
	}
	return ""
}

// version names the transaction that made this version of a row.
func version(alias string) string { return alias + ".xmin" }

// update writes the columns of the mask to rows that are there; with present, rows that are only kept are not.
func (q builder) update(present bool) string {
	var set []string
	for i, c := range q.mask {
		if col := &q.b.cols[c]; !col.key && !col.fixed {
			set = append(set, quote(col.name)+" = "+q.value(i))
		}
	}
	if q.b.guard {
		set = append(set, guardColumn+" = "+q.guard())
	}
	there := ""
	if present && len(q.mask) < len(q.b.cols) {
		there = q.present("t")
	}
	if len(set) == 0 {
		// Nothing is sent but the key: the count tells whether the record is there.
		return "SELECT FROM " + q.b.table.name.sql() + " AS t JOIN " + q.from(false) + " ON " + q.on("t") + there
	}
	return "UPDATE " + q.b.table.name.sql() + " AS t SET " + strings.Join(set, ", ") + " FROM " + q.from(false) + " WHERE " + q.on("t") + there + q.guarded("t")
}

func (q builder) delete() string {
	return "DELETE FROM " + q.b.table.name.sql() + " AS t USING " + q.from(false) + " WHERE " + q.on("t") + q.guarded("t")
}

// status returns, for the keys that are there, their place in the arrays and whether the record is newer than the change. With present,
// records that are only kept are there if they are newer.
func (q builder) status(present bool) string {
	newer := "false"
	if q.b.guard {
		newer = "coalesce(t." + guardColumn + " > u.g::bigint, false)"
	}
	sql := "SELECT u.o, " + newer + " FROM " + q.from(true) + " JOIN " + q.b.table.name.sql() + " AS t ON " + q.on("t")
	if there := q.present("t"); present && there != "" {
		sql += " WHERE " + newer + " OR true" + there
	}
	return sql
}

// peek returns, for the keys that are there, their place in the arrays, version and shadow.
func (q builder) peek() string {
	return "SELECT u.o, " + version("t") + ", t." + shadowColumn + " FROM " + arrays(len(q.mask), false, true) + " JOIN " + q.b.table.name.sql() + " AS t ON " + q.on("t")
}

// read returns, for the keys that are there, their place in the arrays, version, shadow and the columns of the list. Where the row has no
// place for a shadow it is locked.
func (q builder) read(list string, tab *table) string {
	shadow, lock := "NULL::bytea", " FOR UPDATE OF t"
	if q.b.shadow > 0 {
		shadow, lock = "t."+shadowColumn, ""
	}
	return "SELECT u.o, " + version("t") + ", " + shadow + ", " + list + " FROM " + arrays(len(q.mask), false, true) + " JOIN " + tab.name.sql() + " AS t ON " + q.on("t") + lock
}

// rekey writes the statements that carry a record over. Their parameters are the new key, the old key, the guard. A key
// that only looks changed (1.0, 1) is left alone by all of them.
func (q builder) rekey(k kind) string {
	n := len(q.b.key)
	match := func(alias string, first int) string {
		var eq []string
		for i, c := range q.b.key {
			col := &q.b.cols[c]
			eq = append(eq, fmt.Sprintf("%s.%s = u.c%d::%s", alias, quote(col.name), first+i, col.cast))
		}
		return strings.Join(eq, " AND ")
	}
	var same, set []string
	for i, c := range q.b.key {
		col := &q.b.cols[c]
		same = append(same, fmt.Sprintf("u.c%d::%s = u.c%d::%s", i, col.cast, n+i, col.cast))
		set = append(set, fmt.Sprintf("%s = u.c%d::%s", quote(col.name), i, col.cast))
	}
	table, from := q.b.table.name.sql(), arrays(2*n, q.b.guard, false)
	moved := " AND NOT (" + strings.Join(same, " AND ") + ")"
	switch k {
	case kindDislodge:
		return "DELETE FROM " + table + " AS t USING " + from + " WHERE " + match("t", 0) + q.guarded("t") + moved +
			" AND EXISTS (SELECT FROM " + table + " AS x WHERE " + match("x", n) + q.guarded("x") + ")"
	case kindMove:
		return "UPDATE " + table + " AS t SET " + strings.Join(set, ", ") + " FROM " + from + " WHERE " + match("t", n) + q.guarded("t") + moved +
			" AND NOT EXISTS (SELECT FROM " + table + " AS x WHERE " + match("x", 0) + ")"
	}
	return "DELETE FROM " + table + " AS t USING " + from + " WHERE " + match("t", n) + q.guarded("t") + moved
}

// one writes the change of exactly one row that is equal to the one given. Its parameters are the columns to set, then the
// columns to look for that are not null. Nulls are asked for by IS NULL, so that an index can serve the rest.
func (q builder) one(k kind, nulls []int) string {
	isNull := make(map[int]bool, len(nulls))
	for _, i := range nulls {
		isNull[i] = true
	}
	n := 0
	param := func() string { n++; return fmt.Sprintf("u.c%d", n-1) }
	var set, where []string
	if k == kindReplace {
		for _, c := range q.mask {
			col := &q.b.cols[c]
			set = append(set, quote(col.name)+" = "+param()+"::"+col.cast)
		}
	}
	for c := range q.b.cols {
		col := &q.b.cols[c]
		switch {
		case isNull[c]:
			where = append(where, "x."+quote(col.name)+" IS NULL")
		case col.equal:
			where = append(where, "x."+quote(col.name)+" = "+param()+"::"+col.cast)
		default:
			where = append(where, "x."+quote(col.name)+"::text = "+param())
		}
	}
	if len(where) == 0 {
		where = append(where, "true")
	}
	table := q.b.table.name.sql()
	rows := "(SELECT) AS u"
	if n > 0 {
		rows = arrays(n, false, false)
	}
	found := "WITH u AS MATERIALIZED (SELECT * FROM " + rows + "), one AS MATERIALIZED (SELECT x.tableoid AS part, x.ctid AS place FROM " + table +
		" AS x, u WHERE " + strings.Join(where, " AND ") + " LIMIT 1) "
	at := " t.ctid = one.place AND t.tableoid = one.part"
	switch {
	case k == kindReplace && len(set) == 0:
		return found + "SELECT FROM one"
	case k == kindReplace:
		return found + "UPDATE " + table + " AS t SET " + strings.Join(set, ", ") + " FROM one, u WHERE" + at
	}
	return found + "DELETE FROM " + table + " AS t USING one WHERE" + at
}
