package between

import (
	"slices"
	"time"

	"syncline"
	"syncline/internal/conflict"
)

// Strategy resolves the overlaps of one field.
type Strategy string

// The strategies. They depend on the values alone, so that the result is the same whatever was heard of first, and how often.
const (
	// Manual leaves it to a person.
	Manual Strategy = "manual"
	// LastWriteWins takes the value of the record with the later time in a field of its own; one without a time is older, and of two
	// with one time the preferred side has it.
	LastWriteWins Strategy = "last_write_wins"
	// SourcePriority takes the preferred side's.
	SourcePriority Strategy = "source_priority"
	// Sum adds both sides' changes up. Sides that meet for the first time with different values are left to a person.
	Sum Strategy = "sum"
	// Union joins the elements of two JSON arrays, or the words of two texts.
	Union Strategy = "union"
)

// Strategies say how overlaps are resolved.
type Strategies struct {
	// Default is for fields that Fields does not name.
	Default Strategy
	Fields  map[string]Strategy
	// TimeField is the column (of the first side's name) that LastWriteWins compares. Databases often set it whenever a record is written:
	// its change alone is none, and of two the later one counts.
	TimeField string
	// Preferred is the side, 0 or 1, that SourcePriority takes.
	Preferred int
	Deleted   Deleted
}

// Policy makes the policy for these shared columns.
func (s *Strategies) Policy(columns []syncline.Column) (*Policy, error) {
	p := &Policy{Deleted: s.Deleted, Adds: make([]bool, len(columns)), Quiet: make([]bool, len(columns)), Timed: make([]int, len(columns))}
	names := make([]string, len(columns))
	of := make([]Strategy, len(columns))
	for i := range columns {
		names[i], of[i] = columns[i].Name, s.Default
		if names[i] == s.TimeField {
			of[i], p.Quiet[i] = LastWriteWins, true
		}
		if own, ok := s.Fields[names[i]]; ok {
			of[i] = own
		}
	}
	for name := range s.Fields {
		if !slices.Contains(names, name) {
			return nil, columnMissing(name)
		}
	}
	when := slices.Index(names, s.TimeField)
	for i, strategy := range of {
		p.Timed[i] = -1
		switch strategy {
		case LastWriteWins:
			if when < 0 {
				return nil, columnMissing(s.TimeField)
			}
			if !isTime(columns[when].Kind) {
				return nil, syncline.Errorf(syncline.Fatal, "between_field_kind", "column %q, which last_write_wins compares, is of kind %s", s.TimeField, columns[when].Kind).
					WithFix("name a column with a time in `time_field`")
			}
			p.Timed[i] = when
		case Sum:
			if p.Adds[i] = true; !isNumber(columns[i].Kind) {
				return nil, syncline.Errorf(syncline.Fatal, "between_field_kind", "column %q, whose changes are to add up, is of kind %s", names[i], columns[i].Kind).
					WithFix("`sum` is for whole and decimal numbers")
			}
		}
	}
	p.Resolve = func(o *Overlap) (syncline.Value, bool) {
		switch of[o.Column] {
		case LastWriteWins:
			return o.Values[later(o.Records[0][when], o.Records[1][when], s.Preferred)], true
		case SourcePriority:
			return o.Values[s.Preferred], true
		case Sum:
			return added(o)
		case Union:
			v, err := conflict.Union(o.Values[1], o.Values[0])
			return v, err == nil
		}
		return syncline.Unset, false
	}
	return p, nil
}

func columnMissing(name string) error {
	return syncline.Errorf(syncline.Fatal, "between_column_missing", "the sides share no column %q, which the rule's conflict section names", name).
		WithFix("name a column that both sides have, as the first side calls it")
}

func isTime(k syncline.Kind) bool {
	return k == syncline.KindTimestamp || k == syncline.KindTimestampTZ || k == syncline.KindDate
}

func isNumber(k syncline.Kind) bool {
	return k == syncline.KindInt || k == syncline.KindUint || k == syncline.KindDecimal
}

// later returns which of two times is the later one; preferred where neither is.
func later(a, b syncline.Value, preferred int) int {
	first, second := instant(a), instant(b)
	switch {
	case first.After(second):
		return 0
	case second.After(first):
		return 1
	}
	return preferred
}

// instant is the zero time for what is no time.
func instant(v syncline.Value) time.Time {
	t, err := v.AsTime()
	if err != nil {
		return time.Time{}
	}
	return t
}

// added adds both sides' changes to what was agreed. Null is nothing that could be added to.
func added(o *Overlap) (syncline.Value, bool) {
	if o.Agreed.IsUnset() || o.Bases[0].IsUnset() || o.Bases[1].IsUnset() {
		return o.Values[0], syncline.Equal(o.Values[0], o.Values[1])
	}
	total := o.Agreed
	for side, v := range o.Values {
		var err error
		if total, err = conflict.Sum(v, total, o.Bases[side]); err != nil {
			return syncline.Unset, false
		}
	}
	return syncline.Decimal(total.Text()), true
}
