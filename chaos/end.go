package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"syncline/internal/ops"
	"syncline/internal/state"
)

// finish lets everything come to rest, and looks at what there is. Nothing is wrong any more.
func (w *world) finish(ctx context.Context) error {
	err := w.writers.rest(ctx)
	if w.watch.over() {
		return nil
	}
	if err != nil {
		return err
	}
	if err := w.journal.resolve(ctx, w.src); err != nil {
		return fmt.Errorf("ask the source about lost answers: %w", err)
	}
	if err := w.resolveSides(ctx); err != nil {
		return fmt.Errorf("ask the two sides about lost answers: %w", err)
	}
	w.log("the writers rest; everything has to become equal, without a standstill of %s", patience)
	if err := w.program.start(startOptions{}); err == nil {
		w.log("the program was not running and was started")
	}
	began := time.Now()
	if err := w.pushed.settle(ctx); err != nil {
		w.watch.fail("what is pushed is taken", "%v", err)
		return nil
	}
	if err := w.touch(ctx); err != nil {
		return err
	}
	if err := w.catchUp(ctx); err != nil {
		w.watch.fail("everything catches up", "%v", err)
		return nil
	}
	if err := w.eventually(ctx, patience, w.differs); err != nil {
		w.watch.fail("everything is equal in the end", "%v", err)
		return nil
	}
	w.log("all is equal after %.1f s", time.Since(began).Seconds())
	w.add("milliseconds to catch up", int(time.Since(began).Milliseconds()))
	for _, check := range []func(context.Context) error{w.prioritiesKept, w.nothingInvented, w.nothingMissed, w.sidesAtPeace, w.verified, w.backToNormal, w.nothingStays, w.secretsKept} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	if err := w.program.stop(); err != nil {
		w.watch.fail("orderly end", "%v", err)
	}
	return nil
}

// touch writes a last record of every table, so that the last change of its columns is seen.
func (w *world) touch(ctx context.Context) error {
	t := &txn{ws: w.writers, id: w.writers.tx.Add(1)}
	err := pgx.BeginFunc(ctx, w.src.pool, func(tx pgx.Tx) error {
		t.tx = tx
		if err := t.insertReg(ctx, w.plan.Shape.Rows-1, true); err != nil {
			return err
		}
		if err := t.putLine(ctx, 0); err != nil {
			return err
		}
		return t.trail(ctx)
	})
	if err != nil {
		return fmt.Errorf("write the last records: %w", err)
	}
	w.journal.note(t.id, t.writes, nil, committed)
	return w.touchSides(ctx)
}

// caughtUp tells which route has something left, and tell how much all of them have.
func (w *world) caughtUp(ctx context.Context, tell func(left int64)) error {
	list, err := w.api.Load().Routes(ctx)
	if err != nil {
		return err
	}
	tell(w.left(list))
	var last int64
	if err := w.dst.pool.QueryRow(ctx, `SELECT count(*) FROM trail WHERE tx = $1`, w.writers.tx.Load()).Scan(&last); err != nil {
		return err
	}
	if last == 0 {
		return errors.New("the last transaction is not in the warehouse")
	}
	if err := w.sidesReached(ctx); err != nil {
		return err
	}
	for _, r := range list {
		if r.LagEvents > 0 || r.State != ops.RouteRunning || r.Gap != nil {
			return fmt.Errorf("route %s is %s, %d events behind, error %+v, gap %+v", r.ID, r.State, r.LagEvents, r.Error, r.Gap)
		}
	}
	if got, want := len(list), len(w.routeIDs()); got != want {
		return fmt.Errorf("there are %d routes, want %d", got, want)
	}
	systems, err := w.api.Load().Systems(ctx)
	if err != nil {
		return err
	}
	for _, s := range systems {
		if s.Gap != nil || s.Error != nil {
			return fmt.Errorf("system %s is %s: %+v, gap %+v", s.Name, s.State, s.Error, s.Gap)
		}
	}
	return nil
}

// differs compares every target with the source, apart from the program's own comparison.
func (w *world) differs(ctx context.Context) error {
	bad, err := column[string](ctx, w.src, `SELECT k::text FROM reg WHERE val LIKE 'bad:%' ORDER BY 1`)
	if err != nil {
		return err
	}
	if err := w.parkedExactly(ctx, bad); err != nil {
		return err
	}
	columns := strings.Join(append([]string{"k, ver, val, tier, code, large, sum, md5(big)"}, w.writers.columns()...), ", ")
	lines := `SELECT (ROW(id, no, ver, val` + kindColumns(false) + `))::text FROM line ORDER BY 1`
	pairs := []struct{ what, source, target string }{
		{"warehouse, reg", `SELECT (ROW(` + columns + `))::text FROM reg WHERE val NOT LIKE 'bad:%' ORDER BY 1`,
			`SELECT (ROW(` + columns + `))::text FROM reg WHERE NOT k::text = ANY (string_to_array('` + strings.Join(bad, ",") + `', ',')) ORDER BY 1`},
		{"warehouse, line", lines, lines},
		{"warehouse, trail", `SELECT (ROW(tx, note))::text FROM trail ORDER BY 1`, `SELECT (ROW(tx, note))::text FROM trail ORDER BY 1`},
	}
	if w.plan.Shape.Gold {
		pairs = append(pairs, struct{ what, source, target string }{"warehouse, gold", `SELECT (ROW(` + columns + `))::text FROM reg WHERE tier = 'gold' ORDER BY 1`,
			`SELECT (ROW(` + columns + `))::text FROM gold ORDER BY 1`})
	}
	for _, p := range pairs {
		want, err := column[string](ctx, w.src, p.source)
		if err != nil {
			return err
		}
		got, err := column[string](ctx, w.dst, p.target)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("%s (-source +target):\n%.3000s", p.what, diff)
		}
	}
	want, err := column[string](ctx, w.src, `SELECT format('%s %s %s %s', k, ver, val, md5(big)) FROM reg ORDER BY 1`)
	if err != nil {
		return err
	}
	docs, err := w.cache.entries(ctx)
	if err != nil {
		return err
	}
	if err := documentsDiffer("cache", want, docs); err != nil {
		return err
	}
	if want, err = column[string](ctx, w.src, `SELECT format('%s,%s %s %s', id, no, ver, val) FROM line ORDER BY 1`); err != nil {
		return err
	}
	if docs, err = w.bus.documents(ctx); err != nil {
		return err
	}
	if err := documentsDiffer("bus", want, docs); err != nil {
		return err
	}
	for _, differ := range []func(context.Context) error{w.dealsDiffer, w.sidesDiffer} {
		if err := differ(ctx); err != nil {
			return err
		}
	}
	return w.pushed.differs(ctx)
}

