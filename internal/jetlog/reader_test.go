package jetlog

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"syncline"
)

// TestBacklogInBoundedMemory: a reader that is not asked for entries does not fetch them.
func TestBacklogInBoundedMemory(t *testing.T) {
	const size, count, window = 300_000, 150, windowBytes/300_000 + 1
	l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
	mustAppend(t, l, 1, count, size)
	lr, err := l.Read(t.Context(), 1)
	if err != nil {
		t.Fatalf("Read = %v", err)
	}
	defer lr.Close()
	r := lr.(*reader)
	most := 0
	for n := 1; n <= count; n++ {
		if e, err := r.Next(t.Context()); err != nil || e.Seq != syncline.Seq(n) {
			t.Fatalf("Next = %d, %v, want %d", e.Seq, err, n)
		}
		if r.window <= count/window-1 { // a slow consumer: all that was asked for has come, each window with a word at its end
			eventually(t, "the window is complete", func() bool { return r.nc.Stats().InMsgs >= r.window*(window+1) })
		}
		most = max(most, r.deep+len(r.in)*size)
	}
	if most > 2*windowBytes+4*size {
		t.Errorf("the reader held %d bytes, want at most two windows of %d", most, windowBytes)
	}
}

// TestDamageIsNotReadOver: an entry that the disk has spoilt stops the reader, or the start; it is never left out, and
// neither is what came behind it.
func TestDamageIsNotReadOver(t *testing.T) {
	const count, size = 30, 1_000_000
	whole := t.TempDir()
	s := mustOpen(t, Options{Dir: whole})
	mustAppend(t, mustLog(t, s, "crm"), 1, count, size)
	if err := s.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	for name, at := range map[string]struct {
		block  int
		offset int64
	}{
		"the first record":                   {0, 10},
		"a record":                           {1, 3_500_000},
		"the last record of a block":         {2, 7_900_000},
		"the first record of a block":        {1, 10},
		"the first record of the last block": {3, 10},
		"the last record":                    {3, 5_900_000},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatalf("copy the log's files: %v", err)
			}
			spoil(t, dir, at.block, at.offset)
			s, err := Open(t.Context(), Options{Dir: dir})
			if err != nil {
				wantDamage(t, err)
				return
			}
			defer s.Close()
			l, err := s.openLog(t.Context(), "crm")
			if err != nil {
				wantDamage(t, err)
				return
			}
			r, err := l.Read(t.Context(), 1)
			if err != nil {
				t.Fatalf("Read = %v", err)
			}
			defer r.Close()
			ctx, cancel := context.WithTimeout(t.Context(), silence)
			defer cancel()
			for n := 1; n <= count; n++ {
				e, err := r.Next(ctx)
				if err != nil {
					wantDamage(t, err)
					return
				}
				if e.Seq != syncline.Seq(n) {
					t.Fatalf("Next = %d, want %d", e.Seq, n)
				}
			}
			t.Error("every entry was read, with a spoilt one among them")
		})
	}
}

// TestAnEmptiedLogIsDamaged: a purge keeps the last entry, so a log that got somewhere and holds nothing has lost it.
func TestAnEmptiedLogIsDamaged(t *testing.T) {
	cut := func(file string) error { return os.Truncate(file, 0) }
	for name, at := range map[string]struct {
		entries int
		empty   func(file string) error
	}{"a block without content": {20, cut}, "no block": {20, os.Remove}, "the only entry, cut off": {1, cut}, "the only entry, gone": {1, os.Remove}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, Options{Dir: dir})
			mustAppend(t, mustLog(t, s, "crm"), 1, at.entries, 100)
			if err := s.Close(); err != nil {
				t.Fatalf("Close = %v", err)
			}
			files, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "msgs", "*.blk"))
			if err != nil || len(files) != 1 {
				t.Fatalf("Glob = %v, %v, want one block", files, err)
			}
			if err := at.empty(files[0]); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(t.Context(), Options{Dir: dir}); err == nil {
				defer s.Close()
				_, err = s.openLog(t.Context(), "crm")
			}
			wantDamage(t, err)
		})
	}
}

// TestWhatDoesNotComeWasPurgedOrIsLost: nothing else is left out.
func TestWhatDoesNotComeWasPurgedOrIsLost(t *testing.T) {
	l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
	mustAppend(t, l, 1, 12, 10)
	if err := l.Purge(t.Context(), 8); err != nil {
		t.Fatalf("Purge = %v", err)
	}
	r := &reader{log: l, next: 5, ahead: 5}
	if err := r.explainGap(t.Context(), 8); err != nil {
		t.Errorf("entries up to 8 were purged: %v", err)
	}
	wantError(t, "10 after 4, of which 8 and 9 were not purged", r.explainGap(t.Context(), 10), syncline.Fatal, "log_corrupt")

	l.tail.advance(20) // as it was announced once
	r = &reader{log: l, next: 13, ahead: 13}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	_, err := r.Next(ctx)
	wantError(t, "Next behind the end of a log that was longer", err, syncline.Fatal, "log_lost")
}

