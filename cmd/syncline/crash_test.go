package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"

	"syncline/internal/failpoint"
	"syncline/internal/ops"
	"syncline/internal/testserver"
	"syncline/internal/webhook"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// field is a PostgreSQL source with writers, and three targets: PostgreSQL, Redis, a webhook.
type field struct {
	t        *testing.T
	src, dst *pgxpool.Pool
	redis    *testserver.Redis
	cache    *goredis.Client
	hook     *receiver
	program  *program

	mu     sync.Mutex
	extras []string // columns of reg that come and go

	commits atomic.Int64 // transactions that writers have committed
	version atomic.Int64
	stop    context.CancelFunc
	writers sync.WaitGroup
}

// rows is the number of records that writers fight over.
const rows = 40

func newField(t *testing.T) *field {
	t.Helper()
	pg := testserver.NewPostgres(t, "deadlock_timeout=20ms")
	red := testserver.NewRedis(t)
	f := &field{t: t, redis: red, hook: &receiver{first: make(map[string]bool), vers: make(map[string]int64), last: make(map[string]int64)}}
	srcURL, dstURL := pg.Database(t), pg.Database(t)
	f.src, f.dst = connect(t, srcURL), connect(t, dstURL)
	options, err := goredis.ParseURL(red.URL())
	if err != nil {
		t.Fatal(err)
	}
	f.cache = goredis.NewClient(options)
	t.Cleanup(func() { _ = f.cache.Close() })
	server := httptest.NewServer(f.hook)
	t.Cleanup(server.Close)
	for _, sql := range []string{
		`CREATE TABLE reg (k int PRIMARY KEY, ver bigint NOT NULL, val text, big text)`,
		`ALTER TABLE reg ALTER COLUMN big SET STORAGE EXTERNAL`,
		`CREATE TABLE log (k int, ver bigint, op text)`,
		`CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF TG_OP = 'DELETE' THEN INSERT INTO log VALUES (OLD.k, OLD.ver, 'D'); RETURN OLD; END IF;
			INSERT INTO log VALUES (NEW.k, NEW.ver, 'W'); RETURN NEW;
		END $$`,
		`CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON reg FOR EACH ROW EXECUTE FUNCTION note()`,
		`CREATE TABLE trail (ver bigint, what text)`, // no key
	} {
		mustExec(t, f.src, sql)
	}
	f.program = newProgram(t, fmt.Sprintf(`
systems:
  crm:
    type: postgres
    url: %q
    capture:
      manage: true
      entities:
        reg: {table: reg}
        trail: {table: trail}
  dw: {type: postgres, url: %q}
  cache: {type: redis, url: %q}
  hook: {type: webhook, url: %q, secret: "${HOOK_SECRET}", allow_private: true}
rules:
  - {id: reg-dw, from: crm/reg, to: dw/reg, create: true}
  - {id: trail-dw, from: crm/trail, to: dw/trail, create: true}
  - {id: reg-cache, from: crm/reg, to: cache/reg}
  - {id: reg-hook, from: crm/reg, to: hook/reg, start: earliest}
`, srcURL, dstURL, red.URL(), server.URL), "HOOK_SECRET="+hookSecret)
	return f
}

// write starts writers. Every version is used once, so that order and loss can be told.
func (f *field) write(n int) {
	ctx, cancel := context.WithCancel(f.t.Context())
	f.stop = cancel
	for i := range n {
		rnd := rand.New(rand.NewPCG(uint64(i), 7))
		f.writers.Go(func() {
			for ctx.Err() == nil {
				err := pgx.BeginFunc(ctx, f.src, func(tx pgx.Tx) error {
					for range 1 + rnd.IntN(4) {
						if err := f.change(ctx, tx, rnd); err != nil {
							return err
						}
					}
					return nil
				})
				switch {
				case err == nil:
					f.commits.Add(1)
				case ctx.Err() == nil && !conflict(err):
					f.t.Errorf("writer: %v", err)
					return
				}
			}
		})
	}
}

