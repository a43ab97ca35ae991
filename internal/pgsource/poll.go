package pgsource

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline"
	"syncline/internal/pgerror"
	"syncline/internal/poll"
)

// Poller asks a database for what has changed. It needs nothing but SELECT, and the right to see when the transactions of others began
// (pg_read_all_stats).
type Poller struct {
	// probe has the connection and what it learns of types. It is no source that is opened.
	probe *Source
	line  string
	// rows is how many rows of an entity make a batch, as its last page was.
	rows map[string]int
}

var _ poll.Dialect = (*Poller)(nil)

// NewPoller returns the dialect of the source of this name.
func NewPoller(name, url string, logger *slog.Logger) (*Poller, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil { // the parser's message repeats parts of the URL
		return nil, syncline.Errorf(syncline.Fatal, "url_invalid", "source %s: the url is not a PostgreSQL connection string", name).
			WithFix("write it as postgres://user@host:5432/database?sslmode=require")
	}
	sessionSettings(config)
	config.RuntimeParams["default_transaction_read_only"] = "on"
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Poller{probe: &Source{opt: Options{Name: name}, log: logger, config: config, types: map[uint32]typeInfo{}}, rows: map[string]int{}}, nil
}

// Open implements poll.Dialect. The identity is that of the server, which its replicas share, and of the database.
func (p *Poller) Open(ctx context.Context) (identity string, err error) {
	s := p.probe
	if s.sql, err = s.connect(ctx); err != nil {
		return "", err
	}
	var encoding, oid string
	var knows bool
	err = s.sql.QueryRow(ctx, `SELECT current_setting('server_encoding'), (SELECT oid::text FROM pg_database WHERE datname = current_database()),
		has_function_privilege('pg_control_system()', 'EXECUTE') AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')`).Scan(&encoding, &oid, &knows)
	if err != nil {
		return "", s.fault("ask for the database's identity", err)
	}
	s.rawText = encoding == "SQL_ASCII"
	if !knows {
		return "database " + oid, nil
	}
	err = s.sql.QueryRow(ctx, `SELECT (SELECT system_identifier::text FROM pg_control_system()), (SELECT timeline_id::text FROM pg_control_checkpoint())`).
		Scan(&identity, &p.line)
	return identity + "/" + oid, s.fault("ask for the database's identity", err)
}

// Close implements poll.Dialect.
func (p *Poller) Close() error {
	hangUp(p.probe.sql)
	p.probe.sql = nil
	return nil
}

// Horizon implements poll.Dialect. Transactions of vacuum write no rows. A replica does not know the sessions of its primary.
func (p *Poller) Horizon(ctx context.Context) (poll.Horizon, error) {
	h := poll.Horizon{Open: true, Line: p.line}
	var oldest *time.Time
	var snapshot string
	var sees, standby bool
	// The snapshot is taken after the clock was looked at and the sessions were listed, by a statement of its own.
	err := p.probe.sql.QueryRow(ctx, `SELECT clock_timestamp(),
		(SELECT min(xact_start) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
			AND datid = (SELECT oid FROM pg_database WHERE datname = current_database())),
		EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database()),
		pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), pg_is_in_recovery()`).Scan(&h.Clock, &oldest, &h.Prepared, &sees, &standby)
	if err == nil {
		err = p.probe.sql.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&snapshot)
	}
	if err != nil {
		return h, p.probe.fault("ask for open transactions", err)
	}
	if oldest != nil {
		h.Oldest = *oldest
	}
	switch {
	case standby:
		h.Blind = "it is a replica, which does not show when the transactions of its primary began: declare an overlap as long as they may take"
	case !sees:
		h.Blind = fmt.Sprintf("the role may not see when transactions of others began, so that one that commits late can be missed: GRANT pg_read_all_stats TO %s", quote(p.probe.config.User))
	}
	sn, err := parseSnapshot(snapshot)
	h.Xmin, h.Xmax = sn.xmin, sn.xmax
	return h, err
}

// Table implements poll.Dialect.
func (p *Poller) Table(ctx context.Context, e *poll.Entity) (poll.Table, error) {
	t := &polled{p: p, e: e}
	var err error
	if e.Query != "" {
		err = t.ofQuery(ctx)
	} else {
		err = t.ofTable(ctx)
	}
	if err != nil {
		return nil, err
	}
	return t, t.shape(ctx)
}

// refused is the error of a statement that reads an entity.
func (p *Poller) refused(doing string, e *poll.Entity, err error) error {
	state := sqlState(err)
	for _, class := range []string{classDataException, "42", "P0", "0A", "2F", "38", "39"} { // what is wrong with the query, or with functions that it calls
		if strings.HasPrefix(state, class) && state != codeInsufficientRights {
			return syncline.Errorf(syncline.Fatal, "query_refused", "source %s: entity %s: %s: %w", p.probe.opt.Name, e.Name, doing, pgerror.Told(err)).
				WithFix("correct capture.entities.%s, or what it reads", e.Name)
		}
	}
	return p.probe.fault(doing, err)
}
