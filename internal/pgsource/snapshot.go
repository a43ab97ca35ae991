package pgsource

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// snapshot is PostgreSQL's pg_snapshot: it sees the transactions below xmax that are not among xip.
type snapshot struct {
	xmin, xmax uint64
	xip        []uint64
}

func parseSnapshot(text string) (sn snapshot, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return sn, fmt.Errorf("read snapshot of %d parts", len(parts))
	}
	if sn.xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return sn, fmt.Errorf("read snapshot: %w", err)
	}
	if sn.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return sn, fmt.Errorf("read snapshot: %w", err)
	}
	if parts[2] == "" {
		return sn, nil
	}
	for _, x := range strings.Split(parts[2], ",") {
		n, err := strconv.ParseUint(x, 10, 64)
		if err != nil {
			return sn, fmt.Errorf("read snapshot: %w", err)
		}
		sn.xip = append(sn.xip, n)
	}
	return sn, nil
}

// sees tells whether the snapshot sees a transaction that has committed. The stream has the lower 32 bits of its number.
func (sn snapshot) sees(xid uint32) bool {
	if int32(xid-uint32(sn.xmin)) < 0 {
		return true
	}
	if int32(xid-uint32(sn.xmax)) >= 0 {
		return false
	}
	for _, x := range sn.xip {
		if uint32(x) == xid {
			return false
		}
	}
	return true
}

func (s *Source) currentSnapshot(ctx context.Context) (snapshot, error) {
	var text string
	if err := s.sql.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&text); err != nil {
		return snapshot{}, s.fault("read the current snapshot", err)
	}
	return parseSnapshot(text)
}

// view is the snapshot of a chunk's transaction.
type view struct {
	snapshot
	// until: every transaction that the snapshot sees has its commit before this place.
	until lsn
	// hanging: a transaction is marked as committed that the snapshot does not see. It may have been streamed long ago: one
	// that waits for a synchronous standby is in the WAL and not yet visible.
	hanging bool
}

// openView locks the table against changes of its shape and takes a snapshot of the database after that: a snapshot that is
// older than a rewriting ALTER TABLE would find the table empty.
func (s *Source) openView(ctx context.Context, c *pgx.Conn, t *table) (v view, err error) {
	for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SET LOCAL lock_timeout = '200ms'",
		"LOCK TABLE " + t.sqlName() + " IN ACCESS SHARE MODE", "SET LOCAL enable_sort = off"} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return v, err
		}
	}
	var text, until string
	var block uint64
	err = c.QueryRow(ctx, `SELECT s::text, CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text,
		current_setting('wal_block_size')::int, EXISTS (SELECT FROM pg_snapshot_xip(s) x WHERE pg_xact_status(x) = 'committed')
		FROM pg_current_snapshot() s`).Scan(&text, &until, &block, &v.hanging)
	if err != nil {
		return v, err
	}
	if v.snapshot, err = parseSnapshot(text); err != nil {
		return v, err
	}
	if v.until, err = parseLSN(until); err != nil {
		return v, err
	}
	// Where the next record would be the first of a page, the place is after the page's header, and the stream stays before.
	if offset := uint64(v.until) % block; offset <= 40 {
		v.until -= lsn(offset)
	}
	return v, nil
}

// xidRing remembers the transactions that were streamed last. One may be streamed and not yet be visible; such a snapshot is
// of no use, because what the transaction touched is forgotten.
type xidRing struct {
	entries []xidEntry
	next    int
}

type xidEntry struct {
	xid uint32
	at  int64 // seconds since 1970
}

const (
	ringSize = 1 << 16
	// ringAge is when an entry is no longer believed: numbers come again after 2^32 transactions.
	ringAge = 3600
)

func (r *xidRing) add(xid uint32) {
	e := xidEntry{xid, time.Now().Unix()}
	if len(r.entries) < ringSize {
		r.entries = append(r.entries, e)
		return
	}
	r.entries[r.next] = e
	r.next = (r.next + 1) % ringSize
}

// seenBy tells whether the snapshot sees all of them.
func (r *xidRing) seenBy(sn snapshot) bool {
	now := time.Now().Unix()
	for _, e := range r.entries {
		if !sn.sees(e.xid) && now-e.at < ringAge {
			return false
		}
	}
	return true
}
