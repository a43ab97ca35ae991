package pgsource

import (
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestMark: the stream says within moments that it has passed a mark, long before an idle source would say anything; and it tells when its
// server was heard of last.
func TestMark(t *testing.T) {
	d := newDB(t, oneTable)
	o := d.options("t")
	o.Marker, o.Heartbeat = time.Hour, time.Hour
	o.URL += "&wal_sender_timeout=1000"
	p := record(t, o)
	p.copied()
	other, err := New(d.options("t"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		at, err := other.Mark(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.until(func() bool { return len(p.log) > 0 && p.log[len(p.log)-1].Position.Commit >= at })
		if n := len(p.log[len(p.log)-1].Events); n != 0 {
			t.Errorf("%d events of a mark", n)
		}
	}
	if quiet := time.Since(p.src.Heard()); quiet > 900*time.Millisecond {
		t.Errorf("the server was heard of %s ago, it answers every third of a second", quiet)
	}
}

// TestACopyHearsOfItsServer: while the first copy waits for rows of a process that is stopped, the server is not heard of; a copy that waits for
// us says nothing of the server.
func TestACopyHearsOfItsServer(t *testing.T) {
	d := newDB(t, oneTable, "INSERT INTO t (id, v) SELECT n, repeat('x', 1000) FROM generate_series(1, 30000) n")
	o := d.options("t")
	o.Snapshot = "initial"
	p := record(t, o)
	for len(p.log) == 0 || p.log[len(p.log)-1].Chunk == nil {
		p.next()
	}
	await(t, func() bool { return p.src.Heard().IsZero() }) // the next chunk is read, and nobody takes it
	pid, err := strconv.Atoi(d.text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT%' AND application_name = 'syncline' AND state = 'active'"))
	if err != nil {
		t.Fatal(err)
	}
	goOn := func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	defer goOn()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	copied := make(chan error, 1) // what came of the rest of the copy
	go func() {
		for {
			b, err := p.tryNext()
			if err != nil || b.Chunk != nil && b.Chunk.Last {
				copied <- err
				return
			}
		}
	}()
	await(t, func() bool { at := p.src.Heard(); return !at.IsZero() && time.Since(at) > 300*time.Millisecond })
	goOn()
	if err := <-copied; err != nil {
		t.Fatal(err)
	}
	p.until(func() bool { at := p.src.Heard(); return !at.IsZero() && time.Since(at) < time.Minute })
}
