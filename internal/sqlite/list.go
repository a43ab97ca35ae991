package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"

	"syncline"
)

var _ syncline.Lister = (*Source)(nil)

// listing is what a source that is not opened has for List.
type listing struct {
	db   *sql.DB
	path string
}

func (s *Source) lister(ctx context.Context) (*listing, error) {
	if s.listing != nil {
		return s.listing, nil
	}
	path, err := Path(s.opt.URL)
	if err != nil {
		return nil, err
	}
	db, err := openFile(ctx, path, false, 1)
	if err != nil {
		return nil, err
	}
	s.listing = &listing{db: db, path: path}
	return s.listing, nil
}

// listed returns the entity's table as it is now, and how its rows are read.
func (s *Source) listed(ctx context.Context, q querier, entity string) (*table, *layout, error) {
	if _, here := s.opt.Entities[entity]; !here {
		return nil, nil, syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s", s.opt.Name, entity)
	}
	c, err := s.loadEntity(ctx, q, entity)
	if err != nil {
		return nil, nil, err
	}
	l := &layout{entity: entity, schema: s.schema(entity, c.table.name, c.table.columns)}
	for _, column := range c.table.columns {
		l.types = append(l.types, declared(column.Type))
	}
	return c.table, l, nil
}

// List implements syncline.Lister, in the order of the rows' numbers or of the primary key. Rows that VACUUM gives other numbers between
// two listings can be missed.
func (s *Source) List(ctx context.Context, q syncline.Listing, each func(syncline.Row) error) (next string, err error) {
	l, err := s.lister(ctx)
	if err != nil {
		return "", err
	}
	t, lay, err := s.listed(ctx, l.db, q.Entity)
	if err != nil {
		return "", err
	}
	order := []string{t.rowid}
	if t.rowid == "" {
		order = nil
		for _, k := range t.primaryKey() {
			order = append(order, quote(t.columns[k].Name))
		}
	}
	columns := plain(order) + ", " + plain(t.names())
	give := func(stored []any) error {
		var size int
		return each(syncline.Row{Schema: lay.schema, Values: lay.row(stored[len(order):], &size)})
	}
	from := "SELECT " + columns + " FROM " + quote(t.name)
	switch {
	case q.Keys != nil:
		return "", l.keys(ctx, lay, from, len(order), q.Keys, give)
	case q.Sample:
		return "", l.each(ctx, from+" ORDER BY random() LIMIT ?", []any{q.Limit}, len(order)+len(lay.types), give)
	}
	var args []any
	if q.After != "" {
		var after []string
		if err := json.Unmarshal([]byte(q.After), &after); err != nil || len(after) != len(order) {
			return "", syncline.Errorf(syncline.Rejected, "listing_invalid", "a listing of %s cannot go on: its table has another key by now", q.Entity).
				WithFix("begin again")
		}
		from += " WHERE (" + strings.Join(order, ", ") + ") > (" + placeholders(len(order)) + ")"
		for _, a := range after {
			args = append(args, decodeStored(a))
		}
	}
	limit := q.Limit
	if limit == 0 {
		limit = -1
	}
	rows, last := 0, make([]string, len(order))
	err = l.each(ctx, from+" ORDER BY "+strings.Join(order, ", ")+" LIMIT ?", append(args, limit), len(order)+len(lay.types), func(stored []any) error {
		if rows++; rows == q.Limit {
			for i := range order {
				last[i] = encodeStored(stored[i])
			}
		}
		return give(stored)
	})
	if err != nil || rows < q.Limit || q.Limit == 0 {
		return "", err
	}
	text, err := json.Marshal(last)
	return string(text), err
}

// keys lists the records that have one of the keys, in whatever form they are stored.
func (l *listing) keys(ctx context.Context, lay *layout, from string, lead int, keys []syncline.Key, give func([]any) error) error {
	wanted := make(map[syncline.Key]bool)
	for _, k := range keys {
		sp, ok := lay.spell(k)
		if !ok {
			continue
		}
		where, args, ok := lay.lookup(sp.texts)
		if !ok {
			wanted[sp.key] = true
			continue
		}
		if err := l.each(ctx, from+where, args, lead+len(lay.types), give); err != nil {
			return err
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return l.each(ctx, from, nil, lead+len(lay.types), func(stored []any) error {
		var size int
		if key, ok := (syncline.Row{Schema: lay.schema, Values: lay.row(stored[lead:], &size)}).Key(); !ok || !wanted[key] {
			return nil
		}
		return give(stored)
	})
}

// each calls f with the stored values of each row. f must not keep the slice; its own error is passed on as it is.
func (l *listing) each(ctx context.Context, query string, args []any, width int, f func(stored []any) error) error {
	rows, err := l.db.QueryContext(ctx, query, args...)
	if err != nil {
		return classify(err, "list a table of %s", l.path)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	stored, into := make([]any, width), make([]any, width)
	for i := range stored {
		into[i] = &stored[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return classify(err, "list a table of %s", l.path)
		}
		if err := f(stored); err != nil {
			return err
		}
	}
	return classify(rows.Err(), "list a table of %s", l.path)
}

// Estimate implements syncline.Lister. SQLite keeps no estimate, and the numbers of rows may be far apart: they are counted, as for Size.
func (s *Source) Estimate(ctx context.Context, entity string) (int64, error) {
	return s.Size(ctx, entity)
}
