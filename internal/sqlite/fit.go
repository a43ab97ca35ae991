package sqlite

import (
	"context"
	"errors"
	"os"

	"syncline"
)

// Fit tells what Define would say of the object: its error, or its warnings. It makes and alters nothing, the database included.
func Fit(ctx context.Context, o TargetOptions, d syncline.Definition) ([]string, error) {
	name, err := parseName(d.Object)
	if err != nil {
		return nil, err
	}
	path, err := Path(o.URL)
	if err != nil {
		return nil, err
	}
	tab, err := lookAt(ctx, path, name)
	switch {
	case errors.Is(err, errNoTable) && d.Create:
		return renamed(d.Schema), nil
	case errors.Is(err, errNoTable):
		return nil, objectMissing(d.Object)
	case err != nil:
		return nil, err
	}
	if d.Policy == syncline.SchemaEvolve {
		if _, _, err := evolve(tab, d, o.Guard); err != nil {
			return nil, err
		}
		tab.grow(d.Schema, o.Guard)
	}
	_, warnings, err := bind(d.Object, tab, d.Schema, o.Guard)
	return warnings, err
}

// lookAt reads the table; errNoTable also where there is no database yet.
func lookAt(ctx context.Context, path, name string) (*table, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, errNoTable
	}
	db, err := openFile(ctx, path, false, 1)
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // it was only read
	return loadTable(ctx, db, name)
}

// grow gives the table the columns that evolve would add.
func (t *table) grow(s *syncline.Schema, guard bool) {
	names := columnNames(s)
	if guard {
		names = append(names, guardColumn)
	}
	for _, name := range names {
		if index(t.columns, name) < 0 {
			t.columns = append(t.columns, column{Name: name})
		}
	}
}
