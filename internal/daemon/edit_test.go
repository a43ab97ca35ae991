package daemon

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// TestAnEditedRecordIsTried: what a target refuses is corrected by hand, validated first, kept beside what came, and outlived by newer
// data.
func TestAnEditedRecordIsTried(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	source, dw := openDatabase(t, filepath.Join(dir, "crm.db")), openDatabase(t, filepath.Join(dir, "dw.db"))
	if _, err := source.ExecContext(ctx, "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, score INTEGER, due DATE)"); err != nil {
		t.Fatal(err)
	}
	if _, err := dw.ExecContext(ctx, "CREATE TABLE dim (id INTEGER PRIMARY KEY, name TEXT NOT NULL CHECK (length(name) < 4), score INTEGER, due DATE)"); err != nil {
		t.Fatal(err)
	}
	d := running(t, load(t, dir, `
version: 1
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
http: {listen: "127.0.0.1:0"}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: r, from: crm/customer, to: dw/dim, retry: {max: 1}}
`))
	e := d.Engine()
	execute := func(q string) {
		t.Helper()
		if _, err := source.ExecContext(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	execute("INSERT INTO customer VALUES (1, 'too long', 5, '2026-01-31')")
	var task ops.Task
	eventually(t, "the record fails", func() bool {
		list, _, err := e.Tasks(ctx, ops.TaskQuery{Choice: ops.Choice{Status: state.TaskFailed, Class: "rejected", Target: "dw"}})
		if err == nil && len(list) == 1 {
			task, err = e.Task(ctx, list[0].ID)
		}
		return err == nil && len(list) == 1
	})
	edit := func(record string) error { return e.EditTask(ctx, task.ID, json.RawMessage(record), "a typo") }
	for record, code := range map[string]string{
		`[]`: "record_invalid", `{"none": 1}`: "record_invalid", `{"name": 5}`: "record_invalid", `{"name": null}`: "record_invalid",
		`{"score": "x"}`: "record_invalid", `{"due": "2026-02-31"}`: "record_invalid", `{"id": 2}`: "record_key_changed",
	} {
		if err := edit(record); syncline.CodeOf(err) != code || strings.Contains(err.Error(), "2026-02") {
			t.Errorf("edit to %s = %v, want %s and no value", record, err, code)
		}
	}
	if now, err := e.Task(ctx, task.ID); err != nil || now.Edit != nil || now.Attempts != 1 {
		t.Errorf("the task is %+v, %v, want it as it was: nothing was valid", now, err)
	}
	var name string
	var score sql.NullString
	is := func(wantName, wantScore string) func() bool {
		return func() bool {
			_ = dw.QueryRowContext(ctx, "SELECT name, score FROM dim WHERE id = 1").Scan(&name, &score) // none yet
			return name == wantName && score.String == wantScore
		}
	}
	if err := edit(`{"name": "still too long"}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is refused again", func() bool {
		now, err := e.Task(ctx, task.ID)
		return err == nil && now.Status == state.TaskFailed && now.Attempts == 2
	})
	if err := edit(`{"name": "ok", "score": null}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the edited record is there", func() bool { return !is("", "")() && name == "ok" })
	shown, err := e.Task(ctx, task.ID)
	if err != nil || shown.Edit == nil || shown.Edit.Reason != "a typo" || shown.Edit.By == "" || shown.Original == nil ||
		string(shown.Original.After) != string(task.Record.After) || string(shown.Record.After) == string(task.Record.After) {
		t.Errorf("the task shows %+v, original %+v, %v", shown, shown.Original, err)
	}
	x, err := e.Explain(ctx, ops.ExplainDraft{ExplainQuery: ops.ExplainQuery{Entity: "crm/customer", Key: "1"}})
	if err != nil || len(x.Rules) != 1 || len(x.Rules[0].Events) != 1 || len(x.Rules[0].Records) != 1 {
		t.Fatalf("the explanation is %+v, %v", x, err)
	}
	if r := x.Rules[0]; r.Records[0].State != "equal" || !strings.Contains(r.Events[0].Note, "a typo") || !strings.Contains(string(x.Events[0].Record.After), "too long") {
		t.Errorf("the explanation of an edited record has %+v, event %+v, came as %s", r.Records[0], r.Events[0], x.Events[0].Record.After)
	}
	execute("UPDATE customer SET name = 'new' WHERE id = 1")
	eventually(t, "newer data is there", is("new", "5"))
	if err := edit(`{"name": "old"}`); syncline.CodeOf(err) != "task_not_parked" {
		t.Errorf("edit of a task that is done = %v, want task_not_parked", err)
	}
	if err := e.RetryTask(ctx, task.ID, ""); syncline.CodeOf(err) != "task_not_parked" {
		t.Errorf("retry of a task that is done = %v, want task_not_parked", err)
	}
	if !is("new", "5")() {
		t.Errorf("the target has %s, %s", name, score.String)
	}
}
