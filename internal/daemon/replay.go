package daemon

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/ops"
)

// What a replay may be about is bounded: a larger stretch is a sync.
const (
	replayKeys    = 100_000
	replayTime    = 30 * time.Second
	replayCompare = 1000 // records that are compared with the target
	replayShown   = 20
	replayBytes   = 64 << 20 // about how much of their events is kept for that
)

// replayed is a record that a replay is about.
type replayed struct {
	entity string
	key    syncline.Key
	// events are the newest of it, where it is compared; earlier ones are kept for what the last did not send.
	events []occurrence
}

// replay is a stretch of a log for one route.
type replay struct {
	r        *route
	only     map[syncline.Key]bool // nil = all
	from, to syncline.Seq
	records  []*replayed
	byKey    map[string]map[syncline.Key]*replayed // by entity
	answer   ops.Replay
	kept     int // bytes
}

// Replay has the records that a stretch of the log is about read from the source again, for one route. The events themselves are not sent:
// what a record was then may have been overtaken. Read again, it comes as it is now, through the log, behind everything that is there; so
// nothing at the target goes back, whenever it is done and however often.
func (e engine) Replay(ctx context.Context, q ops.ReplayRequest) (ops.Replay, error) {
	r := e.route(q.Route)
	if r == nil {
		return ops.Replay{}, noSuch("route_not_found", "route", q.Route, names{e.set()}.routes())
	}
	switch {
	case r.source.system.Capture.Mode == config.ModePush:
		return ops.Replay{}, syncline.Errorf(syncline.Rejected, "not_available", "source %s cannot read its records again", r.source.system.Name).
			WithFix("have its records sent again under new event ids")
	case r.events:
		return ops.Replay{}, syncline.Errorf(syncline.Rejected, "not_available", "%s takes events, and what it was sent is not sent again by this version", r.target.Name).
			WithFix("`syncline sync %s/ENTITY --route %s --key KEY` sends records as they are now", r.source.system.Name, r.id)
	}
	p := &replay{r: r, byKey: make(map[string]map[syncline.Key]*replayed), answer: ops.Replay{Route: r.id, Source: r.source.system.Name,
		Samples: []ops.ReplaySample{}, Runs: []string{}}}
	for _, k := range q.Keys {
		key, err := canonicalKey("route "+r.id, k)
		if err != nil {
			return p.answer, err
		}
		if p.only == nil {
			p.only = make(map[syncline.Key]bool)
		}
		p.only[key] = true
	}
	if err := e.place(ctx, p, q.From, q.To); err != nil {
		return p.answer, err
	}
	if p.from > p.to {
		bounds, err := r.source.log.Bounds(ctx)
		if p.answer.Note = "the log of " + r.source.system.Name + " is empty"; bounds.Last >= bounds.First {
			p.answer.Note = fmt.Sprintf("the log of %s has the entries %d to %d, and none of them is in that stretch", r.source.system.Name, bounds.First, bounds.Last)
		}
		return p.answer, err
	}
	if err := p.read(ctx); err != nil {
		return p.answer, err
	}
	p.compare(ctx)
	if q.DryRun {
		return p.answer, nil
	}
	e.changing.RLock()
	defer e.changing.RUnlock()
	if e.route(q.Route) != r {
		return p.answer, syncline.Errorf(syncline.Rejected, "config_stale", "another configuration was applied meanwhile").WithFix("ask again")
	}
	err := p.send(ctx)
	e.note(ctx, err, "records are sent again", q.Reason, "route", r.id, "from", p.from, "to", p.to, "keys", p.answer.Keys)
	return p.answer, err
}

