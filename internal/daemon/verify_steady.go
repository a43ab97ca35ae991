package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"syncline/internal/backoff"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// Rules whose verify section says so are compared all the time, slowly: one verification for each, which begins again when it is over.

const (
	// steadyPause is the least time from the beginning of one round to that of the next: a small table is not compared every second.
	steadyPause = time.Minute
	// steadyLook is how often it is looked whether the configuration asks for others.
	steadyLook = time.Second
)

// steadyID names the verification of a rule that is compared all the time.
func steadyID(rule string) string { return "continuous-" + rule }

// keepComparing compares the rules that are to be compared all the time, until ctx ends. It follows the configuration.
func (d *Daemon) keepComparing(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	type worker struct {
		how  config.Verify
		stop context.CancelFunc
		done chan struct{} // closed when it has ended
	}
	working := make(map[string]*worker)
	for first := true; first || sleep(ctx, steadyLook); first = false {
		wanted := make(map[string]config.Verify)
		for _, r := range d.set().config.Rules {
			if steady(r) {
				wanted[r.ID] = *r.Verify
			}
		}
		for id, w := range working {
			if how, ok := wanted[id]; !ok || !config.Same(how, w.how) {
				w.stop()
				<-w.done
				delete(working, id)
				d.endSteady(ctx, id)
			}
		}
		for id, how := range wanted {
			if working[id] != nil {
				continue
			}
			one, stop := context.WithCancel(ctx)
			w := &worker{how: how, stop: stop, done: make(chan struct{})}
			working[id] = w
			workers.Go(func() {
				defer close(w.done)
				defer stop()
				d.compareSteadily(one, id, how)
			})
		}
	}
}

// steady reports whether the rule is to be compared all the time.
func steady(r *config.Rule) bool {
	return r != nil && r.Enabled && r.Verify != nil && r.Verify.Rate > 0
}

// endSteady notes that a rule is not compared all the time any more, or otherwise.
func (d *Daemon) endSteady(ctx context.Context, rule string) {
	v, err := d.state.Verification(ctx, steadyID(rule))
	if err == nil && v.Status == state.VerificationRunning {
		v.Status = state.VerificationCancelled
		err = d.state.SaveVerification(ctx, v, nil)
	}
	if err != nil && !errors.Is(err, state.ErrNotFound) && ctx.Err() == nil {
		d.log.Warn("the end of a verification cannot be noted", "verification", steadyID(rule), "err", err)
	}
}

// compareSteadily goes round and round: where the process ended in the middle of a round, it goes on there.
func (d *Daemon) compareSteadily(ctx context.Context, rule string, how config.Verify) {
	id := steadyID(rule)
	defer d.verifier.forget(id)
	failures := 0
	for ctx.Err() == nil {
		begun := time.Now()
		job, err := d.steadyRound(ctx, id, rule, how)
		if err == nil {
			d.verifier.hold(job)
			d.carryOutVerification(ctx, job)
			if !slices.ContainsFunc(job.progress(), func(p verify.Part) bool { return p.Phase == verify.PhaseFailed }) {
				failures = 0
				sleep(ctx, max(steadyPause-time.Since(begun), 0))
				continue
			}
		}
		failures++
		if err != nil && ctx.Err() == nil {
			d.log.Warn("a rule is not compared", "rule", rule, "err", err)
		}
		sleep(ctx, backoff.Delay(time.Second, time.Minute, failures))
	}
}

