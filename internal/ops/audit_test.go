package ops

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"syncline/internal/access"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

func calls(t *testing.T, store *state.Store) []state.Call {
	t.Helper()
	list, next, err := store.Calls(t.Context(), state.CallFilter{Limit: 1000})
	must(t, err)
	if next != "" {
		t.Fatal("more calls than a page holds")
	}
	return list
}

// TestEveryChangeIsRecorded walks the document: each operation that is no GET is in the audit log, done or refused, under the id of its
// answer. Events alone are only where they are refused.
func TestEveryChangeIsRecorded(t *testing.T) {
	store := statetest.Open(t)
	url := serveOn(t, Options{Engine: &fake{}, Store: store})
	viewer := map[string]string{"Authorization": "Bearer " + tokenOf(t, store, access.Token{Role: access.Viewer, Name: "vic"})}
	admin := map[string]string{"Authorization": "Bearer " + tokenOf(t, store, access.Token{Role: access.Admin, Name: "ada"})}
	for pattern, id := range described(t, url, admin) {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{id}", "x%2Fy", "{name}", "x%2Fy").Replace(path)
		for who, header := range map[string]map[string]string{"vic": viewer, "ada": admin} {
			before := len(calls(t, store))
			header["Content-Type"] = "application/json"
			res, body := do(t, method, url+path+"?reason=why+not", `{}`, header)
			got := calls(t, store)[:len(calls(t, store))-before]
			refused := who == "vic"
			switch {
			case method == "GET" || id == "publish-events" && !refused:
				if len(got) != 0 {
					t.Errorf("%s (%s) is recorded: %+v", pattern, id, got)
				}
			case len(got) != 1:
				t.Errorf("%s (%s) as %s = %d %s has %d entries, want 1", pattern, id, who, res.StatusCode, body, len(got))
			default:
				c := got[0]
				if c.ID != res.Header.Get("X-Request-Id") || c.Operation != id || c.Who != who || c.Status != res.StatusCode || c.Ended == nil ||
					c.Address != "127.0.0.1" || c.Reason != "why not" || refused != (c.Code == "forbidden") {
					t.Errorf("%s (%s) as %s = %d, recorded as %+v", pattern, id, who, res.StatusCode, c)
				}
				if strings.Contains(path, "x%2Fy") && c.Details["id"] != "x/y" && c.Details["name"] != "x/y" {
					t.Errorf("%s (%s): details = %v, want the parameter of the path", pattern, id, c.Details)
				}
			}
		}
	}
}

// TestWhatIsRecorded: what was chosen and why, but no key and nothing of a record or a secret.
func TestWhatIsRecorded(t *testing.T) {
	store := statetest.Open(t)
	f := &fake{}
	url := serveOn(t, Options{Engine: f, Store: store})
	secret := tokenOf(t, store, access.Token{Role: access.Operator, Name: "olga"})
	c, err := Connect(ClientOptions{Server: url, Token: secret, Reason: "from the flag"})
	must(t, err)
	must(t, c.CancelTask(t.Context(), "t1", "a duplicate"))
	_, err = c.StartSync(t.Context(), SyncRequest{Source: "crm", Entity: "lead", Routes: []string{"a", "b"}, Keys: []string{"key one", "key two", "key three"}})
	must(t, err)
	_, err = c.CancelTasks(t.Context(), Selection{Choice: Choice{Status: "failed", Route: "r", Key: "secret-key"}}, "all wrong")
	must(t, err)
	must(t, c.EditTask(t.Context(), "t4", json.RawMessage(`{"name": "Ada Lovelace", "status": "secret"}`), "a typo"))
	_, err = c.Silence(t.Context(), SilenceRequest{Labels: map[string]string{"route": "r", "rule": "x"}, ForSeconds: 60, Reason: "tonight"})
	must(t, err)
	f.err = errNo
	_ = c.RetryTask(t.Context(), "t2", "mended")
	want := []state.Call{
		{Operation: "retry-task", Details: map[string]string{"id": "t2"}, Reason: "from the flag", Status: 500, Code: "internal"},
		{Operation: "silence-alerts", Details: map[string]string{"labels": "route=r, rule=x", "for_seconds": "60"}, Reason: "from the flag", Status: 201},
		{Operation: "retry-task", Details: map[string]string{"id": "t4", "record": "given"}, Reason: "from the flag", Status: 204},
		{Operation: "cancel-tasks", Details: map[string]string{"status": "failed", "route": "r", "keys": "1"}, Reason: "from the flag", Status: 200},
		{Operation: "start-sync", Details: map[string]string{"source": "crm", "entity": "lead", "routes": "a, b (2)", "keys": "3"}, Reason: "from the flag", Status: 202},
		{Operation: "cancel-task", Details: map[string]string{"id": "t1"}, Reason: "from the flag", Status: 204},
	}
	got := calls(t, store)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(state.Call{}, "ID", "At", "Who", "Token", "Role", "Address", "Ended")); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
	if f.asked[0] != "cancel t1: a duplicate" {
		t.Errorf("the engine was asked %q", f.asked)
	}
	plain, err := Connect(ClientOptions{Server: url, Token: secret})
	must(t, err)
	f.err = nil
	must(t, plain.CancelTask(t.Context(), "t3", "a duplicate"))
	if got := calls(t, store)[0]; got.Reason != "a duplicate" || got.Who != "olga" || got.Role != "operator" || got.Token == "" {
		t.Errorf("recorded: %+v, want the reason of the body", got)
	}
	if text, _ := json.Marshal(calls(t, store)); strings.Contains(string(text), secret) || strings.Contains(string(text), "secret-key") || strings.Contains(string(text), "key two") ||
		strings.Contains(string(text), "Lovelace") {
		t.Errorf("the audit log tells too much: %s", text)
	}
	res, body := do(t, "POST", url+"/v1/tasks/x/retry?reason="+strings.Repeat("r", maxReason+1), "", map[string]string{"Authorization": "Bearer " + secret})
	if res.StatusCode != 422 {
		t.Errorf("a long reason = %d %s", res.StatusCode, body)
	}
}

