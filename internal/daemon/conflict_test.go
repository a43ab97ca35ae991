package daemon

import (
	"fmt"
	"path/filepath"
	"testing"

	"syncline/internal/apply"
	"syncline/internal/conflict"
	"syncline/internal/state"
)

const conflicts = head + `
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - id: customer
    from: crm/customer
    to: dw/party
    create: true
    retry: {max: 1}
    conflict: {detect: data, strategy: manual}
`

const parties = `SELECT id || ' ' || coalesce(name, '-') || ' ' || coalesce(stock, '-') FROM party ORDER BY id`

// TestConflictByHand: what both sides changed waits for a person with its key, the rest goes on; the decision survives a new start, and is
// made again where the target has changed since.
func TestConflictByHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm, dw := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER); INSERT INTO customer VALUES (1, 'Ann', 1), (2, 'Bea', 2)`)
	c := load(t, dir, conflicts)
	d, stop := runningUntil(t, c)
	holds(t, dw, parties, "1 Ann 1", "2 Bea 2")

	exec(t, dw, `UPDATE party SET name = 'Theirs' WHERE id = 1`)
	exec(t, crm, `UPDATE customer SET stock = 10 WHERE id = 1`) // another field: both stand
	holds(t, dw, parties, "1 Theirs 10", "2 Bea 2")
	exec(t, crm, `UPDATE customer SET name = 'Ours' WHERE id = 1; UPDATE customer SET name = 'Bet' WHERE id = 2`)
	holds(t, dw, parties, "1 Theirs 10", "2 Bet 2")
	open := theConflict(t, d)
	if open.Action != string(conflict.Review) || fmt.Sprint(open.Fields) != "[name]" || string(open.Key) != "1" {
		t.Errorf("conflict = %+v", open)
	}

	// What comes later of the key waits with it, as one.
	exec(t, crm, `UPDATE customer SET stock = 11 WHERE id = 1`)
	eventually(t, "the newest event stands for the key", func() bool {
		next := theConflict(t, d)
		return next.Task != open.Task && string(next.Ours) == `{"id":1,"name":"Ours","stock":11}`
	})
	open = theConflict(t, d)
	if x, err := d.state.Exception(t.Context(), open.Task); err != nil || x.Status != state.StatusConflict {
		t.Errorf("task = %s, %v, want conflict", x.Status, err)
	}

	// The target changes after the decision was made: it is asked again.
	exec(t, dw, `UPDATE party SET name = 'Later' WHERE id = 1`)
	resolve(t, d, open, state.Choice{Action: "overwrite", Held: open.Held, By: "ann", Reason: "the crm knows"})
	eventually(t, "the new state is shown", func() bool {
		c, err := d.state.Conflict(t.Context(), open.Task)
		return err == nil && c.Open && c.Choice == nil && string(c.Theirs) == `{"id":1,"name":"Later","stock":10}`
	})
	holds(t, dw, parties, "1 Later 10", "2 Bet 2")

	stop()
	d, _ = runningUntil(t, c)
	open = theConflict(t, d)
	resolve(t, d, open, state.Choice{Action: "merge", Values: []byte(`{"name":"Both","stock":11}`), Held: open.Held, By: "ann", Reason: "a compromise"})
	holds(t, dw, parties, "1 Both 11", "2 Bet 2")
	eventually(t, "the conflict is over", func() bool {
		c, err := d.state.Conflict(t.Context(), open.Task)
		return err == nil && !c.Open && c.Action == "merge" && c.By == "ann" && string(c.Result) == `{"id":1,"name":"Both","stock":11}`
	})
	exec(t, crm, `UPDATE customer SET stock = 12 WHERE id = 1`)
	holds(t, dw, parties, "1 Both 12", "2 Bet 2")
	eventually(t, "every task is accounted for", func() bool {
		counts, _, err := d.state.Totals(t.Context(), state.Slice{Route: "customer"})
		return err == nil && counts.Balanced() && counts.Parked == 0
	})
}

// theConflict waits for the one that is open.
func theConflict(t *testing.T, d *Daemon) (found state.Conflict) {
	t.Helper()
	yes := true
	eventually(t, "there is one open conflict", func() bool {
		list, _, err := d.state.Conflicts(t.Context(), state.ConflictFilter{Open: &yes})
		if err != nil || len(list) != 1 {
			return false
		}
		found = list[0]
		return true
	})
	return found
}

// resolve gives the decision to the conflict's route.
func resolve(t *testing.T, d *Daemon, c state.Conflict, choice state.Choice) {
	t.Helper()
	x, err := d.state.Exception(t.Context(), c.Task)
	if err != nil {
		t.Fatal(err)
	}
	answers, err := d.route(c.Route).apply.Resolve(t.Context(), []apply.Decided{{Task: x, Choice: choice}})
	if err != nil || answers[0].Err != nil {
		t.Fatalf("Resolve = %v, %v", answers, err)
	}
}

// TestConflictAboutWhatIsKept: a deletion meets changes of others by the rule's policy, and what goes is kept with a note, from the
// configuration to the tables, also where two sources write.
func TestConflictAboutWhatIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm, erp, dw := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "erp.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER); INSERT INTO customer VALUES (1, 'Ann', 1), (2, 'Bea', 2), (3, 'Cho', 3)`)
	exec(t, erp, `CREATE TABLE client (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER)`)
	c := load(t, dir, head+`
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  erp: {type: sqlite, url: "sqlite:$DIR/erp.db", capture: {manage: true, entities: {client: {table: client}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: customer, from: crm/customer, to: dw/party, create: true, on: {deleted: soft}, conflict: &p {detect: data, strategy: source_priority, sources: [erp, crm, dw], deleted: conflict}}
  - {id: client, from: erp/client, to: dw/party, create: true, on: {deleted: soft}, conflict: *p}
`)
	d, _ := runningUntil(t, c)
	kept := `SELECT id || ' ' || name || ' ' || stock || iif(_syncline_deleted, ' deleted', '') FROM party ORDER BY id`
	holds(t, dw, kept, "1 Ann 1", "2 Bea 2", "3 Cho 3")
	exec(t, dw, `UPDATE party SET name = 'Theirs' WHERE id = 1`)
	exec(t, crm, `DELETE FROM customer WHERE id < 3`)
	holds(t, dw, kept, "1 Theirs 1", "2 Bea 2 deleted", "3 Cho 3")
	open := theConflict(t, d)
	resolve(t, d, open, state.Choice{Action: "overwrite", Held: open.Held, By: "ann", Reason: "they are gone"})
	holds(t, dw, kept, "1 Theirs 1 deleted", "2 Bea 2 deleted", "3 Cho 3")
	exec(t, crm, `INSERT INTO customer VALUES (2, 'Again', 5)`)
	holds(t, dw, kept, "1 Theirs 1 deleted", "2 Again 5", "3 Cho 3")
	exec(t, erp, `INSERT INTO client VALUES (3, 'Better', 3); DELETE FROM client WHERE id = 3`)
	holds(t, dw, kept, "1 Theirs 1 deleted", "2 Again 5", "3 Better 3 deleted")
	for _, route := range []string{"customer", "client"} {
		eventually(t, "every task is accounted for", func() bool {
			counts, _, err := d.state.Totals(t.Context(), state.Slice{Route: route})
			return err == nil && counts.Balanced() && counts.Parked == 0
		})
	}
}

// TestANullOfADocumentIsNoChange: a document has one null, so that nobody has changed what a source called the null of a JSON column.
func TestANullOfADocumentIsNoChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm := database(t, filepath.Join(dir, "crm.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, note JSON); INSERT INTO customer VALUES (1, 'null'), (2, 'null')`)
	c := load(t, dir, head+`
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  find: {type: search, path: find}
rules:
  - {id: customer, from: crm/customer, to: find/customer, retry: {max: 1}, conflict: {detect: data, strategy: manual}}
`)
	d, _ := runningUntil(t, c)
	applied := func(n int64) {
		t.Helper()
		eventually(t, fmt.Sprint(n, " events are applied"), func() bool {
			counts, _, err := d.state.Totals(t.Context(), state.Slice{Route: "customer"})
			return err == nil && counts.Read == n && counts.Applied == n && counts.Parked == 0
		})
	}
	applied(2)
	exec(t, crm, `UPDATE customer SET note = '[1]' WHERE id = 1; DELETE FROM customer WHERE id = 2`)
	applied(4)
}
