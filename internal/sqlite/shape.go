package sqlite

import (
	"context"
	"errors"
	"slices"
	"strings"

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

// list returns the captured tables in the order of their entities.
func (s *Source) list() (out []captured) {
	for _, e := range s.entities() {
		out = append(out, *s.tables[e])
	}
	return out
}

// loadTables reads the captured tables as they are.
func (s *Source) loadTables(ctx context.Context, q querier) error {
	tables, used := map[string]*captured{}, map[string]string{}
	for _, e := range s.entities() {
		cfg := s.opt.Entities[e]
		name, err := ParseName(cfg.Table)
		if err != nil {
			return err
		}
		t, err := loadTable(ctx, q, name)
		if errors.Is(err, errNoTable) {
			return syncline.Errorf(syncline.Fatal, "object_missing", "%s has no table %s, which %s is captured from", s.path, name, e).
				WithFix("create the table, or correct capture.entities.%s.table", e)
		}
		if err != nil {
			return err
		}
		if other, ok := used[t.name]; ok {
			return syncline.Errorf(syncline.Fatal, "table_captured_twice", "%s and %s are both captured from table %s", other, e, t.name).
				WithFix("capture it once, and let several rules read the entity")
		}
		used[t.name] = e
		c := &captured{entity: e, table: t, key: t.primaryKey()}
		if len(cfg.Key) > 0 {
			c.key = nil
		}
		for _, k := range cfg.Key {
			c.key = append(c.key, index(t.columns, k))
		}
		for _, needed := range slices.Concat(cfg.Key, []string{cfg.Version}) {
			if needed != "" && index(t.columns, needed) < 0 {
				return syncline.Errorf(syncline.Fatal, "column_missing", "table %s has no column %s, which %s needs", t.name, needed, e).
					WithFix("correct capture.entities.%s", e)
			}
		}
		if t.opaque {
			s.log.Warn("unique index on an expression: rows that REPLACE removes because of it are not captured", "system", s.opt.Name, "table", t.name)
		}
		tables[e] = c
	}
	s.tables = tables
	return nil
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
			if strings.EqualFold(c.table.name, sh.table) {
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
		if cfg.Version != "" && strings.EqualFold(c.Name, cfg.Version) {
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