func documentsDiffer(what string, want []string, docs []document) error {
	got := make([]string, 0, len(docs))
	for _, d := range docs {
		text := fmt.Sprintf("%s %d %s", d.key(), d.Ver, d.Val)
		if d.K != nil {
			text += " " + sumOf(d.Big)
		}
		got = append(got, text)
	}
	slices.Sort(want) // the database may sort otherwise
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("%s (-source +target):\n%.3000s", what, diff)
	}
	return nil
}

// parkedExactly sees that the tasks that were given up are those of the planted records, and of no other.
func (w *world) parkedExactly(ctx context.Context, bad []string) error {
	failed, waiting := make(map[string]bool), 0
	for _, status := range []state.TaskStatus{state.TaskFailed, state.TaskPending, state.TaskConflict} {
		var q ops.TaskQuery
		q.Status = status
		list, err := w.api.Load().TaskPages(ctx, q)
		if err != nil {
			return err
		}
		for _, t := range list.Items {
			switch {
			case t.Reason == "held" || status == state.TaskFailed && t.Code == "check_violation":
				failed[t.Key] = true
			case status == state.TaskFailed:
				return fmt.Errorf("task %s of key %s was parked with %s: %s", t.ID, t.Key, t.Code, t.Error)
			default:
				waiting++
			}
		}
	}
	if waiting > 0 {
		return fmt.Errorf("%d tasks are tried again", waiting)
	}
	got := slices.Sorted(maps.Keys(failed))
	slices.Sort(bad)
	if !slices.Equal(got, bad) {
		return fmt.Errorf("the keys %v are parked, and the bad records are %v", got, bad)
	}
	return nil
}

// nothingInvented sees that every version that was seen anywhere, at any time, was committed.
func (w *world) nothingInvented(ctx context.Context) error {
	rows, err := w.dst.pool.Query(ctx, `SELECT entity, key, ver FROM left_behind`)
	if err != nil {
		return err
	}
	seen := w.watch.seen()
	var x write
	if _, err := pgx.ForEachRow(rows, []any{&x.entity, &x.key, &x.ver}, func() error { seen = append(seen, x); return nil }); err != nil {
		return err
	}
	told, again := w.hook.told()
	w.add("repeated deliveries", again)
	w.add("versions seen", len(seen)+len(told))
	for _, x := range append(seen, told...) {
		if why := w.journal.why(x.entity, x.key, x.ver); why != "" {
			w.watch.fail("nothing is invented", "%s, and was seen", why)
			return nil
		}
	}
	return nil
}

// nothingMissed sees that the webhook was told of every committed write, and of each key's changes in their order, deletes among them.
func (w *world) nothingMissed(context.Context) error {
	must := w.journal.mustBeTold("reg", w.writers.first)
	missing := w.hook.misses(must)
	w.add("events that the webhook had to get", len(must))
	if len(missing) > 0 {
		slices.Sort(missing)
		w.watch.fail("nothing is lost", "the webhook was not told of %d of %d committed writes: %v", len(missing), len(must), missing[:min(len(missing), 20)])
	} else if diff := w.hook.differs(w.journal.histories("reg", w.writers.first)); diff != "" {
		w.watch.fail("each change is told once, in order", "webhook: %s", diff)
	}
	return nil
}

// verified has the program compare by itself.
func (w *world) verified(ctx context.Context) error {
	out, err := w.program.command(ctx, "verify")
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		w.watch.fail("verify finds nothing", "exit code %d\n%s", exit.ExitCode(), out)
		return nil
	}
	return err
}

// backToNormal sees that the process holds about as much as at its start.
func (w *world) backToNormal(ctx context.Context) error {
	err := w.eventually(ctx, patience, func(ctx context.Context) error {
		now, err := w.usage(ctx)
		if err != nil {
			return err
		}
		if now.descriptors > w.before.descriptors+25 || now.goroutines > w.before.goroutines+60 || now.memory > max(3*w.before.memory, 400<<20) {
			return fmt.Errorf("%s, and at the start %s", now, w.before)
		}
		w.log("at the end %s; at the start %s", now, w.before)
		return nil
	})
	if err != nil {
		w.watch.fail("memory, descriptors and goroutines are back to normal", "%v", err)
	}
	return nil
}

// column collects one column.
func column[T any](ctx context.Context, p *postgres, sql string) ([]T, error) {
	rows, err := p.pool.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}
