package pgtarget

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"syncline"
	"syncline/internal/dialer"
	"syncline/internal/pgerror"
)

// settings make the server read and write values in the forms of syncline.Value, and let go of what hangs. What the URL
// sets itself is left alone, but for the forms of values and the plans.
var (
	forms = map[string]string{"TimeZone": "UTC", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "extra_float_digits": "1",
		"bytea_output": "hex", "standard_conforming_strings": "on", "client_encoding": "UTF8", "array_nulls": "on",
		// A row that a policy hides is an error: else it would count as removed, or as not there.
		"row_security": "off"}
	// plans keep the server from reading a whole table for a batch: each of our statements finds its rows by a key, but it is
	// planned once, perhaps when the table is empty. The penalty on other plans would look like work that is worth compiling.
	plans    = map[string]string{"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}
	defaults = map[string]string{"application_name": "syncline", "statement_timeout": "10min", "lock_timeout": "30s",
		// The owner's own bookkeeping stands between its statements and its commit; one that takes longer is dead.
		"idle_in_transaction_session_timeout": "60s", "client_min_messages": "warning"}
)

const (
	// connectTimeout bounds a login where the URL says nothing.
	connectTimeout = 15 * time.Second
	// endTimeout bounds what is sent to end a transaction or a connection after the caller's context has ended.
	endTimeout = 5 * time.Second
	// maxPrepared bounds the statements and temporary tables that a connection keeps; beyond it, it starts afresh.
	maxPrepared = 300
)

// session is one connection with what was made on it. Everything goes by the extended protocol, but for COPY, which has none.
type session struct {
	conn     *pgx.Conn
	pg       *pgconn.PgConn
	schema   string              // the first of the search path, where the cursor table stands
	prepared map[string]struct{} // names of shapes
	temps    map[string]struct{} // names of temporary tables
	shadows  bool                // the shadow table is there
	cluster  uint16              // stands for the server's cluster in tags, 0 = not known
}

func connect(ctx context.Context, url string) (*session, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		// The parser's text may hold the password.
		return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "the target's URL is not valid").
			WithFix("write it as postgres://user:password@host:5432/database?sslmode=require")
	}
	maps.Copy(c.RuntimeParams, forms)
	maps.Copy(c.RuntimeParams, plans)
	for k, v := range defaults {
		if _, ok := c.RuntimeParams[k]; !ok {
			c.RuntimeParams[k] = v
		}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	c.DialFunc = dialer.Dial
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, pgerror.OfLogin(err)
	}
	s := &session{conn: conn, pg: conn.PgConn(), prepared: map[string]struct{}{}, temps: map[string]struct{}{}}
	if err := conn.QueryRow(ctx, "SELECT coalesce(current_schema(), '')").Scan(&s.schema); err != nil {
		_ = s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return s.conn.Close(ctx)
}

// request is one statement of a pipeline. Its parameters are in binary form.
type request struct {
	shape *shape // prepared once and kept; or
	sql   string // parsed each time
	args  [][]byte
	// formats are those of the answer's columns: 0 text, 1 binary; nil = all text.
	formats []int16
	// change is the index in the Write of the only change that the statement carries out, else -1.
	change int
	// cursor marks the statement that moves the cursor.
	cursor bool
	// row gets each row of the answer, which is valid during the call.
	row func(values [][]byte)
	// done gets the number of rows at the end; an error gives the pipeline up.
	done func(n int64) error
}

// requestError is an error of one request.
type requestError struct {
	change int
	cursor bool
	err    error
}

func (e *requestError) Error() string { return e.err.Error() }
func (e *requestError) Unwrap() error { return e.err }

var allBinary = []int16{pgx.BinaryFormatCode}

// run sends all requests in one round trip and reads their answers. After an error the server skips the rest.
func (s *session) run(ctx context.Context, requests []request) error {
	p := s.pg.StartPipeline(ctx)
	queue := make([]int, 0, len(requests)+2) // for each answer to come, the request that it belongs to
	asked := map[string]struct{}{}
	for i := range requests {
		r := &requests[i]
		var formats []int16
		if len(r.args) > 0 {
			formats = allBinary
		}
		if r.shape == nil {
			p.SendQueryParams(r.sql, r.args, nil, formats, r.formats)
			queue = append(queue, i)
			continue
		}
		if _, ok := s.prepared[r.shape.name]; !ok {
			if _, ok := asked[r.shape.name]; !ok {
				asked[r.shape.name] = struct{}{}
				p.SendPrepare(r.shape.name, r.shape.sql, nil)
				queue = append(queue, i)
			}
		}
		p.SendQueryPrepared(r.shape.name, r.args, formats, r.formats)
		queue = append(queue, i)
	}
	err := p.Sync()
	var refused error // the first answer that its request does not take. The server has gone on: what follows is read all the same
	for _, i := range queue {
		if err != nil {
			break
		}
		r := &requests[i]
		var answer any
		var own error
		if answer, err = p.GetResults(); err == nil {
			switch answer := answer.(type) {
			case *pgconn.StatementDescription:
				s.prepared[r.shape.name] = struct{}{}
			case *pgconn.ResultReader:
				own, err = r.read(answer)
			default:
				err = fmt.Errorf("unexpected answer %T", answer)
			}
		}
		if own != nil && refused == nil {
			refused = &requestError{r.change, r.cursor, own}
		}
		if err != nil {
			err = &requestError{r.change, r.cursor, err}
		}
	}
	// Close reads what is left; after an error of the server it tells the same error again.
	if end := p.Close(); err == nil && end != nil {
		err = end
	}
	if refused != nil {
		return refused
	}
	return err
}

// read returns what the request has against the answer, and what went wrong with it.
func (r *request) read(answer *pgconn.ResultReader) (refused, err error) {
	for answer.NextRow() {
		if r.row != nil {
			r.row(answer.Values())
		}
	}
	tag, err := answer.Close()
	if err == nil && r.done != nil {
		refused = r.done(tag.RowsAffected())
	}
	return refused, err
}

// rollback ends the transaction, with a time of its own, since the caller's context may be why it ends. Where that does not
// work the connection is closed, which has the same effect.
func (s *session) rollback(ctx context.Context) {
	if s.pg.IsClosed() || s.pg.TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := s.run(ctx, []request{{sql: "ROLLBACK", change: -1}}); err != nil {
		_ = s.conn.Close(ctx)
	}
}

// commit ends the transaction. Where the server refuses, nothing happened; where it does not answer, or ends the connection
// instead, that is not known, and the connection is closed.
func (s *session) commit(ctx context.Context) error {
	tag, err := s.pg.ExecParams(ctx, "COMMIT", nil, nil, nil, nil).Close()
	var pg *pgconn.PgError
	switch {
	case err == nil && tag.String() != "COMMIT":
		return syncline.Errorf(syncline.Transient, "server_error", "commit: the server rolled the transaction back")
	case err == nil || errors.As(err, &pg) && !s.pg.IsClosed():
		return err
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	_ = s.conn.Close(end)
	return syncline.Errorf(syncline.Transient, "commit_unknown", "no answer to the commit: %w", err)
}
