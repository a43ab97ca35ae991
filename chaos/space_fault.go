package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"

	"github.com/jackc/pgx/v5"

	"syncline/internal/ops"
)

// spaceFaults are about the room that the log may take: what was not applied in time is purged.
var spaceFaults = []fault{
	{name: "log-released", group: "process", alone: true, weight: 3, do: releaseLog},
}

// smallLog is the least that log.max_bytes may be; each source has its share.
const smallLog = "max_bytes: 64MiB, on_full: release"

// held is a route that is kept from its target for so long that the log has to do without it.
type held struct {
	route, rule, proxy string
	again              string // what a person has to sync, since the program cannot know what a target of events needs; "" = it does so by itself
}

// releaseLog keeps a route from its target until a small log is full and the route has lost its hold on it. It must say so, also after a crash, and name what it
// lacks; nobody else loses anything. Then it has to get everything again that its target can be given: by itself, or by the command that the documentation names.
func releaseLog(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	list := []held{{"reg-cache", "reg-cache", "cache", ""}, {"line-bus", "line-bus", "bus", ""}, {"reg-hook", "reg-hook", "hook", "crm/reg"}, {"line-dw", "line-dw", "", ""}}
	if w.plan.Shape.Group {
		list[3].route = "both"
	}
	h := list[rnd.IntN(len(list))]
	if err := w.rest(ctx); err != nil {
		return nil, fmt.Errorf("before: %w", err)
	}
	from := w.writers.version.Load() + 1
	w.watch.expect("needs_sync")
	defer w.watch.expected("needs_sync")
	w.watch.tear(true)
	if err := w.withLog(ctx, smallLog); err != nil {
		return nil, err
	}
	pause := ops.PauseRequest{Rules: []string{h.rule}, Reason: "chaos"}
	paused := h.proxy == "" || rnd.IntN(2) == 0
	if paused {
		if _, err := w.api.Load().Pause(ctx, pause); err != nil {
			return nil, err
		}
	} else {
		w.net.refuse(h.proxy)
	}
	w.log("route %s is held back, paused: %v", h.route, paused)
	w.writers.start()
	crash := rnd.IntN(2) == 0
	err := w.fillUntil(ctx, func(ctx context.Context) error { return w.released(ctx, h.route) })
	if err == nil && crash {
		w.program.kill()
		w.count("kills")
		if err = w.program.start(startOptions{}); err == nil {
			err = w.eventually(ctx, patience, func(ctx context.Context) error { return w.released(ctx, h.route) })
		}
	}
	if err != nil {
		w.watch.fail("what is given up is told", "%v", err)
	}
	w.log("route %s has said that it lost its hold", h.route)
	if paused {
		err = w.api.Load().Unpause(ctx, pause)
	} else {
		err = w.net.replace(h.proxy)
	}
	if err == nil {
		err = w.filledAgain(ctx, from, list)
	}
	return nil, err
}

// withLog has the program go on with another limit of its log.
func (w *world) withLog(ctx context.Context, limit string) error {
	if err := w.program.stop(); err != nil {
		w.watch.fail("orderly end", "%v", err)
	}
	w.logLimit = limit
	if err := os.WriteFile(w.program.config, []byte(w.yaml(w.apiPort)), 0o600); err != nil {
		return err
	}
	if err := w.program.start(startOptions{}); err != nil {
		return err
	}
	return w.ready(ctx)
}

// fillUntil writes large records until it is so.
func (w *world) fillUntil(ctx context.Context, so func(context.Context) error) error {
	return w.eventually(ctx, patience, func(ctx context.Context) error {
		for range 4 {
			t := &txn{ws: w.writers, id: w.writers.tx.Add(1)}
			o, err := transact(ctx, w.writers.pool, func(tx pgx.Tx) error {
				t.tx = tx
				keys := make([]int, 20)
				for i := range keys {
					keys[i] = badKeys + (int(t.id)*len(keys)+i)%(w.plan.Shape.Rows-badKeys)
				}
				if err := t.lock(ctx, keys); err != nil {
					return err
				}
				for _, k := range keys {
					if err := t.insertReg(ctx, k, true); err != nil {
						return err
					}
				}
				return t.trail(ctx)
			})
			w.journal.note(t.id, t.writes, nil, o)
			if err != nil {
				return err
			}
		}
		return so(ctx)
	})
}

// lacks is how a route says what it lacks of its log.
var lacks = regexp.MustCompile(`gave up sequences \d+ to \d+ `)

// released tells whether the route has said that it lost its hold on the log, and what it lacks.
func (w *world) released(ctx context.Context, id string) error {
	r, err := w.api.Load().Route(ctx, id)
	switch {
	case err != nil:
		return err
	case r.Error == nil || r.Error.Code != "needs_sync":
		return fmt.Errorf("route %s is %s: %+v", id, r.State, r.Error)
	case !lacks.MatchString(r.Error.Text) || r.Error.Fix == "":
		return fmt.Errorf("route %s says %+v: want what it lacks, and the way out", id, r.Error)
	}
	return nil
}

// filledAgain waits until all that was given up is at the targets, and goes on with the log as it was.
func (w *world) filledAgain(ctx context.Context, from int64, list []held) error {
	asked := false
	err := w.eventually(ctx, patience, func(ctx context.Context) error {
		routes, err := w.api.Load().Routes(ctx)
		if err != nil {
			return err
		}
		for _, r := range routes {
			one := slices.IndexFunc(list, func(h held) bool { return h.route == r.ID && h.again != "" })
			if one >= 0 && !asked && r.State == ops.RouteNeedsSync {
				if out, err := w.program.command(ctx, "sync", list[one].again, "--route", r.ID); err != nil {
					return fmt.Errorf("sync for %s: %w\n%s", r.ID, err, out)
				}
				asked = true
			}
			if r.State != ops.RouteRunning {
				return fmt.Errorf("route %s is %s: %+v", r.ID, r.State, r.Error)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fill what was given up: %w", err)
	}
	if err := w.rest(ctx); err != nil {
		return fmt.Errorf("after what was given up was to be filled: %w", err)
	}
	if asked {
		w.journal.excuse(from, w.writers.version.Load())
	}
	if err := w.eventually(ctx, patience, w.differs); err != nil && !w.watch.over() {
		w.watch.fail("what is given up is read again", "%v", err)
		return errors.New("it was not")
	}
	if err := w.withLog(ctx, ""); err != nil {
		return err
	}
	if err := w.dst.exec(ctx, `DELETE FROM wrong WHERE torn`); err != nil {
		return err
	}
	w.watch.tear(false)
	w.writers.start()
	return nil
}
