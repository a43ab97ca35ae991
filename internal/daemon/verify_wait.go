package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"syncline"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// A verification waits for the route to pass what it asks about, and asks the state store which records wait for something else.

const (
	// settlePatience is how long the log's end and the route may take without getting anywhere.
	settlePatience = 30 * time.Second
	settlePoll     = 5 * time.Millisecond
)

// behindError says why records cannot be settled: somebody does not come to them.
type behindError struct{ why string }

func (e *behindError) Error() string { return e.why }

func isBehind(err error) bool {
	behind := (*behindError)(nil)
	return errors.As(err, &behind)
}

// passes waits until the route has done everything up to the entry.
func (v *verifying) passes(ctx context.Context, upTo syncline.Seq) error {
	if upTo == 0 {
		return nil
	}
	var at syncline.Cursor
	since := time.Now()
	for tick := time.NewTicker(settlePoll); ; {
		st := v.r.apply.Status()
		switch {
		case st.Cursor.Log == v.r.source.log.ID() && st.Cursor.Seq > upTo:
			tick.Stop()
			return nil
		case !st.Busy():
			tick.Stop()
			return &behindError{fmt.Sprintf("route %s is %s: what waits for it cannot be told from what differs", v.r.id, st.State)}
		case at != st.Cursor:
			at, since = st.Cursor, time.Now()
		case time.Since(since) > settlePatience:
			tick.Stop()
			return &behindError{fmt.Sprintf("route %s does not get on: what waits for it cannot be told from what differs", v.r.id)}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return ctx.Err()
		}
	}
}

// waiting adds the tasks of the rule that wait, by target key.
func (v *verifying) waiting(ctx context.Context, to map[syncline.Key][]verify.Wait) (map[syncline.Key][]verify.Wait, error) {
	list, err := v.d.state.Waiting(ctx, state.Slice{Route: v.r.id})
	if to == nil {
		to = make(map[syncline.Key][]verify.Wait)
	}
	for i := range list {
		if list[i].Rule != v.rule.ID {
			continue
		}
		wait := verify.WaitParked
		switch list[i].Status {
		case state.StatusConflict:
			wait = verify.WaitConflict
		case state.StatusHeld:
			wait = verify.WaitHeld
		}
		to[list[i].Key] = append(to[list[i].Key], wait)
	}
	return to, err
}
