package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// native is PostgreSQL's own logical replication with its defaults: a subscription of the copy's database.
type native struct {
	subscription string
	from         string // how the target server connects to the source's database
	conn         *pgx.Conn
	made         bool
}

var _ side = (*native)(nil)

func (n *native) name() string { return "native replication" }

func (n *native) copy() *pgx.Conn { return n.conn }

func (n *native) start(ctx context.Context) error {
	if n.made {
		return execAll(ctx, n.conn, "ALTER SUBSCRIPTION "+n.subscription+" ENABLE")
	}
	n.made = true
	return execAll(ctx, n.conn, fmt.Sprintf("CREATE SUBSCRIPTION %s CONNECTION '%s' PUBLICATION native", n.subscription, n.from))
}

// check has nothing to tell: a worker that fails is started again by the server.
func (n *native) check(context.Context) error { return nil }

// stop waits for the first copy to be over as well, which would be done again otherwise.
func (n *native) stop(ctx context.Context) error {
	if err := n.until(ctx, "SELECT NOT EXISTS (SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r')"); err != nil {
		return err
	}
	if err := execAll(ctx, n.conn, "ALTER SUBSCRIPTION "+n.subscription+" DISABLE"); err != nil {
		return err
	}
	return n.until(ctx, "SELECT NOT EXISTS (SELECT FROM pg_stat_subscription WHERE subname = '"+n.subscription+"' AND pid IS NOT NULL)")
}

func (n *native) until(ctx context.Context, query string) error {
	return wait(ctx, 10*time.Millisecond, func(ctx context.Context) (done bool, err error) {
		err = n.conn.QueryRow(ctx, query).Scan(&done)
		return done, err
	})
}

func (n *native) usage() (usage, error) { return usage{}, nil }

func (n *native) remove(ctx context.Context) error {
	return execAll(ctx, n.conn, "DROP SUBSCRIPTION IF EXISTS "+n.subscription)
}

func (n *native) abandon(ctx context.Context) {
	if n.conn != nil {
		_ = n.conn.Close(ctx)
	}
}
