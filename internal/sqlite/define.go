package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"syncline"
)

// typeOf returns the declared type that a column gets: one whose affinity changes no value of the kind. Decimals, unsigned
// integers, dates and times are text, because SQLite's numbers are 64-bit integers and doubles. "" has no affinity at all.
func typeOf(c *syncline.Column) string {
	switch c.Kind {
	case syncline.KindBool:
		return "BOOLEAN"
	case syncline.KindInt:
		return "INTEGER"
	case syncline.KindFloat:
		return "REAL"
	case syncline.KindBytes:
		return "BLOB"
	}
	if c.Type == "ANY" {
		return ""
	}
	return "TEXT"
}

// Define implements syncline.Definer. Columns that are made here can be null, but for the key: SQLite cannot take a NOT
// NULL back when the source does.
func (t *Target) Define(ctx context.Context, d syncline.Definition) (syncline.Defined, error) {
	name, err := parseName(d.Object)
	if err != nil {
		return syncline.Defined{}, err
	}
	if d.Policy == syncline.SchemaHalt && d.Previous != nil && d.Previous.Fingerprint() != d.Schema.Fingerprint() {
		return syncline.Defined{}, syncline.Errorf(syncline.Fatal, "schema_changed", "the schema of %s changed, and the rule says to halt", d.Schema.Entity).
			WithFix("bring %s in line, then `syncline resume ROUTE`", d.Object)
	}
	tab, err := loadTable(ctx, t.conn, name)
	missing := errors.Is(err, errNoTable)
	switch {
	case missing && !d.Create:
		return syncline.Defined{}, objectMissing(d.Object)
	case err != nil && !missing:
		return syncline.Defined{}, err
	}
	var done syncline.Defined
	var ddl []string
	reread := false
	if missing {
		reread = d.Previous != nil // somebody removed it
		ddl, done.Warnings = []string{createTable(name, d.Schema, t.opt.Guard)}, renamed(d.Schema)
	} else if d.Policy == syncline.SchemaEvolve {
		if ddl, reread, err = evolve(tab, d, t.opt.Guard); err != nil {
			return syncline.Defined{}, err
		}
	}
	if reread && d.Reread != nil {
		if err := d.Reread(ctx); err != nil {
			return syncline.Defined{}, err
		}
	}
	delete(t.bindings, d.Object)
	if len(ddl) > 0 {
		if tab, err = t.execute(ctx, name, ddl); err != nil {
			return syncline.Defined{}, err
		}
	}
	b, warnings, err := bind(d.Object, tab, d.Schema, t.opt.Guard)
	if err != nil {
		return syncline.Defined{}, err
	}
	t.keep(b, t.opt.Guard)
	done.Warnings = append(done.Warnings, warnings...)
	for i := range d.Schema.Columns {
		if c := &d.Schema.Columns[i]; c.Generated != "" {
			done.Warnings = append(done.Warnings, fmt.Sprintf("column %q is computed by the source, which does not send it: it is left out", c.Name))
		}
	}
	return done, nil
}

