package pgsource

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"syncline"
)

// standbyDecodes is the first version whose standbys can be read by logical decoding.
const standbyDecodes = 160000

const (
	// slotPoll is how often a slot that somebody uses is tried again, slotPatience for how long before that is said: a process of ours that was
	// killed lets go at once.
	slotPoll     = 100 * time.Millisecond
	slotPatience = 5 * time.Second
)

// slot is our replication slot as the server shows it.
type slot struct {
	plugin    string
	database  uint32
	temporary bool
	failover  bool // standbys have it too
	twoPhase  bool // transactions are sent when they are prepared
	lost      bool
	confirmed lsn
}

// findSlot returns nil where there is no slot of our name.
func (s *Source) findSlot(ctx context.Context) (*slot, error) {
	var sl slot
	var confirmed, status string
	err := s.sql.QueryRow(ctx, `SELECT coalesce(plugin::text, ''), coalesce(datoid, 0), temporary, coalesce(wal_status, ''), coalesce(confirmed_flush_lsn::text, '0/0'),
			coalesce((to_jsonb(s)->>'failover')::bool, false), coalesce((to_jsonb(s)->>'two_phase')::bool, false)
		FROM pg_replication_slots s WHERE slot_name = $1`, s.opt.Slot).Scan(&sl.plugin, &sl.database, &sl.temporary, &status, &confirmed, &sl.failover, &sl.twoPhase)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		sl.lost = status == "lost"
		sl.confirmed, err = parseLSN(confirmed)
	}
	return &sl, s.fault("look up the slot", err)
}

// checkSlot refuses a slot that cannot be streamed from.
func (s *Source) checkSlot(sl *slot) error {
	switch {
	case sl == nil:
		return s.slotMissing()
	case sl.plugin != "pgoutput" || sl.temporary:
		return syncline.Errorf(syncline.Fatal, "slot_foreign", "source %s: slot %s is not a permanent slot of the plug-in pgoutput", s.opt.Name, s.opt.Slot).
			WithFix("name another slot in the configuration")
	case sl.database != s.identity.Database:
		return syncline.Errorf(syncline.Fatal, "slot_foreign", "source %s: slot %s belongs to another database", s.opt.Name, s.opt.Slot).
			WithFix("name another slot in the configuration; a slot's name is unique on its server")
	case sl.twoPhase && s.state.State == "": // one that was read from before is left until a prepared transaction comes: a new one would lack what this one has
		return syncline.Errorf(syncline.Fatal, "slot_foreign", "source %s: slot %s sends transactions before they are committed (two_phase)", s.opt.Name, s.opt.Slot).
			WithFix("name another slot in the configuration, or if nobody needs this one, make it anew without two_phase")
	case sl.lost:
		return s.slotLost()
	}
	return nil
}

// notAhead refuses a slot from which changes are gone that the log does not have.
func (s *Source) notAhead(sl *slot) error {
	if sl.confirmed <= lsn(s.pos.Commit) {
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "slot_ahead", "source %s: slot %s stands at %s, beyond the log's end at %s: the changes between were given to somebody else",
		s.opt.Name, s.opt.Slot, sl.confirmed, lsn(s.pos.Commit)).WithFix("find out who read from it; then %s", s.acceptGap())
}

// slotForeign refuses a slot that an empty log finds. Only one that this source could read may be taken over, or dropped by somebody who
// knows that nobody needs it.
func (s *Source) slotForeign(sl *slot) error {
	if err := s.checkSlot(sl); err != nil && !sl.lost {
		return err
	}
	return syncline.Errorf(syncline.Fatal, "slot_foreign", "source %s: slot %s exists, and this log has not made it", s.opt.Name, s.opt.Slot).
		WithFix("if nobody needs it: SELECT pg_drop_replication_slot(%s); if it was made for this source by hand: manage: false", literal(s.opt.Slot))
}

func (s *Source) slotMissing() error {
	if s.state.State == "" {
		return syncline.Errorf(syncline.Fatal, "slot_missing", "source %s: there is no slot %s, and manage is off", s.opt.Name, s.opt.Slot).
			WithFix("SELECT pg_create_logical_replication_slot(%s, 'pgoutput');", literal(s.opt.Slot))
	}
	return syncline.Errorf(syncline.Fatal, "slot_missing", "source %s: slot %s is gone, and with it the changes since the log's end", s.opt.Name, s.opt.Slot).
		WithFix("find out who dropped it; then %s", s.acceptGap())
}

func (s *Source) slotLost() error {
	return syncline.Errorf(syncline.Fatal, "slot_lost", "source %s: the server removed WAL that slot %s still needs", s.opt.Name, s.opt.Slot).
		WithFix("raise max_slot_wal_keep_size; then %s", s.acceptGap())
}

// publicationLate is that the server reads a change with the publication as it was then, and there was none. It stays so, whoever
// makes one now.
func (s *Source) publicationLate() error {
	return syncline.Errorf(syncline.Fatal, "publication_late", "source %s: publication %s or %s did not exist when changes were made that slot %s has still to send",
		s.opt.Name, s.opt.Publication, s.opt.Publication+appendSuffix, s.opt.Slot).WithFix("%s", s.acceptGap())
}

