package testserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Backup takes a base backup of the running server and returns its folder.
func (s *Postgres) Backup(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(s.Dir, fmt.Sprintf("backup%d", time.Now().UnixNano()))
	if err := s.run("pg_basebackup", "-h", "127.0.0.1", "-p", fmt.Sprint(s.Port), "-U", "postgres", "-D", dir, "-X", "stream", "-c", "fast"); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Snapshot copies the data of the server, which it stops for that, as it is on its disk: with its slots, which a base backup leaves out.
func (s *Postgres) Snapshot(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(s.Dir, fmt.Sprintf("snapshot%d", time.Now().UnixNano()))
	s.proc.stop(syscall.SIGINT)
	cp := exec.Command("cp", "-a", s.data(), dir)
	cp.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	if out, err := cp.CombinedOutput(); err != nil {
		tb.Fatalf("cp: %v\n%s", err, out)
	}
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Restore ends the server and starts what was backed up or copied in its place, which uses the backup up. Promoted, it is a copy that was promoted: its
// history is another timeline.
func (s *Postgres) Restore(tb testing.TB, backup string, promoted bool) {
	tb.Helper()
	s.Kill()
	if err := os.RemoveAll(s.data()); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(backup, s.data()); err != nil {
		tb.Fatal(err)
	}
	if promoted {
		if err := os.WriteFile(filepath.Join(s.data(), "standby.signal"), nil, 0o644); err != nil { //nolint:gosec // the server's account reads it
			tb.Fatal(err)
		}
	}
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	if promoted {
		s.exec(tb, "SELECT pg_promote(true, 30)")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.URL("postgres"))
		if err != nil {
			tb.Fatal(err)
		}
		var recovering bool
		err = c.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&recovering)
		_ = c.Close(ctx) // the answer counts
		if err != nil {
			tb.Fatal(err)
		}
		if !recovering {
			return
		}
	}
}

// Standby restarts the server in recovery, where it waits for more of a primary that there is not, until pg_promote().
func (s *Postgres) Standby(tb testing.TB) {
	tb.Helper()
	s.proc.stop(syscall.SIGINT)
	if err := os.WriteFile(filepath.Join(s.data(), "standby.signal"), nil, 0o644); err != nil { //nolint:gosec // the server's account reads it
		tb.Fatal(err)
	}
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
}
