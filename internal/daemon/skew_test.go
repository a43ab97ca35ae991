package daemon

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/state"
)

// TestSkewIsTold: a time at a target, or on a side of a two-way rule, that is still to come decides conflicts, and the route warns of it.
func TestSkewIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm, dw := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, changed DATETIME); INSERT INTO customer VALUES (1, 'Ann', '2026-01-01 00:00:00')`)
	exec(t, crm, `CREATE TABLE shared (id INTEGER PRIMARY KEY, name TEXT, changed DATETIME); INSERT INTO shared VALUES (1, 'Ann', '2026-01-01 00:00:00')`)
	exec(t, dw, `CREATE TABLE shared (id INTEGER PRIMARY KEY, name TEXT, changed DATETIME); INSERT INTO shared VALUES (1, 'Ann', '2026-01-01 00:00:00')`)
	d, _ := runningUntil(t, load(t, dir, head+`
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}, shared: {table: shared}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db", capture: {manage: true, entities: {shared: {table: shared}}}}
rules:
  - {id: oneway, from: crm/customer, to: dw/party, create: true, conflict: {detect: data, strategy: last_write_wins, time_field: changed}}
  - {id: twoway, between: [crm/shared, dw/shared], conflict: {strategy: last_write_wins, time_field: changed}}
`))
	warned := func(route string) (list []string) {
		routes, err := d.Engine().Routes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			if r.ID == route {
				for _, w := range r.Warnings {
					if strings.Contains(w, "the clock of dw is ") {
						list = append(list, w)
					}
				}
			}
		}
		return list
	}
	holds(t, dw, `SELECT name FROM party`, "Ann")
	eventually(t, "both sides have met", func() bool { return len(warned("twoway@crm")) == 0 && d.route("twoway@crm").apply.Status().Applied > 0 })
	exec(t, dw, `UPDATE party SET name = 'Theirs', changed = '2099-01-01 00:00:00'`)
	exec(t, crm, `UPDATE customer SET name = 'Ours', changed = '2026-02-01 00:00:00'`)
	eventually(t, "the route warns", func() bool { return len(warned("oneway")) == 1 })
	holds(t, dw, `SELECT name FROM party`, "Theirs")
	list, _, err := d.state.Conflicts(t.Context(), state.ConflictFilter{Rule: "oneway"})
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Note, "the clock of dw is ") {
		t.Errorf("conflicts = %+v, %v", list, err)
	}
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "syncline_skewed_conflicts_total" {
				counted[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if diff := cmp.Diff(map[string]float64{"oneway": 1, "twoway@crm": 0, "twoway@dw": 0}, counted); diff != "" {
		t.Errorf("syncline_skewed_conflicts_total by route (-want +got):\n%s", diff)
	}

	pause(t, d, "twoway")
	exec(t, dw, `UPDATE shared SET name = 'Theirs', changed = '2099-01-01 00:00:00'`)
	exec(t, crm, `UPDATE shared SET name = 'Ours', changed = '2026-02-01 00:00:00'`)
	if err := d.Engine().Unpause(t.Context(), []state.Pause{{Kind: state.PauseRule, Name: "twoway"}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a route of the two-way rule warns", func() bool { return len(warned("twoway@crm"))+len(warned("twoway@dw")) > 0 })
	holds(t, crm, `SELECT name FROM shared`, "Theirs")
}

func pause(t *testing.T, d *Daemon, rule string) {
	t.Helper()
	if _, err := d.Engine().Pause(t.Context(), []state.Pause{{Kind: state.PauseRule, Name: rule, Reason: "x"}}); err != nil {
		t.Fatal(err)
	}
}
