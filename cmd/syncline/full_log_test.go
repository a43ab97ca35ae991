package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// store is a PostgreSQL source whose log is as small as a configuration allows, a warehouse, and a cache that can be down.
type store struct {
	t        *testing.T
	src, dst *pgxpool.Pool
	redis    *testserver.Redis
	cache    *goredis.Client
	slot     string
	program  *program
}

// smallLog is the least that log.max_bytes may be.
const smallLog = 64 << 20

func newStore(t *testing.T, pg *testserver.Postgres, onFull string) *store {
	t.Helper()
	srcURL, dstURL := pg.Database(t), pg.Database(t)
	s := &store{t: t, src: connect(t, srcURL), dst: connect(t, dstURL), redis: testserver.NewRedis(t), slot: "full_" + onFull}
	options, err := goredis.ParseURL(s.redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	s.cache = goredis.NewClient(options)
	t.Cleanup(func() { _ = s.cache.Close() })
	mustExec(t, s.src, `CREATE TABLE item (id int PRIMARY KEY, ver int NOT NULL, body text)`)
	mustExec(t, s.src, `INSERT INTO item SELECT n, 0, 'first' FROM generate_series(1, 10) n`)
	s.program = newProgram(t, fmt.Sprintf(`
log: {max_bytes: %d, on_full: %s}
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, slot: %s, publication: %[4]s, entities: {item: {table: item}}}}
  dw: {type: postgres, url: %q}
  cache: {type: redis, url: %q}
rules:
  - {id: item-dw, from: crm/item, to: dw/item, create: true}
  - {id: item-cache, from: crm/item, to: cache/item}
`, smallLog, onFull, srcURL, s.slot, dstURL, s.redis.URL()))
	s.program.start()
	s.program.ready()
	eventually(t, "first copy", s.differ)
	return s
}

// write makes n changes of a megabyte each.
func (s *store) write(n int) {
	s.t.Helper()
	for i := range n {
		mustExec(s.t, s.src, fmt.Sprintf(`UPDATE item SET ver = ver + 1, body = repeat('x', 1000000) WHERE id = %d`, 1+i%10))
	}
}

// shrink makes the records small again.
func (s *store) shrink() { mustExec(s.t, s.src, `UPDATE item SET ver = ver + 1, body = 'small'`) }

// item is a record as source and targets have it, without most of its body.
type item struct {
	ID, Ver int
	Body    string
}

func items(ctx context.Context, db *pgxpool.Pool) (map[string]item, error) {
	rows, err := db.Query(ctx, `SELECT id, ver, left(body, 10) FROM item`)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[item])
	byKey := make(map[string]item)
	for _, i := range list {
		byKey[fmt.Sprint("item:", i.ID)] = i
	}
	return byKey, err
}

// warehouseDiffers compares the target that is never down with the source.
func (s *store) warehouseDiffers(ctx context.Context) error {
	want, err := items(ctx, s.src)
	if err != nil {
		return err
	}
	got, err := items(ctx, s.dst)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("warehouse (-source +target):\n%.2000s", diff)
	}
	return nil
}

// differ compares both targets with the source.
func (s *store) differ(ctx context.Context) error {
	if err := s.warehouseDiffers(ctx); err != nil {
		return err
	}
	want, err := items(ctx, s.src)
	if err != nil {
		return err
	}
	got := make(map[string]item)
	for key := range want {
		text, err := s.cache.Get(ctx, key).Result()
		if err != nil {
			return fmt.Errorf("cache %s: %w", key, err)
		}
		var i item
		if err := json.Unmarshal([]byte(text), &i); err != nil {
			return fmt.Errorf("cache %s: %w", key, err)
		}
		i.Body = i.Body[:min(len(i.Body), 10)]
		got[key] = i
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("cache (-source +target):\n%.2000s", diff)
	}
	return nil
}

// source returns the source's account of itself.
func (s *store) source() ops.SystemStatus { return s.program.system("crm") }

// behind reports whether the source must still keep what it had committed at this place.
func (s *store) behind(ctx context.Context, lsn string) (behind bool, err error) {
	err = s.src.QueryRow(ctx, `SELECT confirmed_flush_lsn < $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2`, lsn, s.slot).Scan(&behind)
	return behind, err
}

// lsn is where the source's WAL ends.
func (s *store) lsn() (lsn string) {
	s.t.Helper()
	if err := s.src.QueryRow(s.t.Context(), `SELECT pg_current_wal_lsn()::text`).Scan(&lsn); err != nil {
		s.t.Fatal(err)
	}
	return lsn
}

// acknowledged waits until the source need not keep anything that was committed before.
func (s *store) acknowledged() {
	s.t.Helper()
	lsn := s.lsn()
	eventually(s.t, "the source is acknowledged", func(ctx context.Context) error {
		behind, err := s.behind(ctx, lsn)
		if behind {
			err = errors.New("the slot still holds " + lsn)
		}
		return err
	})
}

// gap is what the error of a route that needs a sync names.
var gap = regexp.MustCompile(`gave up sequences (\d+) to (\d+) `)

