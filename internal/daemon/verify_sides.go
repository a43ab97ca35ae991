package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// Both sides of a two-way rule are to hold the same. Events only say when to look, so that nothing of a record is made here: the sides are
// listed, and what differs is looked at as the rule itself does. It differs for certain where both routes have come to all that was in
// their logs before, and no event of it turns up behind that until both sources have told of it once more.

// sides compares the sides of a two-way rule. It is used by one goroutine.
type sides struct {
	*verifying
	schemas [2]*syncline.Schema
	// lanes have the route of each side, whose log tells of it; only what settling needs is set.
	lanes   [2]*verifying
	listers [2]*capture.Lister
}

// verifySides works on the part of a two-way rule: r is the route that reads its first side.
func (d *Daemon) verifySides(ctx context.Context, job *verification, i int, part *verify.Part, r *route) error {
	rule := r.rules[0]
	other := d.route(rule.Route(rule.From[1].System))
	if other == nil || r.pair == nil {
		return errChanged
	}
	schemas, _, err := r.pair.Check(ctx)
	if err != nil {
		return err
	}
	s := &sides{schemas: schemas}
	for n, rt := range []*route{r, other} {
		s.lanes[n] = &verifying{d: d, r: rt, rule: fit(&apply.Rule{ID: rule.ID, Entity: rule.From[n].Name})}
		if s.listers[n], err = rt.source.capture.Lister(); err != nil {
			return err
		}
		defer s.listers[n].Close() //nolint:errcheck // it was only read
	}
	target, err := connectors[other.source.system.Type].target(d, &route{id: rule.ID, rules: r.rules, source: r.source, target: r.target})(ctx)
	if err != nil {
		return err
	}
	defer target.Close() //nolint:errcheck // it was only read
	current, ok := target.(syncline.Current)
	if !ok {
		return unreadable(r)
	}
	s.verifying = &verifying{d: d, r: r, part: part, spec: &job.spec, rule: s.lanes[0].rule, current: current, seen: verify.NewKeySet(),
		matcher: verify.NewMatcher(schemas[1], nil), pace: pacer{rate: job.spec.Rate}}
	// A part that was cut begins anew: both sides are listed for each other.
	*part = verify.Part{Rule: part.Rule, Route: part.Route, Entity: part.Entity, Object: part.Object, Estimate: part.Estimate, Started: part.Started,
		Seconds: part.Seconds, Recent: part.Recent, Version: part.Version, Phase: verify.PhaseSource}
	job.beginsAnew(part)
	if err := d.state.ForgetDifferences(ctx, job.id, part.Rule); err != nil {
		return err
	}
	defer s.leave(job)
	worked := time.Now()
	s.publish = func() { job.publish(i, part) }
	s.show = func(context.Context) error {
		part.Seconds += time.Since(worked).Seconds()
		worked = time.Now()
		job.publish(i, part)
		if d.route(r.id) != r || d.route(other.id) != other {
			return errChanged
		}
		return nil
	}
	if s.spec.Mode == verify.Named {
		err = s.named(ctx)
	} else {
		err = s.both(ctx)
	}
	if err == nil {
		err = s.save(ctx, job)
	}
	if err == nil {
		part.Enter(verify.PhaseRepair)
		err = s.repair(ctx, job)
	}
	if err != nil {
		return err
	}
	part.Enter(verify.PhaseDone)
	return s.save(ctx, job)
}

