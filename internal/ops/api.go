package ops

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"syncline"
	"syncline/internal/access"
	"syncline/internal/problem"
	"syncline/internal/state"
)

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons" nullable:"false" doc:"Why it is not ready; for viewers only."`
}

// Started is the answer to a request for a sync.
type Started struct {
	ID string `json:"id"`
}

// Cancellation is the body of a request to cancel a task.
type Cancellation struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why; it is kept with the task."`
}

// Cancellations is the body of a request to cancel several tasks.
type Cancellations struct {
	Selection
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why; it is kept with the tasks."`
}

// Retrial is the body of a request to try a task again.
type Retrial struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Why."`
}

// Revision is the body of a request to try a task again, perhaps with another record.
type Revision struct {
	Retrial
	Record json.RawMessage `json:"record,omitempty" doc:"What the record is to be: an object of columns of the source. Those that it does not name stay as they are, and the key must. It needs a reason."`
}

// Retrials is the body of a request to try several tasks again.
type Retrials struct {
	Selection
	Retrial
}

// Chosen is the answer to a command on several tasks.
type Chosen struct {
	Tasks int `json:"tasks" doc:"How many tasks that wait were chosen, and take the command."`
	// Results are those of the first tasks.
	Results []TaskResult `json:"results" nullable:"false" doc:"What came of each, those that do not take the command first; at most 10,000."`
}

// TaskResult says whether a task took a command.
type TaskResult struct {
	ID    string `json:"id"`
	Taken bool   `json:"taken" doc:"Whether the task takes the command."`
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty" doc:"Why it does not."`
}

type reply[T any] struct{ Body T }

type taskID struct {
	ID string `path:"id"`
}

type api struct {
	engine  Engine
	configs Configurations
	store   *state.Store
	log     *slog.Logger
	// warnings are those about the API itself.
	warnings func(context.Context) ([]string, error)
	// stays reports whether who sent a request would still be let in.
	stays   func(context.Context) (bool, error)
	streams chan struct{} // has room for the streams at once: each puts one in and takes it out
	closing chan struct{} // closed when the server stops: streams end
}

// bearer is the name of the security scheme in the document.
const bearer = "token"

// register adds every operation to the mux and returns what describes them, and who may call them.
func (a *api) register(mux *http.ServeMux, o Options) (*huma.OpenAPI, map[string]*operation, error) {
	c := huma.DefaultConfig("Syncline", o.Version)
	c.Info.Description = "Keeps business systems consistent with each other. Errors are problems (RFC 9457) with a stable code."
	c.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{asProblem}
	h := humago.New(mux, c)

	add(h, op(h, "status", "GET", "/v1/status", "How the process, its systems and its routes are"), a.status)
	add(h, op(h, "systems", "GET", "/v1/systems", "The systems"), a.systems)
	add(h, op(h, "routes", "GET", "/v1/routes", "The routes"), a.routes)
	add(h, op(h, "route", "GET", "/v1/routes/{id}", "One route"), a.route)
	add(h, op(h, "resume-system", "POST", "/v1/systems/{name}/resume", "Have a stopped source, and the stopped routes to a target, try again now"), a.resumeSystem)
	add(h, op(h, "accept-gap", "POST", "/v1/systems/{name}/accept-gap", "Have a source that has halted because changes are missing go on behind the gap, and its records read again"), a.acceptGap)
	add(h, op(h, "resume-route", "POST", "/v1/routes/{id}/resume", "Have a stopped route try again now"), a.resumeRoute)
	add(h, op(h, "tasks", "GET", "/v1/tasks", "The tasks that are not simply done, without their records"), a.tasks)
	add(h, op(h, "task", "GET", "/v1/tasks/{id}", "One task with its record"), a.task)
	a.registerStream(h)
	add(h, op(h, "stats", "GET", "/v1/stats", "Tasks by status, rates and times over a stretch of time"), a.stats)
	add(h, op(h, "retry-task", "POST", "/v1/tasks/{id}/retry", "Try a pending task now"), a.retry)
	add(h, op(h, "cancel-task", "POST", "/v1/tasks/{id}/cancel", "Give a pending task up"), a.cancel)
	add(h, op(h, "retry-tasks", "POST", "/v1/tasks/retry", "Try all chosen pending tasks now"), a.retryAll)
	add(h, op(h, "cancel-tasks", "POST", "/v1/tasks/cancel", "Give all chosen pending tasks up"), a.cancelAll)
	a.registerHealth(h)
	a.registerAlerts(h)
	a.registerPauses(h)
	a.registerSyncs(h)
	a.registerTokens(h)
	a.registerConfig(h)
	a.registerRules(h)
	a.registerConflicts(h)
	a.registerExplain(h)
	a.registerReplays(h)
	a.registerVerifications(h)
	a.registerSchedules(h)
	a.registerAudit(h)
	add(h, op(h, "healthz", "GET", "/healthz", "Whether the process answers"), a.healthz)
	add(h, op(h, "readyz", "GET", "/readyz", "Whether every system and route does its work (503: not)"), a.readyz)

	doc := h.OpenAPI()
	if o.Metrics != nil {
		doc.AddOperation(metricsOperation(h))
	}
	if o.Events != nil {
		doc.AddOperation(eventsOperation(h))
	}
	self := op(h, "openapi", "GET", "/openapi.json", "This document")
	self.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{
		"application/openapi+json": {Schema: &huma.Schema{Type: huma.TypeObject}}}}
	doc.AddOperation(&self)

	// huma describes its own errors too; asProblem replaces them, and nothing refers to them.
	for _, name := range []string{"ErrorModel", "ErrorDetail"} {
		delete(doc.Components.Schemas.Map(), name)
	}
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{bearer: {Type: "http", Scheme: "bearer",
		Description: "A token of `syncline token create`. Until the first one was made, this machine needs none."}}
	all, err := operations(doc)
	if err != nil {
		return nil, nil, err
	}
	return doc, all, nil
}

