package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/enrich"
	"syncline/internal/rule"
	"syncline/internal/script"
	"syncline/internal/transform"
)

// outsider makes what answers the steps that ask outside, and ends it. Nothing is started or connected to before the first question.
type outsider struct {
	systems func(name string) *config.System
	log     *slog.Logger
	made    []io.Closer
}

// askers makes the askers of a rule's steps.
func (o *outsider) askers(steps *transform.Transform) (map[int]transform.Asker, error) {
	list := make(map[int]transform.Asker)
	for i, step := range steps.Steps() {
		switch step := step.(type) {
		case transform.Script:
			w := script.New(script.Options{Step: step, Logger: o.log})
			list[i], o.made = w, append(o.made, w)
		case transform.Enrich:
			e, err := o.enricher(step)
			if err != nil {
				return nil, fmt.Errorf("step %d (%s): %w", i+1, step.Kind(), err)
			}
			list[i], o.made = e, append(o.made, e)
		default:
			return nil, fmt.Errorf("step %d (%s): nothing answers it", i+1, step.Kind())
		}
	}
	return list, nil
}

// enricher makes what answers an enrichment.
func (o *outsider) enricher(step transform.Enrich) (*enrich.Enricher, error) {
	options := enrich.Options{Step: step, Logger: o.log}
	name := step.System()
	if name == "" {
		return enrich.New(options)
	}
	sys := o.systems(name)
	switch {
	case sys == nil:
		return nil, fmt.Errorf("there is no system %s", name)
	case sys.Postgres != nil:
		options.Postgres = sys.Postgres.URL.Reveal()
	case sys.SQLite != nil:
		options.SQLite = sys.SQLite.Path
	default:
		return nil, fmt.Errorf("system %s is no database", sys.Name)
	}
	if step.Entity != nil {
		if sys.Capture == nil || sys.Capture.Entity(step.Entity.Name) == nil {
			return nil, fmt.Errorf("%s has no entity %s", sys.Name, step.Entity.Name)
		}
		options.Table = sys.Capture.Entity(step.Entity.Name).Table
		options.Describe = func(ctx context.Context) (*syncline.Schema, error) { return entityOf(ctx, sys, step.Entity.Name) }
	}
	return enrich.New(options)
}

// entityOf asks a system what its entity looks like now; nil where it is not as it could be captured.
func entityOf(ctx context.Context, sys *config.System, entity string) (*syncline.Schema, error) {
	open, err := connectors[sys.Type].source(&Daemon{}, &source{system: sys, stream: &stream{}})
	if err != nil {
		return nil, err
	}
	s, err := open()
	if err != nil {
		return nil, err
	}
	defer s.Close() //nolint:errcheck // it was not opened
	schemas, err := s.(syncline.Describer).Describe(ctx)
	if at := slices.IndexFunc(schemas, func(s *syncline.Schema) bool { return s.Entity == entity }); at >= 0 {
		return schemas[at], nil
	}
	return nil, err
}

// Close ends what was made.
func (o *outsider) Close() error {
	var errs []error
	for _, c := range o.made {
		errs = append(errs, c.Close())
	}
	o.made = nil
	return errors.Join(errs...)
}

// preparer makes the records of a rule whose steps ask outside. It has a matcher and a plan of its own, because it works beside those
// of the binding. What the rule does not want is not asked for.
func preparer(match *rule.Rule, steps *transform.Transform, s *syncline.Schema, askers map[int]transform.Asker) (func(context.Context, []apply.Place) ([]apply.Made, error), error) {
	matcher, err := match.Bind(s)
	if err != nil {
		return nil, err
	}
	plan, err := steps.Bind(s)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, places []apply.Place) ([]apply.Made, error) {
		made := make([]apply.Made, len(places))
		events, of := make([]transform.At, 0, len(places)), make([]int, 0, len(places))
		for i, p := range places {
			// Why it does not match, or cannot be told to, is found out again when the event is planned.
			if ok, err := matcher.Match(p.Batch, p.Index); err != nil || !ok {
				continue
			}
			events, of = append(events, transform.At{Batch: p.Batch, Index: p.Index}), append(of, i)
		}
		if len(events) == 0 {
			return made, nil
		}
		answers, err := plan.ApplyAll(ctx, events, askers)
		if err != nil {
			return nil, err
		}
		for i, a := range answers {
			made[of[i]] = apply.Made{Values: a.Values, Keep: a.Keep, Err: a.Err, Later: a.Later}
		}
		return made, nil
	}, nil
}

// ScriptWorker is the process that runs a script: see script.Serve.
func ScriptWorker() error { return script.Serve(os.Stdin, os.Stdout) }

// ScriptCommand is the argument with which the program is that process.
const ScriptCommand = script.Command
