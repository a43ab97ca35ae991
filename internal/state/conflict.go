package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"syncline"
)

// Conflict is what was decided where a target disagreed with an event, or is to be decided by a person. Records are JSON documents, nil
// where there was none.
type Conflict struct {
	// Task is the event on its rule; there is one conflict for each, the last one.
	Task string
	Slice
	Rule, Source, Entity, Object string
	Key                          syncline.Key
	Detector                     string
	// Business is the name of the business rule that found it.
	Business string
	// Fields are those that the two disagree about.
	Fields []string
	// Base is what the source had said before, Ours what the event says, Theirs what the target had, Result what it has now.
	Base, Ours, Theirs, Result json.RawMessage
	Strategy, Action, Note     string
	// Held identifies the state that the target was in.
	Held []byte
	// Open: a person has to decide. Choice is what one has decided. It is read while that is not carried out yet; what is written stays
	// with the row, see Choices.
	Open   bool
	Choice *Choice
	// By and Reason are the person's, "" where a policy decided.
	By, Reason       string
	Created, Updated time.Time
	// Skew says whose clock runs ahead, where times decided and one of them is still to come. It is not stored: Note has it in words.
	Skew Skew
}

// Skew is how far the clock of a system is ahead of this machine's.
type Skew struct {
	System string
	Ahead  time.Duration
}