// conflict reports whether two writers met, or one met a change of the table.
func conflict(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "23505" || pg.Code == "42703")
}

// alter adds, drops or renames a column of reg. No name is used twice.
func (f *field) alter(rnd *rand.Rand) {
	f.t.Helper()
	extras := slices.Clone(f.columns()) // nobody else changes it; writers must not wait for the table's lock and for mu
	at, name := -1, fmt.Sprint("extra", f.version.Add(1))
	if len(extras) > 0 {
		at = rnd.IntN(len(extras))
	}
	sql := "ADD COLUMN " + name + " text"
	switch n := rnd.IntN(8); {
	case n == 0 && at >= 0:
		sql = "RENAME COLUMN " + extras[at] + " TO " + name
		extras[at] = name
	case n < 4 && at >= 0:
		sql = "DROP COLUMN " + extras[at]
		extras = slices.Delete(extras, at, at+1)
	default:
		// none, one that is not the same for every row, and a constant
		sql += []string{"", " DEFAULT gen_random_uuid()::text", " NOT NULL DEFAULT 'constant'", " DEFAULT 'constant'"}[n%4]
		extras = append(extras, name)
	}
	eventually(f.t, sql, func(ctx context.Context) error {
		_, err := f.src.Exec(ctx, "ALTER TABLE reg "+sql)
		return err // a deadlock with writers
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.extras = extras
}

// columns are those of reg that come and go.
func (f *field) columns() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.extras
}

// touch writes a record of reg, so that the last change of the table is seen.
func (f *field) touch() {
	f.t.Helper()
	ver := f.version.Add(1)
	if _, err := f.src.Exec(f.t.Context(), `INSERT INTO reg VALUES (-1, $1, 'last') ON CONFLICT (k) DO UPDATE SET ver = EXCLUDED.ver`, ver); err != nil {
		f.t.Fatal(err)
	}
}

func (f *field) change(ctx context.Context, tx pgx.Tx, rnd *rand.Rand) error {
	k, to := rnd.IntN(rows), rnd.IntN(rows)
	// Whoever holds the locks takes the next version: versions of a key rise in commit order.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1), pg_advisory_xact_lock($2)`, min(k, to), max(k, to)); err != nil {
		return err
	}
	ver := f.version.Add(1)
	var err error
	extras := f.columns()
	switch n := rnd.IntN(20); {
	case n < 12 && n > 9 && len(extras) > 0:
		_, err = tx.Exec(ctx, `UPDATE reg SET ver = $2, `+extras[rnd.IntN(len(extras))]+` = 'written' WHERE k = $1`, k, ver)
	case n < 3:
		_, err = tx.Exec(ctx, `DELETE FROM reg WHERE k = $1`, k)
	case n < 5:
		_, err = tx.Exec(ctx, `UPDATE reg SET k = $1::int, ver = $2 WHERE k = $3 AND NOT EXISTS (SELECT FROM reg WHERE k = $1::int)`, to, ver, k)
	case n < 8:
		_, err = tx.Exec(ctx, `INSERT INTO trail VALUES ($1::bigint, 'trail of ' || $1::bigint)`, ver)
	case n < 12:
		_, err = tx.Exec(ctx, `INSERT INTO reg VALUES ($1, $2, $3, repeat($3::text, 400)) ON CONFLICT (k) DO UPDATE SET ver = EXCLUDED.ver, val = EXCLUDED.val`,
			k, ver, fmt.Sprint("v", ver))
	default: // the large column is not sent
		_, err = tx.Exec(ctx, `UPDATE reg SET ver = $2, val = $3 WHERE k = $1`, k, ver, fmt.Sprint("v", ver))
	}
	return err
}

// after waits until writers have committed n more transactions.
func (f *field) after(n int64) {
	f.t.Helper()
	until := f.commits.Load() + n
	eventually(f.t, "writers commit", func(context.Context) error {
		if f.commits.Load() < until {
			return errors.New("not yet")
		}
		return nil
	})
}

