package daemon

import (
	"context"
	"maps"
	"slices"
	"sync"

	"syncline/internal/alert"
)

// signalPart reads the signals of one part of the daemon. It is asked every few seconds and has to be cheap.
type signalPart func(context.Context) ([]alert.Signal, error)

// signalParts are all of them, by the name that log messages have. What each gives is among alert.Kinds.
func (d *Daemon) signalParts() map[string]signalPart {
	return map[string]signalPart{
		"conflicts": d.conflictSignals,
		"health":    d.healthSignals,
		"schedules": d.scheduleSignals,
		"sources":   d.sourceSignals,
		"verify":    d.verifySignals,
	}
}

// readings remembers what each part has said last.
type readings struct {
	mu   sync.Mutex
	last map[string][]alert.Signal
	// failing are the parts that could not be read the last time.
	failing map[string]bool
}

// signals are what is known now. A part that cannot be read says what it said last: that something is not known is no reason to call
// an alert over.
func (d *Daemon) signals(ctx context.Context) []alert.Signal {
	d.readings.mu.Lock()
	defer d.readings.mu.Unlock()
	parts := d.signalParts()
	var all []alert.Signal
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		list, err := parts[name](ctx)
		if d.readings.last == nil {
			d.readings.last, d.readings.failing = make(map[string][]alert.Signal), make(map[string]bool)
		}
		if err != nil {
			if !d.readings.failing[name] && ctx.Err() == nil {
				d.log.Warn("signals cannot be read: those read last are used", "part", name, "err", err)
			}
			list = d.readings.last[name]
		}
		d.readings.failing[name] = err != nil
		d.readings.last[name] = list
		all = append(all, list...)
	}
	return all
}

// conflictSignals count, rule by rule, what waits for a person.
func (d *Daemon) conflictSignals(ctx context.Context) ([]alert.Signal, error) {
	open, err := d.state.OpenConflicts(ctx)
	if err != nil {
		return nil, err
	}
	waiting := make(map[string]int64)
	for _, r := range d.set().config.Rules {
		waiting[r.ID] = 0
	}
	for part, count := range open {
		waiting[wholeRule(part)] += count
	}
	list := make([]alert.Signal, 0, len(waiting))
	for _, rule := range slices.Sorted(maps.Keys(waiting)) {
		list = append(list, alert.Signal{Name: "conflicts_waiting", Labels: map[string]string{"rule": rule}, Value: float64(waiting[rule])})
	}
	return list, nil
}