// released waits until the cache's route has lost its hold on the log, and returns the gap: from its cursor up to where the log
// begins now.
func (s *store) released() (from, to uint64) {
	s.t.Helper()
	eventually(s.t, "the route that is farthest behind needs a sync", func(context.Context) error {
		r := s.program.routes()["item-cache"]
		if r.State != ops.RouteNeedsSync || r.Error == nil || r.Error.Code != "needs_sync" {
			return fmt.Errorf("it is %+v", r)
		}
		m := gap.FindStringSubmatch(r.Error.Text)
		if m == nil || !strings.Contains(r.Error.Fix, "syncline sync") {
			return fmt.Errorf("its error is %+v, want the gap and the way out", r.Error)
		}
		from, _ = strconv.ParseUint(m[1], 10, 64)
		to, _ = strconv.ParseUint(m[2], 10, 64)
		if log := s.source().Log; from != r.Cursor.Seq || to != log.First-1 || to < from {
			return fmt.Errorf("the gap is %d to %d, the cursor stands at %d, the log is %+v", from, to, r.Cursor.Seq, log)
		}
		return nil
	})
	return from, to
}

// testFullLogReleases: with on_full: release a target that is down costs its own route its place in the
// log, and nobody else anything. It is filled again by itself.
func testFullLogReleases(t *testing.T, pg *testserver.Postgres) {
	s := newStore(t, pg, "release")
	s.redis.Kill()
	for range 4 {
		s.write(20)
		eventually(t, "the warehouse keeps up", s.warehouseDiffers) // else it could be the one that is farthest behind
	}
	s.shrink()
	s.acknowledged()
	eventually(t, "the warehouse goes on", s.warehouseDiffers)
	from, to := s.released()
	if log := s.source().Log; log.Bytes > smallLog || log.First > log.Last {
		t.Errorf("the log is %+v, want it smaller than its limit and never empty", log)
	}

	// The gap is known to whoever asks, and after a crash too.
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"status", "--server", s.program.url()}, &stdout, &stderr); code != exitOK ||
		!strings.Contains(stdout.String(), "needs_sync") || !strings.Contains(stdout.String(), fmt.Sprintf("sequences %d to %d", from, to)) {
		t.Errorf("syncline status = %d:\n%s%s", code, stdout.String(), stderr.String())
	}
	s.program.kill()
	s.program.start()
	s.program.answers()
	if again, end := s.released(); again != from || end != to {
		t.Errorf("after a restart the gap is %d to %d, it was %d to %d", again, end, from, to)
	}

	// A record that goes while the route has no place in the log is in no log that it will read.
	mustExec(t, s.src, `DELETE FROM item WHERE id = 10`)
	s.acknowledged()
	if err := s.redis.Start(); err != nil {
		t.Fatal(err)
	}
	s.shrink()
	eventually(t, "the cache is filled by itself", s.differ)
	eventually(t, "what has gone from the source goes from the cache, and the gap is closed", func(ctx context.Context) error {
		if n, err := s.cache.Exists(ctx, "item:10").Result(); n != 0 || err != nil {
			return errors.Join(err, fmt.Errorf("the cache has %d of item:10", n))
		}
		if g := s.program.routes()["item-cache"].Gap; g != nil {
			return fmt.Errorf("the gap is %+v", g)
		}
		return nil
	})
	s.program.caughtUp()
	for id, r := range s.program.routes() {
		if !r.Counts.Balanced() || r.Counts.Parked != 0 {
			t.Errorf("route %s: counts = %+v, want them balanced and none parked", id, r.Counts)
		}
	}
}

// testFullLogPauses: with on_full: pause the source waits for the target that is down; nothing is given up, and everything goes on by
// itself.
func testFullLogPauses(t *testing.T, pg *testserver.Postgres) {
	s := newStore(t, pg, "pause")
	s.redis.Kill()
	s.write(80)
	s.shrink()
	eventually(t, "the source waits for the route whose target is down", func(context.Context) error {
		st, r := s.source(), s.program.routes()["item-cache"]
		if st.State != "degraded" || st.Error == nil || st.Error.Code != "log_full" || st.Error.Fix == "" || r.State != ops.RouteDegraded {
			return fmt.Errorf("it is %+v, error %+v, and the route %+v", st, st.Error, r)
		}
		if st.Log.First > r.Cursor.Seq || st.Log.Bytes > smallLog {
			return fmt.Errorf("the log is %+v, the route stands at %d", st.Log, r.Cursor.Seq)
		}
		return nil
	})
	if behind, err := s.behind(t.Context(), s.lsn()); err != nil || !behind {
		t.Errorf("the source is acknowledged (%v), want it to keep what the log does not take", err)
	}
	if err := s.redis.Start(); err != nil {
		t.Fatal(err)
	}
	s.acknowledged()
	eventually(t, "both targets equal the source", s.differ)
	s.program.caughtUp()
	s.program.ready()
}

// TestFullLog fills logs up to log.max_bytes while a target is down.
func TestFullLog(t *testing.T) {
	t.Parallel()
	pg := testserver.NewPostgres(t, "fsync=off")
	for name, test := range map[string]func(*testing.T, *testserver.Postgres){"release": testFullLogReleases, "pause": testFullLogPauses} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, pg)
		})
	}
}
