package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// What differs at first sight may only be on its way. So each such record is asked for through the log: the answer stands there among the
// events of the stream, and says what the record was at that place, whatever the snapshot saw. Once the route has passed the place, the
// target must hold what the newest event up to there wants, or what a later one wants that stands in the log by the time the target has
// been read. A record that holds neither, and of which no later event was found, differs for certain.
const (
	// settleRounds is how often a record that changes all the time is looked at.
	settleRounds = 8
	// settlePatience is how long the log's end and the route may take without getting anywhere.
	settlePatience = 30 * time.Second
	settlePoll     = 5 * time.Millisecond
	// verifyRoute is a route that there is not: the answers to a verification are for nobody else.
	verifyRoute = "_verify"
)

// candidate is a record that differs at first sight.
type candidate struct {
	// key is the source's.
	key syncline.Key
	// extra, where it is set, is a record of the target that nobody may have made: its key.
	extra *syncline.Row
}

// class is what a record comes to.
type class uint8

const (
	classEqual class = iota
	classDiffers
	classParked
	classHeld
	classConflict
	classPolicy
	classUnsettled
)

// finding is what a candidate comes to.
type finding struct {
	candidate
	class    class
	enriched bool
	// kind, target and fields are of one that differs: how, the target's key, and which fields.
	kind   verify.Kind
	target syncline.Key
	fields []string
	note   string
	// wanted: the rule makes the record that extra is.
	wanted bool
	// foreign: what is extra is no record, and somebody else's.
	foreign bool
}

// evidence is what the log says of the candidates.
type evidence struct {
	events map[syncline.Key][]occurrence
	// refused are keys that certainly are none of the entity.
	refused map[syncline.Key]bool
	// upTo is the entry with the last answer.
	upTo syncline.Seq
}

// settle looks closely at candidates until it is known what each comes to.
func (v *verifying) settle(ctx context.Context, list []candidate) ([]finding, error) {
	var done []finding
	for round := 1; len(list) > 0; round++ {
		settled, again, err := v.settleRound(ctx, list, round == settleRounds)
		if behind := (*behindError)(nil); errors.As(err, &behind) {
			for _, c := range list {
				done = append(done, finding{candidate: c, class: classUnsettled, note: behind.Error()})
			}
			return done, nil
		}
		if err != nil {
			return nil, err
		}
		done, list = append(done, settled...), again
	}
	return done, nil
}

