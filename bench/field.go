package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// patience is how long a side may take for anything.
const patience = 15 * time.Minute

// side is one of the two that replicate a field: native replication, or Syncline with a rule.
type side interface {
	name() string
	// start begins the replication, or goes on with it. It returns when the side has been told, not when it works.
	start(context.Context) error
	// check returns an error if the side has stopped working by itself.
	check(context.Context) error
	// stop returns when nothing is replicated any more. What was replicated stays.
	stop(context.Context) error
	// usage is that of the side's own process since start; zero where that is the database server itself.
	usage() (usage, error)
	// copy is a connection to the side's copy of the source.
	copy() *pgx.Conn
	// remove ends the replication for good, as far as the source and the target do not end with their databases. The side is stopped.
	remove(context.Context) error
	// abandon lets go of everything but what the servers hold. Repeating it does nothing.
	abandon(context.Context)
}

// field is a database at the source and a copy of it for each side at the target.
type field struct {
	b    *bench
	name string
	src  *pgx.Conn
	// base is what Syncline is measured against, nil where that is nothing. Both are nil until they are made.
	base     side
	syncline *program
	// more are measured beside them, and so are the peers.
	more  []side
	peers []*peer
	mark  int
	// end is where the source's WAL ended just before the last mark was committed.
	end string
}

// newField is a field on which a mirror route is measured against native replication.
func newField(ctx context.Context, b *bench, name string) (*field, error) {
	return newFieldOf(ctx, b, name, account, mirror)
}

// newFieldOf is newField with another table, or another rule than the mirror's.
func newFieldOf(ctx context.Context, b *bench, name string, s shape, r rule) (*field, error) {
	return makeField(ctx, b, name, s, r, func(f *field) error {
		n := &native{subscription: name, from: fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s", b.source.Port, name)}
		f.base = n
		var err error
		n.conn, err = create(ctx, b.target.URL, name+"_native", s.table)
		return err
	})
}

// newRuleField is a field on which a rule is measured against a mirror route.
func newRuleField(ctx context.Context, b *bench, name string, r rule) (*field, error) {
	return makeField(ctx, b, name, account, r, func(f *field) error {
		m := mirror
		m.label = "mirror"
		p, err := newProgram(ctx, b, name, account, m)
		if p != nil {
			f.base = p
		}
		return err
	})
}

func makeField(ctx context.Context, b *bench, name string, s shape, r rule, base func(*field) error) (f *field, err error) {
	f = &field{b: b, name: name}
	defer func() {
		if err != nil {
			f.abandon()
		}
	}()
	if f.src, err = create(ctx, b.source.URL, name, s.table, s.insert(0, 0), "CREATE PUBLICATION native FOR TABLE account"); err != nil {
		return f, err
	}
	if err := base(f); err != nil {
		return f, err
	}
	f.syncline, err = newProgram(ctx, b, name, s, r)
	return f, err
}

// create makes a database and returns a connection to it.
func create(ctx context.Context, url func(string) string, name string, statements ...string) (*pgx.Conn, error) {
	err := onServer(ctx, url("postgres"), func(c *pgx.Conn) error { return execAll(ctx, c, "CREATE DATABASE "+name) })
	if err != nil {
		return nil, err
	}
	c, err := pgx.Connect(ctx, url(name))
	if err != nil {
		return nil, err
	}
	return c, execAll(ctx, c, statements...)
}

func execAll(ctx context.Context, c *pgx.Conn, statements ...string) error {
	for _, sql := range statements {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.80s: %w", sql, err)
		}
	}
	return nil
}

// addPeers adds the tools that were asked for.
func (f *field) addPeers(ctx context.Context, s shape) error {
	for _, script := range f.b.peers {
		p, err := newPeer(ctx, f, s, script)
		if p != nil {
			f.peers = append(f.peers, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sides returns all of them; who comes first alternates.
func (f *field) sides(round int) []side {
	list := append([]side{f.syncline}, f.more...)
	for _, p := range f.peers {
		list = append(list, p)
	}
	if f.base != nil {
		list = append([]side{f.base}, list...)
	}
	first := round % len(list)
	return append(list[first:], list[:first]...)
}

// setMark writes the mark that comes after everything written so far.
func (f *field) setMark(ctx context.Context) error {
	f.mark++
	return pgx.BeginFunc(ctx, f.src, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE account SET score = $1 WHERE id = 0", f.mark); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&f.end)
	})
}

// undefinedTable is PostgreSQL's code for a table that is not there: the rule has yet to make it.
const undefinedTable = "42P01"

// marked reports whether the side's copy shows the last mark.
func (f *field) marked(s side) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		var score int
		err := s.copy().QueryRow(ctx, "SELECT score FROM account WHERE id = 0", pgx.QueryExecModeExec).Scan(&score)
		var refused *pgconn.PgError
		if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &refused) && refused.Code == undefinedTable {
			return false, nil
		}
		return score == f.mark, err
	}
}

