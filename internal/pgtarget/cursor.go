package pgtarget

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/plant"
)

const (
	cursorTable    = "_syncline_cursor"
	undefinedTable = "42P01"
)

// errNotOwner: the cursor's update found no row of the caller's epoch.
var errNotOwner = errors.New("the cursor is not the caller's")

// cursorName is the cursor table in the first schema of the search path.
func (s *session) cursorName() string { return name{s.schema, cursorTable}.sql() }

// moveCursor is the last statement of each Write.
func (s *session) moveCursor() *shape {
	const move = ` SET log_id = $3::text, seq = $4::bigint, idx = $5::int, updated_at = now() WHERE route = $1::text AND slice = $2::int AND `
	fence := "epoch = $6::bigint"
	if plant.NoFence {
		fence = "$6::bigint > 0"
	}
	return &shape{name: "_syncline_cursor_move", sql: "UPDATE " + s.cursorName() + move + fence}
}

// Own takes ownership of the slice in one statement, which waits for a commit in flight.
func (t *Target) Own(ctx context.Context, atLeast uint64) (c syncline.Cursor, state string, found bool, err error) {
	s, err := t.session(ctx)
	if err != nil {
		return syncline.Cursor{}, "", false, err
	}
	var seq, epoch int64
	err = s.conn.QueryRow(ctx, "UPDATE "+s.cursorName()+` SET epoch = greatest(epoch, $3::bigint) + 1, updated_at = now()
		WHERE route = $1 AND slice = $2 RETURNING log_id, seq, idx, epoch, state_id`, t.o.Route, t.o.Slice, int64(atLeast)).
		Scan(&c.Log, &seq, &c.Index, &epoch, &state)
	if errors.Is(err, pgx.ErrNoRows) || isCode(err, undefinedTable) {
		t.unsettled = false
		return syncline.Cursor{}, "", false, nil
	}
	if err != nil {
		return syncline.Cursor{}, "", false, t.failed("take ownership of the cursor", err)
	}
	t.unsettled = false
	c.Seq, c.Epoch = syncline.Seq(seq), uint64(epoch)
	return c, state, true, nil
}

// Place writes the cursor, and makes its table if there is none.
func (t *Target) Place(ctx context.Context, c syncline.Cursor, state string) error {
	s, err := t.session(ctx)
	if err != nil {
		return err
	}
	place := func() error {
		_, err := s.conn.Exec(ctx, "INSERT INTO "+s.cursorName()+` (route, slice, log_id, seq, idx, epoch, state_id) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (route, slice) DO UPDATE SET log_id = EXCLUDED.log_id, seq = EXCLUDED.seq, idx = EXCLUDED.idx, epoch = EXCLUDED.epoch,
			state_id = EXCLUDED.state_id, updated_at = now()`, t.o.Route, t.o.Slice, c.Log, int64(c.Seq), c.Index, int64(c.Epoch), state)
		return err
	}
	err = place()
	if isCode(err, undefinedTable) {
		if err = t.makeCursorTable(ctx, s); err == nil {
			err = place()
		}
	}
	if err != nil {
		return t.failed("place the cursor", err)
	}
	t.unsettled = false
	return nil
}

// makeCursorTable makes the table once, however many routes begin at the same time.
func (t *Target) makeCursorTable(ctx context.Context, s *session) error {
	if s.schema == "" {
		return syncline.Errorf(syncline.Fatal, "schema_missing", "no schema of the search path exists at the target, so there is no place for %s", cursorTable).
			WithFix("create the schema, or name one in the URL (?search_path=…)")
	}
	create := "CREATE TABLE IF NOT EXISTS " + s.cursorName() + ` (
		route text NOT NULL, slice integer NOT NULL, log_id text NOT NULL, seq bigint NOT NULL, idx integer NOT NULL,
		epoch bigint NOT NULL, state_id text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (route, slice))
		WITH (fillfactor = 50)`
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", cursorTable); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, create)
		return err
	})
	if isCode(err, "42501") {
		return syncline.Errorf(syncline.Fatal, "permission_denied", "the target's user may not create %s", s.cursorName()).
			WithFix("create it as the owner of the schema and grant SELECT, INSERT and UPDATE on it:\n%s", create)
	}
	if err == nil {
		t.log.Info("cursor table created", "table", s.cursorName())
	}
	return err
}

// notOwner says why the cursor was refused. It runs after the rollback.
func (t *Target) notOwner(ctx context.Context, epoch uint64) error {
	s, err := t.session(ctx)
	if err != nil {
		return err
	}
	var now int64
	err = s.conn.QueryRow(ctx, "SELECT epoch FROM "+s.cursorName()+" WHERE route = $1 AND slice = $2", t.o.Route, t.o.Slice).Scan(&now)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || isCode(err, undefinedTable):
		return syncline.Errorf(syncline.Fatal, "cursor_lost", "route %s, slice %d has no cursor at the target", t.o.Route, t.o.Slice).
			WithFix("if the target was restored or emptied on purpose, `syncline sync SYSTEM/ENTITY --route ROUTE`")
	case err != nil:
		return t.failed("read the cursor", err)
	}
	return syncline.Errorf(syncline.Fatal, "fenced", "route %s, slice %d belongs to epoch %d now, not %d", t.o.Route, t.o.Slice, now, epoch)
}
