package daemon

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/alert"
	"syncline/internal/state"
)

// TestAChannelThatHangsHoldsUpNoOther: each channel is told for itself.
func TestAChannelThatHangsHoldsUpNoOther(t *testing.T) {
	dir := t.TempDir()
	customersToTell(t, dir)
	dead, alive := newListener(t), newListener(t)
	dead.hang = true
	_, step, stop := openAlerting(t, alertConfig(t, dir, true, `
  dead: {type: webhook, url: "`+dead.URL+`", secret: "${ALERT_SECRET}", allow_private: true, timeout: 60s}
  alive: {type: webhook, url: "`+alive.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
`))
	step(2 * time.Minute)
	eventually(t, "the other channel has it", func() bool { return len(alive.texts()) == 1 })
	stop() // ends although a delivery hangs
}

// TestARefusedMessageIsGivenUp: after a few attempts, visibly; what comes behind it is delivered.
func TestARefusedMessageIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	customersToTell(t, dir)
	hook := newListener(t)
	hook.set(http.StatusForbidden)
	d := open(t, alertConfig(t, dir, true, `
  hook: {type: webhook, url: "`+hook.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
`))
	defer closeDaemon(t, d)
	ctx := t.Context()
	message := func(id string) alert.Message {
		return alert.Message{ID: id, At: time.Now(), What: alert.Firing, Rule: "disk", Severity: alert.Critical, Alerts: []alert.Alert{}, Channels: []string{"hook", "gone"}}
	}
	if err := d.state.SaveAlerts(ctx, nil, nil, []alert.Message{message("one"), message("two")}); err != nil {
		t.Fatal(err)
	}
	try := func() bool {
		t.Helper()
		list, err := d.state.Undelivered(ctx, "hook", 1)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d wait, %v", len(list), err)
		}
		list[0].NextTry = time.Time{}
		return d.deliverOne(ctx, "hook", &list[0])
	}
	for attempt := 1; attempt < deliverRefused; attempt++ {
		if try() {
			t.Fatalf("it was given up after %d attempts", attempt)
		}
	}
	if !try() {
		t.Fatalf("it was not given up after %d attempts", deliverRefused)
	}
	hook.set(http.StatusOK)
	d.deliver(ctx, "hook")
	d.deliver(ctx, "gone")
	if got := hook.texts(); len(got) != 1 || got[0] != "alert.firing disk two" {
		t.Errorf("the channel got %q", got)
	}
	told, _, err := d.state.Told(ctx, state.ToldFilter{Failed: true})
	if err != nil || len(told) != 2 || told[1].Deliveries[1].Code != "endpoint_rejected" || told[1].Deliveries[1].Attempts != deliverRefused ||
		told[0].Deliveries[0].Code != "channel_not_found" {
		t.Errorf("what was not delivered: %+v, %v", told, err)
	}
	for _, c := range []struct {
		err      error
		attempts int
		age      time.Duration
		want     bool
	}{
		{syncline.Errorf(syncline.Transient, "channel_timeout", "x"), deliverMost - 1, deliverFor - time.Second, false},
		{syncline.Errorf(syncline.Transient, "channel_timeout", "x"), deliverMost, -deliverFor, true},
		{syncline.Errorf(syncline.Transient, "channel_timeout", "x"), deliverRefused, deliverFor, true},
		{syncline.Errorf(syncline.Transient, "channel_timeout", "x"), deliverRefused - 1, deliverFor, false},
		{syncline.Errorf(syncline.Rejected, "channel_rejected", "x"), deliverRefused - 1, deliverFor, false},
	} {
		if got := hopeless(c.err, c.attempts, c.age); got != c.want {
			t.Errorf("hopeless(%v, %d, %s) = %v", c.err, c.attempts, c.age, got)
		}
	}
}

// TestAStoreThatFailsHoldsDeliveryUp: a message whose outcome cannot be noted is not sent again at once, nor is one that cannot be read
// looked for without a pause; who asks sees why. Once the store is well, everything is delivered.
func TestAStoreThatFailsHoldsDeliveryUp(t *testing.T) {
	for name, c := range map[string]struct {
		breaks, mends string
		answer, sent  int
	}{
		"delivered unnoted": {`CREATE TRIGGER full BEFORE UPDATE ON alert_delivery BEGIN SELECT RAISE(ABORT, 'full'); END`, `DROP TRIGGER full`, http.StatusOK, 2},
		"refused unnoted":   {`CREATE TRIGGER full BEFORE UPDATE ON alert_delivery BEGIN SELECT RAISE(ABORT, 'full'); END`, `DROP TRIGGER full`, http.StatusForbidden, 1},
		"unreadable":        {`UPDATE alert_message SET message = '{' || message`, `UPDATE alert_message SET message = substr(message, 2)`, http.StatusOK, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir, ctx := t.TempDir(), t.Context()
			customersToTell(t, dir)
			hook := newListener(t)
			hook.set(c.answer)
			d := open(t, alertConfig(t, dir, true, `
  hook: {type: webhook, url: "`+hook.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
`))
			defer closeDaemon(t, d)
			m := alert.Message{ID: "one", At: time.Now(), What: alert.Firing, Rule: "disk", Severity: alert.Critical, Alerts: []alert.Alert{}, Channels: []string{"hook"}}
			if err := d.state.SaveAlerts(ctx, nil, nil, []alert.Message{m}); err != nil {
				t.Fatal(err)
			}
			db := database(t, filepath.Join(dir, "state.db"))
			exec(t, db, c.breaks)
			before := time.Now()
			if d.deliver(ctx, "hook"); d.due("hook", 1, before) {
				t.Error("it is tried again at once")
			}
			if list := d.deliveryWarnings(); len(list) != 1 {
				t.Errorf("warnings = %q", list)
			}
			exec(t, db, c.mends)
			hook.set(http.StatusOK)
			d.deliver(ctx, "hook")
			if got := hook.texts(); len(got) != c.sent || len(d.deliveryWarnings()) != 0 {
				t.Errorf("the channel got %q, warnings %q", got, d.deliveryWarnings())
			}
		})
	}
}

// TestAChannelsErrorNamesItsCodeOnce: also where it was read from the state store after a restart.
func TestAChannelsErrorNamesItsCodeOnce(t *testing.T) {
	dir := t.TempDir()
	customersToTell(t, dir)
	d := open(t, alertConfig(t, dir, true, `
  hook: {type: webhook, url: "http://127.0.0.1:9/", secret: "${ALERT_SECRET}", allow_private: true}
`))
	defer closeDaemon(t, d)
	d.noteDelivery("hook", &state.Delivery{Status: state.DeliveryWaiting, Code: "endpoint_unreachable", Error: "endpoint_unreachable: reach it"}, nil)
	if list := d.deliveryWarnings(); len(list) != 1 || strings.Count(list[0], "endpoint_unreachable") != 1 {
		t.Errorf("warnings = %q", list)
	}
}

// TestAClockThatWasSetBackHoldsNoMessageUp: a wait that is longer than any is none.
func TestAClockThatWasSetBackHoldsNoMessageUp(t *testing.T) {
	now := time.Now()
	for next, want := range map[time.Time]bool{{}: false, now: false, now.Add(time.Second): true, now.Add(deliverHigh): true, now.AddDate(0, 1, 0): false} {
		if got := early(now, next); got != want {
			t.Errorf("early(now, now + %s) = %v", next.Sub(now), got)
		}
	}
}
