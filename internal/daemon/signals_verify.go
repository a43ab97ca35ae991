package daemon

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"syncline/internal/alert"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// verifiedRules remembers what the last whole verification of each rule came to, and which verifications were looked at.
type verifiedRules struct {
	mu    sync.Mutex
	seen  map[string]bool // by id; those of the pages that were read last
	rules map[string]verifiedRule
}

type verifiedRule struct {
	differences int64
	ended       time.Time
}

// verifySignals are how many records differ by the last verification of each rule that looked at all of them, and how old that is.
func (d *Daemon) verifySignals(ctx context.Context) ([]alert.Signal, error) {
	d.verifiedRules.mu.Lock()
	defer d.verifiedRules.mu.Unlock()
	if err := d.readVerified(ctx, &d.verifiedRules); err != nil {
		return nil, err
	}
	var list []alert.Signal
	for _, name := range slices.Sorted(maps.Keys(d.verifiedRules.rules)) {
		if d.set().config.Rule(name) == nil {
			continue
		}
		r, labels := d.verifiedRules.rules[name], map[string]string{"rule": name}
		list = append(list, alert.Signal{Name: "verify_differences", Labels: labels, Value: float64(r.differences)},
			alert.Signal{Name: "verify_age_seconds", Labels: labels, Value: max(time.Since(r.ended).Seconds(), 0)})
	}
	return list, nil
}

// readVerified takes up verifications that are over since it was called last; the first time, all that are kept.
func (d *Daemon) readVerified(ctx context.Context, known *verifiedRules) error {
	const page = 20
	seen := make(map[string]bool)
	var news []state.Verification
	for after, more := "", true; more; {
		list, next, err := d.state.Verifications(ctx, after, page)
		if err != nil {
			return err
		}
		more = next != "" && known.seen == nil
		after = next
		for i := range list {
			if list[i].Status == state.VerificationRunning {
				continue
			}
			seen[list[i].ID] = true
			if !known.seen[list[i].ID] {
				news = append(news, list[i])
			}
		}
	}
	for _, v := range slices.Backward(news) { // the oldest first
		if err := known.take(&v); err != nil {
			return err
		}
	}
	known.seen = seen
	return nil
}

// take takes up one verification. One of some records only says nothing of a rule, nor does a part that failed.
func (known *verifiedRules) take(v *state.Verification) error {
	var spec verify.Spec
	var parts []verify.Part
	if err := json.Unmarshal(v.Spec, &spec); err != nil {
		return err
	}
	if err := json.Unmarshal(v.Progress, &parts); err != nil {
		return err
	}
	if spec.Mode != verify.Full && spec.Mode != verify.Continuous {
		return nil
	}
	now := make(map[string]verifiedRule)
	failed := make(map[string]bool)
	for i := range parts {
		p := &parts[i]
		if p.Phase != verify.PhaseDone || p.Ended == nil {
			failed[p.Rule] = true
			continue
		}
		one := now[p.Rule]
		one.differences += p.Differences()
		if p.Ended.After(one.ended) {
			one.ended = *p.Ended
		}
		now[p.Rule] = one
	}
	if known.rules == nil {
		known.rules = make(map[string]verifiedRule)
	}
	for rule, one := range now {
		if !failed[rule] && !one.ended.Before(known.rules[rule].ended) {
			known.rules[rule] = one
		}
	}
	return nil
}
