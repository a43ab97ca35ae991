package capture

import (
	"fmt"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/state"
)

// selection leaves out of a run's chunks the rows that its condition does not want, before they enter the log. The condition never reaches
// the source: whoever may start a sync may not therefore run SQL there.
type selection struct {
	program *expression.Program
	shapes  map[*syncline.Schema]*expression.Bound
}

// CompileWhere compiles the condition of a run.
func CompileWhere(text string) (*expression.Program, error) {
	p, err := expression.Compile(text)
	if err != nil {
		return nil, syncline.Errorf(syncline.Rejected, "where_invalid", "the condition of the sync: %w", err).
			WithFix("write an expression of the rule language that is true or false, for example after.status == \"open\"")
	}
	return p, nil
}

// newSelection returns what the run wants, nil for all rows.
func newSelection(r *syncline.Run) (*selection, error) {
	if r.Where == "" {
		return nil, nil
	}
	p, err := CompileWhere(r.Where)
	if err != nil {
		return nil, err
	}
	return &selection{program: p, shapes: make(map[*syncline.Schema]*expression.Bound)}, nil
}

// sift keeps the events that the condition wants. One that it cannot judge is an error, and the chunk is as it was.
func (s *selection) sift(b *syncline.Batch) error {
	kept := make([]syncline.Event, 0, len(b.Events))
	for i := range b.Events {
		e := &b.Events[i]
		bound := s.shapes[e.Schema]
		if bound == nil {
			var err error
			if bound, err = s.program.Bind(e.Schema, e.Schema); err != nil {
				return unjudged(e, err)
			}
			if len(s.shapes) >= maxShapes {
				clear(s.shapes)
			}
			s.shapes[e.Schema] = bound
		}
		wanted, err := bound.True(&expression.Input{Batch: b, Index: i, After: e.After, Before: e.Before})
		if err != nil {
			return unjudged(e, err)
		}
		if wanted {
			kept = append(kept, *e)
		}
	}
	b.Events = kept
	return nil
}

func unjudged(e *syncline.Event, err error) error {
	return syncline.Errorf(syncline.Rejected, "where_failed", "the condition of the sync cannot be evaluated on a row of %s: %w", e.Schema.Entity, err).
		WithFix("correct the condition and start the sync again: rows that were read before are applied already")
}

// sift applies the condition of the chunk's run, and notes how many rows were read for it. A run whose condition fails is given up: rows that it
// could not judge must not be taken for rows that nobody wants.
func (c *Capture) sift(b *syncline.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows := len(b.Events)
	defer func() { c.admission.came(b.Chunk, rows, weight(b), c.o.Now()) }()
	row := c.runs[b.Chunk.Run]
	if row == nil {
		return
	}
	if row.Where != "" || row.From != "" || givenUp(row) {
		b.Chunk.Cut = true
	}
	s := c.sifts[row.ID]
	if s == nil || len(b.Events) == 0 {
		return
	}
	if c.unsifted == nil {
		c.unsifted = make(map[*syncline.Batch]int)
	}
	c.unsifted[b] = rows
	err := fmt.Errorf("it is given up")
	if row.Error == "" {
		err = s.sift(b)
	}
	if err != nil {
		b.Events = nil
		if row.Error == "" {
			row.Error = err.Error()
			c.admission.admit(row, c.o.Now())
		}
	}
}

// givenUp reports whether the run is to end without the rest of its rows.
func givenUp(r *state.RunRow) bool { return r.Cancelled || r.Error != "" }
