package pgtarget

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"syncline"
)

// Define makes the table fit the schema, as far as the policy allows.
func (t *Target) Define(ctx context.Context, d syncline.Definition) (syncline.Defined, error) {
	n, err := parseName(d.Object)
	if err != nil {
		return syncline.Defined{}, err
	}
	if d.Policy == syncline.SchemaHalt && d.Previous != nil && d.Previous.Fingerprint() != d.Schema.Fingerprint() {
		return syncline.Defined{}, syncline.Errorf(syncline.Fatal, "schema_changed", "the schema of %s changed, and the rule says to halt", d.Schema.Entity).
			WithFix("bring %s in line, then `syncline resume ROUTE`", d.Object)
	}
	s, err := t.session(ctx)
	if err != nil {
		return syncline.Defined{}, err
	}
	delete(t.objects, d.Object)
	def := &definition{t: t, s: s, d: d, name: n}
	if err := def.run(ctx); err != nil {
		return syncline.Defined{}, t.failed("define "+d.Object, err)
	}
	return def.done, nil
}

// definition is one Define.
type definition struct {
	t    *Target
	s    *session
	d    syncline.Definition
	name name
	done syncline.Defined
	ddl  []string
	// reread: records that are there lack a column's value.
	reread bool
}

// plan looks at the table, nil where there is none, and collects what it lacks.
func (f *definition) plan(ctx context.Context) (*table, error) {
	tab, err := describe(ctx, f.s.conn, f.name)
	switch {
	case err != nil:
		return nil, err
	case tab == nil && !f.d.Create:
		return nil, objectMissing(f.d.Object)
	case tab == nil:
		f.reread = f.d.Previous != nil // somebody removed it
		err = f.create(ctx)
	case f.d.Policy == syncline.SchemaEvolve:
		err = f.evolve(ctx, tab)
	}
	return tab, err
}

func (f *definition) run(ctx context.Context) error {
	tab, err := f.plan(ctx)
	if err != nil {
		return err
	}
	if f.reread && f.d.Reread != nil {
		if err := f.d.Reread(ctx); err != nil {
			return err
		}
	}
	if tab == nil || len(f.ddl) > 0 {
		if err := f.execute(ctx); err != nil {
			return err
		}
		if tab, err = describe(ctx, f.s.conn, f.name); err != nil {
			return err
		}
		if tab == nil {
			return objectMissing(f.d.Object)
		}
	}
	b, warnings, err := bind(f.d.Object, tab, f.d.Schema, &f.t.o)
	if err != nil {
		return err
	}
	if err := checkMarks(ctx, f.s.conn, f.d.Object, tab, f.d.Schema); err != nil {
		return err
	}
	f.done.Warnings = append(f.done.Warnings, warnings...)
	f.t.objects[f.d.Object] = &object{table: tab, bound: map[uint64]*binding{f.d.Schema.Fingerprint(): b}}
	return nil
}

// execute runs the collected DDL in one transaction that does not wait long for locks: while it waits, nobody else can use
// the table.
func (f *definition) execute(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, f.s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '5s'"); err != nil {
			return err
		}
		for _, sql := range f.ddl {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err == nil:
		f.t.log.Info("table defined", "object", f.d.Object, "statements", len(f.ddl))
		return nil
	case isCode(err, "42P07"): // somebody made it in between: it is looked at anew
		return syncline.Errorf(syncline.Transient, "object_exists", "define %s: the table appeared meanwhile", f.d.Object)
	}
	classified := classify("define "+f.d.Object, err)
	var e *syncline.Error
	if errors.As(classified, &e) && e.Class == syncline.Fatal {
		return e.WithFix("run this as the owner, then `syncline resume ROUTE`:\n%s", strings.Join(f.ddl, ";\n"))
	}
	return classified
}

