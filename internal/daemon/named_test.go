package daemon

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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

// What goes wrong without an error is named all the same, by readiness and by the report.

// blackHole accepts connections and never answers. It returns its URL, and what ends the connections.
func blackHole(t *testing.T) (url string, hangUp func()) {
	t.Helper()
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hole.Close() })
	accepted := make(chan net.Conn, 16) // room for all that may be opened
	go func() {
		for {
			c, err := hole.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	return "postgres://u@" + hole.Addr().String() + "/db?sslmode=disable", func() {
		for {
			select {
			case c := <-accepted:
				_ = c.Close()
			default:
				return
			}
		}
	}
}

// TestASourceThatNeverBeginsIsNamed: one whose system accepts the connection and never answers, by readiness at once, by the report once
// health.silent is over.
func TestASourceThatNeverBeginsIsNamed(t *testing.T) {
	t.Parallel()
	url, hangUp := blackHole(t)
	defer hangUp()
	d := running(t, load(t, t.TempDir(), head+`
health: {disk_free: 0%}
systems:
  crm: {type: postgres, url: "`+url+`", capture: {manage: true, entities: {lead: {table: lead}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: leads, from: crm/lead, to: dw/lead, create: true}
`))
	if ready, why := d.Engine().Ready(t.Context()); ready || !strings.HasPrefix(why[0], "source crm is starting") {
		t.Errorf("Ready = %t, %v", ready, why)
	}
	for later, want := range map[time.Duration]bool{0: false, time.Minute: true} {
		now := time.Now().Add(later)
		r := health.Assess(&health.Input{To: now, Sources: []health.Source{d.sourceHealth(t.Context(), d.set().sources[0], now)}}, &d.set().config.Health.Thresholds)
		if one, ok := found(&r, "source_silent"); ok != want || ok && (one.Source != "crm" || r.Level != health.Critical) {
			t.Errorf("after %s the report is %s, %+v", later, r.Level, r.Recommendations)
		}
	}
}

// TestABlackHoleIsNamed: a target that accepts the connection and never answers does not look like one that has nothing to do. Readiness
// names it at once, the report once health.stalled is over.
func TestABlackHoleIsNamed(t *testing.T) {
	t.Parallel()
	hole, hangUp := blackHole(t)
	dir := t.TempDir()
	d := running(t, load(t, dir, head+`
systems:
  pos: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}
  hole: {type: postgres, url: "`+hole+`"}
rules:
  - {id: sales, from: pos/sale, to: hole/sale, create: true}
`))
	defer hangUp() // the drain would wait for it
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

// TestAServerThatStopsSpeakingIsNamed: a PostgreSQL process that is stopped keeps its connection, so that nothing fails; the source is named once
// health.silent is over. When the process goes on, so does the source, with what was written meanwhile.
func TestAServerThatStopsSpeakingIsNamed(t *testing.T) {
	t.Parallel()
	url := testserver.NewPostgres(t, "fsync=off", "wal_sender_timeout=3s").Database(t) // which is asked for a word every second
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE lead (id bigint PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dw := database(t, filepath.Join(dir, "dw.db"))
	c := load(t, dir, head+`
health: {disk_free: 0%}
systems:
  crm: {type: postgres, url: "`+url+`", capture: {manage: true, entities: {lead: {table: lead}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: leads, from: crm/lead, to: dw/lead, create: true}
`)
	c.Health.Silent = 3 * time.Second
	d := running(t, c)
	eventually(t, "the source works", func() bool { ok, _ := d.Engine().Ready(t.Context()); return ok })
	var walsender int
	eventually(t, "the source streams", func() bool {
		err := conn.QueryRow(t.Context(), "SELECT active_pid FROM pg_replication_slots WHERE active").Scan(&walsender)
		r := report(t, d)
		return err == nil && r.Sources[0].Quiet != nil
	})
	goOn := func() { _ = syscall.Kill(walsender, syscall.SIGCONT) }
	defer goOn()
	if err := syscall.Kill(walsender, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO lead VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "readiness names the source", func() bool {
		ready, why := d.Engine().Ready(t.Context())
		return !ready && strings.HasPrefix(why[0], "source crm is silent: nothing was heard of it for ")
	})
	r := report(t, d)
	if one, ok := found(&r, "source_silent"); !ok || one.Source != "crm" || r.Level != health.Critical || r.Sources[0].State != "running" {
		t.Errorf("report = %s, %+v, %+v", r.Level, r.Recommendations, r.Sources)
	}
	goOn()
	eventually(t, "what was written meanwhile arrives, and the source is trusted again", func() bool {
		var n int
		err := dw.QueryRowContext(t.Context(), "SELECT count(*) FROM lead").Scan(&n)
		ready, _ := d.Engine().Ready(t.Context())
		return err == nil && n == 1 && ready
	})
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
	eventually(t, "the route takes it for applied", func() bool { // the journal is written before the target commits
		r := report(t, d)
		return r.Tasks.Completed == 3 && number(t, dw, "SELECT count(*) FROM customer") > 0
	})
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
