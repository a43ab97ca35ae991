package pgsource

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"syncline"
	"syncline/internal/dialer"
	"syncline/internal/pgerror"
)

// sessionSettings makes every session render values in the one form that value.go fixes, whatever the role's or the
// database's defaults, and keeps the server from ending our long transactions, or a session that waits.
func sessionSettings(c *pgx.ConnConfig) {
	for name, value := range map[string]string{
		"client_encoding": "UTF8", "DateStyle": "ISO", "IntervalStyle": "postgres", "TimeZone": "UTC", "extra_float_digits": "3",
		"bytea_output": "hex", "standard_conforming_strings": "on", "statement_timeout": "0", "lock_timeout": "0",
		"idle_in_transaction_session_timeout": "0",
		// Where a policy hides rows, reading fails: a copy would leave them out, and a read by key would say that they are gone.
		"row_security": "off",
	} {
		c.RuntimeParams[name] = value
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "syncline"
	}
	c.DialFunc = dialer.Dial
	c.AfterConnect = keepSession
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
}

// keepSession takes back limits that not every server has: the first is of version 14, the second of 17. And it has the server look whether we are
// there: a session of ours whose host is gone keeps its snapshot, and its temporary slot WAL, for two hours by most systems' defaults.
func keepSession(ctx context.Context, c *pgconn.PgConn) error {
	return c.Exec(ctx, `SELECT set_config(name, value, false) FROM (VALUES ('idle_session_timeout', '0'), ('transaction_timeout', '0'),
		('tcp_keepalives_idle', '60'), ('tcp_keepalives_interval', '20'), ('tcp_keepalives_count', '3')) AS s (name, value) WHERE current_setting(name, true) IS NOT NULL`).Close()
}

func (s *Source) connect(ctx context.Context) (*pgx.Conn, error) {
	c, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, s.fault("connect", err)
	}
	return c, nil
}

// connectReplication opens a connection that takes replication commands.
func (s *Source) connectReplication(ctx context.Context) (*pgconn.PgConn, error) {
	config := s.config.Config.Copy()
	config.RuntimeParams["replication"] = "database"
	// Once it streams, the connection is read by a wire, and nothing may have been read ahead of that.
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend { return pgproto3.NewFrontend(&singleReader{r: r}, w) }
	c, err := pgconn.ConnectConfig(ctx, config)
	switch {
	case err == nil:
		return c, nil
	case sqlState(err) == codeTooManyConnections: // max_connections does not count what is connected for replication
		return nil, s.sendersExhausted()
	case sqlState(err) == codeInsufficientRights:
		return nil, syncline.Errorf(syncline.Fatal, "privilege_missing", "source %s: role %s may not replicate", s.opt.Name, s.config.User).WithFix("%s", s.replicationFix())
	}
	return nil, s.fault("connect for replication", err)
}

// sendersExhausted is that the server takes nobody more who reads its WAL.
func (s *Source) sendersExhausted() error {
	return syncline.Errorf(syncline.Transient, "senders_exhausted", "source %s: all WAL senders of the server are in use", s.opt.Name).
		WithFix("it is tried again; end a reader that nobody needs (pg_stat_replication), or raise max_wal_senders, which takes a restart of the server")
}

func (s *Source) replicationFix() string {
	return s.thenResume("ALTER ROLE " + quote(s.config.User) + " REPLICATION;")
}

// thenResume is a statement that can be pasted as it is, and what has to be done behind it.
func (s *Source) thenResume(sql string) string {
	return sql + " -- then, if it is running, `syncline resume --system " + s.opt.Name + "`"
}

// singleReader never reads beyond the message that is being read.
type singleReader struct {
	r      io.Reader
	header [5]byte
	have   int // bytes of the header
	left   int // bytes of the body
}

func (s *singleReader) Read(p []byte) (int, error) {
	if s.have < len(s.header) {
		n, err := s.r.Read(p[:min(len(p), len(s.header)-s.have)])
		copy(s.header[s.have:], p[:n])
		if s.have += n; s.have == len(s.header) {
			s.left = int(binary.BigEndian.Uint32(s.header[1:])) - 4
			s.endOfBody()
		}
		return n, err
	}
	n, err := s.r.Read(p[:min(len(p), s.left)])
	s.left -= n
	s.endOfBody()
	return n, err
}

func (s *singleReader) endOfBody() {
	if s.left <= 0 {
		s.have, s.left = 0, 0
	}
}

// command runs a replication command and returns the fields of its row.
func command(ctx context.Context, c *pgconn.PgConn, sql string) ([]string, error) {
	results, err := c.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return nil, fmt.Errorf("answer of %d results where one row is due", len(results))
	}
	row := make([]string, len(results[0].Rows[0]))
	for i, v := range results[0].Rows[0] {
		row[i] = string(v)
	}
	return row, nil
}