// dropSlot removes the slot of our own birth that was cut, as soon as nobody uses it any more.
func (s *Source) dropSlot(ctx context.Context) error {
	return s.whileInUse(ctx, func() error {
		_, err := s.sql.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", s.opt.Slot)
		return err
	})
}

// slotInUse is that somebody else reads from the slot, or a process of ours that the server has not missed yet. The server's error names it.
func (s *Source) slotInUse(err error) error {
	return syncline.Errorf(syncline.Transient, "slot_in_use", "source %s: slot %s is in use: %w", s.opt.Name, s.opt.Slot, err).
		WithFix("it is tried again; one process reads from a slot: end the other (pg_replication_slots has its active_pid, pg_stat_activity whose it is), or give it a slot of its own")
}

// whileInUse repeats f for slotPatience where the slot is in use, by a process of ours that is dying or by somebody else.
func (s *Source) whileInUse(ctx context.Context, f func() error) error {
	began := time.Now()
	tick := time.NewTicker(slotPoll)
	defer tick.Stop()
	for said := false; ; said = true {
		err := f()
		if sqlState(err) != codeObjectInUse {
			return err
		}
		if time.Since(began) >= slotPatience {
			return s.slotInUse(err)
		}
		if !said {
			s.log.Warn("waiting for the slot, which is in use", "slot", s.opt.Slot)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// exported is a new slot's snapshot of the database, which lives until the connection does anything else.
type exported struct {
	point    lsn // the slot's stream begins here, and the snapshot has everything before
	snapshot string
}

// createSlot makes a slot and exports its snapshot. It waits for the transactions that are running.
func (s *Source) createSlot(ctx context.Context, c *pgconn.PgConn, name, kind string) (exported, error) {
	row, err := command(ctx, c, "CREATE_REPLICATION_SLOT "+quote(name)+kind+" LOGICAL pgoutput EXPORT_SNAPSHOT")
	if sqlState(err) == codeConfigurationLimit {
		return exported{}, syncline.Errorf(syncline.Transient, "slots_exhausted", "source %s: all replication slots of the server are in use", s.opt.Name).
			WithFix("raise max_replication_slots, or drop a slot that nobody uses; it is tried again every minute, and at once after `syncline resume --system %s`", s.opt.Name).Patiently()
	}
	if err != nil {
		return exported{}, s.fault("create a replication slot", err)
	}
	point, err := parseLSN(row[1])
	return exported{point: point, snapshot: row[2]}, err
}

// server reads who the server is and what it can do.
func (s *Source) server(ctx context.Context) error {
	var encoding, level string
	err := s.sql.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), current_setting('server_encoding'),
		current_setting('wal_level'), (SELECT oid FROM pg_database WHERE datname = current_database())`).
		Scan(&s.version, &s.standby, &encoding, &level, &s.identity.Database)
	if err != nil {
		return s.fault("read the server's settings", err)
	}
	if s.rawText = encoding == "SQL_ASCII"; s.rawText {
		s.config = s.config.Copy()
		s.config.RuntimeParams["client_encoding"] = encoding // else the server would refuse to send what is not UTF-8
	}
	if s.version < 130000 {
		return syncline.Errorf(syncline.Fatal, "server_too_old", "source %s: PostgreSQL %d; 13 is the oldest that can be a source", s.opt.Name, s.version/10000)
	}
	if level != "logical" {
		return syncline.Errorf(syncline.Fatal, "wal_level", "source %s: wal_level is %s, not logical", s.opt.Name, level).
			WithFix("ALTER SYSTEM SET wal_level = logical; then restart the server, and `syncline resume --system %s`", s.opt.Name)
	}
	if s.standby && s.version < standbyDecodes {
		return syncline.Errorf(syncline.Transient, "source_standby", "source %s: the server is a standby, and PostgreSQL %d does not decode changes there", s.opt.Name, s.version/10000).
			WithFix("it is tried again; point the url at the primary")
	}
	c, err := s.connectReplication(ctx)
	if err != nil {
		return err
	}
	defer c.Close(ctx) //nolint:errcheck // nothing is under way on it
	row, err := command(ctx, c, "IDENTIFY_SYSTEM")
	if err != nil {
		return s.fault("identify the server", err)
	}
	s.identity.System, s.identity.Timeline, s.identity.Slot = row[0], row[1], s.opt.Slot
	return nil
}

// checkIdentity refuses another server, timeline, database or slot than the log was captured from.
func (s *Source) checkIdentity() error {
	was, is := s.state.Identity, s.identity
	var what string
	switch {
	case was.System != is.System:
		what = "another server (system identifier " + is.System + ", was " + was.System + ")"
	case was.Timeline != is.Timeline:
		what = "another timeline (" + is.Timeline + ", was " + was.Timeline + "): the server was promoted or restored"
	case was.Database != is.Database:
		what = "another database"
	case was.Slot != is.Slot:
		what = "another slot (" + is.Slot + ", was " + was.Slot + ")"
	default:
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "source_changed", "source %s: the log was captured from %s", s.opt.Name, what).
		WithFix("point the url back to the old one; or, if this one is to be followed from now on, %s", s.acceptGap())
}
