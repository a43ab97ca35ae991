package sourcetest

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"syncline"
)

// mirror is the simplest state target: what applying the log in order makes of each entity.
type mirror struct {
	keyed map[string]map[syncline.Key][]syncline.Value
	loose map[string][][]syncline.Value
	// missing are the keys whose row has to be read from the source, because an event left columns unsent that nobody has.
	missing map[string]map[syncline.Key]bool
	// applied counts the batches of the recorder's log.
	applied int
	r       *recorder
}

func newMirror(r *recorder) *mirror {
	m := &mirror{keyed: map[string]map[syncline.Key][]syncline.Value{}, loose: map[string][][]syncline.Value{},
		missing: map[string]map[syncline.Key]bool{}, r: r}
	m.catchUp()
	return m
}

// catchUp applies what the log has beyond the last time.
func (m *mirror) catchUp() {
	for _, b := range m.r.log[m.applied:] {
		if c := b.Chunk; c != nil && c.First && c.Reset {
			m.clear(c.Entity)
		}
		for i := range b.Events {
			if err := m.apply(&b.Events[i]); err != nil {
				m.r.t.Errorf("apply event %s: %v", b.EventID(i), err)
			}
		}
	}
	m.applied = len(m.r.log)
}

func (m *mirror) clear(entity string) {
	m.keyed[entity], m.missing[entity] = map[syncline.Key][]syncline.Value{}, map[syncline.Key]bool{}
	m.loose[entity] = nil
}

func (m *mirror) apply(e *syncline.Event) error {
	entity := e.Schema.Entity
	if m.keyed[entity] == nil {
		m.clear(entity)
	}
	if e.Op == syncline.OpTruncated {
		m.clear(entity)
		return nil
	}
	if len(Tables[entity].Key) == 0 {
		return m.applyLoose(e)
	}
	key, ok := e.Key()
	if !ok {
		return fmt.Errorf("%s of %s without a key", e.Op, entity)
	}
	rows, missing := m.keyed[entity], m.missing[entity]
	old, had := rows[key]
	if was, changed := e.OldKey(); changed {
		if !had {
			old, had = rows[was]
		}
		delete(rows, was)
		delete(missing, was)
	}
	if e.After == nil {
		delete(rows, key)
		delete(missing, key)
		return nil
	}
	row := arrange(e.Row())
	for i := range row {
		if !row[i].IsUnset() {
			continue
		}
		if !had {
			missing[key] = true
			return nil
		}
		row[i] = old[i]
	}
	rows[key] = row
	delete(missing, key)
	return nil
}

func (m *mirror) applyLoose(e *syncline.Event) error {
	entity := e.Schema.Entity
	if e.Before != nil {
		old := arrange(syncline.Row{Schema: e.Schema, Values: e.Before})
		i := slices.IndexFunc(m.loose[entity], func(r []syncline.Value) bool { return slices.EqualFunc(r, old, syncline.Equal) })
		if i < 0 {
			return fmt.Errorf("%s of a row that is not there", e.Op)
		}
		m.loose[entity] = slices.Delete(m.loose[entity], i, i+1)
	}
	if e.After != nil {
		m.loose[entity] = append(m.loose[entity], arrange(e.Row()))
	}
	return nil
}

// readMissing asks the source for the rows that the mirror could not make, as a route would.
func (r *recorder) readMissing(ctx context.Context, m *mirror, entity string) {
	r.t.Helper()
	for attempt := 0; len(m.missing[entity]) > 0; attempt++ {
		var keys []syncline.Key
		for k := range m.missing[entity] {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		id := fmt.Sprintf("missing-%s-%d", entity, attempt)
		reader, ok := r.src.(syncline.RunReader)
		if !ok {
			r.t.Fatalf("%d records of %s miss columns, and the source cannot read them", len(keys), entity)
		}
		if err := reader.StartRun(syncline.Run{ID: id, Kind: syncline.RunKeys, Entity: entity, Keys: keys}); err != nil {
			r.t.Fatalf("start run: %v", err)
		}
		r.until(ctx, func() bool { return r.runEnded(syncline.RunKeys, entity, id) })
		m.catchUp()
	}
}

func (m *mirror) rows(entity string) [][]syncline.Value {
	all := slices.Clone(m.loose[entity])
	for _, row := range m.keyed[entity] {
		all = append(all, row)
	}
	return all
}

// printed returns the rows as sorted lines, for comparison; long texts are cut.
func printed(rows [][]syncline.Value) []string {
	lines := make([]string, 0, len(rows))
	for _, row := range rows {
		var b strings.Builder
		for i, v := range row {
			if i > 0 {
				b.WriteString(" | ")
			}
			b.Write(syncline.AppendCanonical(nil, v))
		}
		line := b.String()
		if len(line) > 200 {
			line = fmt.Sprintf("%s… (%d bytes, hash %x)", line[:200], len(line), syncline.Key(line).Hash())
		}
		lines = append(lines, line)
	}
	sort.Strings(lines)
	return lines
}
