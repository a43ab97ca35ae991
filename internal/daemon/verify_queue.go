package daemon

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"syncline"
	"syncline/internal/backoff"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// verifier carries out verifications.
type verifier struct {
	mu   sync.Mutex
	jobs map[string]*verification // those that are not over
	// begin has room for all that add lets in, so that it never blocks with mu held; keepVerifying receives, nobody closes it.
	begin chan *verification
}

// maxVerifications bounds the verifications that are not over, without those that go on as long as their rules say so.
const maxVerifications = 64

func newVerifier() *verifier {
	return &verifier{jobs: make(map[string]*verification), begin: make(chan *verification, maxVerifications)}
}

// keepVerifying carries out verifications until ctx ends: those first that were not over when the process ended.
func (d *Daemon) keepVerifying(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() { d.reopenVerifications(ctx) })
	workers.Go(func() { d.keepComparing(ctx) })
	room := make(chan struct{}, verifyAtOnce) // each job puts one in and takes it out
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-d.verifier.begin:
			workers.Go(func() {
				select {
				case room <- struct{}{}:
					d.carryOutVerification(ctx, job)
					<-room
				case <-ctx.Done():
				}
			})
		}
	}
}

// reopenVerifications has those go on that the state store says are under way. One that cannot fails: whoever waits for its end would wait
// for ever, and nobody could cancel it.
func (d *Daemon) reopenVerifications(ctx context.Context) {
	var open []state.Verification
	for try := 1; ; try++ {
		var err error
		if open, err = d.state.OpenVerifications(ctx); err == nil || ctx.Err() != nil {
			break
		}
		d.log.Warn("verifications that were under way do not go on yet", "err", err)
		if !sleep(ctx, backoff.Delay(100*time.Millisecond, 30*time.Second, try)) {
			return
		}
	}
	for i := range open {
		job, err := reopened(&open[i])
		switch {
		case err != nil:
		case job.spec.Mode != verify.Continuous:
			err = d.verifier.add(job)
		case !steady(d.set().config.Rule(job.spec.Rules[0])):
			d.endSteady(ctx, job.spec.Rules[0])
		}
		if err == nil {
			continue
		}
		d.log.Error("a verification does not go on", "verification", open[i].ID, "err", err)
		open[i].Status = state.VerificationFailed
		if err := d.state.SaveVerification(ctx, open[i], nil); err != nil && ctx.Err() == nil {
			d.log.Error("the end of a verification cannot be noted", "verification", open[i].ID, "err", err)
		}
	}
}

func reopened(v *state.Verification) (*verification, error) {
	job := &verification{id: v.ID, created: v.Created, cancelled: make(chan struct{})}
	if err := json.Unmarshal(v.Spec, &job.spec); err != nil {
		return nil, err
	}
	return job, json.Unmarshal(v.Progress, &job.parts)
}

// add takes a verification on, once.
func (s *verifier) add(job *verification) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[job.id] != nil {
		return nil
	}
	n := 0
	for _, j := range s.jobs {
		if j.spec.Mode != verify.Continuous { // those are not begun here, and are as many as there are rules
			n++
		}
	}
	if n >= maxVerifications {
		return syncline.Errorf(syncline.Rejected, "verifications_exhausted", "%d verifications are under way", n).
			WithFix("wait for them, or cancel some: `syncline verify list`")
	}
	s.jobs[job.id] = job
	s.begin <- job
	return nil
}

func (s *verifier) job(id string) *verification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[id]
}

func (s *verifier) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, id)
}
