package testserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postgres is a throw-away PostgreSQL server with wal_level=logical. Its superuser is postgres, without a password.
type Postgres struct {
	Port int
	Dir  string

	bin       string // folder of the server's programs
	cred      *syscall.Credential
	settings  []string
	proc      *process
	databases atomic.Int64
}

// StartPostgres makes and starts a server. Settings are "name=value" and override the defaults, which are durable (fsync on)
// unless a setting says otherwise.
func StartPostgres(settings ...string) (*Postgres, error) {
	postgres, err := find("postgres", "/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return nil, err
	}
	// A distribution may link only some of the programs into PATH; the others are beside the real one.
	if postgres, err = filepath.EvalSymlinks(postgres); err != nil {
		return nil, err
	}
	s := &Postgres{bin: filepath.Dir(postgres), settings: settings}
	if s.cred, err = account("postgres"); err != nil {
		return nil, err
	}
	if s.Dir, err = tempDir("syncline-pg-", s.cred); err != nil {
		return nil, err
	}
	if err := s.run("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"); err != nil {
		s.remove()
		return nil, err
	}
	if s.Port, err = FreePort(); err == nil {
		err = s.Start()
	}
	if err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// NewPostgres starts a server for one test.
func NewPostgres(tb testing.TB, settings ...string) *Postgres {
	tb.Helper()
	s, err := StartPostgres(settings...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

func (s *Postgres) data() string { return filepath.Join(s.Dir, "data") }

// Start starts the server again after Stop or Kill, on the same port and data.
func (s *Postgres) Start() error {
	args := []string{"-D", s.data(), "-p", fmt.Sprint(s.Port), "-k", s.Dir, "-h", "127.0.0.1"}
	for _, kv := range append([]string{"wal_level=logical", "max_wal_senders=40", "max_replication_slots=40", "max_connections=200",
		"shared_buffers=64MB", "log_min_messages=warning"}, s.settings...) {
		args = append(args, "-c", kv)
	}
	var err error
	if s.proc, err = start(s.cred, filepath.Join(s.bin, "postgres"), args...); err != nil {
		return err
	}
	return s.proc.waitReady(func(ctx context.Context) error {
		c, err := pgx.Connect(ctx, s.URL("postgres"))
		if err != nil {
			return err
		}
		return c.Close(ctx)
	})
}

// Kill ends the server as a crash would (immediate shutdown): recovery at the next Start.
func (s *Postgres) Kill() { s.proc.stop(syscall.SIGQUIT) }

// Close stops the server and removes its data.
func (s *Postgres) Close() {
	if s.proc != nil {
		s.proc.stop(syscall.SIGQUIT)
	}
	s.remove()
}

func (s *Postgres) remove() { _ = os.RemoveAll(s.Dir) }

// URL returns the connection string of a database.
func (s *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.Port, database)
}

// Database makes an empty database for one test and returns its URL. It is dropped at the end, its slots first.
func (s *Postgres) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("t%d", s.databases.Add(1))
	s.exec(tb, "CREATE DATABASE "+name)
	tb.Cleanup(func() {
		s.exec(tb, fmt.Sprintf(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s' AND pid <> pg_backend_pid()`, name))
		s.exec(tb, `DO $$ DECLARE n text; BEGIN
			FOR i IN 1..500 LOOP
				EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = '`+name+`' AND active);
				PERFORM pg_sleep(0.01);
			END LOOP;
			FOR n IN SELECT slot_name FROM pg_replication_slots WHERE database = '`+name+`' LOOP PERFORM pg_drop_replication_slot(n); END LOOP;
		END $$`)
		s.exec(tb, "DROP DATABASE "+name+" WITH (FORCE)")
	})
	return s.URL(name)
}

func (s *Postgres) exec(tb testing.TB, sql string) {
	tb.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		tb.Fatalf("connect to throw-away server: %v", err)
	}
	defer c.Close(ctx) //nolint:errcheck // the statement's error is the one that counts
	if _, err := c.Exec(ctx, sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// run runs one of the server's programs to its end.
func (s *Postgres) run(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Program returns the path of one of the server's programs (pgbench, pg_basebackup), or that in PATH where the server came without.
func (s *Postgres) Program(name string) string {
	path := filepath.Join(s.bin, name)
	if _, err := os.Stat(path); err != nil {
		if found, err := find(name, "/usr/lib/postgresql/*/bin/"+name); err == nil {
			return found
		}
	}
	return path
}