// settleRound returns what is known, and the candidates that have to be looked at again.
func (v *verifying) settleRound(ctx context.Context, list []candidate, last bool) (done []finding, again []candidate, err error) {
	waited, err := v.waiting(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	found, err := v.ask(ctx, list)
	if err != nil {
		return nil, nil, err
	}
	if err := v.passes(ctx, found.upTo); err != nil {
		return nil, nil, err
	}
	wishes := make([]*wish, len(list))
	var asked []*wish
	for i := range list {
		wishes[i] = v.wish(ctx, found.events[list[i].key], &list[i])
		if wishes[i] != nil && wishes[i].unknown == "" {
			asked = append(asked, wishes[i])
		}
	}
	held, err := held(ctx, v.current, v.rule.Object, asked)
	if err != nil {
		return nil, nil, fmt.Errorf("read the target: %w", err)
	}
	if err := v.later(ctx, list, found); err != nil {
		return nil, nil, err
	}
	if waited, err = v.waiting(ctx, waited); err != nil {
		return nil, nil, err
	}
	for i := range list {
		c, w := list[i], wishes[i]
		var got [][]syncline.Value
		if w != nil && w.unknown == "" {
			got, held = held[0], held[1:]
		}
		f := v.finding(c, w, got)
		events := found.events[c.key]
		switch {
		case f.class == classEqual:
		case v.isWaiting(waited, events, w, &f):
		case f.class == classPolicy:
		case found.refused[c.key]:
		case f.class == classUnsettled && !last:
			again = append(again, c)
			continue
		case f.class == classDiffers && newer(events, found.upTo):
			if v.onItsWay(ctx, c, events, found.upTo, got, w) {
				f = finding{candidate: c, class: classEqual}
			} else if !last {
				again = append(again, c)
				continue
			}
		}
		done = append(done, f)
	}
	return done, again, nil
}

// wish is what the target should hold by the newest of the events; nil where the rule leaves it to others.
func (v *verifying) wish(ctx context.Context, events []occurrence, c *candidate) *wish {
	w := wished(ctx, v.rule, events)
	switch {
	case w == nil && len(events) == 0 && c.extra != nil: // the source has no such key
		w = &wish{schema: c.extra.Schema}
	case w == nil && len(events) == 0:
		return &wish{unknown: "the source has not told of it"}
	case w == nil:
		return nil
	}
	if c.extra == nil {
		return w
	}
	// The record of the target is looked for, too, where it is none of those that should be there.
	key, _ := c.extra.Key()
	is := func(r syncline.Row) bool {
		k, ok := r.Key()
		return ok && k == key
	}
	if slices.ContainsFunc(w.rows, is) {
		return w
	}
	if w.unknown != "" && len(w.rows) == 0 && v.binding.Split != nil { // of a parent that is gone, no child should be there
		w.unknown = ""
	}
	if w.unknown == "" && !slices.ContainsFunc(w.keys, is) {
		w.keys = append(w.keys, syncline.Row{Schema: w.schema, Values: spread(w.schema, c.extra)})
	}
	return w
}

// spread gives the key of a record as a row of another schema.
func spread(s *syncline.Schema, key *syncline.Row) []syncline.Value {
	values := make([]syncline.Value, len(s.Columns))
	for i := range values {
		values[i] = syncline.Unset
	}
	for i, at := range s.Key {
		if i < len(key.Schema.Key) {
			values[at] = key.Values[key.Schema.Key[i]]
		}
	}
	return values
}

// finding compares what the target holds with what it should.
func (v *verifying) finding(c candidate, w *wish, got [][]syncline.Value) finding {
	f := finding{candidate: c}
	switch {
	case w == nil:
		f.class = classPolicy
		return f
	case w.unknown != "":
		f.class, f.note = classUnsettled, w.unknown
		return f
	}
	differs := func(kind verify.Kind, row syncline.Row, fields []string) {
		if f.class == classEqual {
			f.class, f.kind, f.fields = classDiffers, kind, fields
			f.target, _ = row.Key()
		}
	}
	var extra syncline.Key
	if c.extra != nil {
		extra, _ = c.extra.Key()
	}
	for i, row := range w.rows {
		if k, ok := row.Key(); ok && k == extra && c.extra != nil {
			f.wanted = true
		}
		if got[i] == nil {
			differs(verify.Missing, row, nil)
			continue
		}
		equal, enriched := v.matcher.Equal(row.Values, got[i])
		if f.enriched = f.enriched || enriched; !equal {
			differs(verify.Different, row, v.matcher.Fields(row.Values, got[i]))
		}
	}
	for i, row := range w.keys {
		if got[len(w.rows)+i] != nil {
			differs(verify.Extra, row, nil)
		}
	}
	if f.class == classDiffers && f.kind == verify.Different && v.rule.Conflicts != nil {
		f.class = classPolicy // who else writes the record may be right
	}
	return f
}

// onItsWay reports whether the target holds what an event wants that came after the answer.
func (v *verifying) onItsWay(ctx context.Context, c candidate, events []occurrence, upTo syncline.Seq, got [][]syncline.Value, w *wish) bool {
	for i := range events {
		if events[i].seq <= upTo {
			continue
		}
		later := v.wish(ctx, events[:i+1], &c)
		if later == nil || later.unknown != "" || !sameKeys(w, later) {
			continue
		}
		if v.finding(c, later, arranged(w, later, got)).class == classEqual {
			return true
		}
	}
	return false
}

// sameKeys reports whether what one wish looks for is what the other does.
func sameKeys(a, b *wish) bool {
	was := keysOf(a)
	for k := range keysOf(b) {
		if _, ok := was[k]; !ok {
			return false
		}
	}
	return true
}

// keysOf are the places of the keys of a wish among what is held of it.
func keysOf(w *wish) map[syncline.Key]int {
	all := make(map[syncline.Key]int)
	for i, row := range slices.Concat(w.rows, w.keys) {
		k, _ := row.Key()
		all[k] = i
	}
	return all
}

// arranged puts what is held of one wish into the order of the other.
func arranged(was, now *wish, got [][]syncline.Value) [][]syncline.Value {
	at := keysOf(was)
	var out [][]syncline.Value
	for _, row := range slices.Concat(now.rows, now.keys) {
		k, _ := row.Key()
		out = append(out, got[at[k]])
	}
	return out
}

// newer reports whether one of the events came after the answer.
func newer(events []occurrence, upTo syncline.Seq) bool {
	return len(events) > 0 && events[len(events)-1].seq > upTo
}

// ask has the source tell of the candidates through the log, and collects what the log says of them up to the last answer.
func (v *verifying) ask(ctx context.Context, list []candidate) (*evidence, error) {
	found := &evidence{events: make(map[syncline.Key][]occurrence), refused: make(map[syncline.Key]bool)}
	bounds, err := v.r.source.log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	return v.askAfter(ctx, list, bounds.Last, found)
}

// askAfter is ask for what stands behind an entry.
func (v *verifying) askAfter(ctx context.Context, list []candidate, after syncline.Seq, found *evidence) (*evidence, error) {
	var keys []syncline.Key
	for _, c := range list {
		if _, dup := found.events[c.key]; !dup {
			found.events[c.key] = nil
			keys = append(keys, c.key)
		}
	}
	found.upTo = after
	return found, v.askFor(ctx, state.ReadRun+"verify-"+uuid.NewString(), keys, []string{verifyRoute}, found)
}

// askFor has the source read the keys for the routes, and collects what the log says of them, from behind
// found.upTo to the last answer.
func (v *verifying) askFor(ctx context.Context, id string, keys []syncline.Key, routes []string, found *evidence) error {
	slices.Sort(keys)
	runs := make(map[string]bool)
	if err := v.request(ctx, syncline.Run{ID: id, Kind: syncline.RunKeys, Entity: v.rule.Entity, Keys: keys, Routes: routes}, runs, found); err != nil || len(runs) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, settlePatience, &behindError{fmt.Sprintf("source %s does not answer", v.r.source.system.Name)})
	defer cancel()
	w, err := v.r.logFrom(ctx, found.upTo+1)
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // it holds nothing that could be lost
	for len(runs) > 0 {
		e, err := w.Next(ctx)
		if err != nil {
			if behind := context.Cause(ctx); behind != nil {
				err = behind
			}
			return err
		}
		chunk, err := v.collect(&e, found)
		if err != nil {
			return err
		}
		if chunk != nil && chunk.Last {
			delete(runs, chunk.Run)
		}
		found.upTo = e.Seq
	}
	return nil
}

