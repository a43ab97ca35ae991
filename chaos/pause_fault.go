package main

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"syncline/internal/ops"
)

// pauseFaults are pauses by an operator, at moments when something else may be wrong.
var pauseFaults = []fault{
	{name: "pause", group: "pause", weight: 4, least: 200 * time.Millisecond, most: 6 * time.Second, do: pauseSomething},
}

// pauseSomething pauses a rule, an entity, a source or a target, and goes on after a while. What is paused is written by nobody meanwhile, whatever dies. Where the
// program cannot be asked just now, nothing is done.
func pauseSomething(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	what := w.pausable()[rnd.IntN(len(w.pausable()))]
	what.Reason = "chaos"
	p, err := w.api.Load().Pause(ctx, what)
	if err != nil {
		return func(ctx context.Context) error { return w.unpause(ctx, what) }, nil //nolint:nilerr // it may have been done without an answer
	}
	w.log("paused: %+v", what)
	w.count("pauses")
	quiet := func(ctx context.Context) (string, error) { return "", errors.New("not looked at") }
	if len(p.Finishing) == 0 {
		quiet = w.written(what)
	}
	before, unknown := quiet(ctx)
	return func(ctx context.Context) error {
		if unknown == nil {
			if after, err := quiet(ctx); err == nil && after != before {
				w.watch.fail("nobody writes what is paused", "%+v: it was %s and is %s", what, before, after)
			}
			w.count("pauses that were looked at")
		}
		return w.unpause(ctx, what)
	}, nil
}

// pausable is what may be paused.
func (w *world) pausable() []ops.PauseRequest {
	list := []ops.PauseRequest{{Rules: []string{"reg-hook"}}, {Rules: []string{"line-bus"}}, {Rules: []string{"line-dw"}}, {Rules: []string{"deal-till"}}, {Entities: []string{"crm/reg"}},
		{Sources: []string{"crm"}}, {Sources: []string{"till"}}, {Targets: []string{"dw"}}, {Targets: []string{"cache", "bus"}}}
	if len(w.sides) > 0 {
		list = append(list, ops.PauseRequest{Rules: []string{"pair"}}, ops.PauseRequest{Sources: []string{"east"}}, ops.PauseRequest{Targets: []string{"west"}})
	}
	return list
}

// written returns what tells whether anybody has written to what is paused.
func (w *world) written(what ops.PauseRequest) func(context.Context) (string, error) {
	one := func(p *postgres, sql string) func(context.Context) (string, error) {
		return func(ctx context.Context) (text string, err error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			err = p.pool.QueryRow(ctx, sql).Scan(&text)
			return text, err
		}
	}
	const lines = `SELECT md5(coalesce(string_agg(line::text, ' ' ORDER BY id, no), '')) FROM line`
	switch {
	case len(what.Rules) > 0 && what.Rules[0] == "reg-hook", len(what.Entities) > 0:
		return func(context.Context) (string, error) {
			told, again := w.hook.told()
			return fmt.Sprintf("%d versions that came, %d of them again", len(told), again), nil
		}
	case len(what.Rules) > 0 && what.Rules[0] == "line-bus":
		return func(ctx context.Context) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			all, err := w.bus.entries(ctx)
			return fmt.Sprintf("%x", md5.Sum(fmt.Append(nil, all))), err
		}
	case len(what.Rules) > 0 && what.Rules[0] == "line-dw", len(what.Sources) > 0 && what.Sources[0] == "crm", len(what.Targets) > 0 && what.Targets[0] == "dw":
		return one(w.dst, lines)
	case len(what.Rules) > 0 && what.Rules[0] == "pair":
		return one(w.sides[0].db, `SELECT format('%s changes', count(*)) FROM story WHERE NOT users`)
	}
	return func(context.Context) (string, error) { return "", errors.New("nobody can tell") }
}

// unpause lifts it, once the program can be asked.
func (w *world) unpause(ctx context.Context, what ops.PauseRequest) error {
	return w.eventually(ctx, longest, func(ctx context.Context) error {
		return w.api.Load().Unpause(ctx, ops.PauseRequest{Rules: what.Rules, Entities: what.Entities, Sources: what.Sources, Targets: what.Targets})
	})
}
