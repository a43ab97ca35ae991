package ops

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"syncline"
	"syncline/internal/state"
)

// Pause holds routes back.
type Pause struct {
	Kind   string    `json:"kind" enum:"source,entity,rule,target"`
	Name   string    `json:"name" doc:"Of an entity SYSTEM/ENTITY."`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
	// Routes are those that it holds back.
	Routes []string `json:"routes" nullable:"false" doc:"The routes that it holds back."`
}

// PauseRequest names what is to be paused.
type PauseRequest struct {
	Sources  []string `json:"sources,omitempty" maxItems:"1000" doc:"Systems that are captured. Their logs go on collecting."`
	Entities []string `json:"entities,omitempty" maxItems:"1000" doc:"SYSTEM/ENTITY each."`
	Rules    []string `json:"rules,omitempty" maxItems:"1000"`
	Targets  []string `json:"targets,omitempty" maxItems:"1000" doc:"Systems that are written to."`
	Reason   string   `json:"reason" minLength:"1" maxLength:"500" doc:"Why; it is shown wherever the pause is."`
}

// Paused is the answer to a request for a pause.
type Paused struct {
	Items []Pause `json:"items" nullable:"false"`
	// Finishing are the routes that still have a batch in hand, after which they pause.
	Finishing []string `json:"finishing,omitempty" doc:"Routes that still have a batch in hand, after which they pause."`
}

type pauseQuery struct {
	Sources  []string `query:"source,explode"`
	Entities []string `query:"entity,explode" doc:"SYSTEM/ENTITY"`
	Rules    []string `query:"rule,explode"`
	Targets  []string `query:"target,explode"`
}

// pauses makes one list of what a request names.
func pauses(sources, entities, rules, targets []string, reason string) ([]state.Pause, error) {
	var list []state.Pause
	add := func(kind state.PauseKind, names []string) {
		for _, n := range names {
			list = append(list, state.Pause{Kind: kind, Name: n, Reason: reason})
		}
	}
	add(state.PauseSource, sources)
	add(state.PauseEntity, entities)
	add(state.PauseRule, rules)
	add(state.PauseTarget, targets)
	if len(list) == 0 {
		return nil, syncline.Errorf(syncline.Rejected, "pause_empty", "nothing is named").
			WithFix("name at least one source, entity, rule or target")
	}
	return list, nil
}

func (a *api) registerPauses(h huma.API) {
	add(h, op(h, "pauses", "GET", "/v1/pauses", "What is paused, why and since when"), a.pauses)
	pause := op(h, "pause", "POST", "/v1/pauses", "Hold back the routes of sources, entities, rules and targets; logs go on collecting")
	pause.DefaultStatus = http.StatusOK
	add(h, pause, a.pause)
	add(h, op(h, "unpause", "DELETE", "/v1/pauses", "Lift pauses; what was collected meanwhile is applied in order"), a.unpause)
}

func (a *api) pauses(ctx context.Context, in *page) (*reply[List[Pause]], error) {
	list, err := a.engine.Pauses(ctx)
	return answerPage(ctx, a, list, in, func(p *Pause) string { return p.Kind + " " + p.Name }, err)
}

func (a *api) pause(ctx context.Context, in *reply[PauseRequest]) (*reply[Paused], error) {
	b := in.Body
	list, err := pauses(b.Sources, b.Entities, b.Rules, b.Targets, b.Reason)
	if err != nil {
		return answer(ctx, a, Paused{}, err)
	}
	done, err := a.engine.Pause(ctx, list)
	done.Items = some(done.Items)
	return answer(ctx, a, done, err)
}

func (a *api) unpause(ctx context.Context, in *pauseQuery) (*struct{}, error) {
	list, err := pauses(in.Sources, in.Entities, in.Rules, in.Targets, "")
	if err == nil {
		err = a.engine.Unpause(ctx, list)
	}
	return a.done(ctx, err)
}
