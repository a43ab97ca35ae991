package daemon

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/state"
)

// The source is asked through the log: its answer stands there among the events of the stream, and says what a record was at that place.

// verifyRoute is a route that there is not: the answers to a verification are for nobody else.
const verifyRoute = "_verify"

// evidence is what the log says of the candidates.
type evidence struct {
	events map[syncline.Key][]occurrence
	// refused are keys that certainly are none of the entity.
	refused map[syncline.Key]bool
	// upTo is the entry with the last answer.
	upTo syncline.Seq
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
