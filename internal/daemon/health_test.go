package daemon

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/health"
	"syncline/internal/memsource"
	"syncline/internal/memtarget"
	"syncline/internal/ops"
	"syncline/internal/testserver"
)

func report(t *testing.T, d *Daemon) health.Report {
	t.Helper()
	r, err := d.Engine().Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// found returns the recommendation of this kind.
func found(r *health.Report, kind string) (one health.Recommendation, ok bool) {
	i := slices.IndexFunc(r.Recommendations, func(x health.Recommendation) bool { return x.Kind == kind })
	if i < 0 {
		return one, false
	}
	return r.Recommendations[i], true
}

func number(t *testing.T, db *sql.DB, query string) (n int64) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// TestHealthIsWhatTheDatabasesSay: the report's counts are those of the state store's and the target's own tables, its rates follow from
// them, and its recommendations name the rule, the target, the error and what to run.
func TestHealthIsWhatTheDatabasesSay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm, dw := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE "order" (id INTEGER PRIMARY KEY, total INTEGER);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300) INSERT INTO customer SELECT i, 'c' || i FROM n;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 400) INSERT INTO "order" SELECT i, i FROM n`)
	exec(t, dw, `CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER CHECK (total >= 0))`)
	d := running(t, load(t, dir, head+`
health: {window: 1h, disk_free: 0%}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}, order: {table: '"order"'}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: customer, from: crm/customer, to: dw/party, create: true, conflict: {detect: data, strategy: manual}}
  - {id: orders, from: crm/order, to: dw/orders, retry: {max: 1}}
  - {id: big, from: crm/order, to: dw/big, create: true, when: 'after.total > 390'}
