package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"syncline"
)

// Call is one call that changes something, as the audit log keeps it: who did what, when, why, and what came of it. It has no value
// of a record, and no secret.
type Call struct {
	// ID is that of the request, which its answer names in X-Request-Id.
	ID string    `json:"id" doc:"The X-Request-Id of the answer."`
	At time.Time `json:"at"`
	// Who is the name of the token, "local" where there were no tokens, "local:" and the user for who worked on the state store itself, or
	// the signal that the process got.
	Who     string `json:"who"`
	Token   string `json:"token,omitempty" doc:"The id of the token."`
	Role    string `json:"role,omitempty"`
	Address string `json:"address,omitempty" doc:"Where the request came from: the last proxy, where there is one."`
	// Operation is its id in the OpenAPI document.
	Operation string            `json:"operation" doc:"The operationId of this document."`
	Details   map[string]string `json:"details,omitempty" doc:"What it was about: the parameters of the path, and which routes, tasks and systems were named."`
	Reason    string            `json:"reason,omitempty"`
	// Status is 0 where the process ended before the call did: it may have been carried out, or not.
	Status int        `json:"status" doc:"The HTTP status of the answer; 0 where the process ended before the call did."`
	Code   string     `json:"code,omitempty" doc:"The code of the problem."`
	Ended  *time.Time `json:"ended,omitempty"`
}

// AddCall writes down a call, with its result where it has a status.
func (s *Store) AddCall(ctx context.Context, c *Call) error {
	details, err := json.Marshal(c.Details)
	if err != nil {
		return err
	}
	return s.write(ctx, "write to the audit log", func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlAddCall, c.ID, micros(c.At), c.Who, c.Token, c.Role, c.Address, c.Operation, string(details), c.Reason, c.ID)
		if err != nil || c.Status == 0 {
			return err
		}
		return w.endCall(ctx, c.ID, c.Status, c.Code, c.At)
	})
}

// EndCall writes down what came of a call.
func (s *Store) EndCall(ctx context.Context, id string, status int, code string, at time.Time) error {
	return s.write(ctx, "write to the audit log", func(ctx context.Context, w *writer) error { return w.endCall(ctx, id, status, code, at) })
}

func (w *writer) endCall(ctx context.Context, id string, status int, code string, at time.Time) error {
	_, err := w.exec(ctx, sqlEndCall, micros(at), status, code, id)
	return err
}

// CallFilter chooses calls. Empty fields match all.
type CallFilter struct {
	Who, Operation string
	// Since and Until are when the call began: not before Since, and before Until.
	Since, Until time.Time
	// Refused chooses those that were not let in, or were wrong: whose status is 4xx.
	Refused bool
	After   string
	Limit   int
}

// Calls returns a page of the audit log, the newest first, and the cursor of the next page, "" after the last.
func (s *Store) Calls(ctx context.Context, f CallFilter) (list []Call, next string, err error) {
	after, err := cursorOf(f.After)
	if err != nil {
		return nil, "", err
	}
	limit := pageOf(f.Limit)
	var query strings.Builder
	query.WriteString(sqlCalls)
	var args []any
	where := func(text string, value any, set bool) {
		if set {
			query.WriteString(text)
			args = append(args, value)
		}
	}
	where(" AND audit.n < ?", after, after > 0)
	where(" AND who = ?", f.Who, f.Who != "")
	where(" AND operation = ?", f.Operation, f.Operation != "")
	where(" AND at >= ?", micros(f.Since), !f.Since.IsZero())
	where(" AND at < ?", micros(f.Until), !f.Until.IsZero())
	where(" AND status BETWEEN ? AND 499", 400, f.Refused)
	query.WriteString(sqlCallsEnd)
	return readPage(ctx, s, "read the audit log", limit, scanCall, query.String(), args...)
}

func scanCall(rows *sql.Rows) (c Call, n int64, err error) {
	var details []byte
	var at, ended int64
	if err := rows.Scan(&n, &c.ID, &at, &c.Who, &c.Token, &c.Role, &c.Address, &c.Operation, &details, &c.Reason, &ended, &c.Status, &c.Code); err != nil {
		return c, n, err
	}
	if err := json.Unmarshal(details, &c.Details); err != nil {
		return c, n, corrupt(err)
	}
	c.At, c.Ended = fromMicros(at), setTime(ended)
	return c, n, nil
}

// LeastAuditRetention bounds from below how long calls are kept.
const LeastAuditRetention = 24 * time.Hour

// TrimAudit forgets the calls from before this time, which must be a day ago at least.
func (s *Store) TrimAudit(ctx context.Context, before time.Time) error {
	if time.Since(before) < LeastAuditRetention {
		return syncline.Errorf(syncline.Fatal, "audit_retained", "the audit log keeps the last %s", LeastAuditRetention)
	}
	for n := int64(trimStep); n == trimStep; {
		err := s.write(ctx, "trim the audit log", func(ctx context.Context, w *writer) (err error) {
			if _, err = w.exec(ctx, sqlKeepCalls, micros(before), micros(before)); err != nil {
				return err
			}
			if _, err = w.exec(ctx, sqlTrimResults, micros(before), trimStep); err != nil {
				return err
			}
			n, err = w.exec(ctx, sqlTrimCalls, micros(before), trimStep)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
