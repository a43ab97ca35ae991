package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/testserver"
)

// TestConflictsOfTwoSources: two PostgreSQL sources write one table, where people work too. Policies decide what they say, what needs a
// person waits, and is decided from the command line: one by one, and all that are alike.
func TestConflictsOfTwoSources(t *testing.T) {
	server := testserver.NewPostgres(t)
	crmURL, erpURL, dwURL := server.Database(t), server.Database(t), server.Database(t)
	crm, erp, dw := connect(t, crmURL), connect(t, erpURL), connect(t, dwURL)
	mustExec(t, crm, `CREATE TABLE customer (id int PRIMARY KEY, name text, tier text, stock int)`)
	mustExec(t, erp, `CREATE TABLE client (id int PRIMARY KEY, name text, tier text, stock int)`)
	mustExec(t, crm, `INSERT INTO customer SELECT i, 'crm '||i, 'basic', 10 FROM generate_series(1, 9) i`)
	p := newProgram(t, fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, entities: {customer: {table: customer}}}}
  erp: {type: postgres, url: %q, capture: {manage: true, entities: {client: {table: client}}}}
  dw: {type: postgres, url: %q, conflict: {strategy: merge}}
rules:
  - id: crm-party
    from: crm/customer
    to: dw/party
    create: true
    conflict: &policy {detect: data, sources: [erp, crm], fields: {name: source_priority, stock: sum}}
  - {id: erp-party, from: erp/client, to: dw/party, create: true, conflict: *policy}