`))
	eventually(t, "all was copied", func() bool {
		return number(t, dw, "SELECT count(*) FROM orders") == 400 && number(t, dw, "SELECT count(*) FROM sqlite_master WHERE name = 'party'") == 1 &&
			number(t, dw, "SELECT count(*) FROM party") == 300
	})
	exec(t, dw, `UPDATE party SET name = 'theirs' WHERE id <= 7`)
	exec(t, crm, `UPDATE customer SET name = 'ours' WHERE id <= 7; UPDATE "order" SET total = -id WHERE id <= 12; UPDATE "order" SET total = total + 1 WHERE id > 12`)
	store := database(t, d.set().config.State.Path)
	eventually(t, "what is refused is parked", func() bool {
		lag, err := d.Engine().Lag(t.Context())
		return err == nil && lag.Total.Events == 0 && number(t, store, "SELECT count(*) FROM task WHERE status = 'failed'") == 12 &&
			number(t, store, "SELECT count(*) FROM task WHERE status = 'conflict'") == 7
	})
	r := report(t, d)

	want := health.Tasks{
		Read:     number(t, store, "SELECT sum(n_read) FROM journal"),
		Failed:   number(t, store, "SELECT count(*) FROM task WHERE status = 'failed'"),
		Conflict: number(t, store, "SELECT count(*) FROM task WHERE status = 'conflict'"),
	}
	want.Completed = want.Read - want.Failed - want.Conflict
	if diff := cmp.Diff(want, r.Tasks); diff != "" {
		t.Errorf("tasks (-state store +report):\n%s", diff)
	}
	waiting := health.Waits{Failed: want.Failed, Conflict: want.Conflict, Keys: number(t, store, "SELECT count(*) FROM (SELECT DISTINCT rule, record_key FROM task WHERE pending = 1)")}
	if diff := cmp.Diff(waiting, r.Waiting); diff != "" {
		t.Errorf("what waits (-state store +report):\n%s", diff)
	}
	over := float64(want.Completed + want.Failed + want.Conflict)
	if r.Success == nil || *r.Success != float64(want.Completed)/over || *r.Failure != 12/over || *r.Conflict != 7/over {
		t.Errorf("rates = %v %v %v of %v", *r.Success, *r.Failure, *r.Conflict, over)
	}
	for i := range r.Routes {
		rt := &r.Routes[i]
		of := func(column string) int64 {
			return number(t, store, fmt.Sprintf("SELECT sum(n_%s) FROM journal WHERE route = '%s'", column, rt.ID))
		}
		if rt.Tasks.Read != of("read") || rt.Waiting.Failed+rt.Waiting.Conflict != of("parked") {
			t.Errorf("route %s: %+v, waiting %+v, the journal has %d read and %d parked", rt.ID, rt.Tasks, rt.Waiting, of("read"), of("parked"))
		}
		if rt.Level != map[string]health.Level{"customer": health.Warning, "orders": health.Healthy, "big": health.Healthy}[rt.ID] {
			t.Errorf("route %s is %s: %+v", rt.ID, rt.Level, rt.Tasks)
		}
	}
	if n := number(t, dw, "SELECT count(*) FROM big"); n == 0 {
		t.Error("nothing came through the filter")
	}
	failed, _ := found(&r, "failed_tasks")
	code := ""
	if err := store.QueryRowContext(t.Context(), "SELECT code FROM task WHERE status = 'failed'").Scan(&code); err != nil {
		t.Fatal(err)
	}
	if failed.Rule != "orders" || failed.Target != "dw" || failed.Count != 12 || failed.Class != "rejected" || failed.Error != code ||
		failed.Command != "syncline tasks retry --status failed --rule orders --code "+code {
		t.Errorf("recommendation = %+v", failed)
	}
	if conflict, _ := found(&r, "open_conflicts"); conflict.Rule != "customer" || conflict.Count != 7 || conflict.Command != "syncline conflicts --rule customer" {
		t.Errorf("recommendation = %+v", conflict)
	}

	// The signals say the same, and a scheduled check is kept.
	checked, err := d.CheckHealth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := engine{d}.HealthChecks(t.Context(), "", 1)
	if err != nil || len(list) != 1 || list[0].Level != checked.Level || list[0].Tasks != checked.Tasks || !slices.Contains(list[0].Reasons, "route_rates customer") {
		t.Errorf("kept %+v, %v", list, err)
	}
	signals := make(map[string]float64)
	for _, s := range d.signals(t.Context()) {
		signals[s.Name+s.Labels["rule"]+s.Labels["route"]+s.Labels["system"]] = s.Value
	}
	for name, want := range map[string]float64{"health": float64(checked.Level.Number()), "failed_tasksorders": 12, "failed_taskscustomer": 0, "lag_eventsorders": 0,
		"healthcustomer": 1, "breaker_openorders": 0} {
		if got, ok := signals[name]; !ok || got != want {
			t.Errorf("signal %s = %v, %t, want %v", name, got, ok, want)
		}
	}
}

// TestHealthWithoutTasks: a configuration in which nothing has happened is healthy, and the report says that it is because of that.
func TestHealthWithoutTasks(t *testing.T) {
	t.Parallel()
	d := running(t, load(t, t.TempDir(), pushed+"health: {disk_free: 0%}\n"))
	eventually(t, "the route works", func() bool { ok, _ := d.Engine().Ready(t.Context()); return ok })
	r := report(t, d)
	if r.Level != health.Healthy || len(r.Notes) != 1 || r.Success != nil || r.Lag.MaxSeconds != 0 || r.Lag.MeanSeconds != 0 {
		t.Errorf("report = %+v", r)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	lag, err := d.Engine().Lag(t.Context())
	if err != nil || len(lag.Routes) != 1 || lag.Routes[0].Seconds != 0 || lag.Routes[0].Past.Trend != health.Steady {
		t.Errorf("lag = %+v, %v", lag, err)
	}
}

// TestABlackHoleIsNamed: a target that accepts the connection and never answers does not look like one that has nothing to do. Readiness
// names it at once, the report once health.stalled is over.
func TestABlackHoleIsNamed(t *testing.T) {
	t.Parallel()
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	accepted := make(chan net.Conn, 16) // room for all that the route may open
	go func() {
		for {
			c, err := hole.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dir := t.TempDir()
	d := running(t, load(t, dir, head+`
systems:
  pos: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}
  hole: {type: postgres, url: "postgres://u@`+hole.Addr().String()+`/db?sslmode=disable"}
rules:
  - {id: sales, from: pos/sale, to: hole/sale, create: true}
