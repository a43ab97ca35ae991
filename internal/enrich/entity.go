package enrich

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/transform"
)

// entity reads records of another entity from its source's database, by their key. It asks as a query of the configuration would, with
// the query made of what the source tells of the entity: before the first question, and again after an error, since the table may have
// changed.
type entity struct {
	o     Options
	asker asker // nil = the source was not asked about the entity
	key   syncline.Column
}

func newEntity(o Options) *entity { return &entity{o: o} }

func (e *entity) close() error {
	if e.asker == nil {
		return nil
	}
	err := e.asker.close()
	e.asker = nil
	return err
}

func (e *entity) ask(ctx context.Context, keys []syncline.Value) (map[string]found, error) {
	if e.asker == nil {
		if err := e.open(ctx); err != nil {
			return nil, err
		}
	}
	// Keys are asked for as the column has them: 01 is 1 where it holds numbers, and what is no number has no record.
	var asked []syncline.Value
	spelled := make(map[string][]string, len(keys))
	for _, k := range keys {
		v := k
		if e.key.Kind != syncline.KindRaw {
			var err error
			if v, err = expression.Convert(k, syncline.KindNull, e.key.Kind); err != nil {
				continue
			}
		}
		text := textOf(v)
		if spelled[text] == nil {
			asked = append(asked, v)
		}
		spelled[text] = append(spelled[text], textOf(k))
	}
	answers := make(map[string]found, len(keys))
	if len(asked) == 0 {
		return answers, nil
	}
	got, err := e.asker.ask(ctx, asked)
	if err != nil {
		_ = e.close() // the reason is err
		return nil, err
	}
	for text, f := range got {
		for _, k := range spelled[text] {
			answers[k] = f
		}
	}
	return answers, nil
}

// open asks the source what the entity is, and makes the query.
func (e *entity) open(ctx context.Context) error {
	name := e.o.Step.Entity.System + "/" + e.o.Step.Entity.Name
	refused := func(why, fix string, args ...any) error {
		return syncline.Errorf(syncline.Fatal, "enrich_refused", "%s cannot be read: %s", name, why).WithFix(fix+", then `syncline resume ROUTE`", args...)
	}
	schema, err := e.o.Describe(ctx)
	switch {
	case err != nil && syncline.ClassOf(err) == syncline.Transient:
		return syncline.Errorf(syncline.Transient, "enrich_unreachable", "%s does not answer: %w", name, err).WithFix("see why; it is asked again")
	case err != nil:
		return syncline.Errorf(syncline.Fatal, "enrich_refused", "%s cannot be read: %w", name, err)
	case schema == nil:
		return refused("its source cannot capture it", "see what `syncline run --check` says")
	case len(schema.Key) != 1:
		return refused("its key has not one part", "take its fields with sql instead of entity")
	}
	e.key = schema.Columns[schema.Key[0]]
	if e.key.Kind == syncline.KindBytes || e.key.Kind == syncline.KindArray {
		return refused("its key cannot be asked for", "take its fields with sql instead of entity")
	}
	columns := []string{e.key.Name}
	for _, t := range e.o.Step.Take {
		if schema.Index(t.From) < 0 {
			var names []string
			for _, c := range schema.Columns {
				names = append(names, c.Name)
			}
			return refused("it has no column \""+t.From+"\"", "it has %s; correct the step", strings.Join(names, ", "))
		}
		if !slices.Contains(columns, t.From) {
			columns = append(columns, t.From)
		}
	}
	step := e.o.Step
	step.SQL = &transform.FromSQL{System: e.o.Step.Entity.System, Key: e.key.Name}
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pgx.Identifier{c}.Sanitize() // SQLite quotes the same way
	}
	if e.o.Postgres != "" {
		step.SQL.Query = "SELECT " + strings.Join(quoted, ", ") + " FROM " + e.o.Table + " WHERE " + quoted[0] + " = ANY($1)"
		e.asker, err = newPostgres(step, e.o.Postgres)
		return err
	}
	for i, c := range quoted { // with a declared type, the driver would make times of texts
		quoted[i] = "+" + c + " AS " + c
	}
	step.SQL.Query = "SELECT " + strings.Join(quoted, ", ") + " FROM " + pgx.Identifier{schema.Table}.Sanitize() +
		" WHERE " + pgx.Identifier{e.key.Name}.Sanitize() + " IN (SELECT value FROM json_each($1))"
	d := newSQLite(step, e.o.SQLite)
	d.schema = schema
	e.asker = d
	return nil
}

// meant is a stored value in the kind of the entity's column, as its events have it; what has no form of that kind is left as it is.
func meant(s *syncline.Schema, column string, v syncline.Value) syncline.Value {
	at := s.Index(column)
	if at < 0 || v.IsNull() || v.Kind() == s.Columns[at].Kind {
		return v
	}
	if s.Columns[at].Kind == syncline.KindBool && v.Kind() == syncline.KindInt {
		return syncline.Bool(v.Text() != "0")
	}
	if as, err := expression.Convert(v, syncline.KindNull, s.Columns[at].Kind); err == nil {
		return as
	}
	return v
}
