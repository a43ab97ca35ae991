package state

import (
	"context"
	"database/sql"

	"syncline"
)

// RuleSchema is what the object of a rule was last made to fit.
type RuleSchema struct {
	// Rule writes Object.
	Rule, Object string
	// Source is the schema of the rows that the rule read, Made that of the records that it made of them.
	Source, Made *syncline.Schema
}

// Schemas returns what is known of the slice's rules, by their ids.
func (s *Store) Schemas(ctx context.Context, sl Slice) (map[string]RuleSchema, error) {
	all := map[string]RuleSchema{}
	err := s.read(ctx, "read schemas of "+sl.String(), func(rows *sql.Rows) error {
		var r RuleSchema
		var source, made []byte
		if err := rows.Scan(&r.Rule, &r.Object, &source, &made); err != nil {
			return err
		}
		var err error
		if r.Source, err = syncline.DecodeSchema(source); err != nil {
			return corrupt(err)
		}
		if r.Made, err = syncline.DecodeSchema(made); err != nil {
			return corrupt(err)
		}
		all[r.Rule] = r
		return nil
	}, sqlSchemas, sl.Route, sl.Slice)
	return all, err
}

// SaveSchema takes note that the rule's object fits r from where the slice stands: a Rewind to before that forgets it, because the
// target is then what it was before. The slice must have nothing in flight.
func (s *Store) SaveSchema(ctx context.Context, sl Slice, r RuleSchema) error {
	return s.write(ctx, "save schema of rule "+r.Rule, func(ctx context.Context, w *writer) error {
		at, err := w.route(ctx, sl)
		if err != nil {
			return err
		}
		if !at.Known {
			return routeUnknown(sl)
		}
		_, err = w.exec(ctx, sqlSaveSchema, sl.Route, sl.Slice, r.Rule, r.Object, syncline.AppendSchema(nil, r.Source),
			syncline.AppendSchema(nil, r.Made), int64(at.Cursor.Seq), at.Cursor.Index)
		return err
	})
}
