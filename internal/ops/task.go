package ops

import (
	"encoding/json"
	"strings"
	"time"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/state"
)

// Task is a task that is not simply done, as the API shows it.
type Task struct {
	ID     string `json:"id"`
	Route  string `json:"route"`
	Slice  int    `json:"slice"`
	Rule   string `json:"rule"`
	Source string `json:"source"`
	Entity string `json:"entity"`
	Object string `json:"object"`
	Key    string `json:"key" doc:"The key at the target."`
	Seq    uint64 `json:"seq"`
	Index  int    `json:"index"`
	Status string `json:"status" enum:"retrying,held,reading,failed,cancelled,resolved"`
	// Outcome is set on a task that is over.
	Outcome  string     `json:"outcome,omitempty" doc:"What became of a task that is over."`
	Code     string     `json:"code,omitempty"`
	Error    string     `json:"error,omitempty"`
	Attempts int        `json:"attempts"`
	NextTry  *time.Time `json:"next_try,omitempty"`
	Created  time.Time  `json:"created"`
	Updated  time.Time  `json:"updated"`
	// Record is only in the answer for one task: lists carry no values.
	Record *Record `json:"record,omitempty"`
}

// Record is the event of a task with its values.
type Record struct {
	EventID  string     `json:"event_id"`
	Op       string     `json:"op"`
	Position string     `json:"position"`
	Time     *time.Time `json:"time,omitempty"`
	// Size is set where the record was too large for the log: Before and After have its key only.
	Size uint32 `json:"size,omitempty" doc:"The bytes of a record that was too large for the log, which has its key only."`
	// Before and After have the columns that the source sent.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

func taskOf(e *state.Exception) (Task, error) {
	t := Task{ID: e.Task, Route: e.Route, Slice: e.Slice.Slice, Rule: e.Rule, Source: e.Source, Entity: e.Entity, Object: e.Object,
		Key: string(e.Key), Seq: uint64(e.Seq), Index: e.Index, Status: e.Status, Code: e.Code, Error: e.Error, Attempts: e.Attempts,
		NextTry: instant(e.NextTry), Created: e.Created, Updated: e.Updated}
	switch e.Status {
	case state.StatusResolved:
		t.Outcome = e.Outcome.String()
	case state.StatusCancelled:
		t.Outcome = state.Skipped.String()
	}
	if len(e.Record) == 0 {
		return t, nil
	}
	b, err := syncline.DecodeBatch(e.Record)
	if err != nil {
		return Task{}, err
	}
	if len(b.Events) == 1 {
		t.Record = recordOf(b)
	}
	return t, nil
}

func recordOf(b *syncline.Batch) *Record {
	e := &b.Events[0]
	r := &Record{EventID: b.EventID(0), Op: e.Op.String(), Position: b.PositionOf(0).String(), Time: instant(b.TimeOf(0)), Size: e.Stub}
	if e.Before != nil {
		r.Before = fields(syncline.Row{Schema: e.Schema, Values: e.Before})
	}
	if e.After != nil {
		r.After = fields(syncline.Row{Schema: e.Schema, Values: e.After})
	}
	return r
}

// fields is the row as JSON. A value that JSON cannot carry, which may be why the task failed, is shown with the others as
// one text.
func fields(row syncline.Row) json.RawMessage {
	text := document.Append(nil, row)
	if !json.Valid(text) {
		text = document.AppendString(nil, strings.ToValidUTF8(string(text), "\uFFFD"))
	}
	return text
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Sync is a run, as the API shows it.
type Sync struct {
	ID     string   `json:"id"`
	Source string   `json:"source"`
	Entity string   `json:"entity"`
	Kind   string   `json:"kind" enum:"snapshot,full,keys"`
	Routes []string `json:"routes,omitempty"`
	// Keys is how many records a run of named keys reads.
	Keys   int    `json:"keys,omitempty"`
	Status string `json:"status" enum:"requested,running,done,failed"`
	Chunks uint32 `json:"chunks"`
	Rows   int64  `json:"rows"`
	Error  string `json:"error,omitempty"`

	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

func syncOf(r *state.RunRow) Sync {
	return Sync{ID: r.ID, Source: r.Source, Entity: r.Entity, Kind: r.Kind.String(), Routes: r.Routes, Keys: len(r.Keys), Status: r.Status,
		Chunks: r.Chunks, Rows: r.Rows, Error: r.Error, Created: r.Created, Updated: r.Updated}
}
