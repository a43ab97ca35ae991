package ops

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"syncline/internal/trial"
)

// ExplainQuery asks what became of one record of a source.
type ExplainQuery struct {
	Entity string `query:"entity" json:"entity" required:"true" minLength:"3" doc:"The system and its entity, as in crm/customer."`
	Key    string `query:"key" json:"key" required:"true" doc:"The key at the source: percent-encoded parts joined by commas."`
	Since  string `query:"since" json:"since,omitempty" maxLength:"20" doc:"How far back the log is read, as in 1h. Without it: to its beginning."`
	Limit  int    `query:"limit" json:"limit,omitempty" minimum:"1" maximum:"100" default:"20" doc:"How many of the record's newest events are told."`
}

// ExplainDraft asks the same of rules that are not deployed.
type ExplainDraft struct {
	ExplainQuery
	Files []ConfigFile `json:"files" minItems:"1" maxItems:"100" doc:"A configuration with the rules; the systems are those of the server where it names none."`
}

// Explanation is what the log has of one record, and what each rule that reads it makes of that.
type Explanation struct {
	Source string `json:"source"`
	Entity string `json:"entity"`
	Key    string `json:"key" doc:"The key at the source."`
	Looked Looked `json:"looked"`
	// Events are the newest of the record, in the order of the log.
	Events []KeyEvent `json:"events" nullable:"false" doc:"The newest events of the record, in the order of the log."`
	// More: the log may have older ones.
	More  bool            `json:"more,omitempty" doc:"There are older events than those that are told."`
	Rules []ExplainedRule `json:"rules" nullable:"false" doc:"The rules that read the entity."`
}

// Looked is what of a log was looked at: from its end backwards.
type Looked struct {
	From    uint64  `json:"from" doc:"The first entry of the log that was looked at; 0 where the log is empty."`
	To      uint64  `json:"to"`
	Entries uint64  `json:"entries"`
	Seconds float64 `json:"seconds" doc:"How long that took."`
	// Oldest is when the first of them was appended.
	Oldest *time.Time `json:"oldest,omitempty" doc:"When the first of those entries was appended."`
	// Whole: nothing that was asked for was left out.
	Whole bool `json:"whole" doc:"Whether that is all that was asked for, as far as the log has it."`
}

// KeyEvent is one event of a record.
type KeyEvent struct {
	Seq      uint64    `json:"seq"`
	Index    int       `json:"index"`
	Appended time.Time `json:"appended" doc:"When the log took it."`
	// Run is set where the record was read and did not change.
	Run    string   `json:"run,omitempty" doc:"The run that read the record; none for a change."`
	Routes []string `json:"routes,omitempty" doc:"The only routes that the run is for."`
	// Moved is what the record's key became, or was.
	Moved  string  `json:"moved,omitempty" doc:"The other key, where the event gave the record another one."`
	Record *Record `json:"record"`
}

// ExplainedRule is what one rule makes of the record.
type ExplainedRule struct {
	Rule   string `json:"rule"`
	Route  string `json:"route"`
	Target string `json:"target"`
	// State is the route's; "draft" for a rule that is not deployed.
	State string `json:"state" doc:"The route's state; draft for a rule that is not deployed."`
	Error *Fault `json:"error,omitempty" doc:"Why the route does not work."`
	Note  string `json:"note,omitempty" doc:"What cannot be told, and why."`
	// Events are in the order of the explanation's.
	Events []RuleEvent `json:"events" nullable:"false" doc:"What the rule makes of each event, in their order."`
	// Records are what the target should hold by the newest event, and what it holds.
	Records []HeldRecord `json:"records" nullable:"false" doc:"What the target should hold by the newest event, beside what it holds now."`
	// Between is set for a two-way rule that works.
	Between *TwoSides `json:"between,omitempty" doc:"Of a two-way rule: what both sides hold now, and what would be decided about that."`
}

// TwoSides is what both sides of a two-way rule hold for a key, and what the rule would make of that now.
type TwoSides struct {
	Sides    []HeldSide `json:"sides" nullable:"false" minItems:"2" maxItems:"2"`
	Decision string     `json:"decision" enum:"nothing,write,conflict" doc:"nothing: both sides are as they are to be. write: Writes have to get Result. conflict: a person has to decide."`
	Writes   []string   `json:"writes,omitempty" nullable:"false" doc:"The systems that hold something else than Result."`
	// Fields are called as the first side calls them.
	Fields  []string        `json:"fields,omitempty" nullable:"false" doc:"Of a conflict: the fields that both sides changed and nobody has decided about, by their names on the first side; none where one side deleted the record."`
	Decided []string        `json:"decided,omitempty" nullable:"false" doc:"The fields that both sides changed and the rule's policy decides."`
	Result  json.RawMessage `json:"result,omitempty" doc:"What both sides are to hold, by the first side's names; absent where that is no record, and of a conflict."`
}

