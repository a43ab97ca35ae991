package state

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/alert"
)

// TestAlertsAndTheirMessages: what is remembered and what is to be told outlive a restart together; a delivery ends once; the history has
// both, newest first.
func TestAlertsAndTheirMessages(t *testing.T) {
	s := openNew(t)
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	instance := alert.Instance{Rule: "lag", Labels: map[string]string{"route": "a"}, State: "firing", Since: now, Told: true, ToldAt: now, Changes: []time.Time{now}}
	message := func(n int, channels ...string) alert.Message {
		return alert.Message{ID: fmt.Sprintf("lag-firing-%d", n), At: now, What: alert.Firing, Rule: "lag", Severity: alert.Warning, Alerts: []alert.Alert{}, Channels: channels}
	}
	err := s.SaveAlerts(ctx, map[string]alert.Instance{instance.Key(): instance, "b": {Rule: "b"}}, nil, []alert.Message{message(1, "ops", "mail"), message(2, "ops"), message(3)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SaveAlerts(ctx, nil, []string{"b"}, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Alerts(ctx); err != nil || cmp.Diff(map[string]alert.Instance{instance.Key(): instance}, got) != "" {
		t.Errorf("Alerts = %v, %v", got, err)
	}
	list, err := s.Undelivered(ctx, "ops", 10)
	if err != nil || len(list) != 2 || list[0].Message.ID != "lag-firing-1" || list[1].Message.ID != "lag-firing-2" {
		t.Fatalf("Undelivered = %+v, %v", list, err)
	}
	sent := list[0].Delivery
	sent.Status, sent.Attempts, sent.Updated = DeliverySent, 1, now
	if err := s.EndDelivery(ctx, &sent); err != nil {
		t.Fatal(err)
	}
	again := list[0].Delivery
	again.Status, again.Error = DeliveryFailed, "late"
	if err := s.EndDelivery(ctx, &again); err != nil {
		t.Fatal(err)
	}
	failed := list[1].Delivery
	failed.Status, failed.Attempts, failed.Code, failed.Error = DeliveryFailed, 5, "channel_rejected", "no"
	if err := s.EndDelivery(ctx, &failed); err != nil {
		t.Fatal(err)
	}
	if got, err := s.UndeliveredCounts(ctx); err != nil || len(got) != 1 || got["mail"] != 1 {
		t.Errorf("UndeliveredCounts = %v, %v", got, err)
	}
	page, next, err := s.Told(ctx, ToldFilter{Limit: 2})
	if err != nil || len(page) != 2 || page[0].ID != "lag-firing-3" || len(page[0].Deliveries) != 0 || page[1].Deliveries[0].Error != "no" || next == "" {
		t.Fatalf("Told = %+v, %q, %v", page, next, err)
	}
	page, next, err = s.Told(ctx, ToldFilter{Limit: 2, After: next})
	if err != nil || len(page) != 1 || len(page[0].Deliveries) != 2 || page[0].Deliveries[1].Status != DeliverySent || next != "" {
		t.Fatalf("the second page: %+v, %q, %v", page, next, err)
	}
	if page, _, err := s.Told(ctx, ToldFilter{Failed: true, Rule: "lag"}); err != nil || len(page) != 1 || page[0].ID != "lag-firing-2" {
		t.Errorf("what failed: %+v, %v", page, err)
	}
	if err := s.TrimAlerts(ctx, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if page, _, err := s.Told(ctx, ToldFilter{}); err != nil || len(page) != 0 {
		t.Errorf("after a trim: %+v, %v", page, err)
	}
	if got, err := s.UndeliveredCounts(ctx); err != nil || len(got) != 0 {
		t.Errorf("after a trim there wait %v, %v", got, err)
	}
}

// TestAChannelThatTakesNothing: what waits for it is bounded, the newest stay, and what was given up is seen.
func TestAChannelThatTakesNothing(t *testing.T) {
	s := openNew(t)
	var list []alert.Message
	for n := range 1100 {
		list = append(list, alert.Message{ID: fmt.Sprint(n), At: time.Now(), What: alert.Firing, Rule: "lag", Alerts: []alert.Alert{}, Channels: []string{"ops"}})
	}
	if err := s.SaveAlerts(t.Context(), nil, nil, list); err != nil {
		t.Fatal(err)
	}
	waiting, err := s.Undelivered(t.Context(), "ops", 2000)
	if err != nil || len(waiting) != 1000 || waiting[0].Message.ID != "100" {
		t.Errorf("%d messages wait, %v", len(waiting), err)
	}
	if gone, _, err := s.Told(t.Context(), ToldFilter{Failed: true, Limit: 1000}); err != nil || len(gone) != 100 || gone[0].Deliveries[0].Code != "alert_dropped" {
		t.Errorf("%d messages were given up, %v", len(gone), err)
	}
}

// TestSilences: they are there until they end, by themselves or by hand, once.
func TestSilences(t *testing.T) {
	s := openNew(t)
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	q := alert.Silence{ID: "one", Rule: "lag", Labels: map[string]string{"route": "a"}, Reason: "tonight's move", By: "ann", Since: now, Until: now.Add(time.Hour)}
	other := q
	other.ID, other.Labels = "two", nil
	for _, q := range []alert.Silence{q, other} {
		if err := s.AddSilence(ctx, &q); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.EndSilence(ctx, "two", now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.EndSilence(ctx, "two", now.Add(2*time.Minute)); !errors.Is(err, ErrNotFound) {
		t.Errorf("ended twice: %v", err)
	}
	if got, err := s.Silences(ctx, now.Add(time.Minute)); err != nil || cmp.Diff([]alert.Silence{q}, got) != "" {
		t.Errorf("Silences = %+v, %v", got, err)
	}
	if got, err := s.Silences(ctx, now.Add(time.Hour)); err != nil || len(got) != 0 {
		t.Errorf("after their end: %+v, %v", got, err)
	}
}
