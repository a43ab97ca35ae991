package ops

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

func TestClientReadsWhatTheEngineSays(t *testing.T) {
	routes := []RouteStatus{
		{ID: "customer-warehouse", Rules: []string{"customer-warehouse"}, Source: "crm", Target: "warehouse", State: RouteRunning, Since: noon,
			Cursor: Place{"L1", 9, 2, 4}, LogEnd: 12, LagEvents: 30, LagSeconds: 1.5, Rate: 1000, Counts: state.Counts{Read: 3, Applied: 2, Parked: 1},
			LatencyP50: 0.004, LatencyP99: 0.02},
		{ID: "a/b c@crm", State: RouteHalted, Error: &Fault{"cursor_lost", "the cursor is gone", "place it"}, LagEvents: 5, LagSeconds: 9,
			Counts: state.Counts{Read: 2, Parked: 2}},
		{ID: "x", State: RouteNeedsSync}, {ID: "y", State: RouteDegraded}, {ID: "z", State: RouteStarting}, {ID: "off", State: RouteDisabled},
	}
	systems := []SystemStatus{{Name: "crm", Type: "postgres", State: "running", Since: noon, Log: &LogStatus{First: 1, Last: 12, Bytes: 4096, Position: "1/AB/3", Commit: 0xAB, Captured: 77, Rate: 3.5}}}
	undelivered := "alerts are not delivered through channel ops, 3 wait"
	f := &fake{status: Status{Version: "v1.2.3", Started: noon, UptimeSeconds: 60, Systems: systems, Warnings: []string{undelivered}}, list: routes}
	c, _ := serve(t, f)
	ctx := t.Context()

	status, err := c.Status(ctx)
	must(t, err)
	want := f.status
	want.Warnings = []string{undelivered, "there are no tokens: whoever can connect from this machine can do everything (syncline token create)"}
	want.Routes = RouteSummary{Total: 6, Running: 1, Starting: 1, Degraded: 1, Halted: 1, NeedsSync: 1, Disabled: 1, Parked: 3, LagEvents: 30, LagSeconds: 9}
	if diff := cmp.Diff(want, status); diff != "" {
		t.Errorf("Status (-want +got):\n%s", diff)
	}
	gotSystems, err := c.Systems(ctx)
	must(t, err)
	if diff := cmp.Diff(systems, gotSystems); diff != "" {
		t.Errorf("Systems (-want +got):\n%s", diff)
	}
	got, err := c.Routes(ctx)
	must(t, err)
	if diff := cmp.Diff(routes, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Routes (-want +got):\n%s", diff)
	}
	one, err := c.Route(ctx, "a/b c@crm")
	must(t, err)
	if diff := cmp.Diff(routes[1], one, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Route (-want +got):\n%s", diff)
	}
	_, err = c.Route(ctx, "nobody")
	problemIn(t, err, 404, "route_not_found", 1)
}

func TestListsCarryNoValuesAndDetailsDo(t *testing.T) {
	e := state.Exception{Task: "t/1", Slice: state.Slice{Route: "r", Slice: 2}, Rule: "rule", Source: "crm", Entity: "customer", Object: "dim",
		Key: "42", Seq: 9, Index: 3, Status: state.StatusResolved, Outcome: state.Superseded, Code: "c", Error: "e", Attempts: 2, NextTry: noon,
		Created: noon, Updated: noon, Record: record(t)}
	f := &fake{tasks: []state.Exception{e}, next: "zz"}
	c, _ := serve(t, f)
	filter := TaskQuery{Choice: Choice{Status: "failed", Why: "held", Route: "o", Rule: "r", Source: "s", Target: "t", Entity: "e", Key: "1,%2C", Code: "c",
		Class: "rejected", From: noon, To: noon.Add(time.Microsecond)}, After: "a", Limit: 5}
	list, err := c.Tasks(t.Context(), filter)
	must(t, err)
	if diff := cmp.Diff(filter, f.query); diff != "" {
		t.Errorf("filter at the engine (-want +got):\n%s", diff)
	}
	want := Task{ID: "t/1", Route: "r", Slice: 2, Rule: "rule", Source: "crm", Entity: "customer", Object: "dim", Key: "42", Seq: 9, Index: 3,
		Status: "completed", Reason: "superseded", Code: "c", Error: "e", Attempts: 2, NextTry: &noon, Created: noon, Updated: noon}
	if diff := cmp.Diff(List[Task]{Items: []Task{want}, Next: "zz"}, list); diff != "" {
		t.Errorf("Tasks (-want +got):\n%s", diff)
	}
	got, err := c.Task(t.Context(), "t/1")
	must(t, err)
	want.Record = &Record{EventID: "crm/1/ab/3", Op: "updated", Position: "1/AB/3", Time: &noon, After: json.RawMessage(`{"id":42,"name":"王芳","tier":null}`)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Task (-want +got):\n%s", diff)
	}
	if _, err := c.Tasks(t.Context(), TaskQuery{}); err != nil || f.query.Limit != 100 {
		t.Errorf("limit of a request without one = %d, %v, want 100", f.query.Limit, err)
	}
}

