package pgsource

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"syncline"
	"syncline/internal/pgoutput"
)

var _ syncline.Lister = (*Source)(nil)

// listing is what a source that is not opened has for List: a connection, and the table that was listed last.
type listing struct {
	probe *Source
	table *table
}

// lister connects, unless there is a connection that works.
func (s *Source) lister(ctx context.Context) (*listing, error) {
	if s.listing != nil && !s.listing.probe.sql.IsClosed() {
		return s.listing, nil
	}
	probe, err := s.probe(ctx)
	if err != nil {
		hangUp(probe.sql)
		return nil, err
	}
	s.listing = &listing{probe: probe}
	return s.listing, nil
}

// of returns the entity's table as it is now, and how its rows are read.
func (l *listing) of(ctx context.Context, entity string) (*table, *syncline.Schema, *pgoutput.Layout, error) {
	s := l.probe
	if l.table == nil || l.table.entity.Name != entity {
		l.table = nil
		for _, e := range s.opt.Entities {
			if e.Name != entity {
				continue
			}
			t, err := s.findTable(ctx, e)
			if err != nil {
				return nil, nil, nil, err
			}
			l.table = t
		}
		if l.table == nil {
			return nil, nil, nil, syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s", s.opt.Name, entity)
		}
	} else if err := s.loadTable(ctx, s.sql, l.table); err != nil {
		return nil, nil, nil, err
	}
	sc, layout, err := s.shape(ctx, l.table, nil)
	return l.table, sc, layout, err
}

// List implements syncline.Lister. Each call is one statement, so that its snapshot is as short.
//
// Where the next one begins is the last record's key, in PostgreSQL's text.
func (s *Source) List(ctx context.Context, q syncline.Listing, each func(syncline.Row) error) (next string, err error) {
	l, err := s.lister(ctx)
	if err != nil {
		return "", err
	}
	t, sc, layout, err := l.of(ctx, q.Entity)
	if err != nil {
		return "", err
	}
	if q.Keys != nil {
		return "", l.keys(ctx, t, sc, layout, q.Keys, each)
	}
	if q.Sample {
		statement, err := l.sample(ctx, t, sc, q.Limit)
		if err != nil {
			return "", err
		}
		return "", l.read(ctx, t, sc, layout, statement, each)
	}
	where := ""
	if q.After != "" {
		var texts []string
		if err := json.Unmarshal([]byte(q.After), &texts); err != nil || len(texts) != len(sc.Key) {
			return "", syncline.Errorf(syncline.Rejected, "listing_invalid", "a listing of %s cannot go on: its table has another key by now", q.Entity).
				WithFix("begin again")
		}
		constants := make([]string, len(texts))
		for i, text := range texts {
			constants[i] = literal(text)
		}
		where = fmt.Sprintf("(%s) > (%s)", keyColumns(sc), strings.Join(constants, ", "))
	}
	var last []syncline.Value
	rows := 0
	err = l.read(ctx, t, sc, layout, selectRows(t, sc, where, true, q.Limit), func(r syncline.Row) error {
		rows++
		last = r.Values
		return each(r)
	})
	if err != nil || rows < q.Limit || q.Limit == 0 {
		return "", err
	}
	texts := make([]string, len(sc.Key))
	for i, text := range keyTexts(sc, last) {
		texts[i] = string(text)
	}
	text, err := json.Marshal(texts)
	return string(text), err
}

// read runs the statement. each's own error is passed on as it is.
func (l *listing) read(ctx context.Context, t *table, sc *syncline.Schema, layout *pgoutput.Layout, statement string, each func(syncline.Row) error) error {
	var own error
	err := readRows(ctx, l.probe.sql.PgConn(), statement, layout, func(row []syncline.Value, _ int) error {
		own = each(syncline.Row{Schema: sc, Values: row})
		return own
	})
	if own != nil || err == nil {
		return own
	}
	return l.probe.tableFault("list", t, err)
}

// keys lists the records of these keys. A key that is not of the columns' types makes a statement fail: then each is asked for by itself.
func (l *listing) keys(ctx context.Context, t *table, sc *syncline.Schema, layout *pgoutput.Layout, keys []syncline.Key, each func(syncline.Row) error) error {
	var tuples []string
	for _, k := range keys {
		if texts := keyParts(sc, k); texts != nil {
			tuples = append(tuples, "("+literals(texts)+")")
		}
	}
	if len(tuples) == 0 {
		return nil
	}
	ask := func(tuples []string) error {
		var rows []syncline.Row
		err := l.read(ctx, t, sc, layout, selectRows(t, sc, fmt.Sprintf("(%s) IN (%s)", keyColumns(sc), strings.Join(tuples, ", ")), false, 0),
			func(r syncline.Row) error {
				rows = append(rows, r)
				return nil
			})
		for i := 0; err == nil && i < len(rows); i++ {
			err = each(rows[i])
		}
		return err
	}
	err := ask(tuples)
	if !wrongType(err) || len(tuples) == 1 {
		if wrongType(err) {
			err = nil
		}
		return err
	}
	for i := range tuples {
		if err := ask(tuples[i : i+1]); err != nil && !wrongType(err) {
			return err
		}
	}
	return nil
}

// wrongType reports whether the statement failed because of a constant that is not of its column's type.
func wrongType(err error) bool { return strings.HasPrefix(sqlState(err), classDataException) }

// sample is a statement for about that many rows at random. A table that is not much larger is read whole.
func (l *listing) sample(ctx context.Context, t *table, sc *syncline.Schema, rows int) (string, error) {
	about, err := l.probe.estimate(ctx, t)
	if err != nil {
		return "", err
	}
	statement := selectRows(t, sc, "", false, 0)
	from := " FROM " + t.sqlName()
	tables := from
	if about > int64(rows)*2 {
		// SYSTEM takes whole blocks, which is cheap; asking for twice as many makes up for how unevenly they are filled.
		percent := math.Min(100, 200*float64(rows)/float64(about))
		tables = fmt.Sprintf("%s TABLESAMPLE SYSTEM (%g)", from, percent)
	}
	return strings.Replace(statement, from, tables, 1) + fmt.Sprintf(" ORDER BY random() LIMIT %d", rows), nil
}

// Estimate implements syncline.Lister: it is what the planner thinks.
func (s *Source) Estimate(ctx context.Context, entity string) (int64, error) {
	l, err := s.lister(ctx)
	if err != nil {
		return 0, err
	}
	t, _, _, err := l.of(ctx, entity)
	if err != nil {
		return 0, err
	}
	return l.probe.estimate(ctx, t)
}
