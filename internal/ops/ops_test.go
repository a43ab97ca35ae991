package ops

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/health"
	"syncline/internal/problem"
	"syncline/internal/state"
	"syncline/internal/statetest"
	"syncline/internal/verify"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fake is an engine that gives what it is told and remembers what it was asked.
type fake struct {
	fakeSchedules

	status  Status
	list    []RouteStatus
	tasks   []state.Exception
	next    string
	syncs   []state.RunRow
	reasons []string
	err     error

	query  TaskQuery
	asked  []string
	chosen []Selection
	pauses []Pause
	paused []state.Pause
	lifted []state.Pause
	routes []string
	store  *state.Store
	stats  Stats

	health health.Report
	lag    health.LagReport
	checks []HealthCheck

	alerting   fakeAlerts
	statsQuery StatsQuery
	sync       SyncRequest
	missing    MissingRequest
	behind     []BehindRoute
	behindNow  func() []BehindRoute // asked instead of behind
	explained  ExplainDraft
	verified   VerificationRequest
	replayed   ReplayRequest
}

func (f *fake) Health(context.Context) (health.Report, error) { return f.health, f.err }
func (f *fake) Lag(context.Context) (health.LagReport, error) { return f.lag, f.err }
func (f *fake) HealthChecks(_ context.Context, after string, limit int) ([]HealthCheck, string, error) {
	return f.checks, f.next, f.err
}
func (f *fake) Status(context.Context) (Status, error)        { return f.status, f.err }
func (f *fake) Routes(context.Context) ([]RouteStatus, error) { return f.list, f.err }
func (f *fake) Tasks(_ context.Context, q TaskQuery) ([]Task, string, error) {
	f.query = q
	list := make([]Task, len(f.tasks))
	for i := range f.tasks {
		e := f.tasks[i]
		e.Record = nil
		list[i], _ = TaskOf(&e)
	}
	return list, f.next, f.err
}
func (f *fake) Task(_ context.Context, id string) (Task, error) {
	for i := range f.tasks {
		if f.tasks[i].Task == id {
			t, err := TaskOf(&f.tasks[i])
			return t, errors.Join(err, f.err)
		}
	}
	return Task{}, syncline.Errorf(syncline.Rejected, "task_not_found", "task %s: %w", id, state.ErrNotFound)
}
func (f *fake) ResumeRoute(_ context.Context, id string) error {
	f.asked = append(f.asked, "resume "+id)
	return f.err
}
func (f *fake) ResumeSystem(_ context.Context, name string) error {
	f.asked = append(f.asked, "resume system "+name)
	return f.err
}
func (f *fake) AcceptGap(_ context.Context, name string) error {
	f.asked = append(f.asked, "accept the gap of "+name)
	return f.err
}
func (f *fake) Pauses(context.Context) ([]Pause, error) { return f.pauses, f.err }
func (f *fake) Pause(_ context.Context, list []state.Pause) (Paused, error) {
	f.paused = append(f.paused, list...)
	return Paused{Items: f.pauses, Finishing: []string{"slow"}}, f.err
}
func (f *fake) Unpause(_ context.Context, list []state.Pause) error {
	f.lifted = append(f.lifted, list...)
	return f.err
}
func (f *fake) Stats(_ context.Context, q StatsQuery) (Stats, error) {
	f.statsQuery = q
	return f.stats, f.err
}
func (f *fake) ChosenRoutes(_ context.Context, c Choice) ([]string, error) { return f.routes, f.err }
func (f *fake) SourceOf(route string) string                               { return "crm" }
func (f *fake) TaskEvents(ctx context.Context, filter state.EventFilter, after int64, limit int) ([]state.TaskEvent, error) {
	return f.store.TaskEvents(ctx, filter, after, limit)
}
func (f *fake) TaskEventBounds(ctx context.Context) (first, last int64, err error) {
	if f.store == nil { // so that whoever calls every operation is not sent a stream without an end
		return 0, 0, syncline.Errorf(syncline.Transient, "state_locked", "there is none")
	}
	return f.store.TaskEventBounds(ctx)
}
func (f *fake) WatchTasks() (*state.Watch, func()) { return f.store.Watch() }
func (f *fake) RetryTask(_ context.Context, id, reason string) error {
	f.asked = append(f.asked, "retry "+id+": "+reason)
	return f.err
}
func (f *fake) EditTask(_ context.Context, id string, record json.RawMessage, reason string) error {
	f.asked = append(f.asked, "edit "+id+" "+string(record)+": "+reason)
	return f.err
}
func (f *fake) Resolve(_ context.Context, id string, d Decision) (Conflict, error) {
	f.asked = append(f.asked, "resolve "+id+" "+d.Action+" "+string(d.Values)+": "+d.Reason)
	return Conflict{ID: id, Action: d.Action, Fields: []string{}}, f.err
}
func (f *fake) ResolveAll(_ context.Context, m ManyConflicts) ([]DecidedConflict, error) {
	f.asked = append(f.asked, "resolve all of "+m.Rule+" "+m.Field+" "+string(m.Ours)+" "+m.Action+": "+m.Reason)
	return []DecidedConflict{{ID: "t", Key: "1"}}, f.err
}
func (f *fake) CancelTask(_ context.Context, id, reason string) error {
	f.asked = append(f.asked, "cancel "+id+": "+reason)
	return f.err
}
func (f *fake) RetryTasks(_ context.Context, s Selection, reason string) (Chosen, error) {
	f.chosen, f.asked = append(f.chosen, s), append(f.asked, "retry all: "+reason)
	return Chosen{Tasks: 7, Results: []TaskResult{{ID: "u", Code: "task_not_parked", Error: "no"}, {ID: "t", Taken: true}}}, f.err
}
func (f *fake) CancelTasks(_ context.Context, s Selection, reason string) (Chosen, error) {
	f.chosen, f.asked = append(f.chosen, s), append(f.asked, "cancel all: "+reason)
	return Chosen{Tasks: 8}, f.err
}
func (f *fake) Syncs(context.Context, string, int) ([]state.RunRow, string, error) {
	return f.syncs, "", f.err
}
func (f *fake) StartSync(_ context.Context, r SyncRequest) (string, error) {
	f.sync = r
	return "run-9", f.err
}
func (f *fake) Sync(_ context.Context, id string) (state.RunRow, error) {
	for _, r := range f.syncs {
		if r.ID == id {
			return r, f.err
		}
	}
	return state.RunRow{}, errors.Join(state.ErrNotFound, f.err)
}
func (f *fake) SyncProgress(state.RunRow) Progress {
	if f.behindNow != nil {
		return Progress{Rate: 1000, Behind: f.behindNow()}
	}
	return Progress{Rate: 1000, Behind: f.behind}
}

