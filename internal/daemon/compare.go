package daemon

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/verify"
)

// Comparison is how a rule's target compares with what the rule makes of its source.
type Comparison struct {
	Route  string        `json:"route"`
	Rule   string        `json:"rule"`
	Target string        `json:"target"`
	Result verify.Result `json:"result"`
}

// Held gives the records of a target that cannot be read, as somebody else knows them, in the terms of the schema.
type Held func(*syncline.Schema) verify.Each

// Compare reads every source and every target and pairs their records. It is called after Run has returned: nothing moves. Routes
// to targets that cannot be read are compared with what others has for them, or left out.
func (d *Daemon) Compare(ctx context.Context, others map[string]Held) ([]Comparison, error) {
	var list []Comparison
	for _, s := range d.set().sources {
		source, err := s.capture.Reader(ctx)
		if err != nil {
			return nil, fmt.Errorf("read source %s: %w", s.system.Name, err)
		}
		for _, r := range d.set().routes {
			if r.source.stream != s.stream {
				continue
			}
			found, err := d.compare(ctx, source, r, others[r.id])
			if err != nil {
				_ = source.Close()
				return nil, fmt.Errorf("compare route %s: %w", r.id, err)
			}
			list = append(list, found...)
		}
		if err := source.Close(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (d *Daemon) compare(ctx context.Context, source syncline.RunReader, r *route, other Held) ([]Comparison, error) {
	target, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer target.Close() //nolint:errcheck // it was only read
	scanner, readable := target.(syncline.Scanner)
	if !readable && other == nil {
		return nil, nil
	}
	var list []Comparison
	for i := range r.compiled {
		rule := &r.compiled[i]
		var schema *syncline.Schema
		wanted := func(ctx context.Context, f func(syncline.Row) error) error {
			return wantedBy(ctx, source, rule, func(out *syncline.Schema) { schema = out }, f)
		}
		held := func(ctx context.Context, f func(syncline.Row) error) error {
			switch {
			case !readable && schema == nil:
				return nil // nobody knows the columns
			case !readable:
				return other(schema)(ctx, f)
			case schema != nil:
				return scanner.Scan(ctx, rule.Object, schema, present(f))
			}
			// The source has no record at all: whatever is there should not be.
			err := scanner.Scan(ctx, rule.Object, &syncline.Schema{Entity: rule.Entity, Version: -1}, f)
			if syncline.CodeOf(err) == "object_missing" {
				return nil
			}
			return err
		}
		res, err := verify.Compare(ctx, wanted, held)
		if err != nil {
			return nil, err
		}
		list = append(list, Comparison{Route: r.id, Rule: rule.ID, Target: r.target.Name + "/" + rule.Object, Result: res})
	}
	return list, nil
}

// wantedBy calls f for everything that the rule makes of the source's records as they are now, and before it bound with the columns
// that come out, also where no record does.
func wantedBy(ctx context.Context, source syncline.RunReader, rule *apply.Rule, bound func(*syncline.Schema), f func(syncline.Row) error) error {
	run := syncline.Run{ID: "compare-" + uuid.NewString(), Kind: syncline.RunFull, Entity: rule.Entity, Routes: []string{"_compare"}}
	if err := source.StartRun(run); err != nil {
		return err
	}
	bindings := make(map[*syncline.Schema]*apply.Binding)
	for {
		b, err := source.Next(ctx)
		if err != nil {
			return err
		}
		if b.Chunk == nil || b.Chunk.Run != run.ID {
			continue
		}
		for i := range b.Events {
			s := b.Events[i].Schema
			if bindings[s] == nil {
				if bindings[s], err = rule.Fit(s); err != nil {
					return err
				}
				bound(bindings[s].Written())
			}
			rows, err := rule.Records(ctx, bindings[s], b, i)
			if err != nil {
				return err
			}
			for _, values := range rows {
				if err := f(syncline.Row{Schema: bindings[s].Written(), Values: values}); err != nil {
					return err
				}
			}
		}
		if b.Chunk.Last {
			return nil
		}
	}
}

// present leaves out records that a target only keeps: the source has none of them.
func present(f func(syncline.Row) error) func(syncline.Row) error {
	return func(r syncline.Row) error {
		for i := range r.Schema.Columns {
			if m := r.Schema.Columns[i].Mark; m != nil && m.IsGone(r.Values[i]) {
				return nil
			}
		}
		return f(r)
	}
}
