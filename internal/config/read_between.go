package config

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Between is what a two-way rule has beside its two sides, which are the rule's From.
type Between struct {
	// Tables are what the sides are captured from.
	Tables [2]string `json:"tables"`
	// Fields pairs columns that have other names: of the first side to the second.
	Fields map[string]string `json:"fields,omitempty"`
	// Ignore are columns that are not paired, by the first side's name.
	Ignore []string `json:"ignore,omitempty"`
	// Strategy decides fields that both sides changed; Strategies those that it names, by the first side's name.
	Strategy   Strategy            `json:"strategy"`
	Strategies map[string]Strategy `json:"strategies,omitempty"`
	// TimeField is the column that last_write_wins compares, as the first side calls it.
	TimeField string `json:"time_field,omitempty"`
	// Preferred is the side, 0 or 1, that source_priority takes.
	Preferred int `json:"preferred"`
	// Deleted says what becomes of a record that one side deleted and the other one changed: loses, wins or conflict.
	Deleted string `json:"deleted"`
	// Truncated says what a TRUNCATE of one side does: halt or delete.
	Truncated string `json:"truncated"`
}

// Strategy decides about a field that both sides of a two-way rule changed.
type Strategy string

// The strategies of two-way rules.
const (
	StrategyManual   Strategy = "manual"
	StrategyNewest   Strategy = "last_write_wins"
	StrategyPriority Strategy = "source_priority"
	// StrategyMerge is for a rule whose fields have strategies of their own; the others are a person's.
	StrategyMerge Strategy = "merge"
	// These are for single fields.
	StrategyLater Strategy = "newest"
	StrategySum   Strategy = "sum"
	StrategyUnion Strategy = "union"
)

// betweenSource is where the parts of a two-way rule stand that others must agree with.
type betweenSource struct {
	at, strategy, time value
	sources            []value
	sides              []string
}

// isTwoWay reports whether the rule has a key `between`.
func isTwoWay(v value) bool {
	n := v.node
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		if n.Content[i].Value == "between" {
			return true
		}
	}
	return false
}

// twoWay reads a rule that keeps two entities equal in both directions.
func (l *loader) twoWay(v value, r *ruleSource) {
	b := &Between{Strategy: StrategyManual, Deleted: "loses", Truncated: "halt"}
	r.Between, r.between = b, &betweenSource{at: v}
	seen := l.object(v, "a two-way rule", fields{
		"id":       func(v value) { l.ruleID(v, r) },
		"between":  func(v value) { r.between.at = v; l.list(v, "between", false, func(v value) { l.from(v, r) }) },
		"fields":   func(v value) { l.pairs(v, b) },
		"ignore":   func(v value) { l.list(v, "ignore", true, func(v value) { l.ignored(v, b) }) },
		"conflict": func(v value) { l.betweenConflict(v, r) },
		"on": func(v value) {
			l.object(v, "on", fields{"truncated": func(v value) { choose(&l.decoder, v, &b.Truncated, nil, "halt", "delete") }}, nil)
		},
		"start": func(v value) {
			r.start, r.hasStart = v, true
			choose(&l.decoder, v, &r.Start, nil, StartFull, StartNow, StartEarliest)
		},
		"retry":   func(v value) { l.retry(v, &r.Retry) },
		"batch":   func(v value) { l.batch(v, &r.Batch) },
		"enabled": func(v value) { l.boolean(v, &r.Enabled) },
	}, nil)
	what := "the rule"
	if r.ID != "" {
		what = "rule " + r.ID
	}
	l.need(v, seen, what, "id", "between")
}

func (l *loader) pairs(v value, b *Between) {
	b.Fields = make(map[string]string)
	second := make(map[string]bool)
	l.entries(v, "fields", func(key, val value) {
		name, ok := l.text(val)
		switch {
		case !ok:
		case second[name]:
			l.report(val, DuplicateID, "", "the column %q is paired twice", name)
		case name != key.node.Value:
			second[name] = true
			b.Fields[key.node.Value] = name
		}
	})
}

func (l *loader) ignored(v value, b *Between) {
	if name, ok := l.text(v); ok {
		b.Ignore = append(b.Ignore, name)
	}
}

func (l *loader) betweenConflict(v value, r *ruleSource) {
	b := r.Between
	strategies := []Strategy{StrategyLater, StrategyPriority, StrategySum, StrategyUnion, StrategyManual}
	l.object(v, "conflict", fields{
		"strategy": func(v value) {
			r.between.strategy = v
			choose(&l.decoder, v, &b.Strategy, nil, StrategyNewest, StrategyPriority, StrategyMerge, StrategyManual)
		},
		"time_field": func(v value) { r.between.time = v; b.TimeField, _ = l.text(v) },
		"sources": func(v value) {
			l.list(v, "sources", false, func(v value) {
				if name, ok := l.text(v); ok {
					r.between.sources, r.between.sides = append(r.between.sources, v), append(r.between.sides, name)
				}
			})
		},
		"deleted": func(v value) { choose(&l.decoder, v, &b.Deleted, nil, "loses", "wins", "conflict") },
		"fields": func(v value) {
			b.Strategies = make(map[string]Strategy)
			l.entries(v, "fields", func(key, val value) {
				var s Strategy
				if choose(&l.decoder, val, &s, nil, strategies...); s != "" {
					b.Strategies[key.node.Value] = s
				}
			})
		},
	}, nil)
}