func (f *fake) SteerSync(ctx context.Context, id, action string, s Steering) (state.RunRow, error) {
	f.asked = append(f.asked, action+" sync "+id+": "+s.Reason)
	return f.Sync(ctx, id)
}
func (f *fake) DeleteMissing(_ context.Context, r MissingRequest) (Missing, error) {
	f.missing = r
	return Missing{Records: 3, Targets: []MissingTarget{{Route: "r", Records: 4, Missing: 1, Percent: 25}}}, f.err
}
func (f *fake) Explain(_ context.Context, r ExplainDraft) (Explanation, error) {
	f.explained = r
	return Explanation{Entity: r.Entity, Key: r.Key, Events: []KeyEvent{}, Rules: []ExplainedRule{}}, f.err
}
func (f *fake) Replay(_ context.Context, r ReplayRequest) (Replay, error) {
	f.replayed = r
	return Replay{Route: r.Route, Samples: []ReplaySample{}, Runs: []string{"replay-1"}}, f.err
}
func (f *fake) StartVerification(_ context.Context, r VerificationRequest) (Verification, error) {
	f.verified = r
	return Verification{ID: "verify-1", Status: "running", Mode: "full", Repair: "off", Parts: []verify.Part{}}, f.err
}
func (f *fake) Verification(_ context.Context, id string) (Verification, error) {
	return Verification{ID: id, Status: "done", Mode: "full", Repair: "off", Parts: []verify.Part{}}, f.err
}
func (f *fake) Verifications(context.Context, string, int) ([]Verification, string, error) {
	return []Verification{{ID: "verify-1", Status: "done", Mode: "full", Repair: "off", Parts: []verify.Part{}}}, "", f.err
}
func (f *fake) Differences(context.Context, string, string, int) ([]Difference, string, error) {
	return []Difference{{Rule: "r", Key: "1", Source: "1", Kind: "different", Fields: []string{"price"}, State: "found"}}, "", f.err
}
func (f *fake) CancelVerification(context.Context, string) error { return f.err }
func (f *fake) Ready(context.Context) (bool, []string)           { return len(f.reasons) == 0, f.reasons }

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func record(t *testing.T) []byte {
	t.Helper()
	s := &syncline.Schema{Entity: "customer", Version: -1, Key: []int{0}, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt},
		{Name: "name", Kind: syncline.KindText}, {Name: "tier", Kind: syncline.KindText}, {Name: "notes", Kind: syncline.KindText}}}
	b := &syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: 0xAB}, Txns: []syncline.Txn{{Commit: 0xAB, Time: noon}},
		Events: []syncline.Event{{Op: syncline.OpUpdated, Schema: s, Ordinal: 3,
			After: []syncline.Value{syncline.Int(42), syncline.Text("王芳"), syncline.Null, syncline.Unset}}}}
	data, err := syncline.AppendBatch(nil, b)
	must(t, err)
	return data
}

// serve starts the API of this engine, without tokens, and returns a client of it.
func serve(t *testing.T, f *fake) (*Client, string) {
	t.Helper()
	url := serveOn(t, Options{Engine: f, Store: statetest.Open(t)})
	c, err := NewClient(url)
	must(t, err)
	return c, url
}

// serveOn starts the API with events, which answer what they are sent, and a metric.
func serveOn(t *testing.T, o Options) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "syncline_test"}, func() float64 { return 7 }))
	o.Version, o.Metrics = "v1.2.3", registry
	if o.Configs == nil {
		o.Configs = &configs{}
	}
	if o.Events == nil {
		o.Events = func(w http.ResponseWriter, r *http.Request, may func(string) bool) {
			if body, _ := io.ReadAll(r.Body); may("pos") {
				w.WriteHeader(http.StatusAccepted)
				_, _ = w.Write(body)
				return
			}
			problem.New(http.StatusForbidden, "source_forbidden", "", "").Write(w)
		}
	}
	s, err := New(o)
	must(t, err)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL
}

func problemIn(t *testing.T, err error, status int, code string, exit int) *Problem {
	t.Helper()
	var p *Problem
	if !errors.As(err, &p) {
		t.Errorf("error = %v, want a problem with code %s", err, code)
		return &Problem{}
	}
	if p.Status != status || p.Code != code || p.ExitCode() != exit || syncline.CodeOf(err) != code {
		t.Errorf("problem = %d %s, exit %d (%v), want %d %s, exit %d", p.Status, p.Code, p.ExitCode(), err, status, code, exit)
	}
	return p
}

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
