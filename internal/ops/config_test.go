package ops

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/problem"
)

// configs gives what it is told and remembers what it was asked.
type configs struct {
	plan  Plan
	err   error
	asked PlanRequest
}

func (c *configs) Config(context.Context) (RunningConfig, error) {
	return RunningConfig{AppliedConfig{Version: 3, Hash: "h", Applied: noon, By: "start"}, map[string]any{"rules": []any{}}}, c.err
}

func (c *configs) PlanConfig(_ context.Context, r PlanRequest) (Plan, error) {
	c.asked = r
	return c.plan, c.err
}

// TestConfigurationsReachTheEngine, and what is wrong with one comes back with its places.
func TestConfigurationsReachTheEngine(t *testing.T) {
	f := &configs{plan: Plan{Version: 3, Hash: "n", Settings: []PlannedField{}, Systems: []PlannedChange{}, Rules: []PlannedChange{},
		Sources: []PlannedEffect{}, Routes: []PlannedEffect{{Name: "r", Effect: EffectRestarts, Mixed: true, Data: []string{"d"}}}, Restart: []string{}}}
	c, err := NewClient(serveOn(t, Options{Engine: &fake{}, Store: openStore(t), Configs: f}))
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
	f.err = &InvalidConfig{[]problem.Field{{Location: "syncline.yaml:3:5", Message: "unknown_key: there is no key x"}}}
	_, err = c.PlanConfig(t.Context(), request)
	if p := problemIn(t, err, 422, "config_invalid", 3); !cmp.Equal(p.Fields, []problem.Field{{Location: "syncline.yaml:3:5", Message: "unknown_key: there is no key x"}}) {
		t.Errorf("fields = %+v", p.Fields)
	}
}
