package pgsource

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"syncline"
)

// intend is the batch that must be in the log before the slot is made: a slot of our name that is found after it is ours.
func (s *Source) intend() *syncline.Batch {
	s.state = s.heir(stateIntent)
	s.checkpoint = nil
	s.phase = phaseCreate
	b := s.batch()
	b.Sync = true
	return b
}

// create makes publication and slot, opens the slot's snapshot for the first copy, and returns the batch that says where the
// stream begins.
func (s *Source) create(ctx context.Context) (*syncline.Batch, error) {
	if err := s.dropSlot(ctx); err != nil {
		return nil, s.fault("drop the slot of a birth that was cut", err)
	}
	// The publication must be older than the slot: the stream looks it up as it was at each change.
	if err := s.ensurePublications(ctx); err != nil {
		return nil, err
	}
	s.log.Info("creating the slot; waiting for the transactions that are running", "slot", s.opt.Slot)
	ex, conn, err := s.exportSnapshot(ctx, s.opt.Slot, "", s.tables)
	if err != nil {
		return nil, err
	}
	s.pos = syncline.Position{Epoch: s.epoch, Commit: uint64(ex.point)}
	s.resume = s.pos
	s.confirmed.Store(s.pos.Commit)
	s.phase = phaseRun
	if s.epoch > firstEpoch {
		hangUp(conn)
		if err := s.endGap(ctx); err != nil {
			return nil, err
		}
	} else if s.born(); len(s.state.Runs) == 0 {
		hangUp(conn)
	} else if err := s.startCopier(ctx, conn, s.keylessFirst(), nil, copyMode{empty: true}); err != nil {
		return nil, err
	}
	b := s.batch()
	b.Sync = true
	return b, nil
}

// keylessFirst returns the runs with those first that would have to begin anew if the copy were cut.
func (s *Source) keylessFirst() []*progress {
	var keyless, keyed []*progress
	for _, p := range s.state.Runs {
		if len(s.entity(p.Entity).current.Key) == 0 {
			keyless = append(keyless, p)
		} else {
			keyed = append(keyed, p)
		}
	}
	return append(keyless, keyed...)
}

// errRewritten: TRUNCATE and some forms of ALTER TABLE leave a table empty for snapshots that are older.
var errRewritten = errors.New("a table was rewritten while its snapshot was taken")

// exportSnapshot makes a slot and returns a connection whose transaction sees the database as it was at the slot's
// consistent point, with the tables locked against changes of their shape. Locking them before would not do: a transaction
// that waits for such a lock may be one that the making of the slot waits for.
func (s *Source) exportSnapshot(ctx context.Context, name, kind string, tables []*table) (exported, *pgx.Conn, error) {
	before, err := s.fileNodes(ctx, s.sql, tables)
	if err != nil {
		return exported{}, nil, err
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return exported{}, nil, err
	}
	replication, err := s.connectReplication(ctx)
	if err != nil {
		hangUp(conn)
		return exported{}, nil, err
	}
	defer closeNow(replication)
	ex, err := s.createSlot(ctx, replication, name, kind)
	if err == nil {
		err = s.importSnapshot(ctx, conn, ex, tables, before)
	}
	if err != nil {
		hangUp(conn)
		return exported{}, nil, err
	}
	return ex, conn, nil
}

func (s *Source) importSnapshot(ctx context.Context, conn *pgx.Conn, ex exported, tables []*table, before string) error {
	statements := []string{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SET TRANSACTION SNAPSHOT " + literal(ex.snapshot)}
	for _, t := range tables {
		statements = append(statements, "LOCK TABLE "+t.sqlName()+" IN ACCESS SHARE MODE")
	}
	// Rows come in the order of the key by its index: a sort of a large table would spill on the source.
	for _, sql := range append(statements, "SET LOCAL enable_sort = off") {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return s.fault("open the slot's snapshot", err)
		}
	}
	after, err := s.fileNodes(ctx, conn, tables)
	if err == nil && before != after {
		err = fmt.Errorf("source %s: open the slot's snapshot: %w", s.opt.Name, errRewritten)
	}
	return err
}

// fileNodes changes when one of the tables, or a partition, is rewritten. It does not depend on the transaction's snapshot.
func (s *Source) fileNodes(ctx context.Context, c *pgx.Conn, tables []*table) (nodes string, err error) {
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		oids[i] = t.oid
	}
	err = c.QueryRow(ctx, `WITH RECURSIVE tree(oid) AS (SELECT unnest($1::oid[]) UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.oid)
		SELECT coalesce(string_agg(oid || '=' || coalesce(pg_relation_filenode(oid), 0), ' ' ORDER BY oid), '') FROM tree`, oids).Scan(&nodes)
	return nodes, s.fault("read the tables' storage", err)
}
