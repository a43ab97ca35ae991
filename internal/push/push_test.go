package push

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memlog"
)

func TestAnswerComesAfterTheAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		answer := r.send(event("a", 1, 1))
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		again := r.send(event("a", 1, 1)) // by a client that did not want to wait
		synctest.Wait()
		if len(answer) != 0 || len(again) != 0 {
			t.Fatal("the request was answered before its batch was durable")
		}
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.Confirm(syncline.Position{Epoch: b.Position.Epoch, Commit: b.Position.Commit - 1})
		s.Confirm(syncline.Position{Epoch: b.Position.Epoch + 1, Commit: b.Position.Commit})
		synctest.Wait()
		if len(answer) != 0 || len(again) != 0 {
			t.Fatal("the request was answered when another position was confirmed")
		}
		s.Confirm(b.Position)
		s.Confirm(b.Position)
		w := <-answer
		r.wantAnswer("after the append", w, http.StatusAccepted, "", "")
		r.wantAnswer("the same again, after the append", <-again, http.StatusAccepted, "", "")
		if got := strings.TrimSpace(w.Body.String()); got != `{"ids":["a"]}` {
			t.Errorf("body = %s", got)
		}
	})
}

// TestGroupCommit: what arrives while a batch is appended is the next batch, each request one transaction.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		first := r.send(batchOf(event("a", 1, 1), event("b", 2, 1)))
		synctest.Wait()
		second := r.send(event("c", 1, 2))
		synctest.Wait()
		third := r.send(batchOf(event("a", 1, 1), event("d", 3, 1)))
		synctest.Wait()
		b := r.capture(s)
		var got []string
		for i := range b.Events {
			got = append(got, b.EventID(i)+" "+b.PositionOf(i).String())
		}
		// The third request's first event is the first's: it keeps its place in the count and is not repeated.
		if diff := cmp.Diff([]string{"a 1/1/1", "b 1/1/2", "c 1/2/1", "d 1/3/2"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if b.Position != (syncline.Position{Epoch: 1, Commit: 3, Ordinal: 2}) {
			t.Errorf("position = %s", b.Position)
		}
		for _, answer := range []<-chan *httptest.ResponseRecorder{first, second, third} {
			r.wantAnswer("a request of the group", <-answer, http.StatusAccepted, "", "")
		}
	})
}

func TestFullLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		inHand := r.send(event("a", 1, 1))
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		queued := r.send(event("b", 2, 1))
		synctest.Wait()
		r.log.FailNext(memlog.FaultFull)
		_, err = r.log.Append(t.Context(), b)
		s.Stall(err)
		s.Stall(err)
		start := time.Now()
		r.wantAnswer("in hand", <-inHand, http.StatusInsufficientStorage, "log_full", "")
		r.wantAnswer("queued", <-queued, http.StatusInsufficientStorage, "log_full", "")
		r.wantAnswer("new", r.post(event("c", 3, 1)), http.StatusInsufficientStorage, "log_full", "")
		r.wantAnswer("in hand, again", r.post(event("a", 1, 1)), http.StatusInsufficientStorage, "log_full", "")
		if waited := time.Since(start); waited > 0 {
			t.Errorf("the answers took %s", waited)
		}
		// There is room again: what capture had in hand is stored, what was queued was dropped.
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.Confirm(b.Position)
		r.wantAnswer("in hand, when it is stored", r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
		again := r.send(event("b", 2, 1))
		r.capture(s)
		r.wantAnswer("queued, again", <-again, http.StatusAccepted, "", "")
		if diff := cmp.Diff([]string{"a", "b"}, r.ids()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestStallTellsTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		for _, tt := range []struct {
			err    error
			status int
			code   string
		}{
			{syncline.Errorf(syncline.Transient, "log_unanswered", "no answer"), 503, "log_unavailable"},
			{syncline.Errorf(syncline.Transient, "log_disk", "no room"), 507, "log_full"},
			{syscall.ENOSPC, 507, "log_full"},
		} {
			s.Stall(tt.err)
			r.wantAnswer(tt.err.Error(), r.post(event("a", 1, 1)), tt.status, tt.code, "")
		}
		s.Stall(nil)
		answer := r.send(event("a", 1, 1))
		r.capture(s)
		r.wantAnswer("when it is over", <-answer, http.StatusAccepted, "", "")
	})
}

func TestSlowLogTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), func(o *Options) { o.Timeout = 3 * time.Second })
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		inHand := r.send(event("a", 1, 1))
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		queued := r.send(event("b", 2, 1))
		start := time.Now()
		r.wantAnswer("in hand", <-inHand, http.StatusServiceUnavailable, "log_unavailable", "")
		r.wantAnswer("queued", <-queued, http.StatusServiceUnavailable, "log_unavailable", "")
		if waited := time.Since(start); waited != 3*time.Second {
			t.Errorf("the answers took %s, want 3s", waited)
		}
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.Confirm(b.Position)
		r.wantAnswer("in hand, again", r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b, err := s.Next(short); err == nil {
			t.Errorf("a request that was given up is handed out: %v", b.Events)
		}
		again := r.send(event("b", 2, 1))
		synctest.Wait()
		if len(again) != 0 {
			t.Fatal("an event that was given up was answered, and is nowhere")
		}
		r.capture(s)
		r.wantAnswer("given up, again", <-again, http.StatusAccepted, "", "")
		if diff := cmp.Diff([]string{"a", "b"}, r.ids()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestClosedSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		r.wantAnswer("before it is open", r.post(event("a", 1, 1)), http.StatusServiceUnavailable, "source_unavailable", "")
		s := r.open()
		inHand := r.send(event("a", 1, 1))
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		queued := r.send(event("b", 2, 1))
		synctest.Wait()
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		r.wantAnswer("in hand", <-inHand, http.StatusServiceUnavailable, "source_unavailable", "")
		r.wantAnswer("queued", <-queued, http.StatusServiceUnavailable, "source_unavailable", "")
		r.wantAnswer("after it was closed", r.post(event("c", 1, 1)), http.StatusServiceUnavailable, "source_unavailable", "")
		if _, err := s.Next(t.Context()); syncline.ClassOf(err) != syncline.Transient || err == nil {
			t.Errorf("Next after Close = %v, want a transient error", err)
		}
		if err := s.submit(t.Context(), nil, 0); syncline.CodeOf(err) != "source_unavailable" {
			t.Errorf("a request that found the source before it was closed: %v", err)
		}
		// The append had succeeded after all: the next source knows it.
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s = r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		r.wantAnswer("in hand, again", r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
		answer := r.send(event("b", 2, 1))
		if b := r.capture(s); b.Position != (syncline.Position{Epoch: 1, Commit: 2, Ordinal: 1}) {
			t.Errorf("position after a restart = %s", b.Position)
		}
		<-answer
	})
}

func TestNextHonoursItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next = %v, want the context's error", err)
		}
	})
}

// TestKindsAreInTheCheckpoint: a null after a restart does not change the column's kind.
func TestKindsAreInTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		for i, body := range []string{event("a", 1, 1), strings.Replace(event("b", 1, 2), `"n":2`, `"n":null`, 1)} {
			s := r.open()
			answer := r.send(body)
			b := r.capture(s)
			<-answer
			if c := b.Events[0].Schema.Columns[1]; c.Name != "n" || c.Kind != syncline.KindInt {
				t.Errorf("batch %d: column %+v, want n of kind int", i, c)
			}
			s.Close() //nolint:errcheck // it returns nil
		}
	})
}