// place finds the entries of the stretch: what was purged is not in it.
func (e engine) place(ctx context.Context, p *replay, from, to string) error {
	bounds, err := p.r.source.log.Bounds(ctx)
	if err != nil || bounds.Last < bounds.First {
		p.from, p.to = 1, 0
		return err
	}
	at := func(text string, after bool) (syncline.Seq, error) {
		if n, err := strconv.ParseUint(text, 10, 63); err == nil {
			return syncline.Seq(n), nil
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return 0, syncline.Errorf(syncline.Rejected, "request_invalid", "%q is neither an entry of the log nor a time", text).
				WithFix("as in 4711 or 2026-01-31T09:00:00Z")
		}
		seq, err := e.firstYounger(ctx, &source{stream: &stream{log: p.r.source.log}}, bounds, t)
		if err != nil {
			return 0, err
		}
		last, err := entryAt(ctx, p.r.source.log, seq)
		switch {
		case err != nil:
			return 0, err
		case last.Time.Before(t): // everything is older
			seq++
		}
		if after {
			seq--
		}
		return seq, nil
	}
	if p.from, err = at(from, false); err != nil {
		return err
	}
	p.to = bounds.Last
	if to != "" {
		if p.to, err = at(to, true); err != nil {
			return err
		}
	}
	p.from, p.to = max(p.from, bounds.First), min(p.to, bounds.Last)
	p.answer.From, p.answer.To = uint64(p.from), uint64(p.to)
	return nil
}

// read collects the records of the stretch; those that are compared also from behind it, where their newest events are.
func (p *replay) read(ctx context.Context) error {
	bounds, err := p.r.source.log.Bounds(ctx)
	if err != nil {
		return err
	}
	w, err := p.r.logFrom(ctx, p.from)
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // it holds nothing that could be lost
	deadline := time.Now().Add(replayTime)
	for {
		entry, b, err := w.next(ctx)
		if err != nil {
			return err
		}
		if entry.Seq <= p.to || len(p.records) > 0 {
			if err := p.batch(&entry, b); err != nil {
				return err
			}
		}
		late := time.Now().After(deadline)
		switch {
		case len(p.records) > replayKeys, late && entry.Seq < p.to:
			return syncline.Errorf(syncline.Rejected, "replay_too_large", "the stretch is about more than %d records, or takes longer than %v to read", replayKeys, replayTime).
				WithFix("name a shorter one, or read the whole entity again: `syncline sync %s/ENTITY --route %s`", p.r.source.system.Name, p.r.id)
		case entry.Seq >= bounds.Last, entry.Seq >= p.to && len(p.records) == 0:
			return nil
		case late:
			p.answer.Note = "the log behind the stretch is too long to compare with its newest events"
			for _, one := range p.records {
				one.events = nil
			}
			return nil
		}
	}
}

