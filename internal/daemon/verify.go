package daemon

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// StartVerification takes note of a verification, and has it carried out.
func (e engine) StartVerification(ctx context.Context, q ops.VerificationRequest) (ops.Verification, error) {
	spec := verify.Spec{Mode: verify.Full, Rules: q.Rules, Sample: q.Sample, Rate: q.Rate, Repair: verify.Repair(q.Repair)}
	if spec.Repair == "" {
		spec.Repair = verify.RepairOff
	}
	if q.MaxRepair != "" {
		limit, err := verify.ParseLimit(q.MaxRepair)
		if err != nil {
			return ops.Verification{}, err
		}
		spec.MaxRepair = &limit
	}
	switch {
	case len(q.Keys) > 0 && q.Sample > 0:
		return ops.Verification{}, syncline.Errorf(syncline.Rejected, "request_invalid", "a sample of named records").WithFix("give either a sample or keys")
	case len(q.Keys) > 0:
		spec.Mode = verify.Named
		known := make(map[syncline.Key]bool) // one that is named twice is one record
		for _, k := range q.Keys {
			key, err := canonicalKey("the verification", k)
			if err != nil {
				return ops.Verification{}, err
			}
			if !known[key] {
				known[key], spec.Keys = true, append(spec.Keys, key)
			}
		}
	case q.Sample > 0:
		spec.Mode = verify.Sampled
	}
	job, err := e.startVerification(ctx, spec)
	if err != nil {
		return ops.Verification{}, err
	}
	return e.Verification(ctx, job.id)
}

// startVerification is what the API and the continuous mode begin a verification with.
func (d *Daemon) startVerification(ctx context.Context, spec verify.Spec) (*verification, error) {
	return d.startVerificationAs(ctx, "verify-"+uuid.NewString(), spec)
}

// startVerificationAs does the same under an id of the caller's, so that it finds it again.
func (d *Daemon) startVerificationAs(ctx context.Context, id string, spec verify.Spec) (*verification, error) {
	parts, err := d.verified(spec.Rules)
	if err != nil {
		return nil, err
	}
	job := &verification{id: id, spec: spec, created: time.Now(), parts: parts, cancelled: make(chan struct{})}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	progress, err := json.Marshal(parts)
	if err != nil {
		return nil, err
	}
	if err := d.state.AddVerification(ctx, state.Verification{ID: job.id, Status: state.VerificationRunning, Spec: text, Progress: progress}); err != nil {
		return nil, err
	}
	if err := d.verifier.add(job); err != nil {
		_ = d.state.SaveVerification(ctx, state.Verification{ID: job.id, Status: state.VerificationFailed, Progress: progress}, nil) // it never began
		return nil, err
	}
	return job, nil
}

// verified are the parts of a verification of the named rules, of all that work without any name.
func (d *Daemon) verified(rules []string) ([]verify.Part, error) {
	set := d.set()
	for _, name := range rules {
		r := set.config.Rule(name)
		switch {
		case r == nil:
			return nil, noSuch("rule_not_found", "rule", name, names{set}.rules())
		case !r.Enabled:
			return nil, syncline.Errorf(syncline.Rejected, "rule_disabled", "rule %s is disabled", name).WithFix("enable it, and apply the configuration")
		}
	}
	var parts []verify.Part
	for _, rt := range set.routes {
		for i := range rt.compiled {
			c := &rt.compiled[i]
			if len(rules) > 0 && !slices.ContainsFunc(rules, func(name string) bool { return ops.OfRule(name, c.ID) }) {
				continue
			}
			if rt.pair != nil && rt.source.system.Name != rt.rules[0].From[0].System {
				continue // one comparison is of both sides
			}
			parts = append(parts, verify.Part{Rule: c.ID, Route: rt.id, Entity: config.Ref{System: rt.source.system.Name, Name: c.Entity}.String(),
				Object: config.Ref{System: rt.target.Name, Name: c.Object}.String(), Phase: verify.PhaseWaiting, Estimate: -1})
		}
	}
	if len(parts) == 0 {
		return nil, syncline.Errorf(syncline.Rejected, "nothing_to_verify", "no rule is at work").WithFix("enable a rule, and apply the configuration")
	}
	return parts, nil
}

// shown is a verification as it is now, which is newer than what is saved of it where it works.
func (e engine) shownVerification(v *state.Verification) (ops.Verification, error) {
	var spec verify.Spec
	if err := json.Unmarshal(v.Spec, &spec); err != nil {
		return ops.Verification{}, err
	}
	var parts []verify.Part
	if job := e.verifier.job(v.ID); job != nil && v.Status == state.VerificationRunning {
		parts = job.progress()
	} else if err := json.Unmarshal(v.Progress, &parts); err != nil {
		return ops.Verification{}, err
	}
	return ops.VerificationOf(v, &spec, parts), nil
}

func (e engine) Verification(ctx context.Context, id string) (ops.Verification, error) {
	v, err := e.state.Verification(ctx, id)
	if err != nil {
		return ops.Verification{}, err
	}
	return e.shownVerification(&v)
}

func (e engine) Verifications(ctx context.Context, after string, limit int) ([]ops.Verification, string, error) {
	list, next, err := e.state.Verifications(ctx, after, limit)
	var out []ops.Verification
	for i := range list {
		if err != nil {
			break
		}
		var one ops.Verification
		one, err = e.shownVerification(&list[i])
		out = append(out, one)
	}
	return out, next, err
}

func (e engine) Differences(ctx context.Context, id, after string, limit int) ([]ops.Difference, string, error) {
	if _, err := e.state.Verification(ctx, id); err != nil {
		return nil, "", err
	}
	list, next, err := e.state.Differences(ctx, id, after, limit)
	var out []ops.Difference
	for i := range list {
		d := &list[i]
		out = append(out, ops.Difference{Rule: d.Rule, Key: string(d.Key), Source: string(d.Source), Kind: d.Kind, Fields: d.Fields, State: d.State})
	}
	return out, next, err
}

// CancelVerification ends one that is not over; what it found stays.
func (e engine) CancelVerification(ctx context.Context, id string) error {
	v, err := e.state.Verification(ctx, id)
	if err != nil {
		return err
	}
	var spec verify.Spec
	if err := json.Unmarshal(v.Spec, &spec); err == nil && spec.Mode == verify.Continuous {
		return syncline.Errorf(syncline.Rejected, "verification_continuous", "verification %s goes on as long as its rule says so", id).
			WithFix("set verify.continuous of rule %s to false, and apply the configuration", spec.Rules[0])
	}
	job := e.verifier.job(id)
	if job == nil || v.Status != state.VerificationRunning {
		return syncline.Errorf(syncline.Rejected, "verification_over", "verification %s is %s", id, v.Status)
	}
	job.once.Do(func() { close(job.cancelled) })
	return nil
}
