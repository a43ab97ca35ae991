package ops

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"syncline/internal/trial"
)

// RuleInfo is a rule of the configuration at work.
type RuleInfo struct {
	ID      string   `json:"id"`
	From    []string `json:"from" nullable:"false" doc:"The entities that it reads: system/entity."`
	To      string   `json:"to" doc:"The object that it writes: system/object."`
	Steps   []string `json:"steps" nullable:"false" doc:"The kinds of the steps of its transform."`
	Tests   int      `json:"tests" doc:"How many tests stand beside it."`
	Enabled bool     `json:"enabled"`
}

// TryRequest is an event to try a rule on.
type TryRequest struct {
	Event  json.RawMessage `json:"event" doc:"As in a test of a rule: {op, before, after, types, priority, …}, or a record by itself, which is one that is created."`
	Entity string          `json:"entity,omitempty" doc:"The entity of the event, where the rule reads several; without it the first."`
}

func (a *api) registerRules(h huma.API) {
	add(h, op(h, "rules", "GET", "/v1/rules", "The rules of the configuration at work"), a.rules)
	add(h, op(h, "try-rule", "POST", "/v1/rules/{id}/try", "What a rule makes of an event, step by step; nothing is written"), a.tryRule)
}

func (a *api) rules(ctx context.Context, in *page) (*reply[List[RuleInfo]], error) {
	list, err := a.configs.Rules(ctx)
	return answerPage(ctx, a, list, in, func(r *RuleInfo) string { return r.ID }, err)
}

func (a *api) tryRule(ctx context.Context, in *struct {
	ID   string `path:"id"`
	Body TryRequest
}) (*reply[trial.View], error) {
	v, err := a.configs.TryRule(ctx, in.ID, in.Body)
	return answer(ctx, a, v, err)
}

// Rules returns the rules of the configuration at work.
func (c *Client) Rules(ctx context.Context) ([]RuleInfo, error) {
	return all[RuleInfo](ctx, c, "/v1/rules", nil, 0)
}

// TryRule tells what a rule makes of an event.
func (c *Client) TryRule(ctx context.Context, id string, r TryRequest) (trial.View, error) {
	return call[trial.View](ctx, c, "POST", "/v1/rules/"+url.PathEscape(id)+"/try", r)
}
