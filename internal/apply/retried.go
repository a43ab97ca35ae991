package apply

import (
	"cmp"
	"slices"
	"time"

	"syncline"
	"syncline/internal/state"
)

// retried settles a plan that tried parked tasks again: one change for each slot's head.
func (s *settling) retried() {
	t := 0
	for i, k := range s.p.retry {
		x := *k.head()
		x.Updated = s.now
		outcome, err, at := syncline.OutcomeApplied, error(nil), 0
		for ; t < len(s.p.tasks) && s.p.tasks[t].entry == s.p.retryEntry[i]; t++ {
			task := &s.p.tasks[t]
			if task.change >= 0 && s.outcome(task.change) > outcome {
				outcome, at = s.outcome(task.change), int(task.change)
				err = s.res.Rejected[at]
			}
			if task.change < 0 && task.code == state.Parked {
				outcome, err = s.heldAgain(t)
			}
		}
		switch outcome {
		case syncline.OutcomeApplied:
			s.resolve(&x, state.Applied)
		case syncline.OutcomeStale:
			s.resolve(&x, state.Superseded)
		case syncline.OutcomeKept:
			s.resolve(&x, state.Skipped)
		case syncline.OutcomeConflict:
			s.conflict(&x, at)
			s.commit.Update = append(s.commit.Update, x)
		case syncline.OutcomeMissing:
			x.Status, x.NextTry = state.StatusReading, time.Time{}
			if x.Code != codeTooLarge {
				x.Code = "row_missing"
			}
			s.commit.Update = append(s.commit.Update, x)
		case syncline.OutcomeHeld:
			x.NextTry = s.now.Add(s.m.retry.Delay)
			if err != nil {
				s.await(&x, err)
			}
			s.commit.Update = append(s.commit.Update, x)
		default:
			s.rejected(&x, err)
			s.commit.Update = append(s.commit.Update, x)
		}
		if (outcome == syncline.OutcomeApplied || outcome == syncline.OutcomeStale) && len(k.tasks) > 1 {
			if next := k.tasks[1]; !s.m.parking.blocked(k.slot, &next) { // else it is tried once what it waits for is gone
				next.Status, next.NextTry, next.Updated = state.StatusRetrying, s.now, s.now
				s.commit.Update = append(s.commit.Update, next)
			}
		}
	}
}

// heldAgain tells what the planner had against a task that was tried again.
func (s *settling) heldAgain(t int) (syncline.Outcome, error) {
	i, found := slices.BinarySearchFunc(s.p.holds, int32(t), func(h hold, t int32) int { return cmp.Compare(h.task, t) })
	if !found {
		return syncline.OutcomeRejected, nil
	}
	switch h := &s.p.holds[i]; h.why {
	case "reading":
		return syncline.OutcomeMissing, nil
	case "waiting":
		return syncline.OutcomeHeld, h.err
	default:
		return syncline.OutcomeRejected, h.err
	}
}