var errNo = http.ErrAbortHandler // any error without a code

// TestWhatCannotBeRecordedIsNotDone: an audit log with gaps is none.
func TestWhatCannotBeRecordedIsNotDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	store, err := state.Open(t.Context(), state.Options{Path: path})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	f := &fake{}
	c, err := NewClient(serveOn(t, Options{Engine: f, Store: store}))
	must(t, err)
	db, err := sql.Open("sqlite", path)
	must(t, err)
	_, err = db.ExecContext(t.Context(), "DROP TABLE audit")
	must(t, err)
	must(t, db.Close())
	if err := c.RetryTask(t.Context(), "x", "mended"); err == nil || len(f.asked) != 0 {
		t.Errorf("RetryTask = %v, the engine was asked %q", err, f.asked)
	}
	if _, err := c.Routes(t.Context()); err != nil {
		t.Errorf("Routes = %v: reading needs no record", err)
	}
}

func TestAuditByTheAPI(t *testing.T) {
	store := statetest.Open(t)
	url := serveOn(t, Options{Engine: &fake{}, Store: store})
	operator, err := Connect(ClientOptions{Server: url, Token: tokenOf(t, store, access.Token{Role: access.Operator, Name: "olga"})})
	must(t, err)
	begin := time.Now()
	for range 5 {
		must(t, operator.RetryTask(t.Context(), "x", "mended"))
	}
	_, err = operator.CreateToken(t.Context(), TokenRequest{Role: access.Admin})
	problemIn(t, err, 403, "forbidden", 4)
	for name, c := range map[string]struct {
		f     state.CallFilter
		limit int
		want  int
	}{
		"all": {state.CallFilter{}, 0, 6}, "some": {state.CallFilter{}, 4, 4}, "refused": {state.CallFilter{Refused: true}, 0, 1},
		"of nobody": {state.CallFilter{Who: "nobody"}, 0, 0}, "an operation": {state.CallFilter{Operation: "retry-task", Who: "olga"}, 0, 5},
		"since": {state.CallFilter{Since: begin}, 0, 6}, "before": {state.CallFilter{Until: begin}, 0, 0},
	} {
		if got, err := operator.Audit(t.Context(), c.f, c.limit); err != nil || len(got) != c.want {
			t.Errorf("%s: Audit = %d calls, %v, want %d", name, len(got), err, c.want)
		}
	}
	viewer, err := Connect(ClientOptions{Server: url, Token: tokenOf(t, store, access.Token{Role: access.Viewer})})
	must(t, err)
	_, err = viewer.Audit(t.Context(), state.CallFilter{}, 0)
	problemIn(t, err, 403, "forbidden", 4)
}
