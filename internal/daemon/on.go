package daemon

import (
	"slices"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/expression"
)

// compileOn gives the rule what it does with records that are deleted, archived or merged, or that leave it.
func compileOn(on *config.On, r *apply.Rule) error {
	merged, ofMerged := on.Merged, on.Mark("merged")
	if merged == config.ActionDelete {
		merged, ofMerged = on.Deleted, on.Mark("deleted")
	}
	r.Deleted, r.Merged, r.Left = action(on.Deleted, on.Mark("deleted")), action(merged, ofMerged), action(on.Left, on.Mark("left"))
	r.Archived = action(on.Archived, nil)
	if len(on.Marks) == 0 {
		return nil
	}
	r.Marks = &apply.Marks{Columns: markColumns(on.Marks)}
	for _, n := range []struct {
		dst  **apply.Note
		mark *config.Mark
	}{{&r.Marks.Deleted, on.Mark("deleted")}, {&r.Marks.Archived, on.Mark("archived")}, {&r.Marks.Merged, ofMerged}, {&r.Marks.Left, on.Mark("left")}} {
		if n.mark == nil {
			continue
		}
		value, err := noteValue(n.mark)
		if err != nil {
			return err
		}
		column := slices.IndexFunc(r.Marks.Columns, func(c syncline.Column) bool { return c.Name == n.mark.Column })
		*n.dst = &apply.Note{Column: column, Value: value}
	}
	return nil
}

func action(a config.Action, m *config.Mark) apply.Action {
	switch {
	case m != nil:
		return apply.ActionSoft
	case a == config.ActionHard, a == config.ActionRedirect:
		return apply.ActionHard
	case a == config.ActionSoft, a == config.ActionUpdate:
		return apply.ActionUpdate
	case a == config.ActionIgnore:
		return apply.ActionIgnore
	}
	return apply.ActionDefault
}

// markColumns are the columns of the notes, each once. An archived record is there; what the other notes speak of is gone.
func markColumns(marks []config.Mark) (columns []syncline.Column) {
	for _, m := range marks {
		at := slices.IndexFunc(columns, func(c syncline.Column) bool { return c.Name == m.Column })
		if at < 0 {
			at = len(columns)
			columns = append(columns, syncline.Column{Name: m.Column, Kind: m.Kind, Nullable: true, Mark: &syncline.Mark{Live: m.Live.Value}})
		}
		mark := columns[at].Mark
		switch {
		case m.On == "archived" && m.Value != nil:
			mark.Other = append(mark.Other, m.Value.Value)
		case m.On == "archived":
		case m.Value != nil:
			mark.Gone = append(mark.Gone, m.Value.Value)
		default:
			mark.Any = true
		}
	}
	return columns
}

// noteValue returns what makes the value of a note.
func noteValue(m *config.Mark) (func(*syncline.Batch, int) (syncline.Value, error), error) {
	if m.Value != nil {
		v := m.Value.Value
		return func(*syncline.Batch, int) (syncline.Value, error) { return v, nil }, nil
	}
	program, err := expression.Compile(m.Expression)
	if err != nil {
		return nil, err
	}
	bound, err := program.Bind(&syncline.Schema{}, &syncline.Schema{})
	if err != nil {
		return nil, err
	}
	return func(b *syncline.Batch, i int) (syncline.Value, error) {
		v, err := bound.Value(&expression.Input{Batch: b, Index: i})
		if err == nil && v.Kind() != m.Kind {
			v, err = expression.Convert(v, syncline.KindNull, m.Kind)
		}
		switch {
		case err != nil:
			return v, syncline.Errorf(syncline.Rejected, "mark_failed", "the value of column %q, which notes what became of a record: %w", m.Column, err)
		case v.IsNull() || syncline.Equal(v, m.Live.Value):
			return v, syncline.Errorf(syncline.Rejected, "mark_failed", "the value of column %q, which notes what became of a record, is that of a record that is there", m.Column)
		}
		return v, nil
	}, nil
}
