package ops

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"syncline"
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
