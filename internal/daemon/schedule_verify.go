package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"syncline"
	"syncline/internal/schedule"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// scheduledVerification has rules verified, and waits for the end of that. The verification has the name of the schedule's run, so that one
// which was cut off, and goes on by itself, is found again.
func (d *Daemon) scheduledVerification(ctx context.Context, w schedule.Work) (schedule.Outcome, error) {
	_, err := d.state.Verification(ctx, w.Run)
	if errors.Is(err, state.ErrNotFound) {
		_, err = d.startVerificationAs(ctx, w.Run, verify.Spec{Mode: verify.Full, Rules: w.Rules, Repair: verify.Repair(w.Repair)})
	}
	if err != nil {
		return schedule.Outcome{}, err
	}
	for wait := firstAwait; ; wait = min(2*wait, lastAwait) {
		v, err := engine{d}.Verification(ctx, w.Run)
		if err != nil && (syncline.ClassOf(err) != syncline.Transient || ctx.Err() != nil) {
			return schedule.Outcome{}, err
		}
		if err == nil && v.Status != state.VerificationRunning {
			return verificationOutcome(v.Status, &v.Total, v.Parts)
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), schedule.ErrRemoved) {
				if err := (engine{d}).CancelVerification(context.WithoutCancel(ctx), w.Run); err != nil {
					d.log.Warn("a verification whose schedule is gone goes on", "verification", w.Run, "err", err)
				}
			}
			return schedule.Outcome{}, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// verificationOutcome is what a verification came to, for the history of its schedule.
func verificationOutcome(status string, total *verify.Tally, parts []verify.Part) (schedule.Outcome, error) {
	text, err := json.Marshal(total)
	if err != nil {
		return schedule.Outcome{}, err
	}
	out := schedule.Outcome{Note: fmt.Sprintf("%d of %d records differ", total.Differences(), max(total.Source, total.Target))}
	if err := json.Unmarshal(text, &out.Counts); err != nil {
		return out, err
	}
	for name, n := range out.Counts {
		if n == 0 && name != "source" {
			delete(out.Counts, name)
		}
	}
	switch status {
	case state.VerificationFailed:
		var failed []string
		for i := range parts {
			if parts[i].Phase == verify.PhaseFailed {
				failed = append(failed, parts[i].Rule)
			}
		}
		return out, syncline.Errorf(syncline.Rejected, "verification_failed", "not verified: %s", strings.Join(failed, ", ")).
			WithFix("`syncline verify list` says why")
	case state.VerificationCancelled:
		return out, syncline.Errorf(syncline.Rejected, "verification_cancelled", "somebody cancelled it")
	}
	return out, nil
}
