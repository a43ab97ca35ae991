package daemon

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/ops"
	"syncline/internal/state"
)

const (
	// mostCompared bounds the records of a source whose keys are held in memory, 8 bytes each.
	mostCompared = 100_000_000
	// mostMissing bounds the keys that are removed at once.
	mostMissing = 1_000_000
	// missingPercent is the share of a target's records that is removed without being asked for.
	missingPercent = 10
)

// absence is what a target of an entity has and its source does not.
type absence struct {
	r    *route
	rule *apply.Rule
	at   int // in answer.Targets
	keys []syncline.Key
}

// DeleteMissing finds the records that targets have and the source does not. They are not removed as such: their keys are read again from the
// source, through the log, for the target's route alone. A key that is still absent then removes its record, and one that was created in the
// meantime brings it. So it does not matter what is written on either side while the two are compared, nor that the hashes by which that is done
// may hide a missing record.
func (e engine) DeleteMissing(ctx context.Context, q ops.MissingRequest) (ops.Missing, error) {
	var answer ops.Missing
	src := e.source(q.Source)
	if src == nil || src.system.Capture.Entity(q.Entity) == nil {
		return answer, noSuch("unknown_entity", "captured entity", q.Source+"/"+q.Entity, names{e.set()}.entities())
	}
	only, err := e.routesTo(src, q.Entity, q.To)
	if err != nil {
		return answer, err
	}
	schema, err := e.schemaOf(ctx, src, q.Entity)
	if err != nil {
		return answer, err
	}
	if schema == nil || len(schema.Key) == 0 {
		return answer, syncline.Errorf(syncline.Rejected, "not_available", "what the targets have of %s/%s cannot be compared by its keys", q.Source, q.Entity).
			WithFix("a sync of a table without a key replaces everything anyway; other sources than PostgreSQL and SQLite tell of deletions by themselves")
	}
	var list []*absence
	for _, r := range e.set().routes {
		if !r.reads(src, q.Entity) || len(only) > 0 && !slices.Contains(only, r.id) {
			continue
		}
		for i := range r.compiled {
			if rule := &r.compiled[i]; rule.Entity == q.Entity {
				a := &absence{r: r, rule: rule, at: len(answer.Targets)}
				answer.Targets = append(answer.Targets, ops.MissingTarget{Route: r.id, Rule: rule.ID, Target: r.target.Name, Object: rule.Object, Note: e.incomparable(r, rule, schema)})
				if answer.Targets[a.at].Note == "" {
					list = append(list, a)
				}
			}
		}
	}
	if len(list) == 0 {
		return answer, nil
	}
	there, err := e.sourceKeys(ctx, src, q.Entity)
	if err != nil {
		return answer, err
	}
	answer.Records = int64(there.len())
	for _, a := range list {
		if err := a.find(ctx, schema, there, &answer.Targets[a.at]); err != nil {
			return answer, fmt.Errorf("read what %s has: %w", a.r.target.Name, err)
		}
	}
	if q.DryRun {
		return answer, nil
	}
	if err := bounded(q, answer.Targets); err != nil {
		return answer, err
	}
	for _, a := range list {
		for some := range slices.Chunk(a.keys, resyncKeys) {
			run := syncline.Run{ID: "missing-" + uuid.NewString(), Kind: syncline.RunKeys, Entity: q.Entity, Keys: some, Routes: []string{a.r.id}}
			if err := src.capture.RequestSync(ctx, state.RunRow{Run: run, Estimate: int64(len(some))}); err != nil {
				return answer, err
			}
			answer.Runs = append(answer.Runs, run.ID)
		}
	}
	return answer, nil
}

// incomparable says why the records of the rule's object cannot be told by the source's keys, "" where they can.
func (e engine) incomparable(r *route, rule *apply.Rule, schema *syncline.Schema) string {
	if r.pair != nil {
		return "a two-way rule: what one side lacks may be new at the other"
	}
	if r.events {
		return "it takes events and holds no records"
	}
	for _, other := range e.set().routes {
		for i := range other.compiled {
			if o := &other.compiled[i]; other.target.Name == r.target.Name && o.Object == rule.Object && (other.id != r.id || o.ID != rule.ID) {
				return "rule " + o.ID + " writes " + rule.Object + ", too: a record may be of that one"
			}
		}
	}
	b, err := rule.Fit(schema)
	switch {
	case err != nil:
		return err.Error()
	case b.Split != nil:
		return "the rule makes several records of one"
	case b.Key != nil && !b.SameKey:
		return "the rule makes other keys of the source's"
	}
	return ""
}