`))
	defer func() { // the drain would wait for it
		for {
			select {
			case c := <-accepted:
				_ = c.Close()
			default:
				return
			}
		}
	}()
	accept(t, d, 1)
	if ready, why := d.Engine().Ready(t.Context()); ready || len(why) != 1 || !strings.Contains(why[0], "route sales is") {
		t.Errorf("Ready = %t, %v", ready, why)
	}
	eventually(t, "the report names the route", func() bool {
		now := time.Now()
		d.look(now)
		d.look(now.Add(d.set().config.Health.Stalled)) // the daemon's own watch may look between this and the report
		r := report(t, d)
		one, ok := found(&r, "route_stalled")
		return ok && one.Route == "sales" && one.Target == "hole" && r.Level == health.Critical
	})
}

// stuck is a target that does not answer a batch before it is let go.
type stuck struct {
	*memtarget.Target
	let chan struct{} // closed by the test
}

func (s stuck) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	<-s.let
	return s.Target.Apply(ctx, w)
}

// TestAWorkerThatHangsIsNamed: a route whose worker does not come back says running, and is not ready: after half a minute because its
// target has a batch for so long, and where it is no batch that it hangs in, once health.stalled is over.
func TestAWorkerThatHangsIsNamed(t *testing.T) {
	h := newHouse(t, config.Log{})
	h.set().config.Health = config.Health{Thresholds: health.Defaults()}
	s := h.set().sources[0]
	schema := &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}}
	seq, err := h.log.Append(t.Context(), &syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1}, Txns: []syncline.Txn{{}},
		Events: []syncline.Event{{Op: syncline.OpCreated, Schema: schema, After: []syncline.Value{syncline.Int(1)}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.tally.add(seq, 1, time.Now())
	let, later := make(chan struct{}), atomic.Int64{}
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	r := &route{id: "r", source: s, target: &config.System{Name: "dw"}}
	r.apply, err = apply.New(apply.Options{ID: "r", Source: "crm", Signature: "1", Start: apply.StartEarliest, Log: h.log, State: h.state, Now: now,
		Rules: []apply.Rule{{ID: "r", Entity: "customer", Object: "dim", Create: true, Bind: func(s *syncline.Schema) (*apply.Binding, error) {
			return &apply.Binding{Out: s}, nil
		}}},
		Open: func(context.Context) (syncline.Target, error) {
			return stuck{memtarget.NewStore().Open(memtarget.Options{Route: "r"}), let}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	h.set().routes = append(h.set().routes, r)
	if err := r.apply.Prepare(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1) // the route's one word
	go func() { done <- r.apply.Run(ctx, ctx) }()
	defer func() { stop(); <-done }()
	eventually(t, "the target has the batch", func() bool { return !r.apply.Status().InHand.Start.IsZero() })
	routeReasons := func() (list []string) {
		_, reasons := engine{h.Daemon}.Ready(t.Context())
		for _, reason := range reasons {
			if strings.HasPrefix(reason, "route") {
				list = append(list, reason)
			}
		}
		return list
	}
	begun := now()
	h.look(begun)
	if why := routeReasons(); len(why) > 0 {
		t.Errorf("at once: %v", why)
	}
	h.look(begun.Add(time.Minute))
	if why := routeReasons(); len(why) != 1 || !strings.Contains(why[0], "route r is stalled: it has applied nothing for 1m0s") {
		t.Errorf("after a minute in which only the watch's clock went on: %v", why)
	}
	later.Store(int64(31 * time.Second))
	if why := routeReasons(); len(why) != 1 || why[0] != "route r is degraded: target_silent" {
		t.Errorf("after half a minute: %v", why)
	}
	close(let)
	eventually(t, "the route has done it", func() bool { return r.apply.Status().Applied == 1 })
	h.look(now().Add(2 * time.Minute))
	eventually(t, "the route is trusted again", func() bool { return len(routeReasons()) == 0 })
}

// mute is a source whose system was heard of last at a time of the test's.
type mute struct {
	*memsource.Source
	heard *atomic.Pointer[time.Time]
}

func (m mute) Heard() time.Time { return *m.heard.Load() }

// TestASilentSourceIsNamed: a source that is running and is not heard of is not ready, as soon as health.silent is over.
func TestASilentSourceIsNamed(t *testing.T) {
	h := newHouse(t, config.Log{})
	h.set().config.Health = config.Health{Thresholds: health.Defaults()}
	s := h.set().sources[0]
	var heard atomic.Pointer[time.Time]
	last := time.Now()
	heard.Store(&last)
	db := memsource.NewSystem("db")
	schema := &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}}
	db.Append(memsource.Txn{Time: last, Changes: []memsource.Change{{Op: syncline.OpCreated, Schema: schema, After: []syncline.Value{syncline.Int(1)}}}})
	db.Advance(1)
	s.capture = capture.New(capture.Options{Source: "crm", Log: h.log, Runs: h.state, Open: func() (syncline.Source, error) {
		return mute{memsource.New(memsource.Options{Name: "crm", System: db}), &heard}, nil
	}})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1) // the capture's one word
	go func() { done <- s.capture.Run(ctx, ctx) }()
	defer func() { stop(); <-done }()
	eventually(t, "the source works", func() bool { ok, _ := engine{h.Daemon}.Ready(t.Context()); return ok })
	past := time.Now().Add(-health.Defaults().Silent)
	heard.Store(&past)
	if ready, why := (engine{h.Daemon}).Ready(t.Context()); ready || len(why) != 1 || !strings.Contains(why[0], "source crm is silent: nothing was heard of it for 1m") {
		t.Errorf("Ready = %t, %v", ready, why)
	}
	one := h.sourceHealth(t.Context(), s, time.Now())
	r := health.Assess(&health.Input{To: time.Now(), Sources: []health.Source{one}}, &h.set().config.Health.Thresholds)
	if f, ok := found(&r, "source_silent"); !ok || f.Source != "crm" || r.Level != health.Critical {
		t.Errorf("report = %s, %+v", r.Level, r.Recommendations)
	}
}

// TestALostSlotIsNamed: a slot that somebody drops is told by readiness and by the report, with its code.
func TestALostSlotIsNamed(t *testing.T) {
	t.Parallel()
	url := testserver.NewPostgres(t).Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE lead (id bigint PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d := running(t, load(t, dir, head+`
