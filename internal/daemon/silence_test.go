package daemon

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// waitingFor is the delivery that waits for the channel, put off.
func waitingFor(t *testing.T, d *Daemon, channel string, until time.Time) *state.Delivery {
	t.Helper()
	list, err := d.state.Undelivered(t.Context(), channel, 1)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d messages wait, %v", len(list), err)
	}
	list[0].NextTry = until
	return &list[0].Delivery
}

// TestSilencesAndTests: a silence keeps messages back until it is ended, and outlives a restart; a test is sent at once and tells the answer.
func TestSilencesAndTests(t *testing.T) {
	dir := t.TempDir()
	customersToTell(t, dir)
	hook := newListener(t)
	c := alertConfig(t, dir, true, `
  hook: {type: webhook, url: "`+hook.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
`)
	d, step, stop := openAlerting(t, c)
	e := engine{d}
	ctx := t.Context()
	for _, wrong := range []ops.SilenceRequest{
		{Rule: "disk"}, {Rule: "disk", ForSeconds: 1e12}, {Rule: "disk", Until: &d.started}, {Labels: map[string]string{"colour": "red"}, ForSeconds: 60},
	} {
		if _, err := e.Silence(ctx, wrong); syncline.CodeOf(err) != "silence_invalid" {
			t.Errorf("Silence(%+v) = %v, want silence_invalid", wrong, err)
		}
	}
	if _, err := e.Silence(ctx, ops.SilenceRequest{Rule: "dsk", ForSeconds: 60}); syncline.CodeOf(err) != "alert_not_found" {
		t.Errorf("a silence of an alert that there is not: %v", err)
	}
	q, err := e.Silence(ctx, ops.SilenceRequest{Rule: "disk", ForSeconds: 3600, Reason: "tonight"})
	if err != nil {
		t.Fatal(err)
	}
	step(2 * time.Minute)
	if list, err := e.Alerts(ctx); err != nil || len(list) != 1 || list[0].Silence != q.ID || list[0].Told != nil {
		t.Errorf("Alerts = %+v, %v", list, err)
	}
	stop()
	d, step, _ = openAlerting(t, c)
	e = engine{d}
	step(2 * time.Minute)
	if told, _, err := e.AlertHistory(ctx, state.ToldFilter{}); err != nil || len(told) > 0 {
		t.Errorf("in a silence was told: %+v, %v", told, err)
	}
	test, err := e.TestChannel(ctx, "hook")
	if err != nil || !test.Delivered || test.Answer == "" {
		t.Errorf("test = %+v, %v", test, err)
	}
	if err := e.EndSilence(ctx, q.ID); err != nil {
		t.Fatal(err)
	}
	step(3 * time.Minute)
	eventually(t, "it is told after the silence", func() bool { return len(hook.texts()) == 2 })
	if got := hook.texts(); !strings.HasPrefix(got[0], "alert.test test test-") || !strings.HasPrefix(got[1], "alert.firing disk ") {
		t.Errorf("the channel got %q", got)
	}
	hook.set(http.StatusForbidden)
	c = alertConfig(t, dir, false, `
  hook: {type: webhook, url: "`+hook.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
`)
	set, err := d.newSet(ctx, c, d.set())
	if err != nil {
		t.Fatal(err)
	}
	d.current.Store(set)
	step(5 * time.Minute)
	eventually(t, "the end of it is refused", func() bool { return len(d.deliveryWarnings()) == 1 })
	if err := d.state.EndDelivery(ctx, waitingFor(t, d, "hook", time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	hook.set(http.StatusOK)
	if test, err := e.TestChannel(ctx, "hook"); err != nil || !test.Delivered {
		t.Errorf("test = %+v, %v", test, err)
	}
	eventually(t, "what waits is tried at once where a test was delivered", func() bool { return len(hook.texts()) == 4 })
	hook.set(http.StatusForbidden)
	if test, err := e.TestChannel(ctx, "hook"); err != nil || test.Delivered || test.Error.Code != "endpoint_rejected" {
		t.Errorf("a test that is refused = %+v, %v", test, err)
	}
	if _, err := e.TestChannel(ctx, "hok"); syncline.CodeOf(err) != "channel_not_found" {
		t.Errorf("a test of no channel: %v", err)
	}
	rules, err := e.AlertRules(ctx)
	if err != nil || len(rules) < 9 || rules[0].ID != "lag" || !rules[0].BuiltIn || !rules[0].Enabled {
		t.Errorf("AlertRules = %+v, %v", rules, err)
	}
	eventually(t, "the channel is shown with what it was sent", func() bool {
		channels, err := e.AlertChannels(ctx)
		return err == nil && len(channels) == 1 && channels[0].Type == "webhook" && channels[0].LastSent != nil && channels[0].Waiting == 0
	})
}