// HeldSide is what one side holds.
type HeldSide struct {
	Side string `json:"side" doc:"The system and its entity."`
	Key  string `json:"key" doc:"The key on this side."`
	// Held is by the side's own names; columns that only one side has are left out.
	Held   json.RawMessage `json:"held,omitempty" doc:"The record, by the side's own names and without columns that only this side has; absent where there is none."`
	Shadow *SideShadow     `json:"shadow,omitempty" doc:"What the rule remembers of the key on this side."`
}

// SideShadow is what a two-way rule remembers on a side beside the record. Records are by the first side's names.
type SideShadow struct {
	Round uint64 `json:"round" doc:"Grows with each shadow of the key: that of the higher round says what was agreed on."`
	// Result is what both sides were to hold, Seen what the other side held when that was decided.
	Result json.RawMessage `json:"result,omitempty" doc:"What both sides were to hold; absent where that was no record."`
	Seen   json.RawMessage `json:"seen,omitempty" doc:"What the other side held then; absent where it had no record."`
}

// RuleEvent is what a rule makes of one event, and what became of that.
type RuleEvent struct {
	Seq   uint64 `json:"seq"`
	Index int    `json:"index"`
	// Does is what the event does to a record under the rule.
	Does string `json:"does" enum:"writes,removes,keeps,nothing" doc:"What such an event does to a record of the target: an update writes it, a deletion removes it; keeps notes what became of it (on: soft), nothing leaves it as it is."`
	// Trial is absent where the rule is not tried, for the reason of Note.
	Trial *trial.View `json:"trial,omitempty"`
	Note  string      `json:"note,omitempty"`
	// Task is what became of it; absent of a draft, and where nothing is known.
	Task     *Task     `json:"task,omitempty" doc:"What became of it, without the record."`
	Conflict *Conflict `json:"conflict,omitempty" doc:"What was decided where the target disagreed."`
}

// HeldRecord is a record as it should be, beside what the target holds.
type HeldRecord struct {
	Key string `json:"key" doc:"The key at the target."`
	// By is the event that decides.
	Seq   uint64 `json:"seq" doc:"The event that decides what should be there."`
	Index int    `json:"index"`
	State string `json:"state" enum:"equal,differs,missing,extra,absent,unknown" doc:"missing: it should be there. extra: it should not. absent: it is not there, and should not."`
	Note  string `json:"note,omitempty" doc:"Why it is unknown, or what has to be known beside."`
	// Wanted and Held are the records; absent where there is none.
	Wanted json.RawMessage `json:"wanted,omitempty"`
	Held   json.RawMessage `json:"held,omitempty"`
	Fields []HeldField     `json:"fields,omitempty" nullable:"false" doc:"Those that differ."`
}

// HeldField is a field that differs.
type HeldField struct {
	Name   string          `json:"name"`
	Wanted json.RawMessage `json:"wanted"`
	Held   json.RawMessage `json:"held"`
}

func (a *api) registerExplain(h huma.API) {
	add(h, op(h, "explain", "GET", "/v1/explain", "What became of one record, event by event and rule by rule"), a.explain)
	draft := op(h, "explain-draft", "POST", "/v1/explain", "What rules that are not deployed would make of one record; nothing is touched")
	draft.MaxBodyBytes, draft.DefaultStatus = maxConfig, http.StatusOK
	add(h, draft, a.explainDraft)
}

func (a *api) explain(ctx context.Context, in *ExplainQuery) (*reply[Explanation], error) {
	found, err := a.engine.Explain(ctx, ExplainDraft{ExplainQuery: *in})
	return answer(ctx, a, found, err)
}

func (a *api) explainDraft(ctx context.Context, in *reply[ExplainDraft]) (*reply[Explanation], error) {
	found, err := a.engine.Explain(ctx, in.Body)
	return answer(ctx, a, found, err)
}

// Explain tells what became of one record; of a draft, what its rules would make of it.
func (c *Client) Explain(ctx context.Context, r ExplainDraft) (Explanation, error) {
	if len(r.Files) > 0 {
		return call[Explanation](ctx, c.patient(), http.MethodPost, "/v1/explain", r)
	}
	q := url.Values{"entity": {r.Entity}, "key": {r.Key}}
	if r.Since != "" {
		q.Set("since", r.Since)
	}
	if r.Limit > 0 {
		q.Set("limit", strconv.Itoa(r.Limit))
	}
	return call[Explanation](ctx, c.patient(), http.MethodGet, "/v1/explain?"+q.Encode(), nil)
}
