package pgsource

import (
	"context"

	"github.com/jackc/pgx/v5"

	"syncline"
)

// canaryPrefix marks the messages of Mark. The stream says at once, with a batch without events, that it has passed one.
const canaryPrefix = "syncline_canary"

var _ syncline.Markable = (*Source)(nil)

// Mark implements syncline.Markable by a transactional logical message: about a hundred bytes of WAL, and no table.
func (s *Source) Mark(ctx context.Context) (commit uint64, err error) {
	config := s.config.Copy()
	config.RuntimeParams["statement_timeout"] = riskTimeout
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return 0, s.fault("connect", err)
	}
	defer hangUp(c)
	var text string
	if err := c.QueryRow(ctx, "SELECT pg_logical_emit_message(true, $1, '')::text", canaryPrefix).Scan(&text); err != nil {
		return 0, s.fault("write a canary", err)
	}
	at, err := parseLSN(text)
	return uint64(at), err
}