func (p *replay) batch(entry *syncline.Entry, b *syncline.Batch) error {
	if !p.r.concerned(b) {
		return nil
	}
	for i := range b.Events {
		ev := &b.Events[i]
		if !slices.ContainsFunc(p.r.compiled, func(one apply.Rule) bool { return one.Entity == ev.Schema.Entity }) {
			continue
		}
		within := entry.Seq <= p.to
		key, ok := ev.Key()
		if !ok || ev.Op == syncline.OpTruncated {
			if within && p.only == nil {
				p.answer.Events++
				p.answer.Keyless++
			}
			if ev.Op == syncline.OpTruncated {
				for _, one := range p.byKey[ev.Schema.Entity] {
					if err := p.add(one, entry, b, i, false); err != nil {
						return err
					}
				}
			}
			continue
		}
		was, moved := ev.OldKey()
		counted := false
		for _, k := range []syncline.Key{key, was} {
			gone := k != key
			if gone && !moved {
				continue
			}
			one := p.byKey[ev.Schema.Entity][k]
			if within && (p.only == nil || p.only[k]) {
				if !counted {
					p.answer.Events++
					counted = true
				}
				if one == nil {
					one = p.about(ev.Schema.Entity, k)
				}
			}
			if one != nil {
				if err := p.add(one, entry, b, i, gone); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// about adds a record.
func (p *replay) about(entity string, key syncline.Key) *replayed {
	one := &replayed{entity: entity, key: key}
	if len(p.records) < replayCompare && p.kept < replayBytes {
		one.events = []occurrence{}
	}
	p.records = append(p.records, one)
	if p.byKey[entity] == nil {
		p.byKey[entity] = make(map[syncline.Key]*replayed)
	}
	p.byKey[entity][key] = one
	p.answer.Keys = len(p.records)
	return one
}

// add takes note of an event of the record, if it is one of those that are compared.
func (p *replay) add(one *replayed, entry *syncline.Entry, b *syncline.Batch, i int, gone bool) error {
	if one.events == nil {
		return nil
	}
	if p.kept += len(entry.Data) / len(b.Events); p.kept > 2*replayBytes { // it changes too often
		one.events = nil
		return nil
	}
	alone, err := alone(b, i)
	if err != nil {
		return err
	}
	one.events = append(one.events, occurrence{spot: spot{entry.Seq, i}, appended: entry.Time, batch: alone, gone: gone})
	one.events = one.events[max(0, len(one.events)-8):]
	return nil
}

// compare counts the records of which the target holds something else than the newest event makes of them. That it cannot is no reason
// not to send them.
func (p *replay) compare(ctx context.Context) {
	own := &route{rules: p.r.rules, source: p.r.source, target: p.r.target} // the compiled rules of the one at work are in use
	own.outside.systems = p.r.outside.systems
	rules, err := own.compile()
	defer own.outside.Close() //nolint:errcheck // nothing was asked
	if err != nil {
		p.answer.Note = err.Error()
		return
	}
	compared := make(map[*replayed]bool)
	differs := make(map[*replayed]bool)
	for i := range rules {
		rule := &rules[i]
		if p.r.pair != nil || rule.Outside {
			p.answer.Note = "what the rules ask outside, or decide by both sides, is not compared"
			continue
		}
		fresh := fit(rule)
		var about []*replayed
		var wishes []*wish
		unknown := make(map[*replayed]bool)
		for _, one := range p.records {
			if one.entity != rule.Entity || one.events == nil {
				continue
			}
			w := wished(ctx, fresh, one.events)
			if w == nil || w.unknown != "" {
				unknown[one] = true
				continue
			}
			about, wishes = append(about, one), append(wishes, w)
		}
		p.answer.Unknown += len(unknown)
		got, err := p.r.holds(ctx, rule.Object, wishes)
		if err != nil {
			p.answer.Note = fmt.Sprintf("%s was not compared: %v", p.r.target.Name, err)
			continue
		}
		for n, one := range about {
			compared[one] = true
			for _, h := range compareHeld(wishes[n], got[n]) {
				if h.State == "equal" || h.State == "absent" || differs[one] {
					continue
				}
				differs[one] = true
				if len(p.answer.Samples) < replayShown {
					s := ops.ReplaySample{Entity: one.entity, Key: string(one.key), State: h.State}
					for _, f := range h.Fields {
						s.Fields = append(s.Fields, f.Name)
					}
					p.answer.Samples = append(p.answer.Samples, s)
				}
			}
		}
	}
	p.answer.Compared, p.answer.Differ = len(compared), len(differs)
}

// send has the records read again, for this route alone.
func (p *replay) send(ctx context.Context) error {
	keys := make(map[string][]syncline.Key)
	var entities []string
	for _, one := range p.records {
		if keys[one.entity] == nil {
			entities = append(entities, one.entity)
		}
		keys[one.entity] = append(keys[one.entity], one.key)
	}
	for _, entity := range entities {
		for some := range slices.Chunk(keys[entity], resyncKeys) {
			run := syncline.Run{ID: "replay-" + uuid.NewString(), Kind: syncline.RunKeys, Entity: entity, Keys: some, Routes: []string{p.r.id}}
			if err := p.r.source.capture.RequestRun(ctx, run); err != nil {
				return err
			}
			p.answer.Runs = append(p.answer.Runs, run.ID)
		}
	}
	return nil
}