// steadyRound is the round that is under way, or a new one.
func (d *Daemon) steadyRound(ctx context.Context, id, rule string, how config.Verify) (*verification, error) {
	spec := verify.Spec{Mode: verify.Continuous, Rules: []string{rule}, Rate: how.Rate, Repair: how.Repair, MaxRepair: how.MaxRepair}
	if spec.Repair == "" {
		spec.Repair = verify.RepairOff
	}
	parts, err := d.verified(spec.Rules)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	was, err := d.state.Verification(ctx, id)
	if err == nil {
		if job, err := reopened(&was); err == nil && sameParts(job.parts, parts) {
			if was.Status == state.VerificationRunning {
				job.spec = spec
				return job, nil
			}
			for i := range parts {
				parts[i].Recent = job.parts[i].Recent
			}
		}
	} else if !errors.Is(err, state.ErrNotFound) {
		return nil, err
	}
	progress, err := json.Marshal(parts)
	if err != nil {
		return nil, err
	}
	v := state.Verification{ID: id, Status: state.VerificationRunning, Spec: text, Progress: progress}
	if err := d.state.BeginAgain(ctx, v); err != nil {
		return nil, err
	}
	return &verification{id: id, spec: spec, created: time.Now(), parts: parts, cancelled: make(chan struct{})}, nil
}

// sameParts reports whether the same is compared.
func sameParts(a, b []verify.Part) bool {
	return slices.EqualFunc(a, b, func(x, y verify.Part) bool {
		return x.Rule == y.Rule && x.Route == y.Route && x.Entity == y.Entity && x.Object == y.Object
	})
}

// hold has the verification shown as it is while it works.
func (s *verifier) hold(job *verification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[job.id] = job
}

// noteVerified notes what the verification of a part came to, if it compared everything. One that could tell nothing, because the route does
// not work, is none. Where it could not tell of some records, as many of those that differed before count on: they may be the same.
func (d *Daemon) noteVerified(ctx context.Context, job *verification, p *verify.Part) {
	if job.spec.Mode != verify.Full && job.spec.Mode != verify.Continuous || p.Phase != verify.PhaseDone || p.Unsettled > 0 && p.Settled() == 0 {
		return
	}
	v := state.Verified{Rule: p.Rule, Verification: job.id, Records: p.Tally.Source, Differences: p.Differences(), Unsettled: p.Unsettled, At: time.Now()}
	known, err := d.state.Verified(ctx)
	if at := slices.IndexFunc(known, func(k state.Verified) bool { return k.Rule == p.Rule }); at >= 0 {
		v.Differences += min(max(known[at].Differences-v.Differences, 0), v.Unsettled)
	}
	if err == nil {
		err = d.state.SetVerified(ctx, v)
	}
	if err != nil && ctx.Err() == nil {
		d.log.Warn("what a verification came to cannot be noted", "verification", job.id, "rule", p.Rule, "err", err)
	}
}

// verifiedOf tells of the rules of a route what is known of their targets.
func (d *Daemon) verifiedOf(ctx context.Context, r *route) ([]ops.Verified, error) {
	known, err := d.state.Verified(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var list []ops.Verified
	for i := range r.compiled {
		rule := r.compiled[i].ID
		one := ops.Verified{Rule: rule}
		found := false
		for _, v := range known {
			if v.Rule == rule {
				one.At, one.Records, one.Differences, one.Unsettled, one.Verification, found = &v.At, v.Records, v.Differences, v.Unsettled, v.Verification, true
			}
		}
		if job := d.verifier.job(steadyID(wholeRule(rule))); job != nil {
			for _, p := range job.progress() {
				if p.Rule != rule {
					continue
				}
				one.Lately, one.LatelySeconds, found = p.RecentRecords(now), verify.Lately.Seconds(), true
				one.Records = max(one.Records, p.Tally.Source)
				one.Differences, one.Unsettled = max(one.Differences, p.Differences()), max(one.Unsettled, p.Unsettled)
				if one.Verification == "" {
					one.Verification = job.id
				}
				if one.Records == 0 && p.Estimate > 0 {
					one.Records = p.Estimate
				}
			}
		}
		if one.Records > 0 {
			one.Share = min(float64(one.Lately)/float64(one.Records), 1)
		}
		if found {
			list = append(list, one)
		}
	}
	return list, nil
}
