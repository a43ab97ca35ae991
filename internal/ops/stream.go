package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"syncline"
	"syncline/internal/state"
)

const (
	// streamEvery bounds how often a stream looks for what is new: what is committed in between comes together.
	streamEvery = 100 * time.Millisecond
	// streamPage is how many events a stream reads at once.
	streamPage = 500
	// streamQuiet is after how much silence a stream sends a comment, by which both sides notice that the other is gone.
	streamQuiet = 15 * time.Second
	// streamStall is how long a reader may take for what it was sent. A slower one is cut off, and comes back with the last id that it has.
	streamStall = 30 * time.Second
	// streamAsk is how often a stream asks whether its reader's token still counts.
	streamAsk = 2 * time.Second
	// streamLife is how long a stream goes on before it ends and its reader comes back.
	streamLife = time.Hour
	// maxStreams bounds the streams at once.
	maxStreams = 64
)

// StreamQuery chooses changes of tasks.
type StreamQuery struct {
	Route  string           `query:"route"`
	Rule   string           `query:"rule"`
	Source string           `query:"source" doc:"The system that the event comes from."`
	Target string           `query:"target" doc:"The system that is written to."`
	Entity string           `query:"entity"`
	Status state.TaskStatus `query:"status" enum:"pending,completed,failed,conflict,cancelled" doc:"What the task is now."`
	After  string           `query:"after" pattern:"^[0-9]+$" doc:"Begin behind the event of this number: 0 for all that are kept. Without it and without Last-Event-ID the stream begins now."`
	LastID string           `header:"Last-Event-ID" doc:"The number of the last event that was received."`
}

// choice is the part of the query that names things.
func (q *StreamQuery) choice() Choice {
	return Choice{Route: q.Route, Rule: q.Rule, Source: q.Source, Target: q.Target, Entity: q.Entity}
}

// TaskEvent is a change of a task to failed, conflict or cancelled, or back.
type TaskEvent struct {
	N        int64            `json:"n" doc:"Orders all events; the id of the server-sent event."`
	At       time.Time        `json:"at"`
	Task     string           `json:"task"`
	Route    string           `json:"route"`
	Rule     string           `json:"rule"`
	Source   string           `json:"source"`
	Entity   string           `json:"entity"`
	Object   string           `json:"object"`
	Key      string           `json:"key"`
	Was      state.TaskStatus `json:"was"`
	Status   state.TaskStatus `json:"status"`
	Reason   string           `json:"reason,omitempty"`
	Code     string           `json:"code,omitempty"`
	Error    string           `json:"error,omitempty"`
	Attempts int              `json:"attempts"`
}

// Completed sums up what routes have done since the stream last said so.
type Completed struct {
	At    time.Time       `json:"at"`
	Rules []CompletedRule `json:"rules" nullable:"false"`
}

// CompletedRule is the part of one rule.
type CompletedRule struct {
	Route  string       `json:"route"`
	Rule   string       `json:"rule"`
	Counts state.Counts `json:"counts"`
}

// Gap says that events are missing from a stream.
type Gap struct {
	First int64  `json:"first" doc:"The oldest event that is kept."`
	Text  string `json:"text"`
}

func (a *api) registerStream(h huma.API) {
	o := op(h, "task-events", "GET", "/v1/tasks/events", "Changes of tasks to failed, conflict, cancelled and back, as they happen")
	o.Description = "Server-sent events. `task` is a TaskEvent, and its id goes on with Last-Event-ID. `completed` sums up what rules have done " +
		"meanwhile (Completed); it is not sent where a status is chosen, and not repeated. `gap` (Gap) says that events behind Last-Event-ID are not " +
		"kept any more. The stream ends after an hour, and for a reader that takes longer than 30 s: come back with Last-Event-ID."
	o.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}
	a.streams = make(chan struct{}, maxStreams)
	huma.Register(h, o, a.taskEvents)
}

func (a *api) taskEvents(ctx context.Context, q *StreamQuery) (*huma.StreamResponse, error) {
	routes, err := a.engine.ChosenRoutes(ctx, q.choice())
	if err != nil {
		return nil, problemOf(ctx, a.log, err)
	}
	s := &stream{a: a, query: q, routes: routes}
	if err := s.begin(ctx); err != nil {
		return nil, problemOf(ctx, a.log, err)
	}
	select {
	case a.streams <- struct{}{}:
	default:
		return nil, problemOf(ctx, a.log, syncline.Errorf(syncline.Transient, "streams_busy", "%d streams are open, as many as there may be", maxStreams).
			WithFix("end one of them, or try again"))
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer func() { <-a.streams }()
		_, w := humago.Unwrap(hc)
		s.w, s.control = w, http.NewResponseController(w)
		_ = s.control.SetReadDeadline(time.Time{}) // a reader that is gone is noticed without it
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no")
		if err := s.run(hc.Context()); err != nil {
			a.log.Debug("stream of tasks ends", "err", err)
		}
	}}, nil
}