// settle stops the writers, waits until everything is applied, and compares.
func (f *field) settle() {
	f.t.Helper()
	f.stop()
	f.writers.Wait()
	f.touch()
	f.program.ready()
	eventually(f.t, "targets equal the source", f.differs)
	f.program.caughtUp()
	for id, r := range f.program.routes() {
		if !r.Counts.Balanced() || r.Counts.Parked != 0 {
			f.t.Errorf("route %s: counts = %+v, want them balanced and none parked", id, r.Counts)
		}
	}
	f.hook.mu.Lock()
	defer f.hook.mu.Unlock()
	for _, problem := range f.hook.problems {
		f.t.Error(problem)
	}
}

// differs compares every target with the source.
func (f *field) differs(ctx context.Context) error {
	columns := strings.Join(append([]string{"k, ver, val, md5(big)"}, f.columns()...), ", ")
	want, err := table(ctx, f.src, columns, "reg")
	if err != nil {
		return err
	}
	got, err := table(ctx, f.dst, columns, "reg")
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("warehouse (-source +target):\n%.2000s", diff)
	}
	if want, err = table(ctx, f.src, "ver, what", "trail"); err != nil {
		return err
	}
	if got, err = table(ctx, f.dst, "ver, what", "trail"); err != nil {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("keyless table (-source +target):\n%.2000s", diff)
	}
	if err := f.cacheDiffers(ctx); err != nil {
		return err
	}
	return f.hookMisses(ctx)
}

func (f *field) cacheDiffers(ctx context.Context) error {
	rows, err := f.src.Query(ctx, `SELECT k, ver FROM reg`)
	if err != nil {
		return err
	}
	want := make(map[string]int64)
	var k int
	var ver int64
	if _, err := pgx.ForEachRow(rows, []any{&k, &ver}, func() error { want[fmt.Sprint("reg:", k)] = ver; return nil }); err != nil {
		return err
	}
	got := make(map[string]int64)
	keys, err := f.cache.Keys(ctx, "reg:*").Result()
	if err != nil {
		return err
	}
	for _, key := range keys {
		text, err := f.cache.Get(ctx, key).Result()
		if err != nil {
			return err
		}
		var doc struct{ Ver int64 }
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			return fmt.Errorf("cache %s: %w", key, err)
		}
		got[key] = doc.Ver
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("cache (-source +target):\n%.2000s", diff)
	}
	return nil
}

