package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"syncline/internal/state"
)

// lossFaults take something away that cannot come back by itself: a person is needed, who does what the documentation says.
var lossFaults = []fault{
	{name: "slot-dropped", alone: true, group: "process", weight: 2, do: loseSlot("slot_missing", `SELECT pg_drop_replication_slot($1)`)},
	{name: "slot-advanced", alone: true, group: "process", weight: 2, do: loseSlot("slot_ahead", `SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())`)},
	{name: "slot-remade", alone: true, group: "process", weight: 1, do: loseSlot("slot_ahead", `SELECT pg_drop_replication_slot($1)`,
		`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`)},
	{name: "state-anew", alone: true, group: "process", weight: 2, do: loseState},
	{name: "log-anew", alone: true, group: "process", weight: 2, do: loseLog},
}

// rest stops the writers and waits until everything that they did is at the targets.
func (w *world) rest(ctx context.Context) error {
	if err := w.writers.rest(ctx); err != nil {
		return err
	}
	if err := w.pushed.settle(ctx); err != nil {
		return err
	}
	if err := w.touch(ctx); err != nil {
		return err
	}
	return w.catchUp(ctx)
}

// whole waits until everything was read again and is at the targets, whose records have to be whole from then on.
func (w *world) whole(ctx context.Context) error {
	if err := w.rest(ctx); err != nil {
		return fmt.Errorf("after everything was to be read again: %w", err)
	}
	if err := w.pushed.recount(ctx); err != nil {
		return err
	}
	// A record may have been given a unique value that another one still had at the target, where what took it from that one was lost.
	if out, err := w.program.command(ctx, "tasks", "retry", "--status", "failed"); err != nil {
		return fmt.Errorf("retry: %w\n%s", err, out)
	}
	// What the source does not have any more, a sync leaves; the documentation names this command.
	if out, err := w.program.command(ctx, "verify", "--repair", "--max-repair", "100%"); err != nil {
		return fmt.Errorf("repair: %w\n%s", err, out)
	}
	if err := w.dst.exec(ctx, `DELETE FROM wrong WHERE torn`); err != nil {
		return err
	}
	w.watch.tear(false)
	w.writers.start()
	return nil
}

// loseSlot has the slot of the source, or of one of the two sides, harmed while the program is down and everything is written to. The way out is the command that
// status names. What was committed between is lost for targets of events, and only for them.
func loseSlot(code string, harm ...string) doFault {
	return func(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
		if err := w.rest(ctx); err != nil {
			return nil, fmt.Errorf("before: %w", err)
		}
		name, p := "crm", w.src
		if n := rnd.IntN(4); n < len(w.sides) {
			name, p = w.sides[n].name, w.sides[n].db
		}
		slot := "syncline_" + name
		w.program.kill()
		w.count("kills")
		from := w.writers.version.Load() + 1
		w.writers.start()
		if err := sleep(ctx, time.Duration(200+rnd.IntN(1500))*time.Millisecond); err != nil {
			return nil, err
		}
		if err := p.free(ctx, w, slot); err != nil {
			return nil, err
		}
		for _, sql := range harm {
			if _, err := p.pool.Exec(ctx, sql, slot); err != nil {
				return nil, fmt.Errorf("%.60s: %w", sql, err)
			}
		}
		w.log("the slot of %s is harmed", name)
		w.watch.expect(code)
		defer w.watch.expected(code)
		w.watch.tear(true)
		if err := w.program.start(startOptions{}); err != nil {
			return nil, err
		}
		if err := w.eventually(ctx, patience, func(ctx context.Context) error { return w.haltedWith(ctx, name, code) }); err != nil {
			return nil, fmt.Errorf("it should halt with %s: %w", code, err)
		}
		if out, err := w.program.command(ctx, "resume", "--system", name, "--accept-gap"); err != nil {
			return nil, fmt.Errorf("accept the gap: %w\n%s", err, out)
		}
		err := w.eventually(ctx, patience, func(ctx context.Context) error {
			list, err := w.api.Load().Systems(ctx)
			if err != nil {
				return err
			}
			for _, s := range list {
				// It is called running before the new slot is there: until then the gap is only declared.
				if s.Name == name && (s.State != "running" || s.Error != nil || s.Gap != nil && s.Gap.Status == state.GapDeclared) {
					return fmt.Errorf("it is %s: %+v, gap %+v", s.State, s.Error, s.Gap)
				}
			}
			return nil
		})
		// Where the new slot begins is known here at the latest.
		if name == "crm" {
			w.journal.excuse(from, w.writers.version.Load())
			w.pushed.deals.blur()
		}
		w.log("the gap was accepted")
		if err != nil {
			return nil, fmt.Errorf("behind the gap: %w", err)
		}
		return nil, w.whole(ctx)
	}
}