// checkTwoWay checks what a two-way rule names, and fills in how it starts.
func (l *loader) checkTwoWay(r *ruleSource) {
	b := r.Between
	if len(r.From) != 2 {
		if n := r.between.at.node; n.Kind == yaml.SequenceNode && len(n.Content) != 2 { // else it was told already
			l.report(r.between.at, BadValue, "[crm/customer, erp/customer]", "between must name two entities, not %d", len(n.Content))
		}
		return
	}
	if r.Batch.MaxRows == 0 {
		r.Batch.MaxRows = betweenRows
	}
	never := ""
	for i, ref := range r.From {
		s := l.checkSource(r.from[i], ref)
		switch {
		case s == nil || s.Capture == nil:
			continue
		case !s.Type.SQL() || s.Capture.Mode != ModeCDC:
			l.report(r.from[i], NotATarget, "a one-way rule with `from` and `to`", "%s is of type %s: two-way rules are between systems of type postgres and sqlite with mode: cdc", s.Name, s.Type)
		case !s.Capture.Initial:
			never = s.Name
		}
		b.Tables[i] = s.Capture.Entity(ref.Name).Table
	}
	if r.From[0].System == r.From[1].System {
		l.report(r.between.at, BadValue, "declare the system a second time, under another name, with the entity of the second side",
			"both sides of rule %s are of one system (%s)", r.ID, r.From[0].System)
	}
	at := r.at
	if r.hasStart {
		at = r.start
	} else {
		r.Start = StartFull
	}
	if r.Start == StartFull && never != "" {
		l.report(at, BadStart, "snapshot: initial at "+never+", or start: now", "rule %s starts full, but %s has snapshot: never", r.ID, never)
	}
	for i, name := range r.between.sides {
		if side := slices.IndexFunc(r.From, func(ref Ref) bool { return ref.System == name }); side < 0 {
			l.report(r.between.sources[i], UnknownSystem, suggestName(name, []string{r.From[0].System, r.From[1].System}), "%q is not a side of the rule", name)
		} else if i == 0 {
			b.Preferred = side
		}
	}
	newest := b.Strategy == StrategyNewest || slices.Contains(slices.Collect(maps.Values(b.Strategies)), StrategyLater)
	if newest && b.TimeField == "" {
		where := r.between.strategy
		if where.node == nil {
			where = r.at
		}
		l.report(where, MissingField, "time_field: updated_at", "the newest of two changes can be told only by a time_field: a column of both that says when a record was changed")
	}
}

// betweenRows is the default of batch.max_rows for two-way rules: both sides are read and written for each batch.
const betweenRows = 1000

// checkSides refuses whatever else would write a table that a two-way rule keeps equal to another one.
func (l *loader) checkSides() {
	for i, r := range l.rules {
		if r.Between == nil || !r.Enabled || len(r.From) != 2 {
			continue
		}
		if l.sameTable(r.From[0], r.From[1]) {
			l.report(r.between.at, Cycle, "", "both sides of rule %s are one table", r.ID)
		}
		for j, other := range l.rules {
			switch {
			case !other.Enabled:
			case other.Between == nil:
				l.checkWriter(r, other)
			case j < i:
				l.checkOneRule(r, other)
			}
		}
	}
}

// checkWriter refuses a one-way rule that writes a side of the two-way rule r.
func (l *loader) checkWriter(r, other *ruleSource) {
	for _, e := range l.capturedAs(other.To) {
		if i := slices.Index(r.From, e); i >= 0 {
			l.report(other.to, SharedObject, "let it write a table of its own", "rule %s writes %s, which the two-way rule %s keeps equal to %s", other.ID, e, r.ID, r.From[1-i])
		}
	}
}

// checkOneRule refuses two two-way rules with a side in common: what is kept beside its records belongs to one of them.
func (l *loader) checkOneRule(r, other *ruleSource) {
	for _, mine := range r.From {
		if slices.ContainsFunc(other.From, func(ref Ref) bool { return l.sameTable(ref, mine) }) {
			l.report(r.between.at, SharedObject, "let one of them be a one-way rule that reads the table", "the two-way rule %s has %s as a side already", other.ID, mine)
			return
		}
	}
}

// sameTable reports whether two entities are captured from one table, as far as can be told without the databases.
func (l *loader) sameTable(a, b Ref) bool {
	if a == b {
		return true
	}
	s, t := l.systems[a.System], l.systems[b.System]
	if s == nil || t == nil || s.Capture == nil || t.Capture == nil || s.Type != t.Type || s != t && (database(s) == "" || database(s) != database(t)) {
		return false
	}
	first, second := s.Capture.Entity(a.Name), t.Capture.Entity(b.Name)
	return first != nil && second != nil && tableName(s.Type, first.Table) == tableName(t.Type, second.Table)
}
