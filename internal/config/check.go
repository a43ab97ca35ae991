package config

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"syncline"
)

// checkListen wants a port. Whether the address may be one that other machines reach depends on the tokens that there are at the start.
func (l *loader) checkListen(v value, text string) {
	_, port, err := net.SplitHostPort(text)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n > 65535 {
		l.report(v, BadValue, `"127.0.0.1:8484"`, "%s must be an address and a port", v.path)
	}
}

const (
	// stateRows is the default of batch.max_rows.
	stateRows = 5000
	// copyRows is that of PostgreSQL, which takes such batches by COPY: each costs it a statement, a commit and the state store's entry before it,
	// and the more rows are written in the order of the key, the fewer pages are touched for each. See docs/performance.md.
	copyRows = 20_000
	// eventRows is that of targets which are sent each event by itself: what was sent of a Write that an end or a crash cuts off is
	// sent again, and a Write must fit into the time that a process has to come to its end.
	eventRows = 100
)

// checkRule checks what a rule names, and fills in how it starts.
func (l *loader) checkRule(r *ruleSource) {
	if r.Between != nil {
		l.checkTwoWay(r)
		return
	}
	to := l.checkTarget(r)
	l.checkAsked(r)
	if r.Batch.MaxRows == 0 {
		switch {
		case to == nil:
		case to.Type.Events():
			r.Batch.MaxRows = eventRows
		case to.Type == TypePostgres:
			r.Batch.MaxRows = copyRows
		default:
			r.Batch.MaxRows = stateRows
		}
	}
	push, never := false, ""
	for i, ref := range r.From {
		s := l.checkSource(r.from[i], ref)
		if s == nil || s.Capture == nil {
			continue
		}
		push = push || s.Capture.Mode == ModePush
		if s.Capture.Mode != ModePush && !s.Capture.Initial {
			never = s.Name
		}
		if to != nil && to.Name == s.Name && !s.Type.SQL() {
			l.report(r.to, Cycle, "", "rule %s leads from %s to itself", r.ID, s.Name)
		}
	}
	if to == nil {
		return
	}
	if r.continuous != nil && r.Verify.Rate > 0 {
		l.checkComparable(*r.continuous, r.Rule, "take `continuous` out; what became of its events: `syncline tasks --rule "+r.ID+"`")
	}
	l.checkMarks(r, to)
	if r.Conflict != nil {
		l.checkConflict(r, to)
	}
	l.checkSteps(r, to)
	if p := r.Match.MinPriority; r.changed != nil && p != nil && *p > syncline.PriorityLow && !to.Type.Events() {
		l.report(*r.changed, BadValue, "take one of the two out", "only_if_changed and min_priority do not go together at %s, which holds records: what an event of a lower priority had changed would be missed", to.Name)
	}
	if r.ops != nil && !to.Type.Events() {
		l.report(*r.ops, BadValue, "use conditions on the record", "ops is for webhooks: %s holds the last state of each record, which needs every event", to.Name)
	}
	if !r.hasStart {
		switch {
		case to.Type.Events():
			r.Start = StartNow
		case push:
			r.Start = StartEarliest
		default:
			r.Start = StartFull
		}
	}
	at := r.at
	if r.hasStart {
		at = r.start
	}
	switch {
	case r.Start == StartFull && push:
		l.report(at, BadStart, "start: earliest applies everything that the log holds", "rule %s cannot start full: a pushed source cannot be read", r.ID)
	case r.Start == StartFull && never != "":
		l.report(at, BadStart, "snapshot: initial at "+never+", or start: now", "rule %s starts full, but %s has snapshot: never", r.ID, never)
	}
}

