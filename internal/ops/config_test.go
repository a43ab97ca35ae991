package ops

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/problem"
	"syncline/internal/statetest"
	"syncline/internal/trial"
)

// configs gives what it is told and remembers what it was asked.
type configs struct {
	plan  Plan
	err   error
	asked PlanRequest

	applied ApplyRequest
}

func (c *configs) Config(context.Context) (RunningConfig, error) {
	return RunningConfig{AppliedConfig{Version: 3, Hash: "h", Applied: noon, By: "start"}, map[string]any{"rules": []any{}}}, c.err
}

func (c *configs) PlanConfig(_ context.Context, r PlanRequest) (Plan, error) {
	c.asked = r
	return c.plan, c.err
}

func (c *configs) ApplyConfig(_ context.Context, r ApplyRequest) (Applied, error) {
	c.applied = r
	return Applied{Plan: c.plan}, c.err
}

func (c *configs) Rules(context.Context) ([]RuleInfo, error) {
	return []RuleInfo{{ID: "r", From: []string{"crm/lead"}, To: "dw/lead", Steps: []string{"rename"}, Enabled: true}}, c.err
}

func (c *configs) TryRule(_ context.Context, id string, r TryRequest) (trial.View, error) {
	return trial.View{Matched: true, Conditions: []trial.ConditionView{}, Input: r.Event, Steps: []trial.StepView{}, Records: []json.RawMessage{}, Result: id + r.Entity}, c.err
}

func TestRulesReachTheEngine(t *testing.T) {
	c, err := NewClient(serveOn(t, Options{Engine: &fake{}, Store: statetest.Open(t), Configs: &configs{}}))
	must(t, err)
	if list, err := c.Rules(t.Context()); err != nil || len(list) != 1 || list[0].ID != "r" {
		t.Errorf("Rules = %+v, %v", list, err)
	}
	if v, err := c.TryRule(t.Context(), "r", TryRequest{Event: json.RawMessage(`{"id":1}`), Entity: "x"}); err != nil || v.Result != "rx" || string(v.Input) != `{"id":1}` {
		t.Errorf("TryRule = %+v, %v", v, err)
	}
}

// TestConfigurationsReachTheEngine, and what is wrong with one comes back with its places.
func TestConfigurationsReachTheEngine(t *testing.T) {
	f := &configs{plan: Plan{Version: 3, Hash: "n", Settings: []PlannedField{}, Systems: []PlannedChange{}, Rules: []PlannedChange{},
		Sources: []PlannedEffect{}, Routes: []PlannedEffect{{Name: "r", Effect: EffectRestarts, Mixed: true, Data: []string{"d"}}}, Restart: []string{}}}
	c, err := NewClient(serveOn(t, Options{Engine: &fake{}, Store: statetest.Open(t), Configs: f}))
	must(t, err)
	running, err := c.Config(t.Context())
	want := RunningConfig{AppliedConfig{Version: 3, Hash: "h", Applied: noon, By: "start"}, map[string]any{"rules": []any{}}}
	if diff := cmp.Diff(want, running); err != nil || diff != "" {
		t.Errorf("Config: %v (-want +got):\n%s", err, diff)
	}
	request := PlanRequest{Files: []ConfigFile{{"syncline.yaml", "version: 1\n"}}}
	p, err := c.PlanConfig(t.Context(), request)
	if diff := cmp.Diff(f.plan, p); err != nil || diff != "" {
		t.Errorf("PlanConfig: %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(request, f.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	apply := ApplyRequest{Files: request.Files, Version: 3}
	done, err := c.ApplyConfig(t.Context(), apply)
	if diff := cmp.Diff(Applied{Plan: f.plan}, done); err != nil || diff != "" || !cmp.Equal(apply, f.applied) {
		t.Errorf("ApplyConfig: %v, asked %+v (-want +got):\n%s", err, f.applied, diff)
	}
	for code, err := range map[string]error{"config_stale": syncline.Errorf(syncline.Rejected, "config_stale", ""), "config_busy": syncline.Errorf(syncline.Rejected, "config_busy", "")} {
		f.err = err
		_, err := c.ApplyConfig(t.Context(), apply)
		problemIn(t, err, 409, code, 1)
	}
	f.err = &CheckFailed{[]problem.Field{{Location: "system dw", Message: "database_unavailable: it is not there"}}}
	_, err = c.ApplyConfig(t.Context(), apply)
	if p := problemIn(t, err, 422, "check_failed", 4); len(p.Fields) != 1 {
		t.Errorf("fields = %+v", p.Fields)
	}
	f.err = &InvalidConfig{[]problem.Field{{Location: "syncline.yaml:3:5", Message: "unknown_key: there is no key x"}}}
	_, err = c.PlanConfig(t.Context(), request)
	if p := problemIn(t, err, 422, "config_invalid", 3); !cmp.Equal(p.Fields, []problem.Field{{Location: "syncline.yaml:3:5", Message: "unknown_key: there is no key x"}}) {
		t.Errorf("fields = %+v", p.Fields)
	}
}
