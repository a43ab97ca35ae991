package daemon

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/health"
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
		if number(t, dw, "SELECT count(*) FROM orders WHERE total = id + 1") != 388 {
			return false // what was written last is not in the log yet, perhaps
		}
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

// TestTheCommandOfARouteThatLostItsPlace is the one that helps, with nothing left to fill in: resuming it would only halt it again.
func TestTheCommandOfARouteThatLostItsPlace(t *testing.T) {
	dir := t.TempDir()
	text, target := itemsIn(t, dir, 40, "")
	d := running(t, load(t, dir, text))
	eventuallyEqual(t, d, 40)
	execute(t, target, `DELETE FROM _syncline_cursor`)
	execute(t, filepath.Join(dir, "crm.db"), `UPDATE item SET name = 'other' WHERE id = 5`)
	const command = "syncline sync crm/item --route mirror"
	var stopped health.Recommendation
	eventually(t, "the route has stopped", func() (ok bool) {
		r := report(t, d)
		stopped, ok = found(&r, "route_stopped")
		return ok
	})
	if stopped.Error != "cursor_lost" || stopped.Command != command {
		t.Errorf("recommendation = %+v, want %s", stopped, command)
	}
	routes, err := d.Engine().Routes(t.Context())
	if err != nil || !strings.Contains(routes[0].Error.Fix, "`"+command+"`") {
		t.Errorf("Routes = %+v, %v, want the command in the fix", routes[0].Error, err)
	}
}
