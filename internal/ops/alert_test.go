package ops

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/alert"
	"syncline/internal/state"
)

func (f *fake) Alerts(context.Context) ([]ActiveAlert, error) { return f.alerting.active, f.err }

func (f *fake) AlertRules(context.Context) ([]AlertRule, error) { return f.alerting.rules, f.err }

func (f *fake) AlertChannels(context.Context) ([]AlertChannel, error) {
	return f.alerting.channels, f.err
}

func (f *fake) AlertHistory(_ context.Context, q state.ToldFilter) ([]state.Told, string, error) {
	f.alerting.query = q
	return f.alerting.told, "", f.err
}

func (f *fake) Silences(context.Context) ([]alert.Silence, error) { return f.alerting.silences, f.err }

func (f *fake) Silence(ctx context.Context, r SilenceRequest) (alert.Silence, error) {
	f.alerting.asked = append(f.alerting.asked, r)
	return alert.Silence{ID: "s1", Rule: r.Rule, Labels: r.Labels, Reason: r.Reason, By: CallerName(ctx), Since: noon, Until: noon.Add(time.Hour)}, f.err
}

func (f *fake) EndSilence(_ context.Context, id string) error {
	f.alerting.ended = append(f.alerting.ended, id)
	return f.err
}

func (f *fake) TestChannel(_ context.Context, name string) (ChannelTest, error) {
	return ChannelTest{Channel: name, Delivered: true, Answer: "ok"}, f.err
}

// fakeAlerts is what the fake says about alerts, and was asked.
type fakeAlerts struct {
	active   []ActiveAlert
	rules    []AlertRule
	channels []AlertChannel
	told     []state.Told
	silences []alert.Silence
	query    state.ToldFilter
	asked    []SilenceRequest
	ended    []string
}

// TestAlertsGoBothWays: what fires, the rules, the channels and the history are shown; silences and tests of channels are asked for.
func TestAlertsGoBothWays(t *testing.T) {
	want := fakeAlerts{
		active: []ActiveAlert{
			{Rule: "lag", Severity: alert.Warning, State: "firing", Labels: map[string]string{"route": "a"}, Values: map[string]float64{"lag_seconds": 512}, Since: noon, Told: &noon},
			{Rule: "lag", Severity: alert.Warning, State: "pending", Labels: map[string]string{"route": "b"}, Since: noon},
		},
		rules:    []AlertRule{{ID: "lag", BuiltIn: true, When: "lag_seconds > 300", Severity: alert.Warning, Channels: []string{"ops"}, Enabled: true, Firing: 1}},
		channels: []AlertChannel{{Name: "ops", Type: "dingtalk", Language: alert.Chinese, Waiting: 2, Attempts: 3, Error: &Fault{Code: "channel_rejected", Text: "no"}}},
		told: []state.Told{{Message: alert.Message{ID: "x", At: noon, What: alert.Firing, Rule: "lag", Severity: alert.Warning, Alerts: []alert.Alert{}, Channels: []string{"ops"}},
			Deliveries: []state.Delivery{{Channel: "ops", Status: state.DeliverySent, Attempts: 1, Updated: noon}}}},
		silences: []alert.Silence{{ID: "s1", Rule: "lag", Reason: "tonight", By: "ann", Since: noon, Until: noon.Add(time.Hour)}},
	}
	f := &fake{alerting: want}
	c, _ := serve(t, f)
	ctx := t.Context()
	active, err := c.Alerts(ctx)
	must(t, err)
	rules, err := c.AlertRules(ctx)
	must(t, err)
	channels, err := c.AlertChannels(ctx)
	must(t, err)
	told, err := c.AlertHistory(ctx, state.ToldFilter{Rule: "lag", Failed: true, Limit: 5})
	must(t, err)
	silences, err := c.Silences(ctx)
	must(t, err)
	got := fakeAlerts{active: active, rules: rules, channels: channels, told: told, silences: silences}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(fakeAlerts{}), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".message" || p.Last().String() == ".n" }, cmp.Ignore())); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if q := f.alerting.query; q.Rule != "lag" || !q.Failed {
		t.Errorf("the history was asked for %+v", q)
	}
	ask := SilenceRequest{Rule: "lag", Labels: map[string]string{"route": "a"}, ForSeconds: 3600, Reason: "tonight"}
	q, err := c.Silence(ctx, ask)
	must(t, err)
	if q.ID != "s1" || cmp.Diff([]SilenceRequest{ask}, f.alerting.asked) != "" {
		t.Errorf("silence = %+v, asked for %+v", q, f.alerting.asked)
	}
	must(t, c.EndSilence(ctx, "s1"))
	test, err := c.TestChannel(ctx, "ops")
	must(t, err)
	if !test.Delivered || test.Channel != "ops" || len(f.alerting.ended) != 1 {
		t.Errorf("test = %+v, ended %v", test, f.alerting.ended)
	}
	_, err = c.Silence(ctx, SilenceRequest{Rule: "lag", ForSeconds: 60})
	problemIn(t, err, 422, "request_invalid", 1)
	f.err = syncline.Errorf(syncline.Rejected, "channel_not_found", "there is no channel x: %w", state.ErrNotFound)
	_, err = c.TestChannel(ctx, "x")
	problemIn(t, err, 404, "channel_not_found", 1)
}