// create writes the CREATE TABLE: columns, NOT NULL, primary key, generated columns, guard; nothing else.
func (f *definition) create(ctx context.Context) error {
	s := f.d.Schema
	inKey := map[int]bool{}
	for _, k := range s.Key {
		inKey[k] = true
	}
	var parts, comments []string
	for i := range s.Columns {
		c := &s.Columns[i]
		part, err := f.column(ctx, c, !c.Nullable || inKey[i])
		if err != nil {
			return err
		}
		parts = append(parts, part)
		if !c.Nullable && !inKey[i] && f.t.o.generated(c) == "" {
			comments = append(comments, required(f.name, c))
		}
	}
	if f.t.o.Shadows && len(s.Key) > 0 {
		parts = append(parts, shadowColumn+" bytea")
	}
	if f.t.o.Guard && len(s.Key) > 0 {
		parts = append(parts, guardColumn+" bigint")
	}
	if len(s.Key) > 0 {
		parts = append(parts, "PRIMARY KEY ("+quoteAll(s.KeyNames())+")")
	}
	f.ddl = append(f.ddl, "CREATE TABLE "+f.name.sql()+" (\n\t"+strings.Join(parts, ",\n\t")+"\n)")
	f.ddl = append(f.ddl, comments...)
	return nil
}

// required notes at a column that it is NOT NULL only because the source's is.
func required(table name, c *syncline.Column) string {
	return "COMMENT ON COLUMN " + table.sql() + "." + quote(c.Name) + " IS '" + requiredComment + "'"
}

// column writes the definition of a column.
func (f *definition) column(ctx context.Context, c *syncline.Column, notNull bool) (string, error) {
	typ, known, err := f.t.columnType(ctx, f.s.conn, c)
	if err != nil {
		return "", err
	}
	if len(c.Name) > maxIdentifier {
		return "", syncline.Errorf(syncline.Fatal, "identifier_invalid", "column %q of %s is longer than 63 bytes", c.Name, f.d.Object).
			WithFix("rename it in the rule's transform")
	}
	if !known {
		f.done.Warnings = append(f.done.Warnings, fmt.Sprintf("column %q of %s is %s at the source, which the target does not know: it is made as %s",
			c.Name, f.d.Object, c.Type, typ))
	}
	sql := quote(c.Name) + " " + typ
	if e := f.t.o.generated(c); e != "" {
		sql += " GENERATED ALWAYS AS (" + e + ") STORED"
	}
	if notNull {
		sql += " NOT NULL"
	}
	return sql, nil
}

// evolve collects what the table lacks.
func (f *definition) evolve(ctx context.Context, tab *table) error {
	s := f.d.Schema
	alter := "ALTER TABLE " + tab.name.sql() + " "
	for i := range s.Columns {
		c := &s.Columns[i]
		if tc := tab.column(c.Name); tc != nil {
			if err := f.retype(ctx, alter, c, tc); err != nil {
				return err
			}
			f.reread = f.reread || !tc.gen && f.d.Regains(c.Name)
			continue
		}
		constant, err := f.defaultOf(ctx, c)
		if err != nil {
			return err
		}
		filled := constant != "" || f.t.o.generated(c) != ""
		// Rows that are there have no value yet, so the column can refuse null only where they get one.
		sql, err := f.column(ctx, c, filled && !c.Nullable)
		if err != nil {
			return err
		}
		switch {
		case f.t.o.generated(c) != "":
			f.ddl = append(f.ddl, alter+"ADD COLUMN "+sql)
		case constant != "":
			f.ddl = append(f.ddl, alter+"ADD COLUMN "+sql+" DEFAULT "+constant, alter+"ALTER COLUMN "+quote(c.Name)+" DROP DEFAULT")
			if !c.Nullable {
				f.ddl = append(f.ddl, required(tab.name, c))
			}
		default:
			f.ddl = append(f.ddl, alter+"ADD COLUMN "+sql)
			f.reread = f.reread || c.Mark == nil
		}
	}
	if f.t.o.Shadows && len(s.Key) > 0 && tab.column(shadowColumn) == nil {
		f.ddl = append(f.ddl, alter+"ADD COLUMN "+shadowColumn+" bytea")
	}
	if f.t.o.Guard && len(s.Key) > 0 && tab.column(guardColumn) == nil {
		f.ddl = append(f.ddl, alter+"ADD COLUMN "+guardColumn+" bigint")
	}
	for i := range tab.cols {
		if tc := &tab.cols[i]; tc.notNull && !tc.hasValue && f.outgrown(tc) {
			f.allowNull(alter, tc)
		}
	}
	return nil
}

