package pgsource

import (
	"context"
	"slices"
	"time"

	"syncline"
	"syncline/internal/pgoutput"
)

const (
	// mostCounted bounds the rows that Size counts; a larger table has the planner's estimate.
	mostCounted = 100_000
	// countTime bounds the counting: rows that nobody has vacuumed away are counted, too.
	countTime = time.Second
)

// Size implements syncline.Sizer. A table that was never analyzed, or is small by its estimate, is counted.
func (s *Source) Size(ctx context.Context, entity string) (int64, error) {
	probe, t, err := s.beside(ctx, entity)
	defer func() { hangUp(probe.sql) }()
	if err != nil {
		return 0, err
	}
	estimate, err := probe.estimate(ctx, t)
	if err != nil {
		return 0, err
	}
	if estimate > mostCounted {
		return estimate, nil
	}
	counting, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	var n int64
	err = probe.sql.QueryRow(counting, "SELECT count(*) FROM (SELECT FROM "+t.sqlName()+" LIMIT $1) rows", mostCounted+1).Scan(&n)
	switch {
	case counting.Err() != nil && ctx.Err() == nil, err == nil && n > mostCounted:
		if estimate <= 0 {
			estimate = -1
		}
		return estimate, nil
	case err != nil:
		return 0, s.fault("count the rows of "+t.String(), err)
	}
	return n, nil
}

// estimate is about how many rows the table has, as the planner sees it: how many a block had when it was last analysed, and how many blocks
// there are now. Negative where nobody has analysed it.
func (s *Source) estimate(ctx context.Context, t *table) (int64, error) {
	var about float64
	err := s.sql.QueryRow(ctx, `SELECT coalesce(sum(CASE WHEN c.reltuples < 0 THEN -1 WHEN c.relpages = 0 THEN c.reltuples
			ELSE c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::int) END), -1)
		FROM pg_class c WHERE c.relkind = 'r' AND (c.oid = $1 OR $2 AND c.oid IN (SELECT relid FROM pg_partition_tree($1) WHERE isleaf))`,
		t.oid, t.partitioned).Scan(&about)
	if err != nil {
		return 0, s.tableFault("estimate the rows of", t, err)
	}
	return int64(about), nil
}

// Keys implements syncline.KeyLister.
func (s *Source) Keys(ctx context.Context, entity string, each func(syncline.Key) error) error {
	probe, t, err := s.beside(ctx, entity)
	defer func() { hangUp(probe.sql) }()
	if err != nil {
		return err
	}
	schema, _, err := probe.shape(ctx, t, nil)
	if err != nil {
		return err
	}
	if len(schema.Key) == 0 {
		return syncline.Errorf(syncline.Rejected, "entity_without_key", "the records of %s have no key to be told apart by", entity)
	}
	columns := make([]pgoutput.Column, len(schema.Key))
	for i, at := range schema.Key {
		columns[i] = pgoutput.Column{Index: at, Kind: schema.Columns[at].Kind}
	}
	layout := pgoutput.NewLayout(columns, len(schema.Columns), nil)
	err = readRows(ctx, probe.sql.PgConn(), "SELECT "+keyColumns(schema)+" FROM "+t.sqlName(), layout, func(row []syncline.Value, _ int) error {
		if k, ok := (syncline.Row{Schema: schema, Values: row}).Key(); ok {
			return each(k)
		}
		return nil
	})
	return s.fault("read the keys of "+t.String(), err)
}

// beside returns a connection to the entity's table that the stream and the runs know nothing of. It is to be closed whatever the error.
func (s *Source) beside(ctx context.Context, entity string) (probe *Source, t *table, err error) {
	if probe, err = s.probe(ctx); err != nil {
		return probe, nil, err
	}
	at := slices.IndexFunc(probe.opt.Entities, func(e Entity) bool { return e.Name == entity })
	if at < 0 {
		return probe, nil, syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s", s.opt.Name, entity)
	}
	t, err = probe.findTable(ctx, probe.opt.Entities[at])
	return probe, t, err
}