// request asks for the keys. The source refuses all where one of them cannot be of the entity: then they are asked for in halves.
func (v *verifying) request(ctx context.Context, run syncline.Run, runs map[string]bool, found *evidence) error {
	err := v.r.source.capture.RequestRun(ctx, run)
	switch {
	case err == nil:
		runs[run.ID] = true
		return nil
	case syncline.CodeOf(err) != "bad_key":
		return err
	case len(run.Keys) == 1:
		found.refused[run.Keys[0]] = true
		return nil
	}
	half := len(run.Keys) / 2
	one, other := run, run
	one.ID, one.Keys = run.ID+"a", run.Keys[:half]
	other.ID, other.Keys = run.ID+"b", run.Keys[half:]
	if err := v.request(ctx, one, runs, found); err != nil {
		return err
	}
	return v.request(ctx, other, runs, found)
}

// later collects what the log says of the candidates behind the last answer, up to its end now.
func (v *verifying) later(ctx context.Context, list []candidate, found *evidence) error {
	bounds, err := v.r.source.log.Bounds(ctx)
	if err != nil || bounds.Last <= found.upTo {
		return err
	}
	w, err := v.r.logFrom(ctx, found.upTo+1)
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // it holds nothing that could be lost
	for {
		e, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if _, err := v.collect(&e, found); err != nil || e.Seq >= bounds.Last {
			return err
		}
	}
}

