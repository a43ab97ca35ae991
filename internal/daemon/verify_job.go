package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/backoff"
	"syncline/internal/state"
	"syncline/internal/verify"
)

const (
	// verifyAtOnce is how many verifications work at once; the others wait.
	verifyAtOnce = 2
	// verifySave is how often progress is saved.
	verifySave = time.Second
	// verifyTries is how often a part is tried that gets nowhere.
	verifyTries = 8
	// keepDifferences bounds the records that are kept of a verification by their keys.
	keepDifferences = 100_000
)

// verification is one that is not over.
type verification struct {
	id      string
	spec    verify.Spec
	created time.Time
	// cancelled is closed by who cancels it, once.
	cancelled chan struct{}
	once      sync.Once

	mu    sync.Mutex
	parts []verify.Part // a copy of what is worked on

	// unsaved are what was counted and is not in the state store yet, kept is how many differences are. Both are of who carries it out.
	unsaved []state.Difference
	kept    int
}

// progress is a copy of the parts.
func (j *verification) progress() []verify.Part {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.parts)
}

// publish shows how a part is.
func (j *verification) publish(i int, p *verify.Part) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.parts[i] = *p
	j.parts[i].Samples, j.parts[i].Notes, j.parts[i].Recent = slices.Clone(p.Samples), slices.Clone(p.Notes), slices.Clone(p.Recent)
}

// carryOutVerification works on the parts one after the other. When ctx ends, the next start goes on; when it is cancelled, nobody does.
func (d *Daemon) carryOutVerification(ctx context.Context, job *verification) {
	working, stop := context.WithCancel(ctx)
	defer stop()
	if job.spec.Mode != verify.Continuous { // whose next round is soon
		defer d.verifier.forget(job.id)
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-job.cancelled:
			stop()
		case <-over:
		}
	}()
	status := state.VerificationDone
	for i := range job.progress() {
		part := job.progress()[i]
		if !part.Over() {
			d.verifyPart(working, job, i, &part)
		}
		if working.Err() != nil {
			break
		}
		if part.Phase == verify.PhaseFailed {
			status = state.VerificationFailed
		}
	}
	if ctx.Err() != nil {
		return
	}
	if working.Err() != nil {
		status = state.VerificationCancelled
	}
	d.unmix(ctx, job)
	for try := 1; ; try++ { // whoever waits for its end would wait for ever
		err := d.saveVerification(ctx, job, status)
		if err == nil || ctx.Err() != nil {
			break
		}
		d.log.Warn("the end of a verification cannot be noted", "verification", job.id, "err", err)
		if !sleep(ctx, backoff.Delay(100*time.Millisecond, 30*time.Second, try)) {
			return
		}
	}
	var sum verify.Tally
	for _, p := range job.progress() {
		sum.Add(&p.Tally)
	}
	level := slog.LevelInfo
	if job.spec.Mode == verify.Continuous && sum.Differences() == 0 {
		level = slog.LevelDebug
	}
	d.log.Log(ctx, level, "verification is over", "verification", job.id, "status", status, "records", sum.Source, "differences", sum.Differences(), "repaired", sum.Repaired)
}

// sleep waits, and reports whether ctx did not end meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// saveVerification writes down how far it is, with what was found since: counts and records are saved together.
func (d *Daemon) saveVerification(ctx context.Context, job *verification, status string) error {
	progress, err := json.Marshal(job.progress())
	if err != nil {
		return err
	}
	keep, found := job.keep()
	if err := d.state.SaveVerification(ctx, state.Verification{ID: job.id, Status: status, Progress: progress}, keep); err != nil {
		return err
	}
	job.unsaved, job.kept = nil, job.kept+found
	return nil
}

// keep are the unsaved that fit, and how many of them are new. What became of one that is kept always does.
func (j *verification) keep() (keep []state.Difference, found int) {
	for _, d := range j.unsaved {
		if d.State != differenceRepaired {
			if j.kept+found >= keepDifferences {
				continue
			}
			found++
		}
		keep = append(keep, d)
	}
	return keep, found
}

// leave hands over what was found and not saved when the work on a part is cut: it was counted, and is not found again.
func (v *verifying) leave(job *verification) {
	job.unsaved, v.found = append(job.unsaved, v.found...), nil
}

