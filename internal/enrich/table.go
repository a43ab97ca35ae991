package enrich

import (
	"slices"
	"strings"

	"syncline"
	"syncline/internal/transform"
)

// table reads the rows of a query's result.
type table struct {
	step *transform.Enrich
	key  int
	from []int // the column of each field
}

// newTable finds the step's columns in a result's.
func newTable(step *transform.Enrich, columns []string) (*table, error) {
	t := &table{step: step}
	missing := func(name string) error {
		return syncline.Errorf(syncline.Fatal, "enrich_refused", "the query of system %s has no column %q in its result", step.SQL.System, name).
			WithFix("it has %s; correct the query or the step, then `syncline resume ROUTE`", strings.Join(columns, ", "))
	}
	if t.key = slices.Index(columns, step.SQL.Key); t.key < 0 {
		return nil, missing(step.SQL.Key)
	}
	for _, take := range step.Take {
		at := slices.Index(columns, take.From)
		if at < 0 {
			return nil, missing(take.From)
		}
		t.from = append(t.from, at)
	}
	return t, nil
}

func (t *table) add(answers map[string]found, row []syncline.Value) {
	key := textOf(row[t.key])
	if _, again := answers[key]; again {
		answers[key] = found{err: ambiguous()}
		return
	}
	f := found{values: make([]syncline.Value, len(t.from))}
	for i, at := range t.from {
		if f.values[i], f.err = convert(&t.step.Take[i], row[at]); f.err != nil {
			break
		}
	}
	answers[key] = f
}
