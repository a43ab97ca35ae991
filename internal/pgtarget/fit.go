package pgtarget

import (
	"context"
	"strings"

	"syncline"
)

// Fit tells what Define would say of the object: its error, or its warnings. It makes and alters nothing and takes no lock that
// somebody waits for.
func Fit(ctx context.Context, o Options, d syncline.Definition) ([]string, error) {
	n, err := parseName(d.Object)
	if err != nil {
		return nil, err
	}
	t, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer t.Close() //nolint:errcheck // it was only read
	f := &definition{t: t, s: t.s, d: d, name: n}
	if err := f.fit(ctx); err != nil {
		return nil, t.failed("look at "+d.Object, err)
	}
	return f.done.Warnings, nil
}

// fit is run on the table as its statements would leave it.
func (f *definition) fit(ctx context.Context) error {
	tab, err := f.plan(ctx)
	if err != nil {
		return err
	}
	if tab == nil {
		return f.mayCreate(ctx)
	}
	if err := f.mayWrite(ctx, tab); err != nil {
		return err
	}
	if f.d.Policy == syncline.SchemaEvolve {
		f.grow(tab)
	}
	_, warnings, err := bind(f.d.Object, tab, f.d.Schema, &f.t.o)
	if err == nil {
		err = checkMarks(ctx, f.s.conn, f.d.Object, tab, f.d.Schema)
	}
	f.done.Warnings = append(f.done.Warnings, warnings...)
	return err
}

// grow gives the table the columns that evolve would add.
func (f *definition) grow(tab *table) {
	names := make([]string, 0, len(f.d.Schema.Columns)+1)
	for i := range f.d.Schema.Columns {
		names = append(names, f.d.Schema.Columns[i].Name)
	}
	if f.t.o.Shadows {
		names = append(names, shadowColumn)
	}
	if f.t.o.Guard {
		names = append(names, guardColumn)
	}
	for _, name := range names {
		if tab.column(name) == nil {
			tab.cols = append(tab.cols, tableColumn{name: name})
		}
	}
}

// mayCreate asks whether there is a schema for the table and whether tables may be made in it.
func (f *definition) mayCreate(ctx context.Context) error {
	schema := f.name.schema
	if schema == "" {
		schema = f.s.schema
	}
	var there, may bool
	err := f.s.conn.QueryRow(ctx, `SELECT n.oid IS NOT NULL, n.oid IS NOT NULL AND has_schema_privilege(n.oid, 'CREATE')
		FROM (VALUES ($1)) v(name) LEFT JOIN pg_namespace n ON n.nspname = v.name`, schema).Scan(&there, &may)
	switch {
	case err != nil:
		return err
	case !there:
		return syncline.Errorf(syncline.Fatal, "schema_missing", "there is no schema %q for %s at the target", schema, f.d.Object).
			WithFix("create the schema at the target")
	case !may:
		return syncline.Errorf(syncline.Fatal, "permission_denied", "the target's user may not create %s", f.d.Object).
			WithFix("GRANT CREATE ON SCHEMA %s TO the user of the URL", quote(schema))
	}
	return nil
}

// mayWrite asks whether the rights on the table suffice for what will be done to it.
func (f *definition) mayWrite(ctx context.Context, tab *table) error {
	var write, empty, alter bool
	err := f.s.conn.QueryRow(ctx, `SELECT has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
			AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'), has_table_privilege(c.oid, 'TRUNCATE'),
			pg_has_role(c.relowner, 'USAGE')
		FROM pg_class c WHERE c.oid = $1`, tab.oid).Scan(&write, &empty, &alter)
	switch {
	case err != nil:
		return err
	case !write:
		return syncline.Errorf(syncline.Fatal, "permission_denied", "the target's user may not read and write %s", f.d.Object).
			WithFix("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON %s TO the user of the URL", tab.name.sql())
	case !empty && f.t.truncates(tab):
		return syncline.Errorf(syncline.Fatal, "permission_denied", "the target's user may not empty %s, which a TRUNCATE at the source will need", f.d.Object).
			WithFix("GRANT TRUNCATE ON %s TO the user of the URL", tab.name.sql())
	case len(f.ddl) > 0 && !alter:
		return syncline.Errorf(syncline.Fatal, "permission_denied", "the target's user may not alter %s, which lacks columns", f.d.Object).
			WithFix("run this as the owner:\n%s", strings.Join(f.ddl, ";\n"))
	}
	return nil
}
