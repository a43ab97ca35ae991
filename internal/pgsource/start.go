package pgsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// startStream begins to replicate at the position: by SQL where there is much to catch up with, else at the walsender. It waits for a
// while where the slot is in use.
func (s *Source) startStream(ctx context.Context) error {
	from := s.streamFrom()
	if b := s.catchUp(ctx, from); b != nil {
		if err := s.forgo(ctx); err != nil {
			b.close()
			return err
		}
		s.beginStream(b)
		return nil
	}
	return s.startSending(ctx, from)
}

// startSending begins to replicate at the walsender.
func (s *Source) startSending(ctx context.Context, from lsn) error {
	w, err := s.send(ctx, from)
	if err != nil {
		return err
	}
	s.beginStream(w)
	return nil
}

func (s *Source) beginStream(f feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream = &stream{feed: f, txn: -1, activity: time.Now(), recent: unseen{looked: time.Now()}}
	s.warnOfBareLocked()
}

// fed goes on where the feed has ended: at the walsender, where that was a backlog.
func (s *Source) fed(ctx context.Context) error {
	err := s.stream.feed.failure()
	if !errors.Is(err, errCaughtUp) {
		return s.broken(err)
	}
	from := lsn(s.pos.Commit)
	if s.landmark != nil {
		from = lsn(s.landmark.Commit)
	}
	w, err := s.send(ctx, from)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream.feed = w
	return nil
}

// send has the walsender begin to stream.
func (s *Source) send(ctx context.Context, from lsn) (*wire, error) {
	c, err := s.connectReplication(ctx)
	if err != nil {
		return nil, err
	}
	started := false
	defer func() {
		if !started {
			closeNow(c)
		}
	}()
	timeout, err := senderTimeout(ctx, c)
	if err != nil {
		return nil, s.fault("read wal_sender_timeout", err)
	}
	sql := fmt.Sprintf("START_REPLICATION SLOT %s LOGICAL %s (%s)", quote(s.opt.Slot), from, s.outputOptions("%s %s"))
	err = s.whileInUse(ctx, func() error { return startReplication(ctx, c, sql) })
	switch sqlState(err) {
	case "":
	case codeUndefinedObject:
		return nil, s.slotMissing()
	case codeNotInState:
		return nil, s.slotLost()
	}
	if err != nil {
		return nil, s.fault("start replication", err)
	}
	if err := s.forgo(ctx); err != nil {
		return nil, err
	}
	h, err := c.Hijack()
	if err != nil {
		return nil, s.fault("start replication", err)
	}
	started = true
	s.log.Info("streaming", "slot", s.opt.Slot, "position", lsn(s.pos.Commit).String())
	return newWire(h.Conn, &s.confirmed, timeout), nil
}

// outputOptions are those of pgoutput, each written as the format says.
func (s *Source) outputOptions(format string) string {
	options := []string{fmt.Sprintf(format, "proto_version", "'1'"), fmt.Sprintf(format, "publication_names", literal(identifierList(s.names)))}
	if s.version >= 140000 {
		options = append(options, fmt.Sprintf(format, "messages", "'true'"))
	}
	return strings.Join(options, ", ")
}

// Warnings tells what the stream will never bring. It is safe beside Next.
func (s *Source) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.warnings)
}

// warnOfBareLocked names the tables whose updates and deletes are not captured: their rows would differ at every target without a
// word.
func (s *Source) warnOfBareLocked() {
	s.warnings = nil
	var names []string
	for _, t := range s.tables {
		if t.appendOnly() {
			names = append(names, t.String())
			s.warnings = append(s.warnings, "updates and deletes of "+t.String()+" are not captured, it has no replica identity: "+s.bareFix(t))
		}
	}
	for _, t := range s.tables {
		if t.early {
			s.warnings = append(s.warnings, t.String()+" is not captured yet: its publication is younger than what the slot may still have to send; it is once the transactions are over that were running then")
		}
	}
	if len(names) > 0 {
		s.log.Warn("updates and deletes are not captured of tables without a replica identity", "tables", strings.Join(names, ", "),
			"fix", "syncline status has the statements")
	}
}

// bareFix is the way out for a table without a replica identity.
func (s *Source) bareFix(t *table) string {
	return "add a primary key, or ALTER TABLE " + quote(t.schema, t.name) + " REPLICA IDENTITY FULL; then restart, and where rows were changed before, syncline sync " +
		s.opt.Name + "/" + t.entity.Name
}

// identifierList is how pgoutput's option publication_names is written.
func identifierList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ",")
}

func closeNow(c *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx) // it is given up
}

// senderTimeout is how long the server waits for a word of ours; 0 = for ever.
func senderTimeout(ctx context.Context, c *pgconn.PgConn) (time.Duration, error) {
	row, err := command(ctx, c, "SHOW wal_sender_timeout")
	if err != nil || row[0] == "0" {
		return 0, err
	}
	// PostgreSQL's units of time are Go's, but for minutes and days.
	text := strings.Replace(strings.Replace(row[0], "min", "m", 1), "d", "h", 1)
	d, err := time.ParseDuration(text)
	if strings.HasSuffix(row[0], "d") {
		d *= 24
	}
	return d, err
}

// startReplication returns once the server has begun to stream. After the server's refusal the connection can be used again.
func startReplication(ctx context.Context, c *pgconn.PgConn, sql string) error {
	c.Frontend().SendQuery(&pgproto3.Query{String: sql})
	if err := c.Frontend().Flush(); err != nil {
		return err
	}
	var refused error
	for {
		msg, err := c.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		switch msg := msg.(type) {
		case *pgproto3.CopyBothResponse:
			return nil
		case *pgproto3.ErrorResponse:
			refused = pgconn.ErrorResponseToPgError(msg)
		case *pgproto3.ReadyForQuery:
			if refused == nil {
				refused = errors.New("the server did not begin to stream")
			}
			return refused
		}
	}
}