func (l *loader) checkSource(v value, ref Ref) *System {
	s, ok := l.systems[ref.System]
	switch {
	case !ok:
		l.report(v, UnknownSystem, suggestName(ref.System, l.systemNames(Type.CanCapture)), "there is no system %q", ref.System)
		return nil
	case s.Type == "":
		return nil
	case !s.Type.CanCapture():
		l.report(v, NotASource, "", "%s is of type %s, which cannot be a source", s.Name, s.Type)
		return nil
	case s.Capture == nil:
		l.report(v, NotASource, "give it a capture section", "%s is not a source", s.Name)
		return nil
	case s.Capture.Entity(ref.Name) == nil:
		var names []string
		for _, e := range s.Capture.Entities {
			names = append(names, e.Name)
		}
		l.report(v, UnknownEntity, suggestName(ref.Name, names), "%s has no entity %q", s.Name, ref.Name)
		return nil
	}
	return s.System
}

func (l *loader) checkTarget(r *ruleSource) *System {
	if r.To.System == "" {
		return nil
	}
	s, ok := l.systems[r.To.System]
	switch {
	case !ok:
		l.report(r.to, UnknownSystem, suggestName(r.To.System, l.systemNames(Type.CanApply)), "there is no system %q", r.To.System)
		return nil
	case s.Type == "":
		return nil
	case !s.Type.CanApply():
		l.report(r.to, NotATarget, "", "%s is of type %s, which cannot be a target", s.Name, s.Type)
		return nil
	case r.To.Name == "" && !s.Type.Events():
		l.report(r.to, BadValue, s.Name+"/name", "%s must name an object of %s", r.to.path, s.Name)
		return nil
	case s.Type.SQL() && !sqlIdentifier.MatchString(r.To.Name):
		l.report(r.to, BadName, `table, schema.table, or with double quotes as in SQL`, "%q is not an SQL identifier", r.To.Name)
		return nil
	}
	return s.System
}

// systemNames are the names of the systems of fitting types.
func (l *loader) systemNames(fits func(Type) bool) []string {
	var names []string
	for _, s := range l.cfg.Systems {
		if fits(s.Type) {
			names = append(names, s.Name)
		}
	}
	return names
}

// checkShared refuses rules that could overwrite each other's newer data in one object: rules of several sources always;
// rules of one source unless they are one group (one cursor, commit order), or read different entities and the object has a guard
// (documents have one, tables that we create do).
func (l *loader) checkShared() {
	writers, disabled := map[Ref][]*ruleSource{}, map[Ref][]*ruleSource{}
	for _, r := range l.rules {
		s := l.systems[r.To.System]
		if s == nil || !s.Type.CanApply() || s.Type.Events() {
			continue
		}
		object := Ref{r.To.System, r.To.Name}
		switch {
		case s.Type.SQL():
			object.Name = tableName(s.Type, r.To.Name)
		case s.Redis != nil && s.Redis.Key != "" && !strings.Contains(s.Redis.Key, "{object}"):
			object.Name = ""
		}
		if !r.Enabled {
			disabled[object] = append(disabled[object], r)
			continue
		}
		writers[object] = append(writers[object], r)
		sources := r.Sources()
		if len(sources) > 1 && r.Conflict == nil {
			l.report(r.at, SharedObject, "one rule and one object for each source, or a conflict section", "%s writes records of several sources (%s) to one object",
				r.at.path, strings.Join(sources, ", "))
			continue
		}
		for _, other := range writers[object] {
			if other == r || len(r.From) == 0 || len(other.From) == 0 {
				continue
			}
			if what, fix := l.clash(s, r, other); what != "" {
				l.report(r.to, SharedObject, fix, "rule %s %s", other.ID, what)
				break
			}
		}
	}
	for object, rules := range writers {
		s := l.systems[object.System]
		// A rule that is disabled may have written the table, and may write it again: what it left behind needs the guard meanwhile.
		guarded := s.Type.SQL() && rules[0].Conflict == nil && slices.ContainsFunc(slices.Concat(rules, disabled[object]), func(r *ruleSource) bool {
			return r.Route("") != rules[0].Route("") && (r.Enabled || l.fitsBeside(s, r, rules))
		})
		for _, r := range rules {
			r.Guarded = guarded
		}
	}
	l.checkGroups()
}

