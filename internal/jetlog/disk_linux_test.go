package jetlog

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"syncline"
	"syncline/internal/testserver"
)

func TestFullDisk(t *testing.T) {
	dir := testserver.SmallDisk(t, "size=64m")
	s := mustOpen(t, Options{Dir: filepath.Join(dir, "log")})
	l := mustLog(t, s, "crm")
	mustAppend(t, l, 1, 10, 100_000)
	r, err := l.Read(t.Context(), 1)
	if err != nil {
		t.Fatalf("Read = %v", err)
	}
	defer r.Close()
	empty := testserver.FillDisk(t, dir, 1<<20)
	if room, err := s.Room(); room != 0 || err != nil {
		t.Errorf("Room on a full disk = %d, %v, want 0", room, err)
	}
	for range 3 {
		_, err := l.Append(t.Context(), batch(11, 100_000))
		wantError(t, "Append to a full disk", err, syncline.Transient, "log_disk")
	}
	wantCommits(t, l, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	if err := l.Purge(t.Context(), 6); err != nil {
		t.Fatalf("Purge on a full disk = %v", err)
	}
	empty()
	if room, err := s.Room(); room < 32<<20 || err != nil {
		t.Errorf("Room on an empty disk of 64 MiB = %d, %v", room, err)
	}
	mustAppend(t, l, 11, 12, 100_000)
	wantCommits(t, l, 6, 7, 8, 9, 10, 11, 12)
}

// TestFailedServer: the server itself meets a full disk, here one without inodes for its next file, and is replaced when
// the disk has recovered. Nothing that was answered is lost, readers and connections go on.
func TestFailedServer(t *testing.T) {
	dir := testserver.SmallDisk(t, "size=512m,nr_inodes=200")
	s := mustOpen(t, Options{Dir: filepath.Join(dir, "log")})
	l := mustLog(t, s, "crm")
	mustAppend(t, l, 1, 3, 1_000_000)
	waiting, err := l.Read(t.Context(), 1)
	if err != nil {
		t.Fatalf("Read = %v", err)
	}
	defer waiting.Close()
	nc, err := s.Conn()
	if err != nil {
		t.Fatalf("Conn = %v", err)
	}
	defer nc.Close()

	var fillers []string
	for i := 0; ; i++ {
		path := filepath.Join(dir, fmt.Sprint("filler", i))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			break
		}
		fillers = append(fillers, path)
	}
	n := 4
	for ; n < 40; n++ {
		if _, err = l.Append(t.Context(), batch(n, 1_000_000)); err != nil {
			break
		}
	}
	wantError(t, "Append that the server cannot store", err, syncline.Transient, "log_disk")
	_, err = l.Append(t.Context(), batch(n, 1_000_000))
	wantError(t, "the next Append", err, syncline.Transient, "log_disk")

	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan int, 64) // the entries that the waiting reader has got; it closes it when it stops
	defer func() {
		cancel()
		for range got {
			continue
		}
	}()
	go func() {
		defer close(got)
		for {
			e, err := waiting.Next(ctx)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				got <- int(e.Seq)
			}
		}
	}()
	for _, path := range fillers {
		if err := os.Remove(path); err != nil {
			t.Fatalf("Remove = %v", err)
		}
	}
	eventually(t, "an append succeeds", func() bool {
		seq, err := l.Append(t.Context(), batch(n, 1_000_000))
		if err != nil && syncline.ClassOf(err) != syncline.Transient {
			t.Fatalf("Append while the server is replaced = %v", err)
		}
		return err == nil && int(seq) == n
	})
	mustAppend(t, l, n+1, n+5, 1_000_000)
	for want := 1; want <= n+5; want++ {
		select {
		case seq := <-got:
			if seq != want {
				t.Fatalf("the waiting reader got %d, want %d", seq, want)
			}
		case <-t.Context().Done():
			t.Fatalf("the waiting reader did not get %d", want)
		}
	}
	eventually(t, "the connection is back", nc.IsConnected)
	if err := nc.Flush(); err != nil {
		t.Errorf("Flush of a connection that outlived its server = %v", err)
	}
}
