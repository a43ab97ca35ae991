package daemon

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/alert"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// maxSilence bounds how long nothing is told.
const maxSilence = 366 * 24 * time.Hour

// Alerts are those that fire and those that are about to.
func (e engine) Alerts(context.Context) ([]ops.ActiveAlert, error) {
	specs := make(map[string]*alert.Spec)
	for _, s := range e.set().config.Alerts {
		specs[s.Name] = s
	}
	now := time.Now()
	e.alerting.mu.Lock()
	defer e.alerting.mu.Unlock()
	var list []ops.ActiveAlert
	for _, i := range e.alerting.instances {
		spec := specs[i.Rule]
		if spec == nil || !i.Active() {
			continue
		}
		one := ops.ActiveAlert{Rule: i.Rule, Severity: spec.Severity, State: i.State, Labels: i.Labels, Values: i.Values, Since: i.Since, Flapping: i.Flapping()}
		if i.Told && !i.ToldAt.IsZero() {
			one.Told = &i.ToldAt
		}
		if q := alert.Covering(e.alerting.silences, i.Rule, i.Labels, now); q != nil {
			one.Silence = q.ID
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b ops.ActiveAlert) int {
		return cmp.Or(cmp.Compare(a.State, b.State), alert.BySeverity(a.Severity, b.Severity), cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(alert.LabelText(a.Labels), alert.LabelText(b.Labels)))
	})
	return list, nil
}

// AlertRules are the rules of the configuration.
func (e engine) AlertRules(context.Context) ([]ops.AlertRule, error) {
	e.alerting.mu.Lock()
	defer e.alerting.mu.Unlock()
	var list []ops.AlertRule
	for _, s := range e.set().config.Alerts {
		r := ops.AlertRule{ID: s.Name, BuiltIn: alert.IsBuiltIn(s.Name), When: s.When, ForSeconds: s.For.Seconds(), Severity: s.Severity,
			RepeatSeconds: s.Repeat.Seconds(), Channels: append([]string{}, s.Send...), Enabled: s.Enabled, Error: fault(e.alerting.failed[s.Name])}
		for _, i := range e.alerting.instances {
			if i.Rule == s.Name && i.Firing() {
				r.Firing++
			}
		}
		list = append(list, r)
	}
	return list, nil
}

// AlertChannels are the channels of the configuration, and how delivery goes.
func (e engine) AlertChannels(ctx context.Context) ([]ops.AlertChannel, error) {
	counts, err := e.state.UndeliveredCounts(ctx)
	if err != nil {
		return nil, err
	}
	e.alerting.mu.Lock()
	defer e.alerting.mu.Unlock()
	var list []ops.AlertChannel
	for _, c := range e.set().config.Channels {
		one := ops.AlertChannel{Name: c.Name, Type: string(c.Type), Language: c.Language, Waiting: counts[c.Name]}
		if st := e.alerting.channels[c.Name]; st != nil {
			one.Error = fault(st.err)
			if one.Waiting > 0 {
				one.Attempts = st.attempts
				one.NextTry = orNone(st.nextTry)
			}
			one.LastSent = orNone(st.sent)
		}
		list = append(list, one)
	}
	return list, nil
}