// op describes an operation whose errors are problems.
func op(h huma.API, id, method, path, summary string) huma.Operation {
	schema := h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Responses: map[string]*huma.Response{
		"default": {Description: "A problem", Content: map[string]*huma.MediaType{problem.MediaType: {Schema: schema}}}}}
}

func add[I, O any](h huma.API, op huma.Operation, do func(context.Context, *I) (*O, error)) {
	huma.Register(h, op, do)
}

func metricsOperation(h huma.API) *huma.Operation {
	o := op(h, "metrics", "GET", "/metrics", "Metrics for Prometheus")
	o.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{
		"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}}
	return &o
}

// eventsOperation describes the handler of Options.Events.
func eventsOperation(h huma.API) *huma.Operation {
	type accepted struct {
		IDs []string `json:"ids" nullable:"false"`
	}
	o := op(h, "publish-events", "POST", "/v1/events", "Accept events of a push source; they are durable when the answer comes")
	event := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "A CloudEvents 1.0 event.",
		Required: []string{"specversion", "id", "source", "type"}, Properties: map[string]*huma.Schema{
			"specversion": {Type: huma.TypeString, Enum: []any{"1.0"}},
			"id":          {Type: huma.TypeString},
			"source":      {Type: huma.TypeString, Description: "The system."},
			"type":        {Type: huma.TypeString, Description: "The entity and created, updated, deleted, merged or archived, with a point between."},
			"subject":     {Type: huma.TypeString, Description: "The key."},
			"time":        {Type: huma.TypeString, Format: "date-time"},
			"data":        {Description: "The record, or an object with before and after."},
		}}
	o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/cloudevents+json":       {Schema: event},
		"application/cloudevents-batch+json": {Schema: &huma.Schema{Type: huma.TypeArray, Items: event}},
		"application/json":                   {Schema: &huma.Schema{Description: "The data of a binary-mode event; its attributes are ce- headers."}},
	}}
	o.Responses["202"] = &huma.Response{Description: "Accepted", Content: map[string]*huma.MediaType{
		"application/json": {Schema: h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[accepted](), true, "Accepted")}}}
	return &o
}

func answer[T any](ctx context.Context, a *api, body T, err error) (*reply[T], error) {
	if err != nil {
		return nil, problemOf(ctx, a.log, err)
	}
	return &reply[T]{body}, nil
}

func (a *api) status(ctx context.Context, _ *struct{}) (*reply[Status], error) {
	s, err := a.engine.Status(ctx)
	if err != nil {
		return answer(ctx, a, s, err)
	}
	routes, err := a.engine.Routes(ctx)
	if err != nil {
		return answer(ctx, a, s, err)
	}
	reach, err := a.warnings(ctx)
	s.Warnings = append(s.Warnings, reach...)
	s.Routes, s.Systems = summarize(routes), some(s.Systems)
	return answer(ctx, a, s, err)
}

func (a *api) systems(ctx context.Context, in *page) (*reply[List[SystemStatus]], error) {
	s, err := a.engine.Status(ctx)
	return answerPage(ctx, a, s.Systems, in, func(s *SystemStatus) string { return s.Name }, err)
}

