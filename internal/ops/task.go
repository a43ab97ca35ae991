package ops

import (
	"encoding/json"
	"time"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/state"
)

// Task is one event on one rule, as the API shows it.
type Task struct {
	ID     string `json:"id"`
	Route  string `json:"route"`
	Slice  int    `json:"slice"`
	Rule   string `json:"rule"`
	Source string `json:"source"`
	Target string `json:"target,omitempty"`
	Entity string `json:"entity"`
	Object string `json:"object"`
	Key    string `json:"key" doc:"The key at the target."`
	Seq    uint64 `json:"seq"`
	Index  int    `json:"index"`

	Status state.TaskStatus `json:"status" enum:"pending,executing,completed,failed,conflict,cancelled"`
	// Reason says more of a task that is pending or completed.
	Reason string `json:"reason,omitempty" doc:"Of a pending task: retrying, held behind an earlier task of its key, or reading its record from the source. Of a completed one that was not applied: superseded, filtered or skipped."`
	Code   string `json:"code,omitempty"`
	Class  string `json:"class,omitempty" doc:"The error's class."`
	Error  string `json:"error,omitempty"`

	Attempts int        `json:"attempts"`
	NextTry  *time.Time `json:"next_try,omitempty"`
	// Created is when the route came to the event.
	Created time.Time `json:"created" doc:"When the route came to the event; of one that it has not come to yet, when the log took it."`
	Updated time.Time `json:"updated"`
	// Started is of a task that is executing, or was done with its batch.
	Started *time.Time `json:"started,omitempty" doc:"When its batch was begun, while it is executing or where that has settled it."`
	Behind  int        `json:"behind,omitempty" doc:"How many later tasks of its key wait behind it."`

	// Record is only in the answer for one task: lists carry no values.
	Record *Record `json:"record,omitempty"`
	// Edit says who edited the record; Original is the record as it came.
	Edit     *state.Edit `json:"edit,omitempty"`
	Original *Record     `json:"original,omitempty" doc:"The record as it came, where somebody has edited it."`
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

// TaskOf is a stored task as the API shows it, with its record if it has one.
func TaskOf(e *state.Exception) (Task, error) {
	t := Task{ID: e.Task, Route: e.Route, Slice: e.Slice.Slice, Rule: e.Rule, Source: e.Source, Entity: e.Entity, Object: e.Object,
		Key: string(e.Key), Seq: uint64(e.Seq), Index: e.Index, Code: e.Code, Class: e.Class, Error: e.Error, Attempts: e.Attempts,
		NextTry: instant(e.NextTry), Created: e.Created, Updated: e.Updated, Edit: e.Edit}
	t.Status, t.Reason = e.Public()
	var err error
	t.Record, err = RecordOf(e.Record)
	return t, err
}

// RecordOf is the event of a batch with one event, nil where there is no batch.
func RecordOf(data []byte) (*Record, error) {
	if len(data) == 0 {
		return nil, nil
	}
	b, err := syncline.DecodeBatch(data)
	if err != nil || len(b.Events) != 1 {
		return nil, err
	}
	return EventOf(b, 0), nil
}

// EventOf is the i-th event of a batch.
func EventOf(b *syncline.Batch, i int) *Record {
	e := &b.Events[i]
	r := &Record{EventID: b.EventID(i), Op: e.Op.String(), Position: b.PositionOf(i).String(), Time: instant(b.TimeOf(i)), Size: e.Stub}
	if e.Before != nil {
		r.Before = document.Show(syncline.Row{Schema: e.Schema, Values: e.Before})
	}
	if e.After != nil {
		r.After = document.Show(syncline.Row{Schema: e.Schema, Values: e.After})
	}
	return r
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