// stream is one reader of changes of tasks. It reads them from the state store as fast as the reader takes them, and so never holds up
// whoever writes them.
type stream struct {
	a       *api
	query   *StreamQuery
	routes  []string // nil = all
	after   int64
	gap     *Gap
	w       http.ResponseWriter
	control *http.ResponseController
}

// begin finds out where the reader wants to go on.
func (s *stream) begin(ctx context.Context) error {
	first, last, err := s.a.engine.TaskEventBounds(ctx)
	if err != nil {
		return err
	}
	s.after = last
	from, resumes := s.query.LastID, s.query.LastID != ""
	if !resumes {
		from = s.query.After
	}
	if from == "" {
		return nil
	}
	n, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return syncline.Errorf(syncline.Rejected, "cursor_invalid", "Last-Event-ID is not the number of an event").WithFix("begin again without it")
	}
	switch missing := first == 0 && n < last || first > 0 && n < first-1; {
	case n > last:
		s.gap = &Gap{first, "this server has never sent an event of that number: its state store is another one. The stream begins now."}
	case missing && (resumes || n > 0):
		s.gap = &Gap{first, "events behind the last one are not kept any more. GET /v1/tasks tells what waits now."}
		s.after = n
	default:
		s.after = n
	}
	return nil
}

func (s *stream) run(ctx context.Context) error {
	watch, stop := s.a.engine.WatchTasks()
	defer stop()
	life, quiet := time.NewTimer(streamLife), time.NewTimer(streamQuiet)
	defer life.Stop()
	defer quiet.Stop()
	ask := time.NewTicker(streamAsk)
	defer ask.Stop()
	if err := s.comment("changes of tasks"); err != nil {
		return err
	}
	if s.gap != nil {
		if err := s.send("", "gap", s.gap); err != nil {
			return err
		}
	}
	for {
		sent, err := s.news(ctx, watch)
		if err != nil {
			return err
		}
		if sent {
			quiet.Reset(streamQuiet)
		}
		select {
		case <-ask.C: // a busy stream asks too
			if stays, err := s.a.stays(ctx); !stays {
				return err
			}
		default:
		}
		pace := time.NewTimer(streamEvery)
		select {
		case <-pace.C:
		case <-ctx.Done():
			pace.Stop()
			return nil
		}
		select {
		case <-watch.C:
		case <-ask.C:
			if stays, err := s.a.stays(ctx); !stays {
				return err
			}
		case <-quiet.C:
			if err := s.comment("nothing new"); err != nil {
				return err
			}
			quiet.Reset(streamQuiet)
		case <-life.C:
			return s.comment("come back with Last-Event-ID")
		case <-s.a.closing:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// news sends what is new, and reports whether there was anything.
func (s *stream) news(ctx context.Context, watch *state.Watch) (sent bool, err error) {
	f := state.EventFilter{Routes: s.routes, Route: s.query.Route, Rule: s.query.Rule, Source: s.query.Source, Entity: s.query.Entity, Status: s.query.Status}
	_, last, err := s.a.engine.TaskEventBounds(ctx)
	for more := err == nil && last > s.after; more; {
		events, err := s.a.engine.TaskEvents(ctx, f, s.after, streamPage)
		if err != nil {
			return sent, err
		}
		for i := range events {
			e := &events[i]
			shown := TaskEvent{N: e.N, At: e.At, Task: e.Task, Route: e.Route, Rule: e.Rule, Source: e.Source, Entity: e.Entity, Object: e.Object,
				Key: string(e.Key), Was: e.Was, Status: e.Status, Reason: e.Reason, Code: e.Code, Error: e.Error, Attempts: e.Attempts}
			if err := s.send(strconv.FormatInt(e.N, 10), "task", shown); err != nil {
				return sent, err
			}
			s.after, sent = e.N, true
		}
		if more = len(events) == streamPage; !more {
			s.after = max(s.after, last) // what the filter does not want is not looked at again
		}
	}
	if err != nil || s.query.Status != "" {
		return sent, err
	}
	done := Completed{At: time.Now()}
	for _, sum := range watch.Sums() {
		if (s.query.Route == "" || s.query.Route == sum.Route) && OfRule(s.query.Rule, sum.Rule) && (s.routes == nil || slices.Contains(s.routes, sum.Route)) &&
			s.query.Entity == "" && (s.query.Source == "" || s.a.engine.SourceOf(sum.Route) == s.query.Source) {
			done.Rules = append(done.Rules, CompletedRule{sum.Route, sum.Rule, sum.Counts})
		}
	}
	if len(done.Rules) == 0 {
		return sent, nil
	}
	return true, s.send("", "completed", done)
}

func (s *stream) comment(text string) error { return s.write(": " + text + "\n\n") }

func (s *stream) send(id, event string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return s.write(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, event, text))
}

func (s *stream) write(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamStall)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