// hookMisses sees that every committed write reached the webhook.
func (f *field) hookMisses(ctx context.Context) error {
	rows, err := f.src.Query(ctx, `SELECT ver FROM log WHERE op = 'W'`)
	if err != nil {
		return err
	}
	vers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	f.hook.mu.Lock()
	defer f.hook.mu.Unlock()
	var missing []int64
	for _, v := range vers {
		if !f.hook.first[fmt.Sprint("ver ", v)] {
			missing = append(missing, v)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the webhook has not got %d of %d writes: %d", len(missing), len(vers), missing[:min(len(missing), 20)])
	}
	return nil
}

// receiver is the partner's end of the webhook: it checks signatures and the order of first deliveries per key.
type receiver struct {
	mu       sync.Mutex
	first    map[string]bool  // ids and versions that came
	vers     map[string]int64 // version of each event by its id
	last     map[string]int64 // version of each key's newest first delivery
	problems []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err == nil {
		err = webhook.Verify(hookSecret, req.Header, body, time.Now(), 0)
	}
	var event struct {
		ID, Subject, Type string
		Data              struct{ After *struct{ K, Ver int64 } }
	}
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.problems = append(r.problems, err.Error())
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	if event.Data.After != nil {
		if was, again := r.vers[event.ID]; again && was != event.Data.After.Ver {
			r.problems = append(r.problems, fmt.Sprintf("event %s is version %d and %d", event.ID, was, event.Data.After.Ver))
		}
		r.vers[event.ID] = event.Data.After.Ver
	}
	if !r.first[event.ID] && event.Data.After != nil {
		r.first[event.ID] = true
		ver := event.Data.After.Ver
		r.first[fmt.Sprint("ver ", ver)] = true
		if was := r.last[event.Subject]; ver < was && !strings.HasSuffix(event.Type, "snapshot") {
			r.problems = append(r.problems, fmt.Sprintf("key %s: version %d came after %d", event.Subject, ver, was))
		}
		r.last[event.Subject] = max(ver, r.last[event.Subject])
	}
	w.WriteHeader(http.StatusNoContent)
}

// TestKillAtRandomMoments kills the real binary again and again under load, while the table's columns change: G6 and G14.
func TestKillAtRandomMoments(t *testing.T) {
	f := newField(t)
	rnd := rand.New(rand.NewPCG(25, uint64(time.Now().UnixNano())))
	f.program.start()
	f.program.ready() // the webhook gets what is committed from here on
	f.write(3)
	for range 25 {
		f.after(10 + rnd.Int64N(75))
		f.alter(rnd)
		f.after(rnd.Int64N(75))
		f.program.kill()
		if rnd.IntN(3) == 0 {
			f.alter(rnd) // nobody looks
		}
		f.program.start()
	}
	f.settle()
	if err := f.program.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
}

// TestKillAtEveryFailpoint kills the binary once at each moment that is worst.
func TestKillAtEveryFailpoint(t *testing.T) {
	f := newField(t)
	killAt := func(name string, n int) {
		f.program.start(fmt.Sprintf("SYNCLINE_FAILPOINT=%s:%d", name, n))
		if err := f.program.died(); err == nil {
			t.Errorf("failpoint %s: the process ended by itself", name)
		}
	}
	for _, name := range failpoint.Names {
		if strings.Contains(name, ".place.") { // only a route's first start comes by
			killAt(name, 1)
		}
	}
	f.program.start()
	f.program.ready()
	f.program.kill()
	f.write(2)
	for i, name := range failpoint.Names {
		if !strings.Contains(name, ".place.") {
			killAt(name, 1+2*(i%2))
		}
	}
	f.program.start()
	f.settle()
}

// TestATargetThatIsDownHarmsNobodyElse: the source is acknowledged on and the other routes go on; when it is back it catches up by
// itself, with what it lost of its own too.
func TestATargetThatIsDownHarmsNobodyElse(t *testing.T) {
	f := newField(t)
	f.program.start()
	f.program.ready()
	f.write(2)
	f.after(50)
	f.redis.Kill()
	f.after(50)
	var lsn string
	if err := f.src.QueryRow(t.Context(), `SELECT pg_current_wal_lsn()::text`).Scan(&lsn); err != nil {
		t.Fatal(err)
	}
	ver := f.version.Load()
	eventually(t, "the source is acknowledged on", func(ctx context.Context) error {
		var behind bool
		if err := f.src.QueryRow(ctx, `SELECT confirmed_flush_lsn < $1::pg_lsn FROM pg_replication_slots WHERE slot_name = 'syncline_crm'`, lsn).Scan(&behind); err != nil {
			return err
		}
		if behind {
			return errors.New("the slot still holds " + lsn)
		}
		return nil
	})
	eventually(t, "the warehouse goes on", func(ctx context.Context) error {
		var newest int64
		if err := f.dst.QueryRow(ctx, `SELECT coalesce(max(ver), 0) FROM reg`).Scan(&newest); err != nil {
			return err
		}
		if newest < ver {
			return fmt.Errorf("it is at version %d, the source was at %d", newest, ver)
		}
		return nil
	})
	eventually(t, "the route to the target that is down is degraded, behind and says why", func(context.Context) error {
		if r := f.program.routes()["reg-cache"]; r.State != ops.RouteDegraded || r.LagEvents == 0 || r.Error == nil {
			return fmt.Errorf("it is %+v", r)
		}
		return nil
	})
	if err := f.redis.Start(); err != nil {
		t.Fatal(err)
	}
	f.settle()
}
