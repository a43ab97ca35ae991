package testserver

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestPostgresKeepsCommittedRowsAcrossACrash(t *testing.T) {
	ctx := context.Background()
	s := NewPostgres(t)
	url := s.Database(t)
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(ctx, "CREATE TABLE a AS SELECT 1 AS n"); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	c, err = pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // the end of a test
	var n int
	if err := c.QueryRow(ctx, "SELECT n FROM a").Scan(&n); err != nil || n != 1 {
		t.Errorf("rows after a crash = %d, %v, want 1", n, err)
	}
}

func TestRedisStarts(t *testing.T) {
	s := NewRedis(t)
	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}