// Choice is what a person decided about a conflict.
type Choice struct {
	Action string `json:"action"`
	// Values is the document of a merge; a field that it does not name stays as the target has it.
	Values json.RawMessage `json:"values,omitempty"`
	// Held is the state of the target that was decided on.
	Held   []byte `json:"held"`
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// conflict writes the row of a task. One that is written again, because its batch is, stays the same row.
func (w *writer) conflict(ctx context.Context, sl Slice, c *Conflict) error {
	fields, err := json.Marshal(c.Fields)
	if err != nil {
		return err
	}
	held := c.Held
	if held == nil {
		held = []byte{}
	}
	choice := ""
	if c.Choice != nil {
		text, err := json.Marshal(c.Choice)
		if err != nil {
			return err
		}
		choice = string(text)
	}
	_, err = w.exec(ctx, sqlConflict, c.Task, sl.Route, sl.Slice, c.Rule, c.Source, c.Entity, c.Object, string(c.Key), c.Detector, c.Business, string(fields),
		document(c.Base), document(c.Ours), document(c.Theirs), document(c.Result), c.Strategy, c.Action, c.Note, held, c.Open, choice, c.By, c.Reason,
		micros(c.Created), micros(c.Updated))
	return err
}

// document stores nil as NULL.
func document(d json.RawMessage) any {
	if d == nil {
		return nil
	}
	return string(d)
}

// closeConflict notes that a task waits for nobody any more. What came of it is in its row, unless nobody decided about it.
func (w *writer) closeConflict(ctx context.Context, e *Exception) error {
	action := e.Outcome.String()
	if e.Status == StatusCancelled {
		action = "cancelled"
	}
	_, err := w.exec(ctx, sqlCloseConflict, action, micros(e.Updated), e.Task)
	return err
}

func scanConflict(rows *sql.Rows) (c Conflict, n int64, err error) {
	var fields, choice string
	var base, ours, theirs, result sql.NullString
	var created, updated int64
	if err = rows.Scan(&n, &c.Task, &c.Route, &c.Slice.Slice, &c.Rule, &c.Source, &c.Entity, &c.Object, &c.Key, &c.Detector, &c.Business, &fields,
		&base, &ours, &theirs, &result, &c.Strategy, &c.Action, &c.Note, &c.Held, &c.Open, &choice, &c.By, &c.Reason, &created, &updated); err != nil {
		return c, n, err
	}
	for _, d := range []struct {
		from *sql.NullString
		to   *json.RawMessage
	}{{&base, &c.Base}, {&ours, &c.Ours}, {&theirs, &c.Theirs}, {&result, &c.Result}} {
		if d.from.Valid {
			*d.to = json.RawMessage(d.from.String)
		}
	}
	if err = json.Unmarshal([]byte(fields), &c.Fields); err == nil && c.Open && choice != "" {
		err = json.Unmarshal([]byte(choice), &c.Choice)
	}
	if err != nil {
		return c, n, corrupt(err)
	}
	c.Created, c.Updated = fromMicros(created), fromMicros(updated)
	return c, n, nil
}

// ConflictFilter chooses conflicts. Empty fields match all.
type ConflictFilter struct {
	// Open chooses by whether a person has to decide; nil = all.
	Open                      *bool
	Rule, Entity, Object, Key string
	Field                     string
	After                     string
	Limit                     int
}

// Conflicts returns a page of conflicts, the oldest first, and the cursor of the next page, "" after the last.
func (s *Store) Conflicts(ctx context.Context, f ConflictFilter) (list []Conflict, next string, err error) {
	after, err := cursorOf(f.After)
	if err != nil {
		return nil, "", err
	}
	limit := pageOf(f.Limit)
	var query strings.Builder
	query.WriteString(sqlConflicts)
	args := []any{after}
	if f.Open != nil {
		query.WriteString(" AND open = ?")
		args = append(args, *f.Open)
	}
	for _, c := range []struct{ column, value string }{{"entity", f.Entity}, {"object", f.Object}, {"record_key", f.Key}} {
		if c.value != "" {
			query.WriteString(" AND " + c.column + " = ?")
			args = append(args, c.value)
		}
	}
	if f.Rule != "" {
		query.WriteString(sqlOfRule)
		args = append(args, f.Rule, f.Rule+"/", f.Rule+"0")
	}
	if f.Field != "" {
		name, err := json.Marshal(f.Field)
		if err != nil {
			return nil, "", err
		}
		query.WriteString(" AND replace(fields, ?, '') <> fields") // has it, in what both databases understand
		args = append(args, string(name))
	}
	query.WriteString(sqlTasksEnd)
	return readPage(ctx, s, "list conflicts", limit, scanConflict, query.String(), args...)
}

// Conflict returns that of a task; ErrNotFound is in the chain where there is none.
func (s *Store) Conflict(ctx context.Context, task string) (c Conflict, err error) {
	found := false
	err = s.read(ctx, "read conflict", func(rows *sql.Rows) (err error) {
		found = true
		c, _, err = scanConflict(rows)
		return err
	}, sqlConflictOf, task)
	if err == nil && !found {
		err = notFound("conflict_not_found", "a conflict of task", task)
	}
	return c, err
}

// OpenConflicts returns how many wait for a person, by rule.
func (s *Store) OpenConflicts(ctx context.Context) (map[string]int64, error) {
	all := make(map[string]int64)
	err := s.read(ctx, "count open conflicts", func(rows *sql.Rows) error {
		var rule string
		var n int64
		err := rows.Scan(&rule, &n)
		all[rule] = n
		return err
	}, sqlOpenConflicts)
	return all, err
}

// Choose notes what a person decided about open conflicts, by task, to be carried out by their route. It returns, for those that are not
// open, why nothing was noted.
func (s *Store) Choose(ctx context.Context, choices map[string]Choice) (refused map[string]error, err error) {
	err = s.write(ctx, "decide conflicts", func(ctx context.Context, w *writer) error {
		refused = make(map[string]error) // a transaction may be begun again
		for task, choice := range choices {
			text, err := json.Marshal(choice)
			if err != nil {
				return err
			}
			n, err := w.exec(ctx, sqlChoose, string(text), task)
			if err != nil {
				return err
			}
			if n == 0 {
				refused[task] = notFound("conflict_not_found", "an open conflict of task", task)
			}
		}
		return nil
	})
	return refused, err
}

// Choices returns what persons decided in the slice, by task: what is not carried out yet, and what is, since the target may lose it.
func (s *Store) Choices(ctx context.Context, sl Slice) (map[string]Choice, error) {
	all := map[string]Choice{}
	err := s.read(ctx, "read decisions of "+sl.String(), func(rows *sql.Rows) error {
		var task, text string
		var c Choice
		if err := rows.Scan(&task, &text); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			return corrupt(err)
		}
		all[task] = c
		return nil
	}, sqlChoices, sl.Route, sl.Slice)
	return all, err
}

// TrimConflicts removes conflicts that were decided before then, and the oldest decided ones that are more than most.
func (s *Store) TrimConflicts(ctx context.Context, before time.Time, most int64) error {
	for n := int64(trimStep); n == trimStep; {
		err := s.write(ctx, "trim conflicts", func(ctx context.Context, w *writer) (err error) {
			n, err = w.exec(ctx, sqlTrimConflicts, micros(before), most, trimStep)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