// noteColumns are the columns in which a rule notes that records are gone.
func noteColumns(r *ruleSource) (names []string) {
	for _, m := range r.On.Marks {
		if m.On != "archived" && !slices.Contains(names, m.Column) {
			names = append(names, m.Column)
		}
	}
	slices.Sort(names)
	return names
}

// clash tells how the other rule, which writes the same object, would harm what r writes, and the way out; "" where it does not.
func (l *loader) clash(s *systemSource, r, other *ruleSource) (what, fix string) {
	together := r.Group != "" && r.Group == other.Group
	switch {
	case splits(r.Rule) || splits(other.Rule):
		return fmt.Sprintf("writes %s too, and a rule that splits records removes what is not of its own", r.To), "give each rule an object of its own"
	case (r.Conflict == nil) != (other.Conflict == nil):
		return fmt.Sprintf("writes %s too, and one of the two would not see what the other decided", r.To), "give both a conflict section, or neither"
	case r.Conflict != nil && together:
		return "of the same group writes the same object, and both have a conflict section", "take both out of the group, or make one rule of them"
	case r.Conflict != nil && !slices.Equal(noteColumns(r), noteColumns(other)):
		return fmt.Sprintf("writes %s too, and notes in other columns which records are gone", r.To), "give both the same on section"
	case r.Conflict != nil && s.Redis != nil && r.To.Name != other.To.Name: // see below
	case r.Conflict != nil && !sharesEntity(r, other):
		return "", ""
	case other.From[0].System != r.From[0].System:
		return fmt.Sprintf("writes %s too, from another source (%s)", r.To, other.From[0].System), "give each source an object of its own, or both rules a conflict section"
	case !together && s.Type.SQL() && !(r.Create && other.Create) && !sharesEntity(r, other):
		return fmt.Sprintf("writes %s too, and neither knows what is newer", r.To), "put both in one group, or let both create the table: create: true adds a guard"
	case together && s.Type.SQL() && r.To.Name != other.To.Name:
		return "of the same group writes this table under another spelling", "write " + other.To.String() + " in both"
	case s.Redis != nil && r.To.Name != other.To.Name:
		return fmt.Sprintf("writes the same keys under another object's name (%s), and each name has a guard of its own", other.To),
			"write " + other.To.String() + " in both, or put {object} into the system's key"
	case !together && sharesEntity(r, other):
		return fmt.Sprintf("writes %s from the same records: what leaves one rule would be removed although the other one holds it", r.To),
			"put both in one group, or make one rule of them"
	}
	return "", ""
}

func sharesEntity(r, other *ruleSource) bool {
	return slices.ContainsFunc(r.From, func(ref Ref) bool { return slices.Contains(other.From, ref) })
}

// fitsBeside reports whether the rule could be enabled beside those that write its object.
func (l *loader) fitsBeside(s *systemSource, r *ruleSource, rules []*ruleSource) bool {
	return len(r.Sources()) == 1 && !slices.ContainsFunc(rules, func(other *ruleSource) bool {
		if len(other.From) == 0 {
			return true
		}
		what, _ := l.clash(s, r, other)
		return what != ""
	})
}

func (l *loader) checkGroups() {
	first := map[string]*ruleSource{}
	for _, r := range l.rules {
		if r.Group == "" || len(r.From) == 0 || !r.Enabled {
			continue
		}
		lead, ok := first[r.Group]
		if !ok {
			first[r.Group] = r
			lead = r
		}
		sources := r.Sources()
		if len(sources) > 1 || !slices.Equal(sources, lead.Sources()) || r.To.System != lead.To.System {
			l.report(r.group, BadGroup, "rules of one group have one source system and one target system",
				"rule %s does not fit into group %s with rule %s", r.ID, r.Group, lead.ID)
		}
		if r.Start != lead.Start || r.Retry != lead.Retry || r.Batch != lead.Batch {
			l.report(r.group, BadGroup, "rules of one group move together: they have one start, retry and batch",
				"rule %s has another start, retry or batch than rule %s of its group %s", r.ID, lead.ID, r.Group)
		}
	}
}