`, crmURL, erpURL, dwURL))
	p.start()
	p.ready()
	rows := func(want ...string) {
		t.Helper()
		eventually(t, "the target has "+strings.Join(want, "; "), func(ctx context.Context) error {
			got, err := table(ctx, dw, "id, name, tier, stock", "party WHERE id < 4")
			if diff := cmp.Diff(want, got); err == nil && diff != "" {
				err = fmt.Errorf("(-want +got):\n%s", diff)
			}
			return err
		})
	}
	rows(`(1,"crm 1",basic,10)`, `(2,"crm 2",basic,10)`, `(3,"crm 3",basic,10)`)

	mustExec(t, erp, `INSERT INTO client VALUES (1, 'erp 1', 'basic', 10)`) // the better source for names
	rows(`(1,"erp 1",basic,10)`, `(2,"crm 2",basic,10)`, `(3,"crm 3",basic,10)`)
	mustExec(t, crm, `UPDATE customer SET name = 'crm again' WHERE id = 1`)
	mustExec(t, dw, `UPDATE party SET stock = stock + 5 WHERE id = 2`)
	mustExec(t, crm, `UPDATE customer SET stock = 8 WHERE id = 2`) // 5 more here, 2 less there
	mustExec(t, dw, `UPDATE party SET tier = 'silver' WHERE id > 2`)
	mustExec(t, crm, `UPDATE customer SET tier = 'gold' WHERE id > 2`)
	rows(`(1,"erp 1",basic,10)`, `(2,"crm 2",basic,13)`, `(3,"crm 3",silver,10)`)
	var found []ops.Conflict
	eventually(t, "seven conflicts wait", func(context.Context) error {
		out, _ := p.command(exitOK, "conflicts", "--server", p.url(), "-o", "json")
		if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) != 7 {
			return fmt.Errorf("%d conflicts, %w", len(found), err)
		}
		return nil
	})
	out, _ := p.command(exitOK, "conflicts", "show", found[0].ID, "--server", p.url())
	if !strings.Contains(out, `tier   "basic"  "gold"  "silver"`) {
		t.Errorf("conflicts show prints:\n%s", out)
	}
	values := filepath.Join(t.TempDir(), "values.json")
	if err := os.WriteFile(values, []byte(`{"tier":"platinum"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	resolve := []string{"conflicts", "resolve", found[0].ID, "--server", p.url(), "--reason", "they asked", "--action"}
	if out, _ = p.command(exitOK, append(resolve, "merge", "--values", values, "--dry-run")...); !strings.Contains(out, `"platinum"`) {
		t.Errorf("a dry run prints:\n%s", out)
	}
	rows(`(1,"erp 1",basic,10)`, `(2,"crm 2",basic,13)`, `(3,"crm 3",silver,10)`)
	_, talk := p.command(exitFailed, append(resolve, "merge")...)
	if !strings.Contains(talk, "conflict_values") {
		t.Errorf("a merge without values: %s", talk)
	}
	p.command(exitOK, append(resolve, "merge", "--values", values)...)
	rows(`(1,"erp 1",basic,10)`, `(2,"crm 2",basic,13)`, `(3,"crm 3",platinum,10)`)
	_, talk = p.command(exitFailed, append(resolve, "skip")...)
	if !strings.Contains(talk, "conflict_over") {
		t.Errorf("a conflict that is over: %s", talk)
	}

	mustExec(t, dw, `UPDATE party SET tier = 'bronze' WHERE id = 4`) // since it was seen
	_, talk = p.command(exitFailed, "conflicts", "resolve", found[1].ID, "--action", "overwrite", "--reason", "x", "--server", p.url())
	if !strings.Contains(talk, "conflict_moved") {
		t.Errorf("a decision about what has changed: %s", talk)
	}
	p.command(exitOK, "conflicts", "resolve", "--rule", "crm-party", "--field", "tier", "--ours", `"gold"`, "--theirs", `"silver"`, "--action", "overwrite",
		"--reason", "all of them", "--server", p.url())
	eventually(t, "five of them are decided alike, one has another value", func(ctx context.Context) error {
		got, err := table(ctx, dw, "tier, count(*)", "party WHERE id > 3 GROUP BY tier")
		if diff := cmp.Diff([]string{"(bronze,1)", "(gold,5)"}, got); err == nil && diff != "" {
			err = fmt.Errorf("(-want +got):\n%s", diff)
		}
		return err
	})
	list, err := p.client().Conflicts(t.Context(), ops.ConflictQuery{All: true, Field: "tier"})
	if err != nil {
		t.Fatal(err)
	}
	actions := map[string]int{}
	for i := range list {
		actions[list[i].Action]++
	}
	if diff := cmp.Diff(map[string]int{"merge": 1, "overwrite": 5, "review": 1}, actions); diff != "" {
		t.Errorf("what became of the conflicts about tier (-want +got):\n%s", diff)
	}
	if calls, err := p.client().Audit(t.Context(), state.CallFilter{Operation: "resolve-conflicts"}, 0); err != nil || len(calls) != 1 || calls[0].Reason != "all of them" {
		t.Errorf("audit = %+v, %v", calls, err)
	}

	// A decision that the target cannot carry out gives way to another one.
	mustExec(t, dw, `ALTER TABLE party ADD CHECK (tier <> 'none')`)
	if err := os.WriteFile(values, []byte(`{"tier":"none"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, talk = p.command(exitFailed, "conflicts", "resolve", found[1].ID, "--server", p.url(), "--reason", "x", "--action", "merge", "--values", values)
	if !strings.Contains(talk, "conflict_refused") || !strings.Contains(talk, "check_violation") {
		t.Errorf("a decision that the target refuses: %s", talk)
	}
	p.command(exitOK, "conflicts", "resolve", found[1].ID, "--server", p.url(), "--reason", "x", "--action", "overwrite")
	eventually(t, "the second decision is carried out", func(ctx context.Context) error {
		got, err := table(ctx, dw, "tier", "party WHERE id = 4")
		if diff := cmp.Diff([]string{"(gold)"}, got); err == nil && diff != "" {
			err = fmt.Errorf("(-want +got):\n%s", diff)
		}
		return err
	})
}

// TestAConflictIsShownWhole: whoever decides it sees what else the record has that is decided along with it.
func TestAConflictIsShownWhole(t *testing.T) {
	c := ops.Conflict{ID: "r:crm:1.0", Fields: []string{"name"}, Base: json.RawMessage(`{"id":1,"name":"a","qty":5}`),
		Ours: json.RawMessage(`{"id":1,"name":"b","qty":6}`), Theirs: json.RawMessage(`{"id":1,"name":"c","qty":5}`)}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	printConflict(w, &c)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	_, fields, _ := strings.Cut(out.String(), "FIELD")
	want := `  BASE  OURS  THEIRS  RESULT
name   "a"   "b"   "c"     -

not in dispute, and decided along with it:
qty  5  6  5  -
`
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("printConflict (-want +got):\n%s", diff)
	}
	c.Fields, c.Theirs, c.Action = nil, nil, "review" // one side of a two-way rule has removed the record
	out.Reset()
	printConflict(w, &c)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	_, fields, _ = strings.Cut(out.String(), "FIELD")
	want = `  BASE  OURS  THEIRS  RESULT
id     1     1     gone    -
name   "a"   "b"   gone    -
qty    5     6     gone    -
`
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("printConflict of a record that is gone (-want +got):\n%s", diff)
	}
}