// outgrown reports whether the source no longer has what makes a column NOT NULL here: a dropped column stays, and new rows have nothing for
// it. A column that somebody else made so is left alone, unless it was the source's.
func (f *definition) outgrown(tc *tableColumn) bool {
	at := f.d.Schema.Index(tc.name)
	if at < 0 {
		return tc.ours || f.d.Previous != nil && f.d.Previous.Index(tc.name) >= 0
	}
	return tc.ours && f.d.Schema.Columns[at].Nullable && !f.inKey(tc.name)
}

func (f *definition) allowNull(alter string, tc *tableColumn) {
	f.ddl = append(f.ddl, alter+"ALTER COLUMN "+quote(tc.name)+" DROP NOT NULL")
	tc.notNull = false
}

// defaultOf returns the value of a new column in rows that are older than it, "" = not known. A type that does not exist here can
// stand behind a constant no more than it can be the column's.
func (f *definition) defaultOf(ctx context.Context, c *syncline.Column) (string, error) {
	constant := f.t.o.defaultOf(c)
	if constant == "" || !f.t.o.PostgresSource {
		return constant, nil
	}
	_, known, err := f.t.columnType(ctx, f.s.conn, c)
	if at := strings.LastIndex(constant, "'::"); !known && at >= 0 {
		constant = constant[:at+1]
	}
	return constant, err
}

// retype follows a column whose type or nullability changed at the source. A table that never had the source's type, because
// somebody made it so, is left alone while the source's type stays.
func (f *definition) retype(ctx context.Context, alter string, c *syncline.Column, tc *tableColumn) error {
	if f.d.Previous == nil || tc.gen {
		return nil
	}
	at := f.d.Previous.Index(c.Name)
	if at < 0 {
		return nil
	}
	was := &f.d.Previous.Columns[at]
	if c.Nullable && !was.Nullable && tc.notNull && !f.inKey(c.Name) {
		f.allowNull(alter, tc)
	}
	if was.Type == c.Type && was.Kind == c.Kind && was.Elem == c.Elem {
		return nil
	}
	typ, _, err := f.t.columnType(ctx, f.s.conn, c)
	if err != nil {
		return err
	}
	before, _, err := f.t.columnType(ctx, f.s.conn, was)
	if err != nil {
		return err
	}
	var same bool
	if err := f.s.conn.QueryRow(ctx, "SELECT to_regtype($1) = to_regtype($2)", typ, tc.typ).Scan(&same); err != nil {
		return err
	}
	sql := alter + "ALTER COLUMN " + quote(c.Name) + " TYPE " + typ + " USING " + quote(c.Name) + "::" + typ
	switch {
	case tc.typ == typ:
		return nil
	case (same || widens(before, typ)) && widens(typ, tc.typ):
		return nil // the table has room for it as it is
	case widens(tc.typ, typ):
		f.ddl = append(f.ddl, sql)
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "schema_retyped", "column %q of %s became %s at the source, which not every value of %s fits",
		c.Name, f.d.Object, typ, tc.typ).WithFix("alter it by hand, then `syncline resume ROUTE`: %s", sql)
}

func (f *definition) inKey(column string) bool {
	for _, k := range f.d.Schema.KeyNames() {
		if k == column {
			return true
		}
	}
	return false
}