func TestTaskOfARecordThatJSONCannotCarry(t *testing.T) {
	s := &syncline.Schema{Entity: "e", Columns: []syncline.Column{{Name: "doc", Kind: syncline.KindJSON}}}
	got := document.Show(syncline.Row{Schema: s, Values: []syncline.Value{syncline.JSON([]byte("{broken \xff"))}})
	if !json.Valid(got) || !strings.Contains(string(got), "broken") {
		t.Errorf("fields = %s, want valid JSON that shows the text", got)
	}
}

func TestCommandsReachTheEngine(t *testing.T) {
	f := &fake{syncs: []state.RunRow{{Run: syncline.Run{ID: "run-1", Kind: syncline.RunKeys, Entity: "order", Keys: []syncline.Key{"1", "2"},
		Routes: []string{"r"}}, Source: "shop", Status: state.RunDone, Chunks: 3, Rows: 2, Error: "e", Created: noon, Updated: noon}}}
	c, _ := serve(t, f)
	ctx := t.Context()
	must(t, c.RetryTask(ctx, "a/b", "mended"))
	must(t, c.EditTask(ctx, "a/b", json.RawMessage(`{"name":null}`), "a typo"))
	problemIn(t, c.EditTask(ctx, "a/b", json.RawMessage(`{}`), ""), 422, "reason_missing", 1)
	must(t, c.CancelTask(ctx, "a b", "sent by hand"))
	must(t, c.ResumeRoute(ctx, "a/b@crm"))
	must(t, c.ResumeSystem(ctx, "crm"))
	if diff := cmp.Diff([]string{"retry a/b: mended", "edit a/b {\"name\":null}: a typo", "cancel a b: sent by hand", "resume a/b@crm", "resume system crm"}, f.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	request := SyncRequest{Source: "shop", Entity: "order", Routes: []string{"r"}, Keys: []string{"1"}}
	id, err := c.StartSync(ctx, request)
	if err != nil || id != "run-9" {
		t.Errorf("StartSync = %q, %v", id, err)
	}
	if diff := cmp.Diff(request, f.sync); diff != "" {
		t.Errorf("sync (-want +got):\n%s", diff)
	}
	syncs, err := c.Syncs(ctx)
	must(t, err)
	if diff := cmp.Diff([]Sync{{ID: "run-1", Source: "shop", Entity: "order", Kind: "keys", Routes: []string{"r"}, Keys: 2, Status: "done",
		Chunks: 3, Rows: 2, Percent: new(100.0), Behind: []BehindRoute{}, Error: "e", Created: noon, Updated: noon}}, syncs); diff != "" {
		t.Errorf("Syncs (-want +got):\n%s", diff)
	}
	if err := c.CancelTask(ctx, "a", ""); err == nil {
		t.Error("a task is cancelled without a reason")
	} else if p := problemIn(t, err, 422, "request_invalid", 1); len(p.Fields) != 1 || p.Fields[0].Location != "body.reason" {
		t.Errorf("fields = %+v, want body.reason", p.Fields)
	}
	_, err = c.StartSync(ctx, SyncRequest{Source: "shop"})
	problemIn(t, err, 422, "request_invalid", 1)
}

// TestCommandsOnManyTasks: what is chosen reaches the engine, and nothing is never taken for everything.
func TestCommandsOnManyTasks(t *testing.T) {
	f := &fake{}
	c, _ := serve(t, f)
	all := Selection{IDs: []string{"a", "b"}, Choice: Choice{Status: "failed", Route: "o", Rule: "r", Source: "s", Target: "t", Entity: "e", Key: "1,2",
		Why: "held", Code: "c", Class: "rejected", From: noon, To: noon.Add(time.Second)}}
	done, err := c.RetryTasks(t.Context(), all, "mended")
	must(t, err)
	if want := (Chosen{Tasks: 7, Results: []TaskResult{{ID: "u", Code: "task_not_parked", Error: "no"}, {ID: "t", Taken: true}}}); cmp.Diff(want, done) != "" {
		t.Errorf("RetryTasks = %+v, want %+v", done, want)
	}
	of := Selection{Choice: Choice{Route: "o"}}
	if done, err := c.CancelTasks(t.Context(), of, "why"); done.Tasks != 8 || err != nil {
		t.Errorf("CancelTasks = %+v, %v, want 8", done, err)
	}
	if diff := cmp.Diff([]Selection{all, of}, f.chosen); diff != "" || !slices.Equal(f.asked, []string{"retry all: mended", "cancel all: why"}) {
		t.Errorf("the engine was asked %q for (-want +got):\n%s", f.asked, diff)
	}
	_, err = c.RetryTasks(t.Context(), Selection{}, "")
	problemIn(t, err, 422, "selection_empty", 1)
	_, err = c.CancelTasks(t.Context(), Selection{}, "why")
	problemIn(t, err, 422, "selection_empty", 1)
	_, err = c.CancelTasks(t.Context(), of, "")
	problemIn(t, err, 422, "request_invalid", 1)
	_, err = c.RetryTasks(t.Context(), Selection{Choice: Choice{Status: "resolved"}}, "")
	problemIn(t, err, 422, "request_invalid", 1)
}

// TestSelection: a task is chosen if it agrees with every field that is set.
func TestSelection(t *testing.T) {
	x := state.Exception{Task: "t", Slice: state.Slice{Route: "o"}, Rule: "r/e", Source: "s", Entity: "e", Key: "1,2", Status: "held", Code: "c", Class: "rejected",
		Created: noon}
	for _, test := range []struct {
		c    Choice
		want bool
	}{
		{Choice{Status: "pending", Why: "held", Route: "o", Rule: "r", Source: "s", Target: "dw", Entity: "e", Key: "1,2", Code: "c", Class: "rejected",
			From: noon, To: noon.Add(1)}, true},
		{Choice{Rule: "r/e"}, true}, {Choice{Rule: "r/"}, false}, {Choice{Rule: "r/f"}, false},
		{Choice{Status: "pending"}, true}, {Choice{Status: "failed"}, false}, {Choice{Why: "retrying"}, false}, {Choice{Route: "p"}, false},
		{Choice{Source: "q"}, false}, {Choice{Target: "q"}, false}, {Choice{Entity: "q"}, false}, {Choice{Key: "1"}, false}, {Choice{Code: "d"}, false},
		{Choice{Class: "fatal"}, false}, {Choice{From: noon.Add(1)}, false}, {Choice{To: noon}, false},
	} {
		routes := map[string]bool{"o": test.c.Target == "dw"}
		for _, ids := range [][]string{nil, {"u", "t"}, {"u"}} {
			s := Selection{ids, test.c}
			want := test.want && len(ids) != 1
			if got := s.Chooser(routes)(&x); got != want {
				t.Errorf("%+v chooses the task: %v, want %v", s, got, want)
			}
		}
	}
	if (&Selection{}).Chooser(nil)(&x) {
		t.Error("an empty selection chooses a task")
	}
}

func TestErrorsBecomeProblems(t *testing.T) {
	var logged strings.Builder
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{syncline.Errorf(syncline.Rejected, "task_not_found", "task x: %w", state.ErrNotFound), 404, "task_not_found"},
		{syncline.Errorf(syncline.Rejected, "task_done", "it is done").WithFix("nothing to do"), 422, "task_done"},
		{syncline.Errorf(syncline.Transient, "state_locked", "locked"), 503, "state_locked"},
		{syncline.Errorf(syncline.Transient, "state_full", "full"), 507, "state_full"},
		{syncline.Errorf(syncline.Fatal, "state_corrupt", "broken"), 500, "state_corrupt"},
		{errors.New("a secret of the inside"), 500, "internal"},
	} {
		f := &fake{err: c.err}
		s, err := New(Options{Engine: f, Store: statetest.Open(t), Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		must(t, err)
		h := httptest.NewServer(s)
		client, err := NewClient(h.URL)
		must(t, err)
		err = client.RetryTask(t.Context(), "x", "")
		p := problemIn(t, err, c.status, c.code, 1)
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the problem tells the inside: %v", err)
		}
		var known *syncline.Error
		if errors.As(c.err, &known) && (p.Fix != known.Fix || p.Detail != known.Msg) {
			t.Errorf("problem = %+v, want the text and the way out of %+v", p, known)
		}
		for _, call := range []func() error{
			func() error { _, err := client.Status(t.Context()); return err },
			func() error { _, err := client.Systems(t.Context()); return err },
			func() error { _, err := client.Routes(t.Context()); return err },
			func() error { _, err := client.Route(t.Context(), "r"); return err },
			func() error { _, err := client.Tasks(t.Context(), TaskQuery{}); return err },
			func() error { _, err := client.Syncs(t.Context()); return err },
			func() error {
				_, err := client.StartSync(t.Context(), SyncRequest{Source: "s", Entity: "e"})
				return err
			},
			func() error { return client.CancelTask(t.Context(), "x", "why") },
		} {
			problemIn(t, call(), c.status, c.code, 1)
		}
		h.Close()
	}
	if !strings.Contains(logged.String(), "a secret of the inside") {
		t.Errorf("log = %q, want the error that the caller does not see", logged.String())
	}
}

func TestReadiness(t *testing.T) {
	f := &fake{}
	c, url := serve(t, f)
	if r, err := c.Ready(t.Context()); err != nil || !r.Ready {
		t.Errorf("Ready = %+v, %v, want ready", r, err)
	}
	f.reasons = []string{"route r is halted: cursor_lost"}
	r, err := c.Ready(t.Context())
	if err != nil || r.Ready || !slices.Equal(r.Reasons, f.reasons) {
		t.Errorf("Ready = %+v, %v, want the reasons", r, err)
	}
	if res, _ := get(t, url+"/readyz"); res.StatusCode != 503 {
		t.Errorf("GET /readyz = %d, want 503", res.StatusCode)
	}
	if res, _ := get(t, url+"/healthz"); res.StatusCode != 200 {
		t.Errorf("GET /healthz = %d, want 200", res.StatusCode)
	}
}

func TestClientKnowsAnswersThatAreNotOurs(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/status":
			_, _ = w.Write([]byte("<html>welcome</html>"))
		case "/v1/routes":
			http.Redirect(w, r, "https://example.com", http.StatusFound)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer h.Close()
	c, err := NewClient(h.URL)
	must(t, err)
	_, err = c.Status(t.Context())
	problemIn(t, err, 200, "answer_unknown", 1)
	_, err = c.Routes(t.Context())
	problemIn(t, err, 302, "answer_unknown", 1)
	_, err = c.Systems(t.Context())
	problemIn(t, err, 401, "answer_unknown", 4)
	for _, server := range []string{"", "127.0.0.1:8484", "ftp://x", "http://", "http://%zz"} {
		_, err := NewClient(server)
		problemIn(t, err, 0, "server_invalid", 2)
	}
}
