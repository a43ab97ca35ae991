package pgtarget

import (
	"context"
	"slices"
)

// aheadMost is how far the number of a committed transaction may be beyond those that a snapshot knows of. A number that seems to be
// further ahead is of an earlier round: the log keeps the lower 32 bits of it.
const aheadMost = 1 << 24

// Sees asks for the transactions that are not over for others. One is in the WAL before it is visible: for moments, or, where it
// waits for a synchronous standby, for long.
func (t *Target) Sees(ctx context.Context, xids []uint64) (bool, error) {
	s, err := t.session(ctx)
	if err != nil {
		return false, err
	}
	var next int64 // the first number that nobody is known to have
	var under []int64
	err = s.conn.QueryRow(ctx, `SELECT pg_snapshot_xmax(s)::text::bigint, ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip(s) AS x)
		FROM pg_current_snapshot() AS s`).Scan(&next, &under)
	if err != nil {
		return false, t.failed("look which transactions are under way", err)
	}
	return !slices.ContainsFunc(xids, func(xid uint64) bool {
		ahead := int32(uint32(xid) - uint32(next))
		return ahead >= 0 && ahead < aheadMost || slices.ContainsFunc(under, func(x int64) bool { return uint32(x) == uint32(xid) })
	}), nil
}