func wantDamage(t *testing.T, err error) {
	t.Helper()
	if code := syncline.CodeOf(err); syncline.ClassOf(err) != syncline.Fatal || code != "log_corrupt" && code != "log_lost" {
		t.Errorf("error = %v, want fatal log_corrupt or log_lost", err)
	}
}

// spoil writes over a few bytes in a file of the only log.
func spoil(t *testing.T, dir string, block int, offset int64) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "msgs", "*.blk"))
	if err != nil || len(blocks) <= block {
		t.Fatalf("Glob = %v, %v, want more than %d blocks", blocks, err, block)
	}
	f, err := os.OpenFile(blocks[block], os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("OpenFile = %v", err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("spoilt by the disk"), offset); err != nil {
		t.Fatalf("WriteAt = %v", err)
	}
}

// TestForgottenLogIsNotBegunAnew: the server has been seen to come up without a stream that it had.
func TestForgottenLogIsNotBegunAnew(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	l := mustLog(t, s, "crm")
	mustAppend(t, l, 1, 3, 10)
	if err := s.js.DeleteStream(t.Context(), l.stream); err != nil {
		t.Fatalf("DeleteStream = %v", err)
	}
	_, err := s.Log(t.Context(), "crm")
	wantError(t, "Log", err, syncline.Fatal, "log_lost")
}

// TestWindowIsAskedForAgain: what was on its way when the connection was lost does not come any more.
func TestWindowIsAskedForAgain(t *testing.T) {
	l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
	mustAppend(t, l, 1, 1, 10)
	r := &reader{log: l, next: 1, ahead: 1}
	defer r.Close()
	if err := r.connect(); err != nil {
		t.Fatalf("connect = %v", err)
	}
	r.asked = true // and the question got lost
	if err := r.nc.ForceReconnect(); err != nil {
		t.Fatalf("ForceReconnect = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), silence/2)
	defer cancel()
	if e, err := r.Next(ctx); err != nil || e.Seq != 1 {
		t.Errorf("Next = %d, %v, want 1", e.Seq, err)
	}
}

// TestAnswersToAnEarlierQuestionAreLeftOut: a window that was given up may arrive after all, beside the one that was asked for since.
func TestAnswersToAnEarlierQuestionAreLeftOut(t *testing.T) {
	l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
	mustAppend(t, l, 1, 4, 10)
	r := &reader{log: l, next: 1, ahead: 1}
	defer r.Close()
	for range 2 {
		if err := r.ask(); err != nil {
			t.Fatalf("ask = %v", err)
		}
	}
	eventually(t, "both windows are complete", func() bool { return r.nc.Stats().InMsgs >= 2*(4+1) })
	for n := 1; n <= 5; n++ {
		if n == 5 {
			mustAppend(t, l, 5, 5, 10)
			l.tail.mu.Lock()
			l.tail.forgetLocked() // so that the server is asked again
			l.tail.mu.Unlock()
		}
		if e, err := r.Next(t.Context()); err != nil || e.Seq != syncline.Seq(n) {
			t.Fatalf("Next = %d, %v, want %d", e.Seq, err, n)
		}
	}
}

// TestWhatHasArrivedIsReturned: a connection that is gone costs no entry that had come before.
func TestWhatHasArrivedIsReturned(t *testing.T) {
	const size, window = 300_000, windowBytes/300_000 + 1
	l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
	mustAppend(t, l, 1, 80, size)
	r := &reader{log: l, next: 1, ahead: 1}
	defer r.Close()
	for n := 1; ; n++ {
		e, err := r.Next(t.Context())
		if err != nil && n > window { // what was asked for when the first window was there may have come, too
			wantError(t, "Next without a connection", err, syncline.Transient, "log_unavailable")
			break
		}
		if err != nil || e.Seq != syncline.Seq(n) {
			t.Fatalf("Next = %d, %v, want %d", e.Seq, err, n)
		}
		if n == 1 {
			eventually(t, "the window is complete", func() bool { return r.nc.Stats().InMsgs >= window+1 })
			r.nc.Close()
		}
	}
}

// TestIdleReaderAsksNothing: a reader at the end of an embedded log costs nothing until there is an append.
func TestIdleReaderAsksNothing(t *testing.T) {
	l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
	mustAppend(t, l, 1, 3, 10)
	r := &reader{log: l, next: 4, ahead: 4}
	ctx, cancel := context.WithTimeout(t.Context(), 2*pollEvery)
	defer cancel()
	if _, err := r.Next(ctx); err == nil {
		t.Fatal("Next at the end = nil error")
	}
	if r.window != 0 || r.nc != nil {
		t.Errorf("the waiting reader has asked the server %d times", r.window)
	}
}
