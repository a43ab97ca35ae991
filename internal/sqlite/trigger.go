package sqlite

import (
	"fmt"
	"strings"
)

func triggerName(table, suffix string) string { return "_syncline_" + table + suffix }

// triggers returns the triggers that capture the table, by name. They write the values as they are stored; their text
// depends on nothing but the table's shape, so that it can be compared.
//
// REPLACE removes the rows that stand in its way without firing a delete trigger, unless the application has switched
// recursive_triggers on. So before an insert or update the rows that are equal to the new one in something unique are put
// aside, and after it those that are gone are written as deleted. A superset does no harm: what was put aside and is still
// there is forgotten.
func (t *table) triggers(shape int64) map[string]string {
	n := len(t.columns)
	name := quote(t.name)
	change := func(op int, columns, values string) string {
		return fmt.Sprintf("INSERT INTO _syncline_changes (shape, op, at, %s) VALUES (%d, %d, %s, %s)", columns, shape, op, now, values)
	}
	clear := fmt.Sprintf("DELETE FROM _syncline_replaced WHERE shape = %d", shape)
	// One SELECT for each unique index: with OR between them, SQLite reads the whole table inside a trigger.
	aside := func(and string) string {
		var selects []string
		for _, equal := range t.collides() {
			selects = append(selects, fmt.Sprintf("SELECT %d, %s, %s FROM %s t WHERE %s%s", shape, t.number("t."), t.each("t."), name, equal, and))
		}
		return fmt.Sprintf("INSERT INTO _syncline_replaced (shape, row, %s) %s", slots(0, n), strings.Join(selects, " UNION "))
	}
	// replaced writes what was put aside and is gone; kept is true of a row that the statement itself turned into the new one.
	replaced := func(kept string) string {
		return fmt.Sprintf("INSERT INTO _syncline_changes (shape, op, at, %s) SELECT r.shape, %d, %s, %s FROM _syncline_replaced r WHERE r.shape = %d AND (NOT EXISTS (SELECT 1 FROM %s t WHERE %s) OR (%s AND NOT (%s)))",
			slots(0, n), opDelete, now, slots(0, n), shape, name, t.isAside("t.", "r."), t.isAside("NEW.", "r."), kept)
	}
	out := map[string]string{}
	trigger := func(suffix, when string, body ...string) {
		out[triggerName(t.name, suffix)] = fmt.Sprintf("CREATE TRIGGER %s %s ON %s BEGIN %s; END",
			quote(triggerName(t.name, suffix)), when, name, strings.Join(body, "; "))
	}
	trigger("_before_insert", "BEFORE INSERT", clear, aside(""))
	trigger("_insert", "AFTER INSERT", replaced("0"), clear, change(opInsert, slots(n, n), t.each("NEW.")))
	trigger("_before_update", "BEFORE UPDATE", clear, aside(" AND NOT ("+t.isRow("t.", "OLD.")+")"))
	trigger("_update", "AFTER UPDATE", replaced(t.isAside("OLD.", "r.")), clear, change(opUpdate, slots(0, 2*n), t.each("OLD.")+", "+t.each("NEW.")))
	trigger("_delete", "AFTER DELETE",
		clear+" AND "+t.isAside("OLD.", ""),
		change(opDelete, slots(0, n), t.each("OLD.")))
	return out
}

// each lists the columns of the row.
func (t *table) each(row string) string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = row + quote(c.Name)
	}
	return strings.Join(names, ", ")
}

// number is what tells rows apart beside their values: the row's number, null for a table WITHOUT ROWID.
func (t *table) number(row string) string {
	if t.rowid == "" {
		return "NULL"
	}
	return row + t.rowid
}

// isAside compares a row with one that was put aside.
func (t *table) isAside(row, aside string) string {
	if t.rowid != "" {
		return row + t.rowid + " = " + aside + "row"
	}
	var parts []string
	for _, k := range t.primaryKey() {
		parts = append(parts, fmt.Sprintf("%s%s = %sv%d", row, quote(t.columns[k].Name), aside, k))
	}
	return strings.Join(parts, " AND ")
}

// isRow reports whether two rows of the table are the same one.
func (t *table) isRow(a, b string) string {
	if t.rowid != "" {
		return a + t.rowid + " = " + b + t.rowid
	}
	var parts []string
	for _, k := range t.primaryKey() {
		parts = append(parts, a+quote(t.columns[k].Name)+" = "+b+quote(t.columns[k].Name))
	}
	return strings.Join(parts, " AND ")
}

// collides lists conditions that are true of the rows t that are equal to NEW in something unique. The conditions of
// partial indexes are left out.
func (t *table) collides() (any []string) {
	if t.rowid != "" {
		any = append(any, t.isRow("t.", "NEW."))
	}
	for _, u := range t.uniques {
		var all []string
		for i, c := range u.columns {
			all = append(all, fmt.Sprintf("t.%s = NEW.%s COLLATE %s", quote(c), quote(c), quote(u.collations[i])))
		}
		any = append(any, strings.Join(all, " AND "))
	}
	return any
}
