package sqlite

import (
	"context"
	"errors"

	"syncline"
)

// mostCounted bounds the rows that are counted for Size.
const mostCounted = 1_000_000

// Size implements syncline.Sizer. It counts up to mostCounted rows.
func (s *Source) Size(ctx context.Context, entity string) (n int64, err error) {
	err = s.beside(ctx, entity, func(reader *Source, c *captured) error {
		query := "SELECT count(*) FROM (SELECT 1 FROM " + quote(c.table.name) + " LIMIT ?)"
		if err := reader.reader.QueryRowContext(ctx, query, mostCounted+1).Scan(&n); err != nil {
			return classify(err, "count the rows of %s", entity)
		}
		if n > mostCounted {
			n = -1
		}
		return nil
	})
	return n, err
}

// Keys implements syncline.KeyLister.
func (s *Source) Keys(ctx context.Context, entity string, each func(syncline.Key) error) error {
	return s.beside(ctx, entity, func(reader *Source, c *captured) error {
		schema := reader.schema(entity, c.table.name, c.table.columns)
		if len(schema.Key) == 0 {
			return syncline.Errorf(syncline.Rejected, "entity_without_key", "the records of %s have no key to be told apart by", entity)
		}
		names, types := make([]string, len(schema.Key)), make([]colType, len(schema.Key))
		for i, at := range schema.Key {
			names[i], types[i] = quote(schema.Columns[at].Name), declared(c.table.columns[at].Type)
		}
		row := syncline.Row{Schema: schema, Values: make([]syncline.Value, len(schema.Columns))}
		var failed error
		err := reader.each(ctx, "SELECT "+plain(names)+" FROM "+quote(c.table.name), nil, len(names), func(stored []any) bool {
			for i, at := range schema.Key {
				row.Values[at] = types[i].read(stored[i])
			}
			if k, ok := row.Key(); ok {
				failed = each(k)
			}
			return failed == nil
		})
		return errors.Join(failed, err)
	})
}

// beside calls read with a connection to the entity's table of its own.
func (s *Source) beside(ctx context.Context, entity string, read func(*Source, *captured) error) (err error) {
	reader := &Source{opt: s.opt, log: s.log}
	if reader.path, err = Path(s.opt.URL); err != nil {
		return err
	}
	if reader.db, err = openFile(ctx, reader.path, false, 1); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	if reader.reader, err = reader.db.Conn(ctx); err != nil {
		return classify(err, "connect to %s", reader.path)
	}
	c, err := reader.loadEntity(ctx, reader.reader, entity)
	if err != nil {
		return err
	}
	return read(reader, c)
}
