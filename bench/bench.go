package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline/internal/testserver"
)

// settings are those of both servers beside what testserver sets. They are durable. Vacuum and checkpoints happen between the
// measurements, where neither side pays for what the other one left. The retry interval is also the least time between two
// starts of native replication's workers: its default of 5 s would be charged to native replication.
var settings = []string{"shared_buffers=256MB", "max_wal_size=4GB", "checkpoint_timeout=30min", "autovacuum=off", "wal_retrieve_retry_interval=100ms"}

// bench is a run: its servers and folder, all of which close removes.
type bench struct {
	options
	began          time.Time
	stderr         io.Writer
	dir            string
	binary         string
	source, target *testserver.Postgres
}

func start(ctx context.Context, o options, stderr io.Writer) (b *bench, err error) {
	b = &bench{options: o, began: time.Now(), stderr: stderr}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.dir, err = os.MkdirTemp("", "syncline-bench-"); err != nil {
		return b, err
	}
	if o.pprof != "" {
		if err := os.MkdirAll(o.pprof, 0o755); err != nil {
			return b, err
		}
	}
	b.say("build")
	b.binary = filepath.Join(b.dir, "syncline")
	build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "syncline/cmd/syncline")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return b, fmt.Errorf("build syncline: %w\n%s", err, out)
	}
	if !o.servers() {
		return b, nil
	}
	b.say("start servers")
	if b.source, err = testserver.StartPostgres(settings...); err != nil {
		return b, fmt.Errorf("start the source: %w", err)
	}
	if b.target, err = testserver.StartPostgres(settings...); err != nil {
		return b, fmt.Errorf("start the target: %w", err)
	}
	return b, ctx.Err()
}

func (b *bench) close() error {
	for _, s := range []*testserver.Postgres{b.source, b.target} {
		if s != nil {
			s.Close()
		}
	}
	return os.RemoveAll(b.dir)
}

// say reports progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.stderr, "%6.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...)) //nolint:errcheck // progress
}

// about describes what was measured, where, and how to do it again.
func (b *bench) about(ctx context.Context, args []string) ([][2]string, error) {
	version, err := exec.CommandContext(ctx, b.binary, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("ask for the version: %w", err)
	}
	list := append(machine(), [2]string{"Syncline", strings.TrimSpace(string(version))})
	if b.source != nil {
		var postgres string
		err := onServer(ctx, b.source.URL("postgres"), func(c *pgx.Conn) error {
			return c.QueryRow(ctx, "SHOW server_version").Scan(&postgres)
		})
		if err != nil {
			return nil, err
		}
		list = append(list, [2]string{"PostgreSQL", postgres + ", source and target; " + strings.Join(settings, ", ")})
	}
	return append(list,
		[2]string{"Date", b.began.UTC().Format("2006-01-02")},
		[2]string{"Command", "`" + strings.Join(append([]string{"go run ./bench"}, args...), " ") + "`"}), nil
}

// onServer does something on a connection of its own.
func onServer(ctx context.Context, url string, do func(*pgx.Conn) error) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return errors.Join(do(c), c.Close(ctx))
}

// wait calls done at every tick until it is true.
func wait(ctx context.Context, tick time.Duration, done func(context.Context) (bool, error)) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		if ok, err := done(ctx); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
