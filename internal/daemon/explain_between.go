package daemon

import (
	"context"
	"encoding/json"

	"syncline"
	"syncline/internal/between"
	"syncline/internal/config"
	"syncline/internal/document"
	"syncline/internal/ops"
)

// explainSides tells what both sides of a two-way rule hold, and what would be decided about that. Events say when to look and nothing
// else, so that they are not tried.
func (e engine) explainSides(ctx context.Context, one *ops.ExplainedRule, r *config.Rule, works *route, x *ops.Explanation, draft bool) {
	switch {
	case draft:
		one.Note = "the rule is not deployed: its sides are not read"
		return
	case works == nil || works.pair == nil:
		one.Note = "the route does not work: its sides are not read"
		return
	}
	near := sideOf(r, x.Source)
	parts, err := syncline.Key(x.Key).Parts()
	if err != nil {
		one.Note = err.Error()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, holdingTime)
	defer cancel()
	look, err := works.pair.Look(ctx, near, parts)
	if err != nil {
		one.Note = "what both sides hold cannot be read: " + err.Error()
		return
	}
	one.Between = shownLook(&look, r)
	other := 1 - near
	one.Note = "`syncline explain " + r.From[other].String() + "/" + string(look.Keys[other]) + "` tells of the events of the other side"
}

func shownLook(l *between.Look, r *config.Rule) *ops.TwoSides {
	show := func(s *syncline.Schema, rec between.Record) json.RawMessage {
		if rec == nil {
			return nil
		}
		return document.Show(syncline.Row{Schema: s, Values: rec})
	}
	names := func(columns []int) (list []string) {
		for _, i := range columns {
			list = append(list, l.Schemas[0].Columns[i].Name)
		}
		return list
	}
	t := &ops.TwoSides{Decision: "nothing", Fields: names(l.Verdict.Fields), Decided: names(l.Verdict.Decided), Result: show(l.Schemas[0], l.Verdict.Result)}
	for n, held := range l.Held {
		side := ops.HeldSide{Side: r.From[n].String(), Key: string(l.Keys[n]), Held: show(l.Schemas[n], held.Record)}
		if s := held.Shadow; s != nil {
			side.Shadow = &ops.SideShadow{Round: s.Round, Result: show(l.Schemas[0], s.Result), Seen: show(l.Schemas[0], s.Seen)}
		}
		t.Sides = append(t.Sides, side)
		if l.Verdict.Write[n] {
			t.Decision, t.Writes = "write", append(t.Writes, r.From[n].System)
		}
	}
	if l.Verdict.Conflict {
		t.Decision, t.Result, t.Writes = "conflict", nil, nil
	}
	return t
}
