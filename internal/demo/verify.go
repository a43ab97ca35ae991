package demo

import (
	"context"
	"slices"
	"time"

	"syncline"
	"syncline/internal/ops"
	"syncline/internal/state"
)

const (
	// askLimit is how long the books may take to answer, verifyLimit the verification.
	askLimit    = 30 * time.Second
	verifyLimit = 2 * time.Minute
)

// askBooks has the books asked for what is new, and waits for the answer: without it the next poll might be a while away. A configuration that
// was written by an earlier version has no books.
func (r *runner) askBooks(ctx context.Context) error {
	if !slices.ContainsFunc(r.base.sources, func(s ops.SystemStatus) bool { return s.Name == books }) {
		return nil
	}
	id, err := r.daemon.Engine().StartSync(ctx, ops.SyncRequest{Source: books, Entity: "invoice", Kind: "incremental"})
	if err != nil {
		return err
	}
	var run state.RunRow
	return r.await(ctx, askLimit, func() (bool, error) {
		run, err = r.daemon.Engine().Sync(ctx, id)
		if err == nil && run.Status == state.RunFailed {
			err = syncline.Errorf(syncline.Fatal, "demo_database", "the books cannot be asked: %s", run.Error)
		}
		return run.Status == state.RunDone, err
	})
}

// verify has everything compared while the daemon works, as `syncline verify` does.
func (r *runner) verify(ctx context.Context) error {
	v, err := r.daemon.Engine().StartVerification(ctx, ops.VerificationRequest{})
	if err != nil {
		return err
	}
	return r.await(ctx, verifyLimit, func() (bool, error) {
		r.verified, err = r.daemon.Engine().Verification(ctx, v.ID)
		return r.verified.Status != state.VerificationRunning, err
	})
}

// await looks again and again until it is so; what takes longer than the limit is left to the comparison at the end.
func (r *runner) await(ctx context.Context, limit time.Duration, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := so(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
