package pgsource

import (
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