// execute runs DDL in one transaction and returns the table as it is then.
func (t *Target) execute(ctx context.Context, name string, ddl []string) (*table, error) {
	if err := t.forgetStatements(); err != nil {
		return nil, fmt.Errorf("define %s: %w", name, err)
	}
	err := t.transaction(ctx, func(w *writer) error {
		for _, text := range ddl {
			_, err := w.conn.ExecContext(w.ctx, text, nil)
			if err = classify(err, "define %s", name); syncline.CodeOf(err) == "statement_refused" {
				return syncline.Errorf(syncline.Fatal, "statement_refused", "%s: %w", text, err).
					WithFix("remove the index, trigger or view that needs the column, or alter the table by hand; then `syncline resume ROUTE`")
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.log.Info("table defined", "object", name, "statements", len(ddl))
	tab, err := loadTable(ctx, t.conn, name)
	if errors.Is(err, errNoTable) {
		return nil, objectMissing(name)
	}
	return tab, err
}

func createTable(name string, s *syncline.Schema, guard bool) string {
	names := columnNames(s)
	var parts, key []string
	for _, k := range s.Key {
		key = append(key, quote(names[k]))
	}
	number := len(s.Key) == 1 && s.Columns[s.Key[0]].Kind == syncline.KindInt
	for i := range s.Columns {
		if s.Columns[i].Generated != "" {
			continue
		}
		part := strings.TrimSpace(quote(names[i]) + " " + typeOf(&s.Columns[i]))
		switch {
		case number && i == s.Key[0]:
			part += " PRIMARY KEY"
		case slices.Contains(s.Key, i):
			part += " NOT NULL"
		}
		parts = append(parts, part)
	}
	if guard && len(key) > 0 {
		parts = append(parts, guardColumn+" INTEGER")
	}
	if len(key) > 0 && !number {
		parts = append(parts, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	}
	return "CREATE TABLE " + quote(name) + " (" + strings.Join(parts, ", ") + ")"
}

// renamed warns of columns that cannot have their own name.
func renamed(s *syncline.Schema) (warnings []string) {
	for i, n := range columnNames(s) {
		if n != s.Columns[i].Name {
			warnings = append(warnings, fmt.Sprintf("column %q is named %q: sqlite does not tell its name from another one's", s.Columns[i].Name, n))
		}
	}
	return warnings
}

// evolve returns what the table lacks, and whether the records that are there lack a column's value.
func evolve(tab *table, d syncline.Definition, guard bool) (ddl []string, reread bool, err error) {
	s, names := d.Schema, columnNames(d.Schema)
	alter := "ALTER TABLE " + quote(tab.name) + " ADD COLUMN "
	for i := range s.Columns {
		c := &s.Columns[i]
		if c.Generated != "" {
			continue
		}
		at := index(tab.columns, names[i])
		if at < 0 {
			text := strings.TrimSpace(alter + quote(names[i]) + " " + typeOf(c))
			if def := defaultOf(c); def != "" {
				text += " DEFAULT " + def
			} else {
				reread = reread || c.Mark == nil
			}
			ddl = append(ddl, text)
			continue
		}
		reread = reread || d.Regains(c.Name)
		if d.Previous == nil {
			continue
		}
		was := d.Previous.Index(c.Name)
		if was < 0 || widens(&d.Previous.Columns[was], c, tab.columns[at].Type) {
			continue
		}
		become := retype(tab, at, &d.Previous.Columns[was], c)
		if become == nil || slices.Contains(s.Key, i) {
			return nil, false, syncline.Errorf(syncline.Fatal, "schema_retyped", "column %q of %s became %s at the source, which %s does not hold exactly",
				names[i], d.Object, c.Kind, tab.columns[at].Type).WithFix("make the table anew with a fitting column, then `syncline resume ROUTE`")
		}
		ddl = append(ddl, become...)
	}
	if guard && len(s.Key) > 0 && index(tab.columns, guardColumn) < 0 {
		ddl = append(ddl, alter+guardColumn+" INTEGER")
	}
	return ddl, reread, nil
}

// widens reports whether a column of this declared type, which held the kind of was, holds the kind of is.
func widens(was, is *syncline.Column, decl string) bool {
	switch {
	case typeOf(was) == typeOf(is), decl == "", typeOf(is) == strings.ToUpper(decl):
		return true
	case was.Kind == syncline.KindBool:
		return is.Kind == syncline.KindInt
	case was.Kind == syncline.KindInt:
		return is.Kind == syncline.KindFloat
	}
	return false
}

// retype returns what turns a column into text that says the same, nil where it is none of ours or some value of it would not come
// out as the source writes it. SQLite alters no type: another column takes the values over, and then the name. That is refused where
// an index, a trigger or a view needs the old one.
func retype(tab *table, at int, was, is *syncline.Column) []string {
	c := &tab.columns[at]
	if strings.ToUpper(c.Type) != typeOf(was) || c.Key > 0 || c.NotNull || c.Default != "" || c.generated {
		return nil
	}
	old := quote(c.Name)
	value := "CAST(" + old + " AS TEXT)"
	switch {
	case was.Kind == syncline.KindInt && (is.Kind == syncline.KindDecimal || is.Kind == syncline.KindText):
	case was.Kind == syncline.KindBool && is.Kind == syncline.KindText:
		value = "CASE " + old + " WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE " + value + " END"
	default:
		return nil
	}
	alter := "ALTER TABLE " + quote(tab.name) + " "
	return []string{
		alter + "ADD COLUMN " + retypedColumn + " TEXT",
		"UPDATE " + quote(tab.name) + " SET " + retypedColumn + " = " + value,
		alter + "DROP COLUMN " + old,
		alter + "RENAME COLUMN " + retypedColumn + " TO " + old,
	}
}

// retypedColumn holds a column's values inside the transaction that gives it another type.
const retypedColumn = "_syncline_retyped"