// SQLSTATE codes that decide something here.
const (
	codeObjectInUse         = "55006"
	codeNotInState          = "55000"
	codeUndefinedObject     = "42704"
	codeLockNotAvailable    = "55P03"
	codeUndefinedTable      = "42P01"
	codeInvalidName         = "42602"
	codeInsufficientRights  = "42501"
	codeUndefinedDatabase   = "3D000"
	codeQueryCanceled       = "57014"
	codeReadOnly            = "25006"
	codeProtocolViolation   = "08P01"
	codeTooManyConnections  = "53300"
	classConnection         = "08"
	classInvalidAuth        = "28"
	classResources          = "53"
	classIntervention       = "57" // the server shuts down, starts or ended the session
	classDataException      = "22"
	classConstraint         = "23" // of a domain
	codeConfigurationLimit  = "53400"
	codeSyntaxError         = "42601"
	codeFeatureNotSupported = "0A000"
)

// sqlState returns the server's code of the error, "" if it is not the server's.
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// fault adds to an error what was attempted, and its class and code. Errors that have them already pass through.
func (s *Source) fault(doing string, err error) error {
	var known *syncline.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	err = pgerror.OfLogin(err)
	state := sqlState(err)
	switch {
	case state == codeInsufficientRights:
		return syncline.Errorf(syncline.Fatal, "privilege_missing", "source %s: %s: %w", s.opt.Name, doing, err).
			WithFix("`syncline run --check` says which statement gives the role what it needs: REPLICATION, SELECT on the tables; with manage: true also CREATE on the database and ownership of the tables; then `syncline resume --system %s`", s.opt.Name)
	case strings.HasPrefix(state, classInvalidAuth):
		return syncline.Errorf(syncline.Transient, "login_refused", "source %s: %s: the server refused the login (SQLSTATE %s)", s.opt.Name, doing, state).
			WithFix("check user and password in the url, and that pg_hba.conf lets this host in, for replication connections too; it is tried again every minute, and at once after `syncline resume --system %s`", s.opt.Name).Patiently()
	case state == codeUndefinedDatabase:
		return syncline.Errorf(syncline.Fatal, "database_missing", "source %s: %s: %w", s.opt.Name, doing, err).
			WithFix("correct the url, or make the database, then `syncline resume --system %s`", s.opt.Name)
	case state == codeReadOnly:
		return syncline.Errorf(syncline.Transient, "source_standby", "source %s: %s: %w", s.opt.Name, doing, err).
			WithFix("it is tried again; the server is a standby or takes no writes: point the url at the primary, or make the publication there")
	case strings.HasPrefix(state, classResources):
		return syncline.Errorf(syncline.Transient, "out_of_resources", "source %s: %s: %w", s.opt.Name, doing, err).
			WithFix("it is tried again; see to connections (max_connections), memory and disk of the server")
	case state == codeProtocolViolation:
		return syncline.Errorf(syncline.Transient, "connection_lost", "source %s: %s: %w", s.opt.Name, doing, err).
			WithFix("it is tried again; a pooler such as PgBouncer does not pass everything on: give the server itself in the url, not %s", s.address())
	case state == "" && !errors.Is(err, context.Canceled), strings.HasPrefix(state, classConnection), strings.HasPrefix(state, classIntervention) && state != codeQueryCanceled:
		return s.lost(doing, err)
	}
	return fmt.Errorf("source %s: %s: %w", s.opt.Name, doing, err)
}

// lost is the error of a server that does not answer.
func (s *Source) lost(doing string, err error) error {
	way := "it is tried again; see that the server runs and that %s is where it listens"
	if s.config.TLSConfig != nil {
		way += ", with TLS, as sslmode in the url has it"
	}
	return syncline.Errorf(syncline.Transient, "connection_lost", "source %s: %s: %w", s.opt.Name, doing, err).WithFix(way, s.address())
}

func (s *Source) address() string {
	return net.JoinHostPort(s.config.Host, strconv.Itoa(int(s.config.Port)))
}

// quote makes an SQL identifier.
func quote(names ...string) string { return pgx.Identifier(names).Sanitize() }

// literal makes an SQL string constant (standard_conforming_strings is on).
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// lsn is a place in the WAL.
type lsn uint64

func (l lsn) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

func parseLSN(s string) (lsn, error) {
	hi, lo, ok := strings.Cut(s, "/")
	a, err1 := strconv.ParseUint(hi, 16, 32)
	b, err2 := strconv.ParseUint(lo, 16, 32)
	if err := errors.Join(err1, err2); !ok || err != nil {
		return 0, fmt.Errorf("read WAL position %q", s)
	}
	return lsn(a<<32 | b), nil
}
