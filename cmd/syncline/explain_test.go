package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/testserver"
)

// explain runs the command and returns its answer.
func (p *program) explain(args ...string) ops.Explanation {
	p.t.Helper()
	out, _ := p.command(exitOK, append([]string{"explain", "--server", p.url(), "-o", "json"}, args...)...)
	var x ops.Explanation
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		p.t.Fatal(err)
	}
	return x
}

// told is an explanation in a few words: the operations, and of each rule whether its events matched, what became of them, and how the
// target is.
func told(x ops.Explanation) string {
	var words []string
	for _, e := range x.Events {
		words = append(words, e.Record.Op)
	}
	for _, r := range x.Rules {
		words = append(words, "|", r.Rule)
		for _, e := range r.Events {
			word := e.Does
			if e.Trial != nil && !e.Trial.Matched {
				word = "unwanted," + e.Does
			}
			if e.Task != nil {
				word += ":" + string(e.Task.Status)
			}
			words = append(words, word)
		}
		for _, h := range r.Records {
			words = append(words, h.Key+"="+h.State)
		}
	}
	return strings.Join(words, " ")
}

func replayed(t *testing.T, p *program, args ...string) ops.Replay {
	t.Helper()
	out, _ := p.command(exitOK, append([]string{"replay", "--server", p.url(), "-o", "json", "--reason", "a test", "--from", "1"}, args...)...)
	var r ops.Replay
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestExplainAndReplay follows records through rules to their targets, finds what somebody has changed there, and sends it again.
func TestExplainAndReplay(t *testing.T) {
	p := newProgram(t, strings.Replace(shopConfig, "report/cheap, create: true,", "report/cheap, create: true, transform: [{set: {price: 'after.price * 2'}}],", 1))
	shop := makeShop(t, filepath.Join(p.dir, "shop.db"))
	p.start()
	p.ready()
	for _, statement := range []string{"INSERT INTO item VALUES (4, 8)", "UPDATE item SET price = 12 WHERE id = 4", "UPDATE item SET price = 9 WHERE id = 4",
		"INSERT INTO item VALUES (5, 1)", "DELETE FROM item WHERE id = 5", "INSERT INTO item VALUES (6, 3)", "UPDATE item SET id = 60 WHERE id = 6"} {
		execute(t, shop, statement)
	}
	report := openReport(t, p)
	holds(t, report, fmt.Sprintf(ids, "item"), "1 2 3 4 60")
	p.caughtUp()
	for key, want := range map[string]string{
		"4": "created updated updated | item writes:completed writes:completed writes:completed 4=equal" +
			" | cheap writes:completed unwanted,removes:completed writes:completed 4=equal",
		"5":  "created deleted | item writes:completed removes:completed 5=absent | cheap writes:completed removes:completed 5=absent",
		"3":  "snapshot | item writes:completed 3=equal | cheap unwanted,removes:completed 3=absent",
		"60": "updated | item writes:completed 60=equal | cheap writes:completed 60=equal",
		"77": "| item | cheap",
	} {
		if got := told(p.explain("shop/item/" + key)); got != want {
			t.Errorf("explain %s = %s\nwant %s", key, got, want)
		}
	}
	x := p.explain("shop/item/6")
	if got := told(x); !strings.Contains(got, "created updated | item") || !strings.Contains(got, " 6=absent") || x.Events[1].Moved != "60" {
		t.Errorf("explain 6, which became 60 = %s, %+v", got, x.Events)
	}
	if !x.Looked.Whole || x.Looked.Entries == 0 || x.More {
		t.Errorf("looked at %+v", x.Looked)
	}
	if x = p.explain("shop/item/4", "--limit", "1"); len(x.Events) != 1 || !x.More || x.Rules[1].Events[0].Trial.Steps[0].Text[0] != "~ price: 9 → 18" {
		t.Errorf("the last event of 4 = %+v", x)
	}

	// Somebody changes the targets behind our back.
	other, err := sql.Open("sqlite", "file:"+filepath.Join(p.dir, "report.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // the test is over
	execute(t, other, "UPDATE item SET price = 1000 WHERE id = 4")
	execute(t, other, "DELETE FROM item WHERE id = 1")
	execute(t, other, "INSERT INTO item VALUES (5, 7)")
	out, _ := p.command(exitOK, "explain", "shop/item/4", "--server", p.url())
	if !strings.Contains(out, "target, key 4: DIFFERS\n        price should be 9 and is 1000\n") || !strings.Contains(out, "when: after.price < 10: does not hold") {
		t.Errorf("explain prints:\n%s", out)
	}
	draft := p.edited("< 10", "< 9")
	if got, want := told(p.explain("shop/item/4", "--rules", draft)), "created updated updated | item writes writes writes 4=unknown | cheap writes unwanted,removes unwanted,removes 4=unknown"; got != want {
		t.Errorf("explain with a draft = %s\nwant %s", got, want)
	}
	bare := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(bare, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules:\n  - {id: dear, from: shop/item, to: report/dear, create: true, when: 'after.price > 10'}\n")
	if got, want := told(p.explain("shop/item/4", "--rules", bare)), "created updated updated | dear unwanted,nothing writes unwanted,removes 4=unknown"; got != want {
		t.Errorf("explain with nothing but rules = %s\nwant %s", got, want)
	}
	write("rules:\n  - {id: dear, from: shop/item, to: nowhere/dear}\n")
	if _, talk := p.command(exitConfig, "explain", "shop/item/4", "--rules", bare, "--server", p.url()); !strings.Contains(talk, "rules.yaml:2:") || !strings.Contains(talk, "nowhere") {
		t.Errorf("explain with a rule to an unknown system: %s", talk)
	}

	dry := replayed(t, p, "--route", "item", "--dry-run")
	if dry.Keys != 7 || dry.Compared != 7 || dry.Differ != 3 || len(dry.Runs) != 0 {
		t.Errorf("a dry run of a replay = %+v, want 7 records of which 3 differ", dry)
	}
	if one := replayed(t, p, "--route", "item", "--dry-run", "--key", "4"); one.Keys != 1 || one.Differ != 1 || one.Samples[0].Fields[0] != "price" {
		t.Errorf("of one key = %+v", one)
	}
	done := replayed(t, p, "--route", "item")
	if len(done.Runs) != 1 {
		t.Fatalf("a replay = %+v", done)
	}
	holds(t, report, "SELECT group_concat(id || ':' || price, ' ') FROM (SELECT * FROM item ORDER BY id)", "1:1 2:6 3:20 4:9 60:3")
	if again := replayed(t, p, "--route", "item", "--dry-run", "--to", fmt.Sprint(done.To)); again.Differ != 0 || again.Compared != 7 {
		t.Errorf("a dry run after the replay = %+v", again)
	}
	if x := p.explain("shop/item/4"); !strings.HasPrefix(x.Events[len(x.Events)-1].Run, "replay-") || len(x.Rules[1].Events) != 3 {
		t.Errorf("the replay of item is not told, or of cheap too: %+v", x)
	}
	calls, err := p.client().Audit(t.Context(), state.CallFilter{Operation: "start-replay"}, 0)
	if err != nil || len(calls) != 4 || calls[0].Reason != "a test" || calls[0].Details["route"] != "item" {
		t.Errorf("audit = %+v, %v", calls, err)
	}
	for _, args := range [][]string{{"explain", "shop/nothing/4"}, {"replay", "--route", "nothing", "--from", "1", "--reason", "x"},
		{"replay", "--route", "item", "--from", "yesterday", "--reason", "x"}, {"explain", "shop/item/%"}} {
		p.command(exitFailed, append(args, "--server", p.url())...)
	}
	p.command(exitUsage, "replay", "--route", "item", "--from", "1", "--server", p.url())
}

// TestExplainWhatWaits: a record that PostgreSQL refuses is told with its error, and what its target lacks.
func TestExplainWhatWaits(t *testing.T) {
	server := testserver.NewPostgres(t)
	crmURL, dwURL := server.Database(t), server.Database(t)
	crm, dw := connect(t, crmURL), connect(t, dwURL)
	mustExec(t, crm, `CREATE TABLE line (orders int, pos text, qty int, note text, PRIMARY KEY (orders, pos))`)
	mustExec(t, crm, `INSERT INTO line SELECT 1, 'a,b', 5, repeat('long ', 20000)`)
	mustExec(t, dw, `CREATE TABLE line (orders int, pos text, qty int CHECK (qty < 10), note text, PRIMARY KEY (orders, pos))`)
	p := newProgram(t, fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, entities: {line: {table: line}}}}
  dw: {type: postgres, url: %q}
  hook: {type: webhook, url: "http://127.0.0.1:1", allow_private: true}
rules:
  - {id: line, from: crm/line, to: dw/line, retry: {max: 1}}
  - {id: told, from: crm/line, to: hook, start: now}
`, crmURL, dwURL))
	p.start()
	p.answers()
	eventually(t, "the copy", func(ctx context.Context) error {
		rows, err := table(ctx, dw, "orders, qty", "line")
		if err == nil && len(rows) != 1 {
			err = fmt.Errorf("%v", rows)
		}
		return err
	})
	mustExec(t, crm, `UPDATE line SET qty = 7`) // the note is not sent
	mustExec(t, crm, `UPDATE line SET qty = 12`)
	var x ops.Explanation
	eventually(t, "the record waits", func(context.Context) error {
		x = p.explain("crm/line/1,a%2cb")
		if len(x.Events) < 3 || x.Rules[0].Events[2].Task == nil || x.Rules[0].Events[2].Task.Status != state.TaskFailed {
			return fmt.Errorf("%s", told(x))
		}
		return nil
	})
	last := x.Rules[0]
	if h := last.Records[0]; h.State != "differs" || len(h.Fields) != 1 || h.Fields[0].Name != "qty" || string(h.Fields[0].Wanted) != "12" || string(h.Fields[0].Held) != "7" {
		t.Errorf("the target = %.300s", fmt.Sprintf("%+v", last.Records))
	}
	if last.Events[2].Task.Code == "" || x.Key != "1,a%2Cb" || x.Rules[1].Note == "" {
		t.Errorf("explain = %.2000s", fmt.Sprintf("%+v", x.Rules))
	}
	_, talk := p.command(exitFailed, "replay", "--route", "told", "--from", "1", "--reason", "x", "--server", p.url())
	if !strings.Contains(talk, "not_available") {
		t.Errorf("a replay to a webhook: %s", talk)
	}
	mustExec(t, dw, `ALTER TABLE line DROP CONSTRAINT line_qty_check`)
	replayed(t, p, "--route", "line")
	eventually(t, "the replay brings the record", func(ctx context.Context) error {
		rows, err := table(ctx, dw, "qty, length(note)", "line")
		if err == nil && (len(rows) != 1 || rows[0] != "(12,100000)") {
			err = fmt.Errorf("%v", rows)
		}
		return err
	})
}

// TestExplainOfBothSides: of a two-way rule is told what both sides hold, what is remembered of that, and what would be decided, from
// either side; nothing is written by that.
func TestExplainOfBothSides(t *testing.T) {
	p := newProgram(t, `
systems:
  crm: {type: sqlite, path: crm.db, capture: {manage: true, entities: {customer: {table: customer}}}}
  erp: {type: sqlite, path: erp.db, capture: {manage: true, entities: {client: {table: client}}}}
rules:
  - {id: twoway, between: [crm/customer, erp/client], fields: {id: number, name: label}, conflict: {fields: {stock: sum}}}
`)
	open := func(name, statements string) *sql.DB {
		db := openSQLite(t, filepath.Join(p.dir, name))
		execute(t, db, statements)
		return db
	}
	crm := open("crm.db", `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock DECIMAL(30,2), own TEXT); INSERT INTO customer VALUES (7, 'Ann', 10.5, 'x')`)
	erp := open("erp.db", `CREATE TABLE client (number INTEGER PRIMARY KEY, label TEXT, stock DECIMAL(30,2))`)
	p.start()
	p.ready()
	holds(t, erp, "SELECT label FROM client", "Ann")
	sides := func(record string) *ops.TwoSides {
		t.Helper()
		x := p.explain(record)
		if len(x.Rules) != 1 || x.Rules[0].Between == nil {
			t.Fatalf("explain %s = %+v", record, x.Rules)
		}
		return x.Rules[0].Between
	}
	first := sides("erp/client/7")
	if first.Decision != "nothing" || first.Sides[0].Side != "crm/customer" || first.Sides[1].Side != "erp/client" || !strings.Contains(string(first.Sides[0].Held), "10.5") ||
		first.Sides[0].Shadow == nil && first.Sides[1].Shadow == nil {
		t.Errorf("where both agree: %+v", first)
	}
	execute(t, crm, `UPDATE customer SET name = 'Bea'`)
	holds(t, erp, "SELECT label FROM client", "Bea")
	p.command(exitOK, "pause", "rule", "twoway", "--reason", "x", "--server", p.url())
	execute(t, crm, `UPDATE customer SET name = 'Cho', stock = 5`)
	if got := sides("crm/customer/7"); got.Decision != "write" || fmt.Sprint(got.Writes) != "[erp]" || !strings.Contains(string(got.Result), `"Cho"`) {
		t.Errorf("where one side has changed: %+v", got)
	}
	execute(t, erp, `UPDATE client SET label = 'Dee'`)
	got := sides("erp/client/7")
	if got.Decision != "conflict" || fmt.Sprint(got.Fields) != "[name]" || got.Result != nil || !strings.Contains(string(got.Sides[1].Held), `"label": "Dee"`) {
		t.Errorf("where both sides have changed: %+v", got)
	}
	out, _ := p.command(exitOK, "explain", "crm/customer/7", "--server", p.url())
	for _, want := range []string{`    crm/customer/7 holds {"id":7,"name":"Cho"`, `    erp/client/7 holds {"number":7,"label":"Dee"`, "both were to hold {\"id\":7,\"name\":\"Bea\"",
		"CONFLICT: both sides changed name, and a person has to decide", "`syncline explain erp/client/7`"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain prints no %s:\n%s", want, out)
		}
	}
	holds(t, erp, "SELECT label FROM client", "Dee")
	p.command(exitOK, "resume", "rule", "twoway", "--server", p.url())
	eventually(t, "the conflict waits", func(context.Context) error {
		x := p.explain("crm/customer/7")
		for _, e := range x.Rules[0].Events {
			if e.Conflict != nil && e.Conflict.Open {
				return nil
			}
		}
		return fmt.Errorf("%s", told(x))
	})
}
