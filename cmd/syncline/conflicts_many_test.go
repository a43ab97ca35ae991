package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// TestConflictsMergedAlike: conflicts that are alike are decided by one merge. Each is looked at by itself: where its target has changed
// meanwhile, or does not take the values, it stays and the others go. Values keep their digits all the way.
func TestConflictsMergedAlike(t *testing.T) {
	server := testserver.NewPostgres(t)
	crmURL, dwURL := server.Database(t), server.Database(t)
	crm, dw := connect(t, crmURL), connect(t, dwURL)
	mustExec(t, crm, `CREATE TABLE customer (id int PRIMARY KEY, amount numeric, tier text, data jsonb)`)
	mustExec(t, crm, `INSERT INTO customer SELECT i, 1, 'basic', '{}' FROM generate_series(1, 6) i`)
	p := newProgram(t, fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, entities: {customer: {table: customer}}}}
  dw: {type: postgres, url: %q}
rules:
  - {id: party, from: crm/customer, to: dw/party, create: true, retry: {max: 1}, conflict: {detect: data, strategy: manual}}
`, crmURL, dwURL))
	p.start()
	p.ready()
	party := func(what string, want ...string) {
		t.Helper()
		eventually(t, what, func(ctx context.Context) error {
			got, err := table(ctx, dw, "id, amount, tier", "party")
			if diff := cmp.Diff(want, got); err == nil && diff != "" {
				err = fmt.Errorf("(-want +got):\n%s", diff)
			}
			return err
		})
	}
	party("the copy is there", "(1,1,basic)", "(2,1,basic)", "(3,1,basic)", "(4,1,basic)", "(5,1,basic)", "(6,1,basic)")
	mustExec(t, dw, `UPDATE party SET amount = 12345678901234567.87`)
	mustExec(t, crm, `UPDATE customer SET amount = 12345678901234567.88`)
	var found []ops.Conflict
	eventually(t, "six conflicts wait", func(ctx context.Context) (err error) {
		if found, err = p.client().Conflicts(ctx, ops.ConflictQuery{Rule: "party"}); err == nil && len(found) != 6 {
			err = fmt.Errorf("%d conflicts", len(found))
		}
		return err
	})
	show := []string{"conflicts", "show", found[0].ID, "--server", p.url(), "-o"}
	for _, format := range []string{"table", "json", "yaml"} {
		out, _ := p.command(exitOK, append(show, format)...)
		for _, digits := range []string{"12345678901234567.87", "12345678901234567.88"} {
			if !strings.Contains(out, digits) {
				t.Errorf("conflicts show -o %s has no %s:\n%s", format, digits, out)
			}
		}
	}

	file := filepath.Join(t.TempDir(), "values.json")
	resolve := func(exit int, values string, more ...string) (list []ops.DecidedConflict, talk string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
			t.Fatal(err)
		}
		out, talk := p.command(exit, append([]string{"conflicts", "resolve", "--rule", "party", "--field", "amount", "--ours", "12345678901234567.88",
			"--theirs", "12345678901234567.87", "--action", "merge", "--values", file, "--reason", "settled", "--server", p.url(), "-o", "json"}, more...)...)
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return list, talk
	}
	for _, values := range []string{`{"tier":"no\u0000text"}`, `{"data":{"in":["no\u0000text"]}}`, `{"nothing":1}`, `{"id":7}`, `{"amount":"many"}`} {
		list, talk := resolve(exitFailed, values, "--dry-run")
		if len(list) != 6 || list[5].Code != "conflict_values" || list[5].Action != "review" || !strings.Contains(talk, "6 of 6") {
			t.Errorf("a merge with %s = %+v, %s", values, list, talk)
		}
	}
	merge := `{"amount":12345678901234567.89,"tier":"vip","data":{"exact":0.10}}`
	if list, _ := resolve(exitOK, merge, "--dry-run"); len(list) != 6 || list[0].Action != "merge" {
		t.Errorf("a dry run = %+v", list)
	}

	mustExec(t, dw, `UPDATE party SET tier = 'moved' WHERE id = 2; ALTER TABLE party ADD CHECK (id <> 5 OR tier <> 'vip')`)
	list, talk := resolve(exitFailed, merge)
	got := map[string]string{}
	for _, c := range list {
		got[c.Key] = c.Action + " " + c.Code
	}
	want := map[string]string{"1": "merge ", "2": "review conflict_moved", "3": "merge ", "4": "merge ", "5": "review conflict_refused", "6": "merge "}
	if diff := cmp.Diff(want, got); diff != "" || !strings.Contains(talk, "2 of 6 conflicts were not decided") {
		t.Errorf("what came of each (-want +got):\n%s%s", diff, talk)
	}
	const exact = "12345678901234567.89"
	party("the values are there to the last digit", "(1,"+exact+",vip)", "(2,12345678901234567.87,moved)", "(3,"+exact+",vip)", "(4,"+exact+",vip)",
		"(5,12345678901234567.87,basic)", "(6,"+exact+",vip)")
	c, err := p.client().Conflict(t.Context(), found[0].ID)
	var result map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(c.Result, &result)
	}
	if err != nil || string(result["amount"]) != exact || !strings.Contains(string(result["data"]), "0.10") {
		t.Errorf("the result by the API = %s, %v", c.Result, err)
	}
	// The one that has moved shows what it is now: it is about another field too, and is decided by itself.
	if list, _ := resolve(exitOK, `{"amount":0.5}`); len(list) != 1 || list[0].Key != "5" {
		t.Errorf("what is left = %+v", list)
	}
	p.command(exitOK, "conflicts", "resolve", found[1].ID, "--action", "merge", "--values", file, "--reason", "settled", "--server", p.url())
	party("all are decided", "(1,"+exact+",vip)", "(2,0.5,moved)", "(3,"+exact+",vip)", "(4,"+exact+",vip)", "(5,0.5,basic)", "(6,"+exact+",vip)")
	if _, talk := resolve(exitOK, merge); !strings.Contains(talk, "no open conflict") {
		t.Errorf("where nothing is left: %s", talk)
	}
}
