package sqlite

import (
	"fmt"
	"strings"

	"syncline"
)

// bindMark looks at a column that notes what became of records; at is its place in the table, -1 where there is none. Without it, or
// without its values, what a rule keeps would look like what is there.
func bindMark(object string, tab *table, at int, c *syncline.Column) error {
	bad := func(format string, args ...any) *syncline.Error {
		return syncline.Errorf(syncline.Fatal, "mark_does_not_fit", "column %q of %s %s (on: soft)", c.Name, object, fmt.Sprintf(format, args...))
	}
	switch {
	case at < 0:
		return syncline.Errorf(syncline.Fatal, "column_missing", "%s has no column %q, which notes what became of a record (on: soft)", object, c.Name).
			WithFix("ALTER TABLE %s ADD COLUMN %s %s", quote(tab.name), quote(c.Name), typeOf(c))
	case tab.columns[at].generated:
		return bad("is computed: it cannot note what became of a record").WithFix("name another column in the rule's on section")
	case tab.columns[at].NotNull && c.Mark.Live.IsNull():
		return bad("is NOT NULL, and a record that is there would have null in it").
			WithFix("say with `live` in the rule's on section what a record that is there has in it")
	}
	if decl := tab.columns[at].Type; decl != "" && !holds(declared(decl).kind, c.Kind) {
		return bad("is %s, and the value that the rule notes in it is of kind %s", decl, c.Kind).
			WithFix("correct the value or the column in the rule's on section")
	}
	return nil
}

// holds reports whether values of a kind have a place in a column of the declared kind.
func holds(declared, kind syncline.Kind) bool {
	number := func(k syncline.Kind) bool {
		return k == syncline.KindInt || k == syncline.KindUint || k == syncline.KindDecimal || k == syncline.KindFloat
	}
	switch {
	case declared == kind, declared == syncline.KindText:
		return true
	case number(kind):
		return number(declared)
	case kind == syncline.KindBool:
		return declared == syncline.KindInt // SQLite's own booleans are 0 and 1
	}
	return !number(declared) && declared != syncline.KindBool
}

// present is the condition that a record is not only kept; application.kept has its arguments.
func (b *binding) present() string {
	var sql strings.Builder
	for _, c := range b.columns {
		if c.mark == nil || !c.mark.Any && len(c.mark.Gone) == 0 {
			continue
		}
		name := quote(c.name)
		switch {
		case !c.mark.Any:
			fmt.Fprintf(&sql, " AND (%s IS NULL OR %s NOT IN (%s))", name, name, placeholders(len(c.mark.Gone)))
		default:
			fmt.Fprintf(&sql, " AND (%s IS NULL OR %s IS ?)", name, name)
		}
	}
	return sql.String()
}

// kept adds the arguments of present.
func (a *application) kept(i int) {
	for _, c := range a.bindings[i].columns {
		switch {
		case c.mark == nil:
		case c.mark.Any:
			a.w.value(&c, c.mark.Live)
		default:
			for _, v := range c.mark.Gone {
				a.w.value(&c, v)
			}
		}
	}
}
