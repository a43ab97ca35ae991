package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
)

// serverFaults are what happens to the servers that the program talks to.
var serverFaults = []fault{
	{name: "warehouse-crash", group: "dst", weight: 3, least: 100 * time.Millisecond, most: 4 * time.Second, do: crash("dst")},
	{name: "warehouse-stop", group: "dst", weight: 1, least: 100 * time.Millisecond, most: 4 * time.Second, do: endServer("dst")},
	{name: "warehouse-hold", group: "dst", weight: 2, least: 200 * time.Millisecond, most: 8 * time.Second, do: holdServer("dst")},
	{name: "warehouse-cut", group: "dst", weight: 3, least: 0, most: 0, do: cutSessions("dst")},
	{name: "warehouse-locked", group: "dst", weight: 2, least: time.Second, most: 5 * time.Second, do: lockTable},
	{name: "warehouse-readonly", group: "dst", weight: 2, least: time.Second, most: 5 * time.Second, do: readOnly},
	{name: "source-crash", group: "src", weight: 3, least: 100 * time.Millisecond, most: 3 * time.Second, do: crash("src")},
	{name: "source-stop", group: "src", weight: 1, least: 100 * time.Millisecond, most: 3 * time.Second, do: endServer("src")},
	{name: "source-hold", group: "src", weight: 1, least: 200 * time.Millisecond, most: 8 * time.Second, do: holdServer("src")},
	{name: "source-cut", group: "src", weight: 2, least: 0, most: 0, do: cutSessions("src")},
	{name: "cache-crash", group: "cache", weight: 3, least: 300 * time.Millisecond, most: 4 * time.Second, do: crashCache},
	{name: "cache-hold", group: "cache", weight: 2, least: 200 * time.Millisecond, most: 6 * time.Second, do: holdServer("cache")},
	{name: "bus-crash", group: "bus", weight: 3, least: 100 * time.Millisecond, most: 4 * time.Second, do: crashBus},
	{name: "bus-hold", group: "bus", weight: 2, least: 200 * time.Millisecond, most: 6 * time.Second, do: holdServer("bus")},
	{name: "hook-moody", group: "hook", weight: 3, least: time.Second, most: 6 * time.Second, do: moodyHook},
	{name: "hook-hangs", group: "hook", weight: 1, least: time.Second, most: 6 * time.Second, do: hangingHook},
}

// database is the PostgreSQL server of this name.
func (w *world) database(name string) *postgres {
	if name == "src" {
		return w.src
	}
	return w.dst
}

type doFault = func(context.Context, *world, *rand.Rand) (func(context.Context) error, error)

// crash ends a PostgreSQL server in the middle of whatever it does.
func crash(name string) doFault {
	return func(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
		w.database(name).server.Kill()
		w.count("kills")
		return func(context.Context) error { return w.database(name).server.Start() }, nil
	}
}

// endServer ends a PostgreSQL server in an orderly way, for which nobody may make it wait.
func endServer(name string) doFault {
	return func(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
		w.database(name).server.Stop()
		return func(context.Context) error { return w.database(name).server.Start() }, nil
	}
}

// holdServer stops every process of a server where it stands: its connections stay, and nobody answers.
func holdServer(name string) doFault {
	return func(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
		signal := w.database(name).server.Signal
		switch name {
		case "cache":
			signal = w.cache.server.Signal
		case "bus":
			signal = w.bus.signal
		}
		signal(stopSignal)
		return func(context.Context) error { signal(contSignal); return nil }, nil
	}
}

// cutSessions ends the program's sessions at a PostgreSQL server, several times. Those who look at it from here have another name.
func cutSessions(name string) doFault {
	return func(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
		for range 1 + rnd.IntN(6) {
			_, err := w.database(name).pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE backend_type IN ('client backend', 'walsender') AND application_name <> 'chaos' AND pid <> pg_backend_pid()`)
			if err != nil && isServerError(err) {
				return nil, err
			}
			if err := sleep(ctx, time.Duration(5+rnd.IntN(400))*time.Millisecond); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

// lockTable is somebody in the warehouse whose transaction has locked a table.
func lockTable(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	// A session may not have heard yet that the warehouse is no standby any more.
	tx, err := w.dst.pool.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadWrite})
	if err == nil {
		_, err = tx.Exec(ctx, `LOCK TABLE `+[]string{"reg", "line", "_syncline_cursor"}[rnd.IntN(3)]+` IN `+[]string{"ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE"}[rnd.IntN(2)]+` MODE`)
	}
	if err != nil && isServerError(err) {
		return nil, err
	}
	return func(ctx context.Context) error {
		if tx != nil {
			_ = tx.Rollback(ctx) // its session may have ended
		}
		return nil
	}, nil
}

// readOnly is a warehouse that has become a standby.
func readOnly(ctx context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	set := func(ctx context.Context, value string) error {
		return w.eventually(ctx, patience, func(ctx context.Context) error {
			return w.dst.exec(ctx, `SET default_transaction_read_only = off`, `ALTER SYSTEM SET default_transaction_read_only = `+value, `SELECT pg_reload_conf()`)
		})
	}
	return func(ctx context.Context) error { return set(ctx, "off") }, set(ctx, "on")
}

// crashCache loses what Redis has not synced: up to a second.
func crashCache(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	w.count("lives of cache")
	w.cache.server.Kill()
	w.count("kills")
	return func(context.Context) error {
		w.watch.forget("cache")
		return w.cache.server.Start()
	}, nil
}

// crashBus ends the NATS server, which syncs every message and so loses nothing.
func crashBus(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	w.bus.kill()
	w.count("kills")
	return func(context.Context) error { return w.bus.start() }, nil
}

// moodyHook answers with errors, cuts connections, takes events and does not say so.
func moodyHook(_ context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	w.hook.feel(func(rw http.ResponseWriter) verdict {
		switch rnd.IntN(6) {
		case 0:
			rw.WriteHeader([]int{500, 502, 503, 504, 429, 408}[rnd.IntN(6)])
			return refuses
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			return hides
		}
		return takes
	})
	return func(context.Context) error { w.hook.feel(nil); return nil }, nil
}

// hangingHook answers nobody.
func hangingHook(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	over := make(chan struct{})
	w.hook.hang(over)
	return func(context.Context) error { close(over); w.hook.hang(nil); return nil }, nil
}

// life is the number of a server's lives so far: what it has lost with one is not held against the next.
func (w *world) life(server string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts["lives of "+server]
}

// free waits until nobody reads the slot of the source.
func (w *world) free(ctx context.Context) error { return w.src.free(ctx, w, "syncline_crm") }

// free waits until nobody reads the slot.
func (p *postgres) free(ctx context.Context, w *world, slot string) error {
	return w.eventually(ctx, patience, func(ctx context.Context) error {
		var active bool
		err := p.pool.QueryRow(ctx, `SELECT active FROM pg_replication_slots WHERE slot_name = $1`, slot).Scan(&active)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("there is no slot %s", slot)
		case err == nil && active:
			return fmt.Errorf("the slot %s is active", slot)
		}
		return err
	})
}
