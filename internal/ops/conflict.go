package ops

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"syncline"
	"syncline/internal/state"
)

// Conflict is a disagreement between an event and what its target has, as the API shows it.
type Conflict struct {
	ID       string   `json:"id" doc:"The id of the task."`
	Route    string   `json:"route"`
	Rule     string   `json:"rule"`
	Source   string   `json:"source"`
	Entity   string   `json:"entity"`
	Object   string   `json:"object"`
	Key      string   `json:"key" doc:"The key at the target."`
	Detector string   `json:"detector" doc:"What found it: version, data or business."`
	Business string   `json:"business,omitempty" doc:"The name of the business rule."`
	Fields   []string `json:"fields" nullable:"false" doc:"The fields that the two disagree about."`
	Strategy string   `json:"strategy"`
	Action   string   `json:"action" doc:"What became of it: overwrite, skip or merge; review where a person has to decide; superseded, cancelled or another outcome of its task where nobody did."`
	Note     string   `json:"note,omitempty" doc:"What the decision had to do without, or why it is asked again."`
	// Open: a person has to decide.
	Open bool `json:"open" doc:"A person has to decide."`
	// Deciding is what somebody has decided and the route has not carried out yet.
	Deciding string    `json:"deciding,omitempty" doc:"What somebody has decided, while it is not carried out yet."`
	By       string    `json:"by,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	// State identifies what the target held; a decision can name it.
	State string `json:"state" doc:"Identifies what the target held: a decision that names it is refused where that has changed."`
	// The records are only in the answer for one conflict: lists carry no values.
	Base   json.RawMessage `json:"base,omitempty" doc:"What the source had said before."`
	Ours   json.RawMessage `json:"ours,omitempty" doc:"What the event says; absent where it removes the record."`
	Theirs json.RawMessage `json:"theirs,omitempty" doc:"What the target had; absent where it had no record."`
	Result json.RawMessage `json:"result,omitempty" doc:"What the target has now, or of a dry run would have."`
	Behind int             `json:"behind,omitempty" doc:"How many later tasks of its key wait behind it."`
}

// ConflictOf is a stored conflict with its records.
func ConflictOf(c *state.Conflict) Conflict {
	out := Conflict{ID: c.Task, Route: c.Route, Rule: c.Rule, Source: c.Source, Entity: c.Entity, Object: c.Object, Key: string(c.Key), Detector: c.Detector,
		Business: c.Business, Fields: some(c.Fields), Strategy: c.Strategy, Action: c.Action, Note: c.Note, Open: c.Open, By: c.By, Reason: c.Reason,
		Created: c.Created, Updated: c.Updated, State: hex.EncodeToString(c.Held), Base: c.Base, Ours: c.Ours, Theirs: c.Theirs, Result: c.Result}
	if c.Choice != nil {
		out.Deciding, out.By, out.Reason = c.Choice.Action, c.Choice.By, c.Choice.Reason
	}
	return out
}

// Decision is what a person makes of a conflict.
type Decision struct {
	Action string          `json:"action" enum:"overwrite,skip,merge,leave" doc:"overwrite: what the event says stands. skip: what the target has stands. merge: values. leave: nothing yet."`
	Values json.RawMessage `json:"values,omitempty" doc:"Of a merge: an object of the fields to write; the others stay as the target has them."`
	// State is that of the conflict as the person saw it; "" = as it is.
	State  string `json:"state,omitempty" doc:"The state of the conflict as it was seen: where the target has changed since, the decision is refused."`
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why; it is kept with the conflict."`
	DryRun bool   `json:"dry_run,omitempty" doc:"Only tell what the target would have."`
}

// MaxDecided is how many conflicts are decided at once.
const MaxDecided = 10_000

// ManyConflicts chooses open conflicts that are alike, and decides them all.
type ManyConflicts struct {
	Rule   string          `json:"rule" minLength:"1"`
	Field  string          `json:"field" minLength:"1" doc:"A field that the two disagree about, and nothing else."`
	Ours   json.RawMessage `json:"ours,omitempty" doc:"Only where the event has this value of the field."`
	Theirs json.RawMessage `json:"theirs,omitempty" doc:"Only where the target has this value of the field."`
	Action string          `json:"action" enum:"overwrite,skip,merge"`
	Values json.RawMessage `json:"values,omitempty" doc:"Of a merge: an object of the fields to write to each; the others stay as the target has them."`
	Reason string          `json:"reason" minLength:"1" maxLength:"500" doc:"Why; it is kept with the conflicts."`
	DryRun bool            `json:"dry_run,omitempty" doc:"Only tell which ones, and whether each takes the values."`
}

// DecidedConflict is what a decision came to for one of several conflicts.
type DecidedConflict struct {
	ID       string `json:"id"`
	Key      string `json:"key"`
	Action   string `json:"action" doc:"What became of it; review where it still waits for a decision. Of a dry run, what would."`
	Deciding string `json:"deciding,omitempty" doc:"What is decided, while it is not carried out yet."`
	Code     string `json:"code,omitempty" doc:"Why it was not decided as was asked."`
	Error    string `json:"error,omitempty"`
}