func orNone(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// deliveryWarnings tell of channels that do not take what they are sent.
func (d *Daemon) deliveryWarnings() (list []string) {
	d.alerting.mu.Lock()
	defer d.alerting.mu.Unlock()
	for _, c := range d.set().config.Channels {
		if st := d.alerting.channels[c.Name]; st != nil && st.err != nil {
			list = append(list, fmt.Sprintf("alerts are not delivered through channel %s, %d wait: %v; `syncline alerts test %s` tries it", c.Name, st.waiting, st.err, c.Name))
		}
	}
	return list
}

// AlertHistory returns what was told.
func (e engine) AlertHistory(ctx context.Context, f state.ToldFilter) ([]state.Told, string, error) {
	return e.state.Told(ctx, f)
}

// Silences are those that have not ended.
func (e engine) Silences(ctx context.Context) ([]alert.Silence, error) {
	return e.state.Silences(ctx, time.Now())
}

// Silence keeps messages back, durably first.
func (e engine) Silence(ctx context.Context, r ops.SilenceRequest) (alert.Silence, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	q := alert.Silence{ID: uuid.NewString()[:8], Rule: r.Rule, Labels: r.Labels, Reason: r.Reason, By: ops.CallerName(ctx), Since: now}
	switch {
	case r.Until != nil && r.ForSeconds > 0, r.Until == nil && r.ForSeconds <= 0:
		return q, silenceInvalid("it has to end: at a time, or after one", "give one of until and for_seconds")
	case r.Until != nil:
		q.Until = r.Until.UTC()
	default:
		q.Until = now.Add(time.Duration(min(r.ForSeconds, 2*maxSilence.Seconds()) * float64(time.Second)))
	}
	if !q.Until.After(now) || q.Until.Sub(now) > maxSilence {
		return q, silenceInvalid("it ends in the past, or later than in a year", "name a time within a year")
	}
	var rules []string
	for _, s := range e.set().config.Alerts {
		rules = append(rules, s.Name)
	}
	if q.Rule != "" && !slices.Contains(rules, q.Rule) {
		return q, noSuch("alert_not_found", "alert", q.Rule, rules)
	}
	for name := range q.Labels {
		if !slices.Contains(alert.Labels(), name) {
			return q, silenceInvalid(fmt.Sprintf("no alert has the label %q", name), fmt.Sprintf("there are %v", alert.Labels()))
		}
	}
	if err := e.state.AddSilence(ctx, &q); err != nil {
		return q, err
	}
	e.log.Info("alerts are silent", "silence", q.ID, "alert", q.Rule, "labels", alert.LabelText(q.Labels), "until", q.Until, "reason", q.Reason, "by", q.By)
	return q, e.heedSilences(ctx)
}

func silenceInvalid(what, fix string) error {
	return syncline.Errorf(syncline.Rejected, "silence_invalid", "the silence cannot be made: %s", what).WithFix("%s", fix)
}

// EndSilence ends one.
func (e engine) EndSilence(ctx context.Context, id string) error {
	if err := e.state.EndSilence(ctx, id, time.Now()); err != nil {
		return err
	}
	e.log.Info("a silence was ended", "silence", id, "by", ops.CallerName(ctx))
	return e.heedSilences(ctx)
}

// heedSilences takes up what the state store has, and has the rules look at once.
func (e engine) heedSilences(ctx context.Context) error {
	list, err := e.state.Silences(ctx, time.Now())
	if err != nil {
		return err
	}
	e.alerting.mu.Lock()
	e.alerting.silences = list
	e.alerting.mu.Unlock()
	note(e.alerting.look)
	return nil
}

// TestChannel sends a message now, beside what waits. It is not repeated, and not in the history; the audit log has it.
func (e engine) TestChannel(ctx context.Context, name string) (ops.ChannelTest, error) {
	ch := e.set().channels[name]
	if ch == nil {
		return ops.ChannelTest{}, noSuchChannel(e.set().config, name)
	}
	now := time.Now()
	m := alert.Message{ID: "test-" + uuid.NewString(), At: now, What: alert.Test, Rule: "test", Severity: alert.Info, Alerts: []alert.Alert{}, Channels: []string{name}}
	answer, err := ch.send(ctx, &m)
	if ctx.Err() != nil {
		return ops.ChannelTest{}, ctx.Err()
	}
	if err == nil {
		e.retryChannel(name)
	}
	e.log.Info("a channel was tried", "channel", name, "by", ops.CallerName(ctx), "err", err)
	return ops.ChannelTest{Channel: name, Delivered: err == nil, Answer: answer, Error: fault(err), Seconds: time.Since(now).Seconds()}, nil
}