// haltedWith tells whether the source has halted with the code.
func (w *world) haltedWith(ctx context.Context, name, code string) error {
	list, err := w.api.Load().Systems(ctx)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Name == name {
			if s.State == "halted" && s.Error != nil && s.Error.Code == code {
				return nil
			}
			return fmt.Errorf("it is %s, error %+v", s.State, s.Error)
		}
	}
	return fmt.Errorf("there is no source %s", name)
}

// loseState deletes the state store. Routes whose target holds their cursor must notice, and are filled again by a sync; the webhook's begins
// anew by its start.
func loseState(ctx context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	w.program.kill()
	w.count("kills")
	files, err := filepath.Glob(filepath.Join(w.home, "state.db*"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			return nil, err
		}
	}
	if err := w.makeTokens(ctx); err != nil {
		return nil, err
	}
	return nil, w.synced(ctx, "state_lost")
}

// loseLog follows "Begin new logs" in docs/operations.md. Everything is at rest before, so that nothing is given up.
func loseLog(ctx context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	if err := w.rest(ctx); err != nil {
		return nil, fmt.Errorf("before: %w", err)
	}
	if err := w.program.stop(); err != nil {
		w.watch.fail("orderly end", "%v", err)
	}
	w.pushed.forgetIDs()
	if err := os.RemoveAll(filepath.Join(w.home, "log")); err != nil {
		return nil, err
	}
	if err := w.free(ctx); err != nil {
		return nil, err
	}
	if err := w.src.exec(ctx, `SELECT pg_drop_replication_slot('syncline_crm')`); err != nil {
		return nil, err
	}
	if err := w.freeSlots(ctx); err != nil {
		return nil, err
	}
	from := w.writers.version.Load() + 1
	err := w.synced(ctx, "log_replaced")
	w.journal.excuse(from, w.writers.version.Load())
	return nil, err
}

// synced starts the program, which has lost something, and does what its routes ask for until all of them work.
func (w *world) synced(ctx context.Context, code string) error {
	w.watch.expect(code)
	defer w.watch.expected(code)
	w.watch.tear(true)
	w.pushed.beginAnew()
	if err := w.program.start(startOptions{}); err != nil {
		return err
	}
	asked := make(map[string]bool)
	err := w.eventually(ctx, patience, func(ctx context.Context) error {
		list, err := w.api.Load().Routes(ctx)
		if err != nil {
			return err
		}
		var left error
		for _, r := range list {
			switch {
			case r.State == "halted" && r.Error != nil && r.Error.Code == code && !asked[r.ID]:
				asked[r.ID] = true
				if err := w.syncRoute(ctx, r.ID); err != nil {
					return err
				}
				left = errors.New("a sync was asked for")
			case r.State != "running":
				left = fmt.Errorf("route %s is %s: %+v", r.ID, r.State, r.Error)
			}
		}
		return left
	})
	if err != nil {
		return fmt.Errorf("after %s: %w", code, err)
	}
	for _, id := range w.routeIDs() {
		if id != "reg-hook" && !isLane(id) && !asked[id] {
			w.watch.fail("what is lost is noticed", "route %s did not halt with %s", id, code)
		}
	}
	w.log("all routes were synced after %s", code)
	return w.whole(ctx)
}

// syncRoute has all entities of the route read again for it; one whose source is pushed to begins anew with what the log has.
func (w *world) syncRoute(ctx context.Context, id string) error {
	entities := []string{"crm/" + strings.SplitN(id, "-", 2)[0]}
	rule, system, lane := strings.Cut(id, "@")
	if lane {
		entities = []string{system + "/" + rule}
	}
	switch id {
	case "deal-crm", "deal-till":
		entities = []string{strings.TrimPrefix(id, "deal-") + "/deal"}
	case "both":
		entities = []string{"crm/reg", "crm/line"}
	case pushRoute:
		entities = []string{"till/sale"}
		// It goes through its records' past once more; each commit is audited from there on.
		if err := w.dst.exec(ctx, `DELETE FROM seen WHERE entity = 'sale'`); err != nil {
			return err
		}
	}
	for _, e := range entities {
		if out, err := w.program.command(ctx, "sync", e, "--route", id); err != nil {
			return fmt.Errorf("sync %s for %s: %w\n%s", e, id, err, out)
		}
	}
	return nil
}
