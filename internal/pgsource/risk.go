package pgsource

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline"
)

var _ syncline.Risky = (*Source)(nil)

// riskTimeout bounds what a question about the slot may take on the server.
const riskTimeout = "5s"

// riskQuery asks for everything at one moment. It needs no rights beyond those of any role. What only newer servers tell is taken from
// the row as a document: it is missing on the others.
const riskQuery = `WITH wal AS (SELECT pg_is_in_recovery() AS standby,
		CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS at)
	SELECT (SELECT system_identifier::text FROM pg_control_system()),
		s.slot_name IS NOT NULL, coalesce(s.active, false), coalesce(s.wal_status, ''), s.safe_wal_size,
		coalesce(to_jsonb(s)->>'invalidation_reason', CASE WHEN to_jsonb(s)->>'conflicting' = 'true' THEN 'conflict' END, ''),
		greatest(coalesce(pg_wal_lsn_diff(wal.at, s.restart_lsn), 0), 0)::bigint,
		greatest(coalesce(pg_wal_lsn_diff(wal.at, s.confirmed_flush_lsn), 0), 0)::bigint,
		(extract(epoch FROM coalesce(r.flush_lag, interval '0')) * 1000000)::bigint
	FROM wal LEFT JOIN pg_replication_slots s ON s.slot_name = $1 LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid`

// Risk implements syncline.Risky.
func (s *Source) Risk(ctx context.Context) (syncline.SourceRisk, error) {
	r := syncline.SourceRisk{Slot: s.opt.Slot}
	config := s.config.Copy()
	config.RuntimeParams["statement_timeout"] = riskTimeout
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return r, s.fault("connect", err)
	}
	defer hangUp(c)
	var found bool
	var status string
	var lag int64
	err = c.QueryRow(ctx, riskQuery, s.opt.Slot).Scan(&r.System, &found, &r.Active, &status, &r.SafeBytes, &r.Reason, &r.HeldBytes, &r.LagBytes, &lag)
	if err != nil {
		return r, s.fault("look at the slot", err)
	}
	r.Lag = time.Duration(lag) * time.Microsecond
	if r.State = syncline.SlotState(status); !found {
		r.State = syncline.SlotMissing
	}
	return r, nil
}