// both lists the first side and looks for each record at the second one, then the second one for what the first does not have.
func (s *sides) both(ctx context.Context) error {
	err := s.list(ctx, 0, func(rows []syncline.Row) error {
		wanted := make([]syncline.Row, len(rows))
		for i := range rows {
			wanted[i] = syncline.Row{Schema: s.schemas[1], Values: rows[i].Values}
			k, _ := rows[i].Key()
			s.seen.Add(k)
		}
		s.part.Tally.Source += int64(len(rows))
		got, err := s.current.Current(ctx, s.r.rules[0].Between.Tables[1], s.schemas[1], wanted)
		if err != nil {
			return fmt.Errorf("read the second side: %w", err)
		}
		var unequal []syncline.Key
		for i := range rows {
			equal := got[i] != nil
			if equal {
				equal, _ = s.matcher.Equal(wanted[i].Values, got[i])
			}
			if equal {
				s.part.Equal++
				continue
			}
			k, _ := rows[i].Key()
			unequal = append(unequal, k)
		}
		return s.look(ctx, unequal)
	})
	if err != nil || s.spec.Mode == verify.Sampled {
		return err
	}
	s.part.Enter(verify.PhaseTarget)
	return s.list(ctx, 1, func(rows []syncline.Row) error {
		s.part.Target += int64(len(rows))
		var unequal []syncline.Key
		for i := range rows {
			k, _ := (syncline.Row{Schema: s.schemas[0], Values: rows[i].Values}).Key()
			if !s.seen.Has(k) {
				unequal = append(unequal, k)
			}
		}
		return s.look(ctx, unequal)
	})
}

// list calls each with the records of a side, page by page, as records of the columns that both sides share.
func (s *sides) list(ctx context.Context, side int, each func([]syncline.Row) error) error {
	entity := s.lanes[side].rule.Entity
	for after, limit := "", firstPage; ; {
		q := syncline.Listing{Entity: entity, After: after, Limit: limit}
		if s.spec.Mode == verify.Sampled {
			q.Limit, q.Sample = s.spec.Sample, true
		}
		b, next, err := s.listers[side].List(ctx, q)
		if err != nil {
			return fmt.Errorf("list %s: %w", s.r.rules[0].From[side], err)
		}
		rows := make([]syncline.Row, len(b.Events))
		for i := range b.Events {
			rows[i] = syncline.Row{Schema: s.schemas[side], Values: s.shared(side, &b.Events[i])}
		}
		if len(rows) > 0 {
			if err := each(rows); err != nil {
				return err
			}
		}
		if err := s.show(ctx); err != nil {
			return err
		}
		if after = next; next == "" {
			return nil
		}
		if err := s.pace.rest(ctx, len(rows)); err != nil {
			return err
		}
		limit = nextPage(limit, b)
	}
}

// shared are the values of the columns that both sides have.
func (s *sides) shared(side int, ev *syncline.Event) []syncline.Value {
	values := make([]syncline.Value, len(s.schemas[side].Columns))
	for i := range values {
		values[i] = syncline.Unset
		if at := ev.Schema.Index(s.schemas[side].Columns[i].Name); at >= 0 {
			values[i] = ev.After[at]
		}
	}
	return values
}

