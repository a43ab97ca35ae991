package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"syncline"
	"syncline/internal/verify"
)

// What differs at first sight may only be on its way. So each such record is asked for through the log. Once the route has passed the answer,
// the target is read, and then the log up to its end by then; what that comes to, package verify decides.

// settleRounds is how often a record that changes all the time is looked at.
const settleRounds = 8

// candidate is a record that differs at first sight.
type candidate struct {
	// key is the source's.
	key syncline.Key
	// extra, where it is set, is a record of the target that nobody may have made: its key.
	extra *syncline.Row
}

// finding is what a candidate comes to.
type finding struct {
	candidate
	verify.Finding
	// foreign: what is extra is no record, and somebody else's.
	foreign bool
}

func unsettled(c candidate, why string) finding {
	return finding{candidate: c, Finding: verify.Finding{Class: verify.ClassUnsettled, Note: why}}
}

// settle looks closely at candidates until it is known what each comes to.
func (v *verifying) settle(ctx context.Context, list []candidate) ([]finding, error) {
	var done []finding
	for round := 1; len(list) > 0; round++ {
		looks, err := v.lookAt(ctx, list)
		if behind := (*behindError)(nil); errors.As(err, &behind) {
			for _, c := range list {
				done = append(done, unsettled(c, behind.Error()))
			}
			return done, nil
		}
		if err != nil {
			return nil, err
		}
		judge := verify.Judge{Matcher: v.matcher, Shared: v.rule.Conflicts != nil, Expires: v.expires()}
		var left []candidate
		for i := range looks {
			looks[i].Last = round == settleRounds
			f, again := judge.Settle(&looks[i])
			if again {
				left = append(left, list[i])
			} else {
				done = append(done, finding{candidate: list[i], Finding: f})
			}
		}
		list = left
	}
	return done, nil
}

// lookAt looks at each of the candidates once. What waits is read before and after the target: it may have waited when the target was read.
func (v *verifying) lookAt(ctx context.Context, list []candidate) ([]verify.Look, error) {
	waiting, err := v.waiting(ctx, nil)
	if err != nil {
		return nil, err
	}
	found, err := v.ask(ctx, list)
	if err != nil {
		return nil, err
	}
	if err := v.passes(ctx, found.upTo); err != nil {
		return nil, err
	}
	wishes := make([]*wish, len(list))
	var asked []*wish
	for i := range list {
		wishes[i] = v.wish(ctx, found.events[list[i].key], &list[i])
		if wishes[i] != nil && wishes[i].unknown == "" {
			asked = append(asked, wishes[i])
		}
	}
	got, err := held(ctx, v.current, v.rule.Object, asked)
	if err != nil {
		return nil, fmt.Errorf("read the target: %w", err)
	}
	if err := v.later(ctx, list, found); err != nil {
		return nil, err
	}
	if waiting, err = v.waiting(ctx, waiting); err != nil {
		return nil, err
	}
	looks := make([]verify.Look, len(list))
	for i := range list {
		c, l, events := &list[i], &looks[i], found.events[list[i].key]
		l.Extra, l.Wish, l.Waiting, l.Refused = c.extra, wishes[i].told(), waiting, found.refused[c.key]
		if wishes[i] != nil && wishes[i].unknown == "" {
			l.Held, got = got[0], got[1:]
		}
		for n := range events {
			if events[n].seq > found.upTo {
				l.Later = append(l.Later, v.wish(ctx, events[:n+1], c).told())
			}
		}
		if len(waiting) > 0 {
			l.Keys = v.targetKeys(events)
		}
	}
	return looks, nil
}

// told is the wish in the terms of package verify.
func (w *wish) told() *verify.Wish {
	if w == nil {
		return nil
	}
	return &verify.Wish{Rows: w.rows, Keys: w.keys, Unknown: w.unknown}
}

// targetKeys are the keys that the record of the events had at the target.
func (v *verifying) targetKeys(events []occurrence) (keys []syncline.Key) {
	for i := range events {
		for _, row := range [][]syncline.Value{events[i].event().After, events[i].event().Before} {
			if binding, err := v.rule.Fit(events[i].event().Schema); row != nil && err == nil {
				if k, ok := binding.TargetKey(row); ok {
					keys = append(keys, k)
				}
			}
		}
	}
	return keys
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