// collect takes the candidates' events from an entry, and returns the chunk that it is.
func (v *verifying) collect(e *syncline.Entry, found *evidence) (*syncline.Chunk, error) {
	d, err := syncline.DecodeDirectory(e.Data)
	if err != nil || !slices.ContainsFunc(d.Schemas, func(s *syncline.Schema) bool { return s.Entity == v.rule.Entity }) {
		if err != nil {
			return nil, err
		}
		return d.Chunk, nil
	}
	b, err := syncline.DecodeBatch(e.Data)
	if err != nil {
		return nil, err
	}
	add := func(k syncline.Key, i int, gone bool) error {
		one, err := alone(b, i)
		if err == nil {
			found.events[k] = append(found.events[k], occurrence{spot: spot{e.Seq, i}, appended: e.Time, batch: one, gone: gone})
		}
		return err
	}
	for i := range b.Events {
		ev := &b.Events[i]
		if ev.Schema.Entity != v.rule.Entity {
			continue
		}
		if ev.Op == syncline.OpTruncated {
			for k := range found.events {
				if err := add(k, i, false); err != nil {
					return nil, err
				}
			}
			continue
		}
		is, ok := ev.Key()
		if was, moved := ev.OldKey(); moved {
			if _, asked := found.events[was]; asked {
				if err := add(was, i, true); err != nil {
					return nil, err
				}
			}
		}
		if _, asked := found.events[is]; ok && asked {
			if err := add(is, i, false); err != nil {
				return nil, err
			}
		}
	}
	return b.Chunk, nil
}

// behindError says why records cannot be settled: somebody does not come to them.
type behindError struct{ why string }

func (e *behindError) Error() string { return e.why }

func isBehind(err error) bool {
	behind := (*behindError)(nil)
	return errors.As(err, &behind)
}

// passes waits until the route has done everything up to the entry.
func (v *verifying) passes(ctx context.Context, upTo syncline.Seq) error {
	if upTo == 0 {
		return nil
	}
	var at syncline.Cursor
	since := time.Now()
	for tick := time.NewTicker(settlePoll); ; {
		st := v.r.apply.Status()
		switch {
		case st.Cursor.Log == v.r.source.log.ID() && st.Cursor.Seq > upTo:
			tick.Stop()
			return nil
		case !st.Busy():
			tick.Stop()
			return &behindError{fmt.Sprintf("route %s is %s: what waits for it cannot be told from what differs", v.r.id, st.State)}
		case at != st.Cursor:
			at, since = st.Cursor, time.Now()
		case time.Since(since) > settlePatience:
			tick.Stop()
			return &behindError{fmt.Sprintf("route %s does not get on: what waits for it cannot be told from what differs", v.r.id)}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return ctx.Err()
		}
	}
}

// waiting adds the tasks of the rule that wait, by target key.
func (v *verifying) waiting(ctx context.Context, to map[syncline.Key][]string) (map[syncline.Key][]string, error) {
	list, err := v.d.state.Waiting(ctx, state.Slice{Route: v.r.id})
	if to == nil {
		to = make(map[syncline.Key][]string)
	}
	for i := range list {
		if list[i].Rule == v.rule.ID {
			to[list[i].Key] = append(to[list[i].Key], list[i].Status)
		}
	}
	return to, err
}

// isWaiting makes a finding of one whose record waits: a conflict for a decision, else a retry or a person, else what it waits behind.
func (v *verifying) isWaiting(waiting map[syncline.Key][]string, events []occurrence, w *wish, f *finding) bool {
	if len(waiting) == 0 {
		return false
	}
	keys := []syncline.Key{f.target}
	for i := range events {
		for _, row := range [][]syncline.Value{events[i].event().After, events[i].event().Before} {
			if binding, err := v.rule.Fit(events[i].event().Schema); row != nil && err == nil {
				if k, ok := binding.TargetKey(row); ok {
					keys = append(keys, k)
				}
			}
		}
	}
	if w != nil {
		for _, row := range slices.Concat(w.rows, w.keys) {
			k, _ := row.Key()
			keys = append(keys, k)
		}
	}
	was := f.class
	for _, k := range keys {
		for _, status := range waiting[k] {
			switch {
			case status == state.StatusConflict:
				f.class = classConflict
			case status == state.StatusHeld && f.class == was:
				f.class = classHeld
			case f.class != classConflict && status != state.StatusHeld:
				f.class = classParked
			}
		}
	}
	return f.class != was
}
