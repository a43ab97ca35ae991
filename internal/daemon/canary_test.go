package daemon

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline/internal/config"
	"syncline/internal/health"
	"syncline/internal/state"
	"syncline/internal/testserver"
)

// TestCanary: a mark goes from the source's own log of changes to each target's cursor, without a table of anybody's, also where nothing
// else happens; where a target takes no cursor it ages, whatever its route says of itself. Of a target of events, which has none, nothing is told.
func TestCanary(t *testing.T) {
	t.Setenv("CANARY_SECRET", alertSecret)
	url := testserver.NewPostgres(t).Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE lead (id bigint PRIMARY KEY); INSERT INTO lead VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other := database(t, filepath.Join(dir, "other.db"))
	d := running(t, load(t, dir, head+`
health: {disk_free: 0%, canary: {every: 1h, late: 30s, sources: [crm]}}
systems:
  crm: {type: postgres, url: "`+url+`", capture: {manage: true, slot: canary, entities: {lead: {table: lead}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
  other: {type: sqlite, url: "sqlite:$DIR/other.db"}
  gone: {type: webhook, url: "http://127.0.0.1:1/", secret: "${CANARY_SECRET}", allow_private: true}
rules:
  - {id: leads, from: crm/lead, to: dw/lead, create: true}
  - {id: others, from: crm/lead, to: other/lead, create: true}
  - {id: told, from: crm/lead, to: gone/lead}
`))
	eventually(t, "the copy is there", func() bool { r := report(t, d); return r.Tasks.Completed == 2 })
	source := d.set().sources[0]
	c := d.set().config.Health.Canary
	for range 3 { // the second and the third find nothing else to move the cursor for
		before := number(t, other, "SELECT seq FROM _syncline_cursor")
		d.sendCanary(t.Context(), source, c)
		if after := number(t, other, "SELECT seq FROM _syncline_cursor"); after <= before {
			t.Errorf("the target's own cursor is at %d, as before, although a mark is said to be there", after)
		}
	}
	for _, r := range d.set().routes {
		took := d.canaryOf(r, time.Now())
		if r.id == "told" {
			if took != nil {
				t.Errorf("a mark took %s to an endpoint that nobody serves", *took)
			}
			continue
		}
		if took == nil || *took <= 0 || *took > 5*time.Second {
			t.Errorf("route %s: a mark took %v, less than it takes an idle route to store its cursor", r.id, took)
		}
	}
	if n := number(t, other, "SELECT count(*) FROM lead"); n != 1 {
		t.Errorf("%d leads at the target, want the one that is there", n)
	}
	var tables int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_class WHERE relname LIKE '%canary%'").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables of a canary, %v", tables, err)
	}

	// Somebody locks one of the targets.
	lock, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	flown := make(chan struct{}) // closed when the flight has ended
	go func() {
		defer close(flown)
		d.sendCanary(ctx, source, c)
	}()
	late := func(id string) bool {
		one, err := d.healthOf(t.Context(), d.route(id), time.Now().Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		r := health.Assess(&health.Input{To: time.Now().Add(time.Minute), Routes: []health.Route{one}}, &d.set().config.Health.Thresholds)
		f, ok := found(&r, "canary_late")
		return (ok && f.Route == id && r.Level == health.Warning) || one.Degraded
	}
	eventually(t, "the mark ages on the route to the locked target, and not on the other", func() bool { return late("others") && !late("leads") })
	if _, err := lock.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it arrives", func() bool {
		took := d.canaryOf(d.route("others"), time.Now().Add(time.Hour))
		return took != nil && *took < time.Minute
	})
	cancel()
	<-flown

	// Of a paused route nothing is expected.
	if _, err := d.Engine().Pause(t.Context(), []state.Pause{{Kind: state.PauseRule, Name: "others", Reason: "test"}}); err != nil {
		t.Fatal(err)
	}
	d.sendCanary(t.Context(), source, c)
	if late("others") {
		t.Error("a mark ages on a paused route")
	}

	// Nor of a source that is not to send any, any more.
	next, without := *d.set(), *d.set().config
	without.Health.Canary = &config.Canary{Every: c.Every, Late: c.Late, Sources: []string{"else"}}
	next.config = &without
	d.current.Store(&next)
	for _, r := range next.routes {
		if took := d.canaryOf(r, time.Now()); took != nil {
			t.Errorf("route %s: a mark took %s although none is sent any more", r.id, *took)
		}
	}
}
