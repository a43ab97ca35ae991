package sqlite

import (
	"context"
	"errors"
	"slices"

	"syncline"
)

// layout is how the changes of one shape are read.
type layout struct {
	shape *shape
	// entity is "" for a table that is not captured any more.
	entity string
	schema *syncline.Schema
	types  []colType
}

// loadTables reads the captured tables as they are.
func (s *Source) loadTables(ctx context.Context, q querier) (map[string]*captured, error) {
	tables, used := map[string]*captured{}, map[string]string{}
	for _, e := range s.entities() {
		c, err := s.loadEntity(ctx, q, e)
		if err != nil {
			return nil, err
		}
		if other, ok := used[c.table.name]; ok {
			return nil, syncline.Errorf(syncline.Fatal, "table_captured_twice", "%s and %s are both captured from table %s", other, e, c.table.name).
				WithFix("capture it once, and let several rules read the entity")
		}
		used[c.table.name], tables[e] = e, c
	}
	return tables, nil
}

func (s *Source) loadEntity(ctx context.Context, q querier, e string) (*captured, error) {
	cfg := s.opt.Entities[e]
	name, err := parseName(cfg.Table)
	if err != nil {
		return nil, err
	}
	t, err := loadTable(ctx, q, name)
	if errors.Is(err, errNoTable) {
		return nil, syncline.Errorf(syncline.Fatal, "object_missing", "the database has no table %s, which %s is captured from", name, e).
			WithFix("create the table, or correct capture.entities.%s.table", e)
	}
	if err != nil {
		return nil, err
	}
	c := &captured{entity: e, table: t, key: t.primaryKey()}
	if len(cfg.Key) > 0 {
		c.key = nil
	}
	for _, k := range cfg.Key {
		c.key = append(c.key, index(t.columns, k))
	}
	for _, needed := range slices.Concat(cfg.Key, []string{cfg.Version}) {
		if needed != "" && index(t.columns, needed) < 0 {
			return nil, syncline.Errorf(syncline.Fatal, "column_missing", "table %s has no column %s, which %s needs", t.name, needed, e).
				WithFix("correct capture.entities.%s", e)
		}
	}
	return c, nil
}

// loadLayouts makes the layouts of all shapes.
func (s *Source) loadLayouts(ctx context.Context, q querier) error {
	shapes, err := loadShapes(ctx, q)
	if err != nil {
		return err
	}
	layouts, current := make(map[int64]*layout, len(shapes)), map[string]*layout{}
	for id, sh := range shapes {
		if s.layouts[id] != nil {
			layouts[id] = s.layouts[id] // a schema in use is never changed
			continue
		}
		l := &layout{shape: sh}
		for _, c := range sh.columns {
			l.types = append(l.types, declared(c.Type))
		}
		for e, c := range s.tables {
			if fold(c.table.name) == fold(sh.table) {
				l.entity = e
				l.schema = s.schema(e, sh.table, sh.columns)
			}
		}
		layouts[id] = l
	}
	for id, l := range layouts {
		if old := current[l.entity]; l.entity != "" && (old == nil || old.shape.id < id) {
			current[l.entity] = l
		}
	}
	s.layouts, s.current = layouts, current
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keyParts = make(map[string]int, len(current))
	for e, l := range current {
		s.keyParts[e] = len(l.schema.Key)
	}
	return nil
}

// schema describes rows of these columns.
func (s *Source) schema(entity, table string, columns []column) *syncline.Schema {
	cfg := s.opt.Entities[entity]
	out := &syncline.Schema{Entity: entity, Table: table, Version: -1, Key: keyOf(columns)}
	for i, c := range columns {
		typ := c.Type
		if typ == "" {
			typ = "ANY"
		}
		out.Columns = append(out.Columns, syncline.Column{Name: c.Name, Kind: declared(c.Type).kind, Type: typ,
			Nullable: !c.NotNull, Default: c.Default})
		if cfg.Version != "" && fold(c.Name) == fold(cfg.Version) {
			out.Version = i
		}
	}
	if len(cfg.Key) > 0 {
		out.Key = nil
		for _, k := range cfg.Key {
			if i := index(columns, k); i >= 0 {
				out.Key = append(out.Key, i)
			}
		}
	}
	return out
}