// keySet is a set of keys by their hashes.
type keySet struct {
	seed   maphash.Seed
	hashes []uint64
}

func (s *keySet) len() int { return len(s.hashes) }

func (s *keySet) hash(k syncline.Key) uint64 { return maphash.String(s.seed, string(k)) }

func (s *keySet) has(k syncline.Key) bool {
	_, found := slices.BinarySearch(s.hashes, s.hash(k))
	return found
}

// sourceKeys reads the keys that the source has.
func (e engine) sourceKeys(ctx context.Context, src *source, entity string) (*keySet, error) {
	set := &keySet{seed: maphash.MakeSeed()}
	err := e.asked(src, func(s syncline.Source) error {
		lister, ok := s.(syncline.KeyLister)
		if !ok {
			return syncline.Errorf(syncline.Rejected, "not_available", "source %s cannot list its keys", src.system.Name).WithFix("have deletions sent as events, or declare a sweep")
		}
		return lister.Keys(ctx, entity, func(k syncline.Key) error {
			if len(set.hashes) >= mostCompared {
				return syncline.Errorf(syncline.Rejected, "missing_too_many", "%s/%s has more than %d records, as many as can be compared", src.system.Name, entity, mostCompared)
			}
			set.hashes = append(set.hashes, set.hash(k))
			return nil
		})
	})
	slices.Sort(set.hashes)
	return set, err
}

// find lists the keys that the target has and the source does not.
func (a *absence) find(ctx context.Context, schema *syncline.Schema, there *keySet, found *ops.MissingTarget) error {
	target, err := a.r.open(ctx)
	if err != nil {
		return err
	}
	defer target.Close() //nolint:errcheck // it was only read
	scanner, ok := target.(syncline.Scanner)
	if !ok {
		found.Note = "its records cannot be listed"
		return nil
	}
	b, err := a.rule.Fit(schema)
	if err != nil {
		return err
	}
	err = scanner.Scan(ctx, a.rule.Object, keyColumns(b.Written()), present(func(row syncline.Row) error {
		found.Records++
		k, ok := row.Key()
		if !ok || there.has(k) {
			return nil
		}
		if found.Missing++; len(a.keys) >= mostMissing {
			return syncline.Errorf(syncline.Rejected, "missing_too_many", "%s has more than %d records that the source does not have", found.Target, mostMissing).
				WithFix("begin the route anew with an empty object instead")
		}
		a.keys = append(a.keys, k)
		return nil
	}))
	if syncline.CodeOf(err) == "object_missing" {
		return nil
	}
	if found.Records > 0 {
		found.Percent = float64(found.Missing) / float64(found.Records) * 100
	}
	return err
}

// keyColumns is the schema with the columns of its key, and those that mark a record as gone.
func keyColumns(s *syncline.Schema) *syncline.Schema {
	only := &syncline.Schema{Entity: s.Entity, Table: s.Table, Version: -1}
	for i := range s.Columns {
		key := slices.Index(s.Key, i)
		if key < 0 && s.Columns[i].Mark == nil {
			continue
		}
		only.Columns = append(only.Columns, s.Columns[i])
	}
	for _, at := range s.Key {
		only.Key = append(only.Key, only.Index(s.Columns[at].Name))
	}
	return only
}

// bounded refuses to remove more of a target than was declared.
func bounded(q ops.MissingRequest, targets []ops.MissingTarget) error {
	most := float64(missingPercent)
	if q.MaxPercent != nil {
		most = *q.MaxPercent
	}
	for _, t := range targets {
		if t.Percent > most {
			return syncline.Errorf(syncline.Rejected, "missing_too_many", "the source does not have %d of the %d records of %s/%s, which is more than %g %%: nothing is removed",
				t.Missing, t.Records, t.Target, t.Object, most).WithFix("see that the source is the right one and whole; then allow the share (--max-delete %.0f)", min(t.Percent+1, 100))
		}
	}
	return nil
}