// await waits until done is true, which it asks every 10 ms, and looks after the side once in a while.
func (f *field) await(ctx context.Context, s side, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s does not get there within %s", s.name(), patience))
	defer cancel()
	checked := time.Now()
	err := wait(ctx, 10*time.Millisecond, func(ctx context.Context) (bool, error) {
		if time.Since(checked) > time.Second {
			checked = time.Now()
			if err := s.check(ctx); err != nil {
				return false, err
			}
		}
		return done(ctx)
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// level brings all sides to the source's state and stops them.
func (f *field) level(ctx context.Context) error {
	if err := f.setMark(ctx); err != nil {
		return err
	}
	for _, s := range f.sides(0) {
		if err := s.start(ctx); err != nil {
			return err
		}
		if err := f.await(ctx, s, f.marked(s)); err != nil {
			return fmt.Errorf("bring %s level: %w", s.name(), err)
		}
		if err := s.stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settle clears away what writing has left, at both servers: a measurement must not pay for what came before it.
func (f *field) settle(ctx context.Context) error {
	conns := []*pgx.Conn{f.src}
	for _, s := range f.sides(0) {
		conns = append(conns, s.copy())
	}
	for _, c := range conns {
		if err := execAll(ctx, c, "VACUUM ANALYZE account", "CHECKPOINT"); err != nil {
			return err
		}
	}
	return nil
}

// timed starts the side and stops it when done is true. It returns how long that took.
func (f *field) timed(ctx context.Context, s side, done func(context.Context) (bool, error)) (trial, error) {
	if err := f.settle(ctx); err != nil {
		return trial{}, err
	}
	began := time.Now()
	if err := s.start(ctx); err != nil {
		return trial{}, err
	}
	if err := f.await(ctx, s, done); err != nil {
		return trial{}, err
	}
	t := trial{took: time.Since(began)}
	var err error
	if t.usage, err = s.usage(); err != nil {
		return t, err
	}
	return t, s.stop(ctx)
}

// drop ends the replication and removes the databases and what the sides know of them. The sides are stopped.
func (f *field) drop(ctx context.Context) error {
	defer f.abandon()
	var copies []string
	for _, s := range f.sides(0) {
		if err := s.remove(ctx); err != nil {
			return err
		}
		copies = append(copies, "DROP DATABASE "+s.copy().Config().Database+" WITH (FORCE)")
	}
	if err := f.dropSlots(ctx); err != nil {
		return err
	}
	f.abandon()
	err := onServer(ctx, f.b.source.URL("postgres"), func(c *pgx.Conn) error { return execAll(ctx, c, "DROP DATABASE "+f.name+" WITH (FORCE)") })
	if err != nil {
		return err
	}
	return onServer(ctx, f.b.target.URL("postgres"), func(c *pgx.Conn) error { return execAll(ctx, c, copies...) })
}

// dropSlots drops the slots at the source. The server may take a moment to miss whoever read from them.
func (f *field) dropSlots(ctx context.Context) error {
	if err := wait(ctx, 10*time.Millisecond, func(ctx context.Context) (done bool, err error) {
		err = f.src.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE active AND database = current_database())").Scan(&done)
		return done, err
	}); err != nil {
		return err
	}
	return execAll(ctx, f.src, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()")
}

// abandon lets go of everything but what the servers hold. Repeating it does nothing.
func (f *field) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if f.src != nil {
		_ = f.src.Close(ctx)
	}
	if f.base != nil {
		f.base.abandon(ctx)
	}
	if f.syncline != nil {
		f.syncline.abandon(ctx)
	}
	for _, s := range f.more {
		s.abandon(ctx)
	}
	for _, p := range f.peers {
		p.abandon(ctx)
	}
}