systems:
  crm: {type: postgres, url: "`+url+`", capture: {manage: true, slot: health_lost, entities: {lead: {table: lead}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: leads, from: crm/lead, to: dw/lead, create: true}
`))
	eventually(t, "the route works", func() bool { ok, _ := d.Engine().Ready(t.Context()); return ok })
	eventually(t, "the slot is dropped", func() bool {
		_, _ = conn.Exec(t.Context(), "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'health_lost' AND active")
		_, err := conn.Exec(t.Context(), "SELECT pg_drop_replication_slot('health_lost')")
		return err == nil
	})
	dropped := time.Now()
	eventually(t, "readiness names the slot", func() bool {
		ready, why := d.Engine().Ready(t.Context())
		return !ready && strings.Contains(strings.Join(why, ";"), "source crm is halted: slot_missing")
	})
	if took := time.Since(dropped); took > 15*time.Second {
		t.Errorf("it took %s until a dropped slot was named", took)
	}
	r := report(t, d)
	if one, ok := found(&r, "source_stopped"); !ok || one.Error != "slot_missing" || one.Class != "fatal" || one.Command != "syncline resume --system crm --accept-gap" || r.Level != health.Critical {
		t.Errorf("report = %s, %+v", r.Level, r.Recommendations)
	}
	d.askRisks(t.Context())
	r = report(t, d)
	if one, ok := found(&r, "slot_lost"); !ok || one.Source != "crm" {
		t.Errorf("report = %+v", r.Recommendations)
	}
}

// TestATargetThatDropsWhatItTakesIsFoundByAVerification: a target whose trigger leaves rows out says that all went well, so that no count
// knows better. Once a verification has looked at what is there, the report tells.
func TestATargetThatDropsWhatItTakesIsFoundByAVerification(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm, dw := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO customer VALUES (1, 'a'), (2, 'b'), (3, 'c')`)
	exec(t, dw, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);
		CREATE TRIGGER away BEFORE INSERT ON customer WHEN NEW.id > 1 BEGIN SELECT RAISE(IGNORE); END`)
	d := running(t, load(t, dir, head+`
health: {disk_free: 0%}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: customer, from: crm/customer, to: dw/customer}
`))
	eventually(t, "the route takes it for applied", func() bool { r := report(t, d); return r.Tasks.Completed == 3 })
	if r := report(t, d); r.Level != health.Healthy || number(t, dw, "SELECT count(*) FROM customer") != 1 {
		t.Errorf("before: report = %s %+v", r.Level, r.Recommendations)
	}
	verified(t, d, ops.VerificationRequest{})
	r := report(t, d)
	if one, ok := found(&r, "differences"); !ok || one.Rule != "customer" || one.Target != "dw" || one.Count != 2 || one.Command != "syncline verify --repair customer" ||
		r.Level != health.Warning {
		t.Errorf("after: report = %s %+v", r.Level, r.Recommendations)
	}
}