// named compares the named records, by their keys at the first side.
func (s *sides) named(ctx context.Context) error {
	var keys []syncline.Key
	for _, k := range s.spec.Keys {
		key, err := canonicalKey(s.rule.Entity, string(k))
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	s.part.Tally.Source = int64(len(keys))
	return s.look(ctx, keys)
}

// look settles records that differ at first sight, by their keys at the first side, and counts them.
func (s *sides) look(ctx context.Context, keys []syncline.Key) error {
	for round := 1; len(keys) > 0; round++ {
		some := keys[:min(settleKeys, len(keys))]
		again, err := s.round(ctx, some, round >= settleRounds)
		if err != nil {
			return err
		}
		if keys = append(again, keys[len(some):]...); len(again) == 0 {
			round = 0
		}
	}
	return nil
}

// round looks at records once, and returns those that have to be looked at again.
func (s *sides) round(ctx context.Context, keys []syncline.Key, last bool) (again []syncline.Key, err error) {
	var ends [2]syncline.Seq
	waiting := make(map[syncline.Key][]verify.Wait)
	for n, lane := range s.lanes {
		bounds, err := lane.r.source.log.Bounds(ctx)
		if err != nil {
			return nil, err
		}
		ends[n] = bounds.Last
		if err := lane.passes(ctx, ends[n]); err != nil {
			return s.unsettled(keys, err)
		}
		if waiting, err = lane.waiting(ctx, waiting); err != nil {
			return nil, err
		}
	}
	pairs, targets := make([]verify.Pair, len(keys)), make([]syncline.Key, len(keys))
	var asked [2][]syncline.Key
	for i, k := range keys {
		parts, err := k.Parts()
		if err != nil {
			return nil, err
		}
		look, err := s.r.pair.Look(ctx, 0, parts)
		if err != nil {
			return nil, err
		}
		targets[i] = look.Keys[1]
		pairs[i] = verify.Pair{Held: [2][]syncline.Value{look.Held[0].Record, look.Held[1].Record}, Disputed: look.Verdict.Conflict,
			Writes: look.Verdict.Write[0] || look.Verdict.Write[1], Waits: slices.Concat(waiting[look.Keys[0]], waiting[look.Keys[1]]), Last: last}
		asked[0], asked[1] = append(asked[0], look.Keys[0]), append(asked[1], look.Keys[1])
	}
	touched, err := s.touched(ctx, asked, ends)
	if err != nil {
		return s.unsettled(keys, err)
	}
	judge := verify.Judge{Matcher: s.matcher}
	for i, k := range keys {
		pairs[i].Touched = touched[i]
		f, more := judge.SettlePair(&pairs[i])
		if more {
			again = append(again, k)
			continue
		}
		f.Target = targets[i]
		s.count(&finding{candidate: candidate{key: k}, Finding: f})
	}
	return again, nil
}

// unsettled counts records of which nobody can tell, because somebody does not come to them.
func (s *sides) unsettled(keys []syncline.Key, err error) ([]syncline.Key, error) {
	if !isBehind(err) {
		return nil, err
	}
	for _, k := range keys {
		f := unsettled(candidate{key: k}, err.Error())
		s.count(&f)
	}
	return nil, nil
}

// touched has both sources tell of the records once more, and reports of which the logs have events that are no such answers, behind
// these entries.
func (s *sides) touched(ctx context.Context, keys [2][]syncline.Key, ends [2]syncline.Seq) ([]bool, error) {
	out := make([]bool, len(keys[0]))
	for n, lane := range s.lanes {
		found := &evidence{events: make(map[syncline.Key][]occurrence), refused: make(map[syncline.Key]bool)}
		var list []candidate
		for _, k := range keys[n] {
			list = append(list, candidate{key: k})
		}
		found, err := lane.askAfter(ctx, list, ends[n], found)
		if err != nil {
			return nil, err
		}
		for i, k := range keys[n] {
			for _, o := range found.events[k] {
				if c := o.batch.Chunk; c == nil || !strings.HasPrefix(c.Run, state.ReadRun+"verify-") {
					out[i] = true
				}
			}
		}
	}
	return out, nil
}

// repair has both sides look at the records that differ again: what they are to hold, the rule decides.
func (s *sides) repair(ctx context.Context, job *verification) error {
	s.verifying.binding = &apply.Binding{Out: s.schemas[0]}
	s.verifying.resend = func(ctx context.Context, list []state.Difference) error {
		var lists [2][]candidate
		var keys []syncline.Key
		for i := range list {
			lists[0] = append(lists[0], candidate{key: list[i].Source})
			lists[1] = append(lists[1], candidate{key: list[i].Key})
			keys = append(keys, list[i].Source)
		}
		for n, lane := range s.lanes {
			if err := lane.sendKeys(ctx, lists[n]); err != nil {
				return err
			}
		}
		was, found := *s.part, s.found
		s.found = nil
		if err := s.look(ctx, keys); err != nil {
			return err
		}
		left := make(map[syncline.Key]bool)
		for _, d := range s.found {
			left[d.Source] = true
		}
		settled := s.part.Unsettled == was.Unsettled
		*s.part, s.found = was, found
		for i := range list {
			if settled && !left[list[i].Source] {
				list[i].State = differenceRepaired
				s.part.Repair(list[i].Key, list[i].Kind)
				s.found = append(s.found, list[i])
			}
		}
		return nil
	}
	return s.verifying.repair(ctx, job)
}
