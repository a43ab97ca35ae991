package pgsource

import (
	"context"
	"fmt"
	"slices"
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
		current_setting('wal_block_size')::int FROM pg_current_snapshot() s`).Scan(&text, &until, &block)
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

// unseen are the transactions that were streamed and that no snapshot has shown to be visible yet. A transaction is in the WAL
// before it is visible: for moments, or, where it waits for a synchronous standby, for long. A snapshot that misses one is of
// no use to a chunk, because what the transaction touched is forgotten.
type unseen struct {
	xids   []uint32
	limit  int // how many there may be until they are looked through
	looked time.Time
}

const (
	unseenLimit = 1 << 16
	// unseenAge bounds how long they are kept unlooked at: their numbers come again after 2^32 transactions of the server.
	unseenAge = time.Hour
)

func (u *unseen) add(xid uint32) { u.xids = append(u.xids, xid) }

// due tells whether they should be looked through, so that they do not become many, or old.
func (u *unseen) due(now time.Time) bool {
	return len(u.xids) >= max(unseenLimit, u.limit) || len(u.xids) > 0 && now.Sub(u.looked) >= unseenAge
}

// look forgets those that the snapshot sees, and tells whether it sees all.
func (u *unseen) look(sn snapshot) bool {
	u.xids = slices.DeleteFunc(u.xids, sn.sees)
	u.limit, u.looked = 2*len(u.xids), time.Now()
	return len(u.xids) == 0
}

// lookThrough keeps the transactions that are not known to be visible few.
func (s *Source) lookThrough(ctx context.Context) error {
	if !s.stream.recent.due(time.Now()) {
		return nil
	}
	sn, err := s.currentSnapshot(ctx)
	if err != nil {
		return err
	}
	s.stream.recent.look(sn)
	return nil
}

// setFloor makes chunks wait for the transactions that run now, where one of them may have been streamed before the source
// was opened: it waits for a synchronous standby. Our own number is above those of all of them; a snapshot's need not be.
func (s *Source) setFloor(ctx context.Context) error {
	var names string
	err := s.sql.QueryRow(ctx, "SELECT current_setting('synchronous_standby_names')").Scan(&names)
	if err == nil && names != "" && !s.standby {
		err = s.sql.QueryRow(ctx, "SELECT pg_current_xact_id()::text::int8").Scan(&s.floor)
	}
	return s.fault("look for transactions that wait for a standby", err)
}