func (a *api) routes(ctx context.Context, in *page) (*reply[List[RouteStatus]], error) {
	routes, err := a.engine.Routes(ctx)
	for i := range routes {
		routes[i].Rules = some(routes[i].Rules)
	}
	return answerPage(ctx, a, routes, in, func(r *RouteStatus) string { return r.ID }, err)
}

func (a *api) route(ctx context.Context, in *taskID) (*reply[RouteStatus], error) {
	routes, err := a.engine.Routes(ctx)
	if err != nil {
		return answer(ctx, a, RouteStatus{}, err)
	}
	for i := range routes {
		if routes[i].ID == in.ID {
			routes[i].Rules = some(routes[i].Rules)
			return answer(ctx, a, routes[i], nil)
		}
	}
	return answer(ctx, a, RouteStatus{}, syncline.Errorf(syncline.Rejected, "route_not_found", "route %s: %w", in.ID, state.ErrNotFound))
}

func (a *api) resumeSystem(ctx context.Context, in *struct {
	Name string `path:"name"`
}) (*struct{}, error) {
	return a.done(ctx, a.engine.ResumeSystem(ctx, in.Name))
}

func (a *api) acceptGap(ctx context.Context, in *struct {
	Name string `path:"name"`
}) (*struct{}, error) {
	return a.done(ctx, a.engine.AcceptGap(ctx, in.Name))
}

func (a *api) resumeRoute(ctx context.Context, in *taskID) (*struct{}, error) {
	return a.done(ctx, a.engine.ResumeRoute(ctx, in.ID))
}

func (a *api) tasks(ctx context.Context, in *TaskQuery) (*reply[List[Task]], error) {
	if err := stretch(in.From, in.To); err != nil {
		return answer(ctx, a, List[Task]{}, err)
	}
	list, next, err := a.engine.Tasks(ctx, *in)
	return answer(ctx, a, List[Task]{Items: some(list), Next: next}, err)
}

func (a *api) task(ctx context.Context, in *taskID) (*reply[Task], error) {
	t, err := a.engine.Task(ctx, in.ID)
	return answer(ctx, a, t, err)
}

func (a *api) retry(ctx context.Context, in *struct {
	ID   string    `path:"id"`
	Body *Revision `required:"false"`
}) (*struct{}, error) {
	if in.Body == nil {
		in.Body = &Revision{}
	}
	if in.Body.Record == nil {
		return a.done(ctx, a.engine.RetryTask(ctx, in.ID, in.Body.Reason))
	}
	if in.Body.Reason == "" {
		return a.done(ctx, syncline.Errorf(syncline.Rejected, "reason_missing", "an edited record needs a reason").
			WithFix("give a reason; it is kept with the task"))
	}
	return a.done(ctx, a.engine.EditTask(ctx, in.ID, in.Body.Record, in.Body.Reason))
}

func (a *api) cancel(ctx context.Context, in *struct {
	ID   string `path:"id"`
	Body Cancellation
}) (*struct{}, error) {
	return a.done(ctx, a.engine.CancelTask(ctx, in.ID, in.Body.Reason))
}

func (a *api) retryAll(ctx context.Context, in *reply[Retrials]) (*reply[Chosen], error) {
	if err := in.Body.check(); err != nil {
		return answer(ctx, a, Chosen{}, err)
	}
	done, err := a.engine.RetryTasks(ctx, in.Body.Selection, in.Body.Retrial.Reason)
	done.Results = some(done.Results)
	return answer(ctx, a, done, err)
}

func (a *api) cancelAll(ctx context.Context, in *reply[Cancellations]) (*reply[Chosen], error) {
	if err := in.Body.check(); err != nil {
		return answer(ctx, a, Chosen{}, err)
	}
	done, err := a.engine.CancelTasks(ctx, in.Body.Selection, in.Body.Reason)
	done.Results = some(done.Results)
	return answer(ctx, a, done, err)
}

// done answers 204.
func (a *api) done(ctx context.Context, err error) (*struct{}, error) {
	if err != nil {
		return nil, problemOf(ctx, a.log, err)
	}
	return nil, nil
}

func (a *api) healthz(context.Context, *struct{}) (*reply[Readiness], error) {
	return &reply[Readiness]{Readiness{Ready: true, Reasons: []string{}}}, nil
}

type readyReply struct {
	Status int
	Body   Readiness
}

func (a *api) readyz(ctx context.Context, _ *struct{}) (*readyReply, error) {
	ready, reasons := a.engine.Ready(ctx)
	if who := callerOf(ctx); !who.token.Role.May(access.Viewer) {
		reasons = nil
	}
	r := &readyReply{http.StatusOK, Readiness{ready, some(reasons)}}
	if !ready {
		r.Status = http.StatusServiceUnavailable
	}
	return r, nil
}
