package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/expression"
	"syncline/internal/ops"
)

// What a preview looks at is bounded, so that it takes no more from the routes that work than one that is behind does.
const (
	previewEvents = 500_000
	previewKeys   = 100_000
	previewTime   = 20 * time.Second
	previewShown  = 10 // keys of each kind
)

// impact is what an edited rule makes of the records of one entity that the log has, beside what it made of them before.
type impact struct {
	route, rule, source, target, entity string
	was, now                            *apply.Rule // was is nil for a rule that is new
	// bindings are by schema; nil is for a schema that the rule does not fit.
	wasOf, nowOf map[*syncline.Schema]bound
	// keys have what the last event of each came to.
	keys map[syncline.Key]*verdict
	// outside: the rule asks for something that is not in the log.
	outside bool
}

// bound is a rule fitted to a schema, or why it does not fit.
type bound struct {
	binding *apply.Binding
	err     error
}

// verdict is what becomes of one record. A nil record is not there.
type verdict struct {
	was, now map[string]cell
	// unknown: a column that is needed was not sent.
	unknown bool
	// failed is why the edited rule cannot make the record; nil = it can.
	failed error
}

// cell is a value of a record.
type cell struct {
	kind syncline.Kind
	text string
}

func (c cell) String() string {
	if c.kind == syncline.KindNull {
		return "null"
	}
	return c.text
}

func (v *verdict) kind() string {
	switch {
	case v.failed != nil:
		return "fails"
	case v.unknown:
		return "unknown"
	case v.was == nil && v.now != nil:
		return "appears"
	case v.was != nil && v.now == nil:
		return "vanishes"
	case !maps.Equal(v.was, v.now):
		return "changes"
	}
	return ""
}

// preview runs the rules of the routes that change over what the logs have since then.
func (d *Daemon) preview(ctx context.Context, was *set, c *config.Config, since time.Time) ([]*impact, []ops.Covered, error) {
	var list []*impact
	var bySource []string
	for _, rt := range routesOf(c) {
		old := was.route(rt.id)
		if old != nil && rt.as(old) || rt.rules[0].Between != nil || was.source(rt.source.system.Name) == nil {
			continue
		}
		parts, err := rt.compile()
		if err != nil {
			return nil, nil, err
		}
		for i := range parts {
			one := &impact{route: rt.id, rule: parts[i].ID, source: rt.source.system.Name, target: rt.target.Name + "/" + parts[i].Object,
				entity: parts[i].Entity, now: &parts[i], wasOf: make(map[*syncline.Schema]bound),
				nowOf: make(map[*syncline.Schema]bound), keys: make(map[syncline.Key]*verdict)}
			if old != nil && old.target.Name == rt.target.Name {
				if at := slices.IndexFunc(old.compiled, func(r apply.Rule) bool { return r.ID == parts[i].ID }); at >= 0 && old.compiled[at].Object == parts[i].Object {
					one.was = &old.compiled[at]
				}
			}
			list = append(list, one)
		}
		if !slices.Contains(bySource, rt.source.system.Name) {
			bySource = append(bySource, rt.source.system.Name)
		}
	}
	var covered []ops.Covered
	for _, name := range bySource {
		of := slices.DeleteFunc(slices.Clone(list), func(one *impact) bool { return one.source != name })
		c, err := d.previewLog(ctx, was.source(name), of, since)
		if err != nil {
			return nil, nil, fmt.Errorf("read the log of %s: %w", name, err)
		}
		covered = append(covered, c)
	}
	return list, covered, nil
}

// previewLog reads one log.
func (d *Daemon) previewLog(ctx context.Context, s *source, list []*impact, since time.Time) (ops.Covered, error) {
	c := ops.Covered{Source: s.system.Name}
	bounds, err := s.log.Bounds(ctx)
	if err != nil || bounds.Last < bounds.First {
		c.Whole = err == nil
		return c, err
	}
	from, err := d.firstYounger(ctx, &source{system: s.system, stream: &stream{log: s.log}}, bounds, since)
	if err != nil {
		return c, err
	}
	reader, err := s.log.Read(ctx, from)
	if err != nil {
		return c, err
	}
	defer reader.Close() //nolint:errcheck // it holds nothing that could be lost
	deadline := time.Now().Add(previewTime)
	for c.Events < previewEvents && time.Now().Before(deadline) {
		e, err := reader.Next(ctx)
		if err != nil {
			return c, err
		}
		b, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			return c, err
		}
		if !e.Time.Before(since) {
			if c.From.IsZero() {
				c.From = e.Time
			}
			keys := 0
			for _, one := range list {
				one.batch(b)
				keys += len(one.keys)
			}
			c.Events, c.To = c.Events+int64(len(b.Events)), e.Time
			if keys >= previewKeys {
				break
			}
		}
		if c.Whole = e.Seq >= bounds.Last; c.Whole {
			break
		}
	}
	return c, nil
}

func (m *impact) batch(b *syncline.Batch) {
	for i := range b.Events {
		e := &b.Events[i]
		if e.Schema.Entity != m.entity || e.Op == syncline.OpTruncated || e.Stub > 0 || len(e.Schema.Key) == 0 {
			continue
		}
		key, ok := e.Key()
		if !ok {
			continue
		}
		v := m.keys[key]
		if v == nil {
			v = &verdict{}
			m.keys[key] = v
		}
		v.unknown, v.failed = false, nil
		m.judge(v, &v.was, m.was, m.wasOf, b, i)
		m.judge(v, &v.now, m.now, m.nowOf, b, i)
	}
}

