package between

import (
	"context"
	"slices"
	"time"

	"syncline"
)

// sightLimit is how long a lane waits with both sides in hand; then the route does, and tries again.
const sightLimit = 5 * time.Second

// sighted waits until what the lane has heard of can be read on its side. A database may tell of a transaction before others see what it
// wrote: a record that was added would be taken for one that is not there, and nothing would tell of it again.
func (l *Lane) sighted(ctx context.Context, changes []syncline.Change) error {
	side, ok := l.p.ends[l.side].target.(syncline.Sighted)
	xids := transactions(changes)
	if !ok || len(xids) == 0 {
		return nil
	}
	for pause, waited := time.Millisecond, time.Duration(0); ; pause = min(2*pause, 100*time.Millisecond) {
		sees, err := side.Sees(ctx, xids)
		switch {
		case err != nil || sees:
			return err
		case waited >= sightLimit:
			return syncline.Errorf(syncline.Transient, "between_unseen", "%s tells of transactions that cannot be seen there yet", l.p.o.Sides[l.side]).
				WithFix("they may wait for a synchronous standby: see pg_stat_activity there, wait_event SyncRep")
		}
		select {
		case <-time.After(pause):
			waited += pause
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// transactions are the numbers of those that the newest events of the changes belong to. Whatever changed a record before is over then.
func transactions(changes []syncline.Change) []uint64 {
	var xids []uint64
	for i := range changes {
		c := &changes[i]
		if c.Batch == nil || c.Event >= len(c.Batch.Events) {
			continue
		}
		if n := c.Batch.Events[c.Event].Txn; n < len(c.Batch.Txns) && c.Batch.Txns[n].XID != 0 {
			xids = append(xids, c.Batch.Txns[n].XID)
		}
	}
	slices.Sort(xids)
	return slices.Compact(xids)
}