// checkCycles refuses rules that would feed themselves: a chain of rules from an entity back to its own table.
func (l *loader) checkCycles() {
	next := map[Ref][]*ruleSource{}
	for _, r := range l.rules {
		if !r.Enabled {
			continue
		}
		for _, ref := range r.From {
			next[ref] = append(next[ref], r)
		}
	}
	state := map[Ref]int{} // 1 = on the path, 2 = done
	var walk func(Ref)
	walk = func(at Ref) {
		state[at] = 1
		for _, r := range next[at] {
			for _, e := range l.capturedAs(r.To) {
				switch state[e] {
				case 0:
					walk(e)
				case 1:
					l.report(r.to, Cycle, "keep two tables equal with a two-way rule: `between: [crm/customer, erp/customer]`", "rule %s writes a table that its own records come from (%s)", r.ID, e)
				}
			}
		}
		state[at] = 2
	}
	for _, r := range l.rules {
		for _, ref := range r.From {
			if state[ref] == 0 {
				walk(ref)
			}
		}
	}
}

// capturedAs returns the entities that are read from the table that the rule writes.
func (l *loader) capturedAs(to Ref) []Ref {
	target := l.systems[to.System]
	if target == nil || !target.Type.SQL() {
		return nil
	}
	var refs []Ref
	for _, name := range slices.Sorted(maps.Keys(l.systems)) {
		s := l.systems[name]
		if s.Capture == nil || s.Type != target.Type || s != target && (database(s) == "" || database(s) != database(target)) {
			continue
		}
		for _, e := range s.Capture.Entities {
			if tableName(s.Type, e.Table) == tableName(s.Type, to.Name) {
				refs = append(refs, Ref{s.Name, e.Name})
			}
		}
	}
	return refs
}

// database is the same for two systems that name one database the same way, whoever logs in; "" where it cannot be told
// without connecting.
func database(s *systemSource) string {
	switch {
	case s.SQLite != nil:
		return filepath.Clean(s.SQLite.Path)
	case s.Postgres != nil:
		if u, err := url.Parse(s.Postgres.URL.Reveal()); err == nil && u.Host != "" {
			host := u.Host
			if u.Port() == "" {
				host = net.JoinHostPort(u.Hostname(), "5432")
			}
			return host + u.Path
		}
	}
	return ""
}

// tableName is the same for two spellings of one table, as far as can be told without the database: an unquoted name is
// folded, and a missing schema is taken for the usual one.
func tableName(t Type, identifier string) string {
	schema := map[Type]string{TypePostgres: "public", TypeSQLite: "main"}[t]
	var parts []string
	for rest := identifier; rest != ""; {
		var part string
		if inner, ok := strings.CutPrefix(rest, `"`); ok {
			end := 0
			for end < len(inner) && (inner[end] != '"' || end+1 < len(inner) && inner[end+1] == '"') {
				if inner[end] == '"' {
					end++
				}
				end++
			}
			end = min(end, len(inner))
			part, rest = strings.ReplaceAll(inner[:end], `""`, `"`), strings.TrimPrefix(inner[end:], `"`)
		} else {
			part, rest, _ = strings.Cut(rest, ".")
			parts = append(parts, strings.ToLower(part))
			continue
		}
		if t == TypeSQLite {
			part = strings.ToLower(part)
		}
		parts = append(parts, part)
		rest = strings.TrimPrefix(rest, ".")
	}
	if len(parts) == 1 {
		parts = []string{schema, parts[0]}
	}
	return fmt.Sprintf("%q", parts)
}
