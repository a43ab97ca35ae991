package jetlog

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"syncline"
)

// appendUnanswered appends a batch whose answer gets lost, and returns once it is stored.
func appendUnanswered(t *testing.T, l *log, n int) {
	t.Helper()
	if err := l.subs[0].Unsubscribe(); err != nil {
		t.Fatalf("Unsubscribe = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1) // sent to once by the append
	go func() {
		_, err := l.Append(ctx, batch(n, 10))
		done <- err
	}()
	eventually(t, "the append is stored", func() bool {
		b, err := l.Bounds(t.Context())
		return err == nil && b.Last == syncline.Seq(n)
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("Append without an answer = %v, want context.Canceled", err)
	}
	sub, err := l.server.nc.ChanSubscribe(l.inbox+"*", l.answers)
	if err != nil {
		t.Fatalf("ChanSubscribe = %v", err)
	}
	l.subs[0] = sub
}

func TestAppendAfterALostAnswer(t *testing.T) {
	t.Run("the same batch is stored once", func(t *testing.T) {
		l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
		mustAppend(t, l, 1, 2, 10)
		appendUnanswered(t, l, 3)
		mustAppend(t, l, 3, 4, 10)
		wantCommits(t, l, 1, 2, 3, 4)
	})
	t.Run("a batch that has not arrived is stored now", func(t *testing.T) {
		l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
		mustAppend(t, l, 1, 2, 10)
		l.appender.unknown = true // it was sent, and lost on its way
		mustAppend(t, l, 3, 4, 10)
		wantCommits(t, l, 1, 2, 3, 4)
	})
	t.Run("another batch is refused once", func(t *testing.T) {
		l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
		mustAppend(t, l, 1, 2, 10)
		appendUnanswered(t, l, 3)
		_, err := l.Append(t.Context(), batch(4, 10))
		wantError(t, "Append", err, syncline.Transient, "log_moved")
		wantCommits(t, l, 1, 2, 3)
		mustAppend(t, l, 4, 5, 10)
		wantCommits(t, l, 1, 2, 3, 4, 5)
	})
}

// TestAppendFailsWithItsConnection: an append whose answer cannot come any more does not wait for it.
func TestAppendFailsWithItsConnection(t *testing.T) {
	x := &external{dir: t.TempDir()}
	x.start(t, -1)
	l := mustLog(t, mustOpen(t, Options{URL: x.srv.ClientURL()}), "crm")
	if err := l.subs[0].Unsubscribe(); err != nil {
		t.Fatalf("Unsubscribe = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), answerPatience/2)
	defer cancel()
	done := make(chan error, 1) // sent to once by the append
	go func() {
		_, err := l.Append(ctx, batch(1, 10))
		done <- err
	}()
	eventually(t, "the append is stored", func() bool {
		b, err := l.Bounds(t.Context())
		return err == nil && b.Last == 1
	})
	shutdown(x.srv)
	wantError(t, "Append", <-done, syncline.Transient, "log_unavailable")
}

func TestAppendAfterALostAnswerIsFenced(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	l := mustLog(t, s, "crm")
	mustAppend(t, l, 1, 1, 10)
	appendUnanswered(t, l, 2)
	mustAppend(t, mustLog(t, s, "crm"), 3, 3, 10)
	_, err := l.Append(t.Context(), batch(2, 10))
	wantError(t, "Append", err, syncline.Fatal, "log_fenced")
	wantCommits(t, l, 1, 2, 3)
}

// TestAppendThatArrivesLate: an append that was given up and not found is stored after all, in front of its repetition.
func TestAppendThatArrivesLate(t *testing.T) {
	l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
	mustAppend(t, l, 1, 2, 10)
	data, err := syncline.AppendBatch(nil, batch(3, 10))
	if err != nil {
		t.Fatalf("AppendBatch = %v", err)
	}
	late := &nats.Msg{Subject: l.subject, Data: data, Header: nats.Header{headerExpected: {"2"}, headerWriter: {l.writer}}}
	if _, err := l.server.js.PublishMsg(t.Context(), late); err != nil {
		t.Fatalf("PublishMsg = %v", err)
	}
	if seq, err := l.Append(t.Context(), batch(3, 10)); err != nil || seq != 3 {
		t.Fatalf("Append = %d, %v, want 3", seq, err)
	}
	mustAppend(t, l, 4, 4, 10)
	wantCommits(t, l, 1, 2, 3, 4)
}

// TestALateAnswerIsForNobody: the answer to an append that was given up is not taken for that of the next one.
func TestALateAnswerIsForNobody(t *testing.T) {
	l := mustLog(t, mustOpen(t, Options{Dir: t.TempDir()}), "crm")
	mustAppend(t, l, 1, 2, 10)
	l.answers <- &nats.Msg{Subject: l.inbox + "2", Data: []byte(`{"seq":2}`)}
	mustAppend(t, l, 3, 4, 10)
	wantCommits(t, l, 1, 2, 3, 4)
}

// TestEntriesAreNoOlderThanThoseBefore: what is purged by its age relies on that. The clock may be set back while nothing runs, too.
func TestEntriesAreNoOlderThanThoseBefore(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Options{Dir: dir})
	l := mustLog(t, s, "crm")
	ahead := time.Now().Add(time.Hour).UTC().Round(0)
	l.appender.time = ahead // as an entry before has it, from when the clock was an hour ahead
	mustAppend(t, l, 1, 1, 10)
	if err := s.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	l = mustLog(t, mustOpen(t, Options{Dir: dir}), "crm")
	mustAppend(t, l, 2, 3, 10)
	for seq := syncline.Seq(1); seq <= 3; seq++ {
		if e, _, err := l.entry(t.Context(), seq); err != nil || !e.Time.Equal(ahead) {
			t.Errorf("entry %d is of %s, %v, want %s", seq, e.Time, err, ahead)
		}
	}
}

func TestQuota(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Options{Dir: dir, MaxBytes: 1 << 20})
	l := mustLog(t, s, "crm")
	mustAppend(t, l, 1, 10, 100_000)
	_, err := l.Append(t.Context(), batch(11, 100_000))
	wantError(t, "Append beyond the quota", err, syncline.Transient, "log_full")
	if err := l.Purge(t.Context(), 3); err != nil {
		t.Fatalf("Purge = %v", err)
	}
	mustAppend(t, l, 11, 12, 100_000)
	wantCommits(t, l, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	if err := s.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	raised := mustLog(t, mustOpen(t, Options{Dir: dir, MaxBytes: 2 << 20}), "crm")
	mustAppend(t, raised, 13, 18, 100_000)
}
