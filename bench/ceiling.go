package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"syncline"
)

// ceiling is what can be had without a log: the stream of a slot, decoded, the last state of each key of 20,000 changes, copied to a
// temporary table of the target and from there into the table, on one connection. It keeps no cursor and survives nothing; how much of
// it Syncline keeps tells what the log and everything around it cost.
type ceiling struct {
	slot         string
	source, into string // URLs
	src          *pgx.Conn
	conn         *pgx.Conn
	running      *ceilingRun // nil = stopped
}

var _ side = (*ceiling)(nil)

// ceilingRun is a ceiling at work.
type ceilingRun struct {
	stream *stream
	target *pgconn.PgConn
	ended  chan struct{} // closed when both goroutines have ended
	err    error         // valid after that
}

// newCeiling makes the slot, which has everything from now on, and the copy's database.
func newCeiling(ctx context.Context, f *field, s shape) (*ceiling, error) {
	database := f.name + "_ceiling"
	c := &ceiling{slot: database, source: f.b.source.URL(f.name), into: f.b.target.URL(database), src: f.src}
	var err error
	if c.conn, err = create(ctx, f.b.target.URL, database, s.table); err != nil {
		return c, err
	}
	return c, execAll(ctx, f.src, "SELECT pg_create_logical_replication_slot('"+c.slot+"', 'pgoutput')")
}

func (c *ceiling) name() string { return "without a log" }

func (c *ceiling) copy() *pgx.Conn { return c.conn }

func (c *ceiling) start(ctx context.Context) error {
	target, err := pgconn.Connect(ctx, c.into)
	if err != nil {
		return err
	}
	_, err = target.Exec(ctx, "CREATE TEMPORARY TABLE incoming ON COMMIT DELETE ROWS AS SELECT * FROM account WITH NO DATA").ReadAll()
	if err != nil {
		return errors.Join(err, target.Close(ctx))
	}
	s, err := openStream(ctx, c.source, c.slot)
	if err != nil {
		return errors.Join(err, target.Close(ctx))
	}
	r := &ceilingRun{stream: s, target: target, ended: make(chan struct{})}
	c.running = r
	var both sync.WaitGroup
	var read, written error
	both.Go(func() { read = s.read() })
	both.Go(func() {
		if written = r.write(ctx); written != nil {
			s.close()
		}
	})
	go func() {
		both.Wait()
		r.err = errors.Join(written, read)
		close(r.ended)
	}()
	return nil
}

func (c *ceiling) check(context.Context) error {
	select {
	case <-c.running.ended:
		return fmt.Errorf("%s has ended: %w", c.name(), c.running.err)
	default:
		return nil
	}
}

func (c *ceiling) stop(ctx context.Context) error {
	if err := c.end(ctx); err != nil {
		return err
	}
	return wait(ctx, 10*time.Millisecond, func(ctx context.Context) (done bool, err error) {
		err = c.src.QueryRow(ctx, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = $1", c.slot).Scan(&done)
		return done, err
	})
}

// end waits for the batch in hand and hangs up.
func (c *ceiling) end(ctx context.Context) error {
	r := c.running
	c.running = nil
	r.stream.close()
	<-r.ended
	return errors.Join(r.err, r.stream.conn.Close(), r.target.Close(ctx))
}

// usage is not told: it works inside the bench.
func (c *ceiling) usage() (usage, error) { return usage{}, nil }

func (c *ceiling) remove(context.Context) error { return nil }

func (c *ceiling) abandon(ctx context.Context) {
	if c.running != nil {
		_ = c.end(ctx)
	}
	if c.conn != nil {
		_ = c.conn.Close(ctx)
	}
}

// write takes the batches to the target until there are no more.
func (r *ceilingRun) write(ctx context.Context) error {
	var statements upsert
	text := &copyText{}
	for b := range r.stream.batches {
		if b.table != statements.table {
			statements = upsertOf(b.table)
		}
		text.rows = b.rows
		if _, err := r.target.Exec(ctx, "BEGIN").ReadAll(); err != nil {
			return err
		}
		if _, err := r.target.CopyFrom(ctx, text, "COPY pg_temp.incoming FROM STDIN"); err != nil {
			return err
		}
		done, err := r.target.ExecParams(ctx, statements.update, nil, nil, nil, nil).Close()
		if err != nil {
			return err
		}
		if int(done.RowsAffected()) < len(b.rows) {
			if _, err := r.target.Exec(ctx, statements.put).ReadAll(); err != nil {
				return err
			}
		}
		if _, err := r.target.Exec(ctx, "COMMIT").ReadAll(); err != nil {
			return err
		}
		if err := r.stream.confirm(b.end); err != nil {
			return err
		}
	}
	return nil
}

// upsert are the statements that the connector for PostgreSQL writes for many rows: what is there is updated, and only where that was
// not everything the rest is put.
type upsert struct {
	table       *incoming
	update, put string
}

func upsertOf(t *incoming) upsert {
	key := pgx.Identifier{t.names[t.key]}.Sanitize()
	var all, set, excluded []string
	for i, n := range t.names {
		name := pgx.Identifier{n}.Sanitize()
		if all = append(all, name); i != t.key {
			set, excluded = append(set, name+" = u."+name), append(excluded, name+" = EXCLUDED."+name)
		}
	}
	columns := strings.Join(all, ", ")
	return upsert{table: t,
		update: "UPDATE account AS t SET " + strings.Join(set, ", ") + " FROM pg_temp.incoming AS u WHERE t." + key + " = u." + key,
		put: "INSERT INTO account AS t (" + columns + ") SELECT " + columns + " FROM pg_temp.incoming ON CONFLICT (" + key + ") DO UPDATE SET " +
			strings.Join(excluded, ", ")}
}

// copyText gives the rows in COPY's text format while the server reads them.
type copyText struct {
	rows [][]syncline.Value
	rest []byte // of the rows before
	text []byte // where rest lives
}

func (c *copyText) Read(p []byte) (int, error) {
	if len(c.rest) == 0 && len(c.rows) == 0 {
		return 0, io.EOF
	}
	if len(c.rest) == 0 {
		c.text = c.text[:0]
		for len(c.rows) > 0 && len(c.text) < len(p) {
			for i, v := range c.rows[0] {
				if i > 0 {
					c.text = append(c.text, '\t')
				}
				c.text = appendField(c.text, v)
			}
			c.text, c.rows = append(c.text, '\n'), c.rows[1:]
		}
		c.rest = c.text
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func appendField(dst []byte, v syncline.Value) []byte {
	if v.IsNull() {
		return append(dst, `\N`...)
	}
	text := v.Bytes()
	if !bytes.ContainsAny(text, "\\\t\n\r") {
		return append(dst, text...)
	}
	return append(dst, escapes.Replace(string(text))...)
}

var escapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