// beginsAnew forgets what is not saved of a part that counts from nothing.
func (j *verification) beginsAnew(part *verify.Part) {
	j.unsaved = slices.DeleteFunc(j.unsaved, func(d state.Difference) bool { return d.Rule == part.Rule })
}

// verifyPart works on one part until it is over, or ctx ends. What does not answer is tried again; each page that was compared counts as
// getting on.
func (d *Daemon) verifyPart(ctx context.Context, job *verification, i int, part *verify.Part) {
	if part.Started == nil {
		now := time.Now()
		part.Started = &now
	}
	failures := 0
	for {
		at := *part
		err := d.verifyOnce(ctx, job, i, part)
		switch {
		case ctx.Err() != nil:
			job.publish(i, part) // the end of one that was cancelled is saved, with what was found
			return
		case err == nil:
		case isTransient(err) && failures < verifyTries:
			if failures++; part.After != at.After || part.Phase != at.Phase {
				failures = 1
			}
			d.log.Warn("a verification does not get on", "verification", job.id, "rule", part.Rule, "code", syncline.CodeOf(err), "err", err)
			if !sleep(ctx, backoff.Delay(200*time.Millisecond, 10*time.Second, failures)) {
				return
			}
			continue
		default:
			switch syncline.CodeOf(err) {
			case "target_unreadable", "source_cannot_read", "verify_keyless":
				part.Blame(err)
				part.Enter(verify.PhaseSkipped)
			default:
				part.Fail(err)
			}
		}
		now := time.Now()
		part.Ended = &now
		job.publish(i, part)
		d.noteVerified(ctx, job, part)
		if err := d.saveVerification(ctx, job, state.VerificationRunning); err != nil && ctx.Err() == nil {
			d.log.Warn("the progress of a verification cannot be noted", "verification", job.id, "err", err)
		}
		return
	}
}

// errChanged: another configuration made the route anew.
var errChanged = syncline.Errorf(syncline.Transient, "config_stale", "another configuration was applied meanwhile")

// verifyOnce works on a part as far as it gets.
func (d *Daemon) verifyOnce(ctx context.Context, job *verification, i int, part *verify.Part) error {
	r := d.route(part.Route)
	at := -1
	if r != nil {
		at = slices.IndexFunc(r.compiled, func(c apply.Rule) bool { return c.ID == part.Rule })
	}
	if at < 0 {
		return syncline.Errorf(syncline.Rejected, "rule_gone", "the configuration has no rule %s by now", part.Rule)
	}
	if r.events {
		return unreadable(r)
	}
	if err := d.sameRules(ctx, job, part, r); err != nil {
		return err
	}
	if r.pair != nil {
		return d.verifySides(ctx, job, i, part, r)
	}
	v, err := d.verifies(ctx, r, at)
	if err != nil {
		return err
	}
	defer v.close()
	defer v.leave(job)
	v.spec, v.part, v.pace.rate = &job.spec, part, job.spec.Rate
	v.resumed = part.Phase != verify.PhaseWaiting
	part.Again()
	saved, worked, settled := time.Now(), time.Now(), part.Settled()
	v.publish = func() { job.publish(i, part) }
	v.show = func(ctx context.Context) error {
		now := time.Now()
		part.Seconds += now.Sub(worked).Seconds()
		worked = now
		if job.spec.Mode == verify.Continuous {
			part.Compared(max(part.Settled()-settled, 0), now)
			settled = part.Settled()
		}
		job.publish(i, part)
		if d.route(part.Route) != r {
			return errChanged
		}
		if now.Sub(saved) < verifySave && len(v.found) < 1000 {
			return nil
		}
		saved = now
		return v.save(ctx, job)
	}
	if err := v.work(ctx, job); err != nil {
		return err
	}
	part.Seconds += time.Since(worked).Seconds()
	worked = time.Now()
	part.Enter(verify.PhaseDone)
	return v.save(ctx, job)
}

// save writes down how far the part is, with what was found since.
func (v *verifying) save(ctx context.Context, job *verification) error {
	v.leave(job)
	if keep, _ := job.keep(); len(keep) < len(job.unsaved) {
		v.part.Note(fmt.Sprintf("more than %d records differ: the others are counted and not kept", keepDifferences))
	}
	v.publish() // counts and records are saved together
	return v.d.saveVerification(ctx, job, state.VerificationRunning)
}
