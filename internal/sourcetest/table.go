package sourcetest

import (
	"fmt"

	"syncline"
)

// The entities of the suite. A harness has a table of the same name for each, with the same column names, integers of 64
// bits and text without a length, and the key as its primary key.
const (
	// Item has a key of one column, and a long text that some systems do not send again with every update.
	Item = "item"
	// Pair has a composite key.
	Pair = "pair"
	// Loose has no key.
	Loose = "loose"
)

// Tables are the schemas that the suite's values stand in. Sources make their own.
var Tables = map[string]*syncline.Schema{
	Item: {Entity: Item, Table: Item, Version: -1, Key: []int{0}, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt}, {Name: "name", Kind: syncline.KindText, Nullable: true},
		{Name: "qty", Kind: syncline.KindInt, Nullable: true}, {Name: "note", Kind: syncline.KindText, Nullable: true}}},
	Pair: {Entity: Pair, Table: Pair, Version: -1, Key: []int{0, 1}, Columns: []syncline.Column{
		{Name: "a", Kind: syncline.KindInt}, {Name: "b", Kind: syncline.KindText}, {Name: "v", Kind: syncline.KindText, Nullable: true}}},
	Loose: {Entity: Loose, Table: Loose, Version: -1, Columns: []syncline.Column{
		{Name: "n", Kind: syncline.KindInt, Nullable: true}, {Name: "s", Kind: syncline.KindText, Nullable: true}}},
}

// Entities returns the names of the entities that the harness has, in a fixed order.
func (h Harness) Entities() []string {
	if h.Keyless {
		return []string{Item, Pair, Loose}
	}
	return []string{Item, Pair}
}

// Change is one statement of the application. Op is OpCreated, OpUpdated, OpDeleted or OpTruncated; the values are
// integers, texts and nulls.
type Change struct {
	Op     syncline.Op
	Entity string
	// Old is the whole row before (update, delete), New the whole row after (insert, update).
	Old, New []syncline.Value
}

// match tells how the event differs from the change that was committed; nil = not at all.
func (c Change) match(e *syncline.Event) error {
	s := Tables[c.Entity]
	if e.Op != c.Op || e.Schema.Entity != c.Entity {
		return fmt.Errorf("%s of %s, want %s of %s", e.Op, e.Schema.Entity, c.Op, c.Entity)
	}
	if c.Op == syncline.OpTruncated {
		return nil
	}
	if len(e.Schema.Key) != len(s.Key) {
		return fmt.Errorf("%s has a key of %d columns, want %d", c.Entity, len(e.Schema.Key), len(s.Key))
	}
	if (e.After == nil) != (c.New == nil) {
		return fmt.Errorf("%s: after is %v, want %v", c.Op, e.After, c.New)
	}
	for i, col := range s.Columns {
		before, after := syncline.Row{Schema: e.Schema, Values: e.Before}.Field(col.Name), syncline.Row{Schema: e.Schema, Values: e.After}.Field(col.Name)
		if !before.IsUnset() && (c.Old == nil || !syncline.Equal(before, c.Old[i])) {
			return fmt.Errorf("%s of %s: %s was %v, want %v", c.Op, c.Entity, col.Name, before, value(c.Old, i))
		}
		if c.New == nil {
			continue
		}
		unchanged := c.Old != nil && syncline.Equal(c.Old[i], c.New[i])
		if after.IsUnset() && !unchanged || !after.IsUnset() && !syncline.Equal(after, c.New[i]) {
			return fmt.Errorf("%s of %s: %s is %v, want %v", c.Op, c.Entity, col.Name, after, c.New[i])
		}
	}
	return c.matchKey(e, s)
}

func (c Change) matchKey(e *syncline.Event, s *syncline.Schema) error {
	if len(s.Key) == 0 {
		if c.Old != nil && !(syncline.Row{Schema: e.Schema, Values: e.Before}).Whole() {
			return fmt.Errorf("%s of %s, which has no key, without the whole row before", c.Op, c.Entity)
		}
		return nil
	}
	row := c.New
	if row == nil {
		row = c.Old
	}
	want, _ := syncline.Row{Schema: s, Values: row}.Key()
	if got, ok := e.Key(); !ok || got != want {
		return fmt.Errorf("%s of %s has key %q, want %q", c.Op, c.Entity, got, want)
	}
	if c.Op == syncline.OpUpdated {
		was, _ := syncline.Row{Schema: s, Values: c.Old}.Key()
		if got, changed := e.OldKey(); changed != (was != want) || changed && got != was {
			return fmt.Errorf("update of %s has old key %q (changed: %t), want %q", c.Entity, got, changed, was)
		}
	}
	return nil
}

func value(row []syncline.Value, i int) syncline.Value {
	if row == nil {
		return syncline.Unset
	}
	return row[i]
}

// arrange returns the values of a source's row in the order of the suite's own columns.
func arrange(row syncline.Row) []syncline.Value {
	s := Tables[row.Schema.Entity]
	out := make([]syncline.Value, len(s.Columns))
	for i, c := range s.Columns {
		out[i] = row.Field(c.Name)
	}
	return out
}