// Refuse notes why the conflict was not decided.
func (c *DecidedConflict) Refuse(err error) { c.Code, c.Error = syncline.CodeOf(err), err.Error() }

type conflictQuery struct {
	After  string `query:"after" doc:"The next of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	All    bool   `query:"all" doc:"Also those that are decided."`
	Rule   string `query:"rule"`
	Entity string `query:"entity"`
	Object string `query:"object"`
	Key    string `query:"key"`
	Field  string `query:"field" doc:"Only those about this field."`
}

type decide struct {
	ID   string `path:"id"`
	Body Decision
}

func (a *api) registerConflicts(h huma.API) {
	add(h, op(h, "conflicts", "GET", "/v1/conflicts", "The conflicts that a person has to decide, without their records"), a.conflicts)
	add(h, op(h, "conflict", "GET", "/v1/conflicts/{id}", "One conflict with its records"), a.conflict)
	one := op(h, "resolve-conflict", "POST", "/v1/conflicts/{id}/resolve", "Decide a conflict")
	one.DefaultStatus = http.StatusOK
	add(h, one, a.resolve)
	many := op(h, "resolve-conflicts", "POST", "/v1/conflicts/resolve", "Decide all conflicts that are alike")
	many.DefaultStatus = http.StatusOK
	add(h, many, a.resolveAll)
}

func (a *api) conflicts(ctx context.Context, in *conflictQuery) (*reply[List[Conflict]], error) {
	f := state.ConflictFilter{Rule: in.Rule, Entity: in.Entity, Object: in.Object, Key: in.Key, Field: in.Field, After: in.After, Limit: in.Limit}
	if open := true; !in.All {
		f.Open = &open
	}
	found, next, err := a.store.Conflicts(ctx, f)
	if err == nil && len(found) == 0 { // a name that is wrong has none either
		_, err = a.engine.ChosenRoutes(ctx, Choice{Rule: in.Rule, Entity: in.Entity})
	}
	list := List[Conflict]{Items: []Conflict{}, Next: next}
	for i := range found {
		c := ConflictOf(&found[i])
		c.Base, c.Ours, c.Theirs, c.Result = nil, nil, nil, nil
		list.Items = append(list.Items, c)
	}
	return answer(ctx, a, list, err)
}

func (a *api) conflict(ctx context.Context, in *taskID) (*reply[Conflict], error) {
	found, err := a.store.Conflict(ctx, in.ID)
	if err != nil {
		return answer(ctx, a, Conflict{}, err)
	}
	c := ConflictOf(&found)
	if x, err := a.store.Exception(ctx, found.Task); err == nil && c.Open {
		c.Behind, err = a.store.Behind(ctx, &x)
		if err != nil {
			return answer(ctx, a, c, err)
		}
	}
	return answer(ctx, a, c, nil)
}

func (a *api) resolve(ctx context.Context, in *decide) (*reply[Conflict], error) {
	c, err := a.engine.Resolve(ctx, in.ID, in.Body)
	return answer(ctx, a, c, err)
}

func (a *api) resolveAll(ctx context.Context, in *reply[ManyConflicts]) (*reply[List[DecidedConflict]], error) {
	list, err := a.engine.ResolveAll(ctx, in.Body)
	return answer(ctx, a, List[DecidedConflict]{Items: some(list)}, err)
}

// ConflictQuery is what Client.Conflicts asks for.
type ConflictQuery struct {
	All                       bool
	Rule, Entity, Object, Key string
	Field                     string
}

// Conflicts returns conflicts without their records, the oldest first.
func (c *Client) Conflicts(ctx context.Context, query ConflictQuery) ([]Conflict, error) {
	q := url.Values{}
	for name, value := range map[string]string{"rule": query.Rule, "entity": query.Entity, "object": query.Object, "key": query.Key, "field": query.Field} {
		if value != "" {
			q.Set(name, value)
		}
	}
	q.Set("all", strconv.FormatBool(query.All))
	return all[Conflict](ctx, c, "/v1/conflicts", q, 0)
}

// Conflict returns one with its records.
func (c *Client) Conflict(ctx context.Context, id string) (Conflict, error) {
	return call[Conflict](ctx, c, "GET", "/v1/conflicts/"+url.PathEscape(id), nil)
}

// Resolve decides a conflict and returns what came of it.
func (c *Client) Resolve(ctx context.Context, id string, d Decision) (Conflict, error) {
	return call[Conflict](ctx, c, "POST", "/v1/conflicts/"+url.PathEscape(id)+"/resolve", d)
}

// ResolveAll decides all conflicts that are alike.
func (c *Client) ResolveAll(ctx context.Context, m ManyConflicts) ([]DecidedConflict, error) {
	list, err := call[List[DecidedConflict]](ctx, c, "POST", "/v1/conflicts/resolve", m)
	return list.Items, err
}