// judge takes over what a version of the rule makes of the event.
func (m *impact) judge(v *verdict, record *map[string]cell, rule *apply.Rule, bindings map[*syncline.Schema]bound, b *syncline.Batch, i int) {
	e := &b.Events[i]
	if rule == nil {
		return
	}
	if e.After == nil {
		*record = nil
		return
	}
	bound, known := bindings[e.Schema]
	if !known {
		bound.binding, bound.err = rule.Bind(e.Schema)
		bindings[e.Schema] = bound
	}
	binding := bound.binding
	if bound.err != nil {
		m.fail(v, rule, bound.err)
		return
	}
	if binding.Prepare != nil || binding.Split != nil {
		m.outside = true
		return
	}
	if binding.Admits != nil && !binding.Admits(e) {
		return
	}
	values, keep, err := madeOf(binding, b, i)
	switch {
	case errors.Is(err, expression.ErrUnset):
		v.unknown = true
	case err != nil:
		m.fail(v, rule, err)
	case !keep:
		*record = nil
	default:
		fields := make(map[string]cell, len(values))
		for n, value := range values {
			name := binding.Out.Columns[n].Name
			if !value.IsUnset() {
				fields[name] = cell{value.Kind(), value.Text()}
			} else if before, ok := (*record)[name]; ok { // it did not change
				fields[name] = before
			}
		}
		*record = fields
	}
}

// fail notes why the edited rule cannot make a record. What the one at work could not make is told by its tasks.
func (m *impact) fail(v *verdict, rule *apply.Rule, err error) {
	if rule == m.now && v.failed == nil {
		v.failed = err
	}
}

func madeOf(binding *apply.Binding, b *syncline.Batch, i int) (values []syncline.Value, keep bool, err error) {
	if binding.Match != nil {
		if keep, err = binding.Match(b, i); err != nil || !keep {
			return nil, false, err
		}
	}
	if binding.Row != nil {
		return binding.Row(b, i)
	}
	return b.Events[i].After, true, nil
}

// tell sums up; values says whether samples show what they hold.
func (m *impact) tell(values bool) ops.Impact {
	out := ops.Impact{Route: m.route, Rule: m.rule, Target: m.target, Keys: int64(len(m.keys)), Unsupported: m.outside, Samples: []ops.ImpactSample{}}
	count := map[string]*int64{"appears": &out.Appear, "vanishes": &out.Vanish, "changes": &out.Change, "unknown": &out.Unknown, "fails": &out.Fail}
	for _, key := range slices.Sorted(maps.Keys(m.keys)) {
		v := m.keys[key]
		n := count[v.kind()]
		if n == nil {
			continue
		}
		if *n++; *n > previewShown {
			continue
		}
		sample := ops.ImpactSample{Key: string(key), What: v.kind()}
		if v.failed != nil {
			sample.Error = v.failed.Error()
		}
		if values {
			for _, name := range slices.Sorted(maps.Keys(merged(v.was, v.now))) {
				if v.was[name] != v.now[name] {
					sample.Fields = append(sample.Fields, ops.PlannedField{Path: name, Was: shownIn(v.was, name), Now: shownIn(v.now, name)})
				}
			}
		}
		out.Samples = append(out.Samples, sample)
	}
	return out
}

// shownIn is the record's value as text; "" where it has none.
func shownIn(record map[string]cell, name string) string {
	c, ok := record[name]
	if !ok {
		return ""
	}
	return c.String()
}

func merged(a, b map[string]cell) map[string]cell {
	all := make(map[string]cell)
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// concerned are the keys whose records would not be as the target has them.
func (m *impact) concerned() []syncline.Key {
	var keys []syncline.Key
	for _, key := range slices.Sorted(maps.Keys(m.keys)) {
		if m.keys[key].kind() != "" || m.outside {
			keys = append(keys, key)
		}
	}
	return keys
}

// resync has the sources read the concerned records again, for their routes alone. It is asked for after the rules have changed.
func (d *Daemon) resync(ctx context.Context, list []*impact) []ops.Resync {
	var done []ops.Resync
	for _, m := range list {
		if m.was == nil { // it begins by its start
			continue
		}
		for keys := range slices.Chunk(m.concerned(), resyncKeys) {
			one := ops.Resync{Source: m.source, Entity: m.entity, Route: m.route, Keys: len(keys)}
			run := syncline.Run{ID: "sync-" + uuid.NewString(), Kind: syncline.RunKeys, Entity: m.entity, Keys: keys, Routes: []string{m.route}}
			err := error(syncline.Errorf(syncline.Rejected, "source_cannot_read", "source %s cannot read records again: have them sent again under new event ids", m.source))
			if s := d.source(m.source); s != nil && s.system.Capture.Mode != config.ModePush {
				err = s.capture.RequestRun(ctx, run)
			}
			if err == nil {
				one.Run = run.ID
			} else {
				one.Error = err.Error()
			}
			done = append(done, one)
		}
	}
	return done
}

// resyncKeys is how many keys a run has.
const resyncKeys = 10_000
