package daemon

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"syncline/internal/alert"
	"syncline/internal/config"
	"syncline/internal/failpoint"
)

const (
	// alertEvery is how often rules look at the signals.
	alertEvery = 10 * time.Second
	// alertSettle is how long after the start nothing is called over: what is wrong shows only once the routes have begun.
	alertSettle = time.Minute
	// keepAlerts is how long the history is kept.
	keepAlerts = 30 * 24 * time.Hour
)

// alerting is what is known of alerts.
type alerting struct {
	look chan struct{} // buffered by one: whoever has changed something leaves a note, watchAlerts takes it
	mail chan struct{} // buffered by one: watchAlerts leaves a note that there is something to tell, deliverAlerts takes it

	mu        sync.Mutex
	instances map[string]alert.Instance
	silences  []alert.Silence // a copy of the state store's
	failed    map[string]error
	channels  map[string]*channelState
}

// saved are the instances as the state store has them. It belongs to the goroutine of watchAlerts.
type saved map[string]alert.Instance

// note leaves a note in a channel that has room for one.
func note(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// alertRules compiles the rules of a configuration.
func alertRules(c *config.Config) ([]*alert.Rule, error) {
	var list []*alert.Rule
	for _, s := range c.Alerts {
		r, err := alert.Compile(*s)
		if err != nil {
			return nil, fmt.Errorf("alert %s: %w", s.Name, err)
		}
		list = append(list, r)
	}
	return list, nil
}

// loadAlerts reads what is remembered.
func (d *Daemon) loadAlerts(ctx context.Context) (err error) {
	d.alerting.look, d.alerting.mail = make(chan struct{}, 1), make(chan struct{}, 1)
	d.alerting.channels = make(map[string]*channelState)
	if d.alerting.instances, err = d.state.Alerts(ctx); err != nil {
		return err
	}
	d.alerting.silences, err = d.state.Silences(ctx, time.Now())
	return err
}

// watchAlerts has the rules look at the signals, until ctx ends. Where there are no rules and nothing is remembered it does nothing.
func (d *Daemon) watchAlerts(ctx context.Context) {
	tick := time.NewTicker(alertEvery)
	defer tick.Stop()
	d.alerting.mu.Lock()
	known := saved(maps.Clone(d.alerting.instances))
	d.alerting.mu.Unlock()
	var trimmed time.Time
	note(d.alerting.mail) // what waits since before the start
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-d.alerting.look:
		}
		if err := d.stepAlerts(ctx, known, time.Now()); err != nil && ctx.Err() == nil {
			d.log.Warn("alerts cannot be kept: they are looked at again", "err", err)
		}
		if time.Since(trimmed) >= auditEvery {
			trimmed = time.Now()
			if err := d.state.TrimAlerts(ctx, trimmed.Add(-keepAlerts)); err != nil && ctx.Err() == nil {
				d.log.Warn("the history of alerts cannot be trimmed", "err", err)
			}
		}
	}
}

// stepAlerts looks once. After an error nothing has happened: what is remembered is as it was, and nothing is told.
func (d *Daemon) stepAlerts(ctx context.Context, known saved, now time.Time) error {
	set := d.set()
	d.alerting.mu.Lock()
	was := maps.Clone(d.alerting.instances)
	silences := slices.Clone(d.alerting.silences)
	d.alerting.mu.Unlock()
	if len(set.alerts) == 0 && len(was) == 0 {
		return nil
	}
	out := alert.Step(was, alert.Input{Rules: set.alerts, Silences: silences, Signals: d.signals(ctx), Now: now,
		Settling: now.Sub(d.started) < alertSettle && now.After(d.started)})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	changed, gone := known.changes(out.Instances)
	if len(changed) > 0 || len(gone) > 0 || len(out.Messages) > 0 {
		failpoint.Hit("daemon.alert.save")
		if err := d.state.SaveAlerts(ctx, changed, gone, out.Messages); err != nil {
			return err
		}
		failpoint.Hit("daemon.alert.saved")
	}
	known.take(changed, gone)
	d.alerting.mu.Lock()
	for rule, err := range out.Failed {
		if d.alerting.failed[rule] == nil {
			d.log.Warn("an alert cannot be evaluated: it stays as it is", "alert", rule, "err", err)
		}
	}
	d.alerting.instances, d.alerting.failed = out.Instances, out.Failed
	d.alerting.mu.Unlock()
	for i := range out.Messages {
		d.logMessage(&out.Messages[i])
	}
	if len(out.Messages) > 0 {
		note(d.alerting.mail)
	}
	return nil
}

func (d *Daemon) logMessage(m *alert.Message) {
	about := make([]string, len(m.Alerts))
	for i := range m.Alerts {
		about[i] = cmp.Or(alert.LabelText(m.Alerts[i].Labels), "the whole")
	}
	args := []any{"alert", m.Rule, "severity", m.Severity, "about", about, "firing", m.Firing, "channels", m.Channels}
	switch m.What {
	case alert.Firing, alert.Reminder:
		d.log.Warn("alert is "+m.What, args...)
	default:
		d.log.Info("alert is "+m.What, args...)
	}
}

// changes are what differs from what is saved. The values of signals change all the time, and are no change.
func (s saved) changes(now map[string]alert.Instance) (changed map[string]alert.Instance, gone []string) {
	changed = make(map[string]alert.Instance)
	for key, i := range now {
		was, ok := s[key]
		same := i
		same.Values = was.Values
		if !ok || !reflect.DeepEqual(was, same) {
			changed[key] = i
		}
	}
	for key := range s {
		if _, ok := now[key]; !ok {
			gone = append(gone, key)
		}
	}
	return changed, gone
}

func (s saved) take(changed map[string]alert.Instance, gone []string) {
	maps.Copy(s, changed)
	for _, key := range gone {
		delete(s, key)
	}
}
