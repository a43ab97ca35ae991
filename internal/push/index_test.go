package push

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memlog"
)

func TestRepeatedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New(memlog.Options{})
		log, index := store.Log("pos"), newIndex()
		before := index.copy()
		r := newRig(t, log, index, nil)
		s := r.open()
		answer := r.send(event("a", 1, 1))
		synctest.Wait()
		again := r.send(event("a", 1, 1))
		synctest.Wait()
		r.wantAnswer("another body while the first waits", r.post(event("a", 1, 2)), http.StatusConflict, "id_conflict", "events[0].id")
		r.capture(s)
		r.wantAnswer("the first", <-answer, http.StatusAccepted, "", "")
		r.wantAnswer("the same while the first waits", <-again, http.StatusAccepted, "", "")

		check := func(when string, r *rig) {
			t.Helper()
			r.wantAnswer("the same "+when, r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
			r.wantAnswer("another body "+when, r.post(batchOf(event("x", 9, 9), event("x", 9, 9), event("a", 1, 2))), http.StatusConflict, "id_conflict", "events[2].id")
			r.wantAnswer("another body in the request "+when, r.post(batchOf(event("y", 1, 1), event("y", 1, 2))), http.StatusConflict, "id_conflict", "events[1].id")
			if diff := cmp.Diff([]string{"a"}, r.ids()); diff != "" {
				t.Errorf("log %s (-want +got):\n%s", when, diff)
			}
		}
		synctest.Wait()
		if !index.has("a") {
			t.Fatal("the id is not in the index")
		}
		if len(s.ids)+len(s.unsaved) != 0 {
			t.Errorf("%d ids are still in memory", len(s.ids)+len(s.unsaved))
		}
		check("once the index has it", r)
		s.Close() //nolint:errcheck // it returns nil

		for when, index := range map[string]*memIndex{"after a restart": index, "after a crash before the index was written": before} {
			r := newRig(t, log, index, nil)
			s := r.open()
			check(when, r)
			s.Close() //nolint:errcheck // it returns nil
		}
	})
}

// TestOneIDTwiceInARequest is one event.
func TestOneIDTwiceInARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		answer := r.send(batchOf(event("a", 1, 1), event("a", 1, 1), event("b", 1, 2)))
		r.capture(s)
		w := <-answer
		if got := strings.TrimSpace(w.Body.String()); got != `{"ids":["a","a","b"]}` {
			t.Errorf("body = %s", got)
		}
		if diff := cmp.Diff([]string{"a", "b"}, r.ids()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// TestIndexOfAnotherLogIsMadeAnew: what the log does not hold is accepted, whatever an old index says.
func TestIndexOfAnotherLogIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		index := newIndex()
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), index, nil)
		r.take("a", "b")
		fresh := memlog.New(memlog.Options{})
		for range 3 {
			other := &syncline.Batch{Source: "pos", Position: syncline.Position{Epoch: 1, Commit: 1}}
			if _, err := fresh.Log("longer").Append(t.Context(), other); err != nil {
				t.Fatal(err)
			}
		}
		for name, tt := range map[string]struct {
			log  *memlog.Log
			want int
		}{"a new log": {fresh.Log("pos"), 0}, "a new log that is longer": {fresh.Log("longer"), 0}, "a log that lost its tail": {r.withoutTail(), 1}} {
			r := newRig(t, tt.log, index.copy(), nil)
			s := r.open()
			if n := len(r.ids()); n != tt.want {
				t.Fatalf("%s holds %d events", name, n)
			}
			answer := r.send(event("b", 1, 1))
			r.capture(s)
			r.wantAnswer(name, <-answer, http.StatusAccepted, "", "")
			if n := len(r.ids()); n != tt.want+1 {
				t.Errorf("%s holds %d events after the lost one was sent again, want %d", name, n, tt.want+1)
			}
			r.wantAnswer("what "+name+" holds", r.post(event("b", 1, 1)), http.StatusAccepted, "", "")
			s.Close() //nolint:errcheck // it returns nil
		}
	})
}

// TestAnIndexThatWasHalfEmptied: the process ended as it made the index of a log without its tail, and the whole log was put back.
func TestAnIndexThatWasHalfEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		index := newIndex()
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), index, nil)
		r.take("a", "b")
		index.torn = true
		if _, err := newRig(t, r.withoutTail(), index, nil).reopen(t.Context()); err == nil || index.has("a") || !index.has("b") {
			t.Fatalf("the index is not half emptied: %v", err)
		}
		index.torn = false
		r = newRig(t, r.log, index, nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		r.wantAnswer("what the log holds", r.post(batchOf(event("a", 1, 1), event("b", 1, 1))), http.StatusAccepted, "", "")
		if got := r.ids(); len(got) != 2 {
			t.Errorf("the log holds %v, want each event once", got)
		}
	})
}

func TestPurgedIDsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer func() { s.Close() }() //nolint:errcheck // it returns nil
		push := func(id string) {
			answer := r.send(event(id, 1, 1))
			r.capture(s)
			r.wantAnswer(id, <-answer, http.StatusAccepted, "", "")
			synctest.Wait()
		}
		push("a")
		push("b")
		if err := r.log.Purge(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		push("c")
		if r.index.has("a") || !r.index.has("b") || !r.index.has("c") {
			t.Errorf("index has a %v, b %v, c %v; want only a forgotten", r.index.has("a"), r.index.has("b"), r.index.has("c"))
		}
		// A log whose beginning, and with it the mark's entry, is gone opens as well.
		s.Close() //nolint:errcheck // it returns nil
		if err := r.log.Purge(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		s = r.open()
		r.wantAnswer("c again", r.post(event("c", 1, 1)), http.StatusAccepted, "", "")
	})
}

// TestIndexOutage: without the index nothing is admitted, nothing that was admitted is lost, and it is made up for.
func TestIndexOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		answer := r.send(event("a", 1, 1))
		synctest.Wait()
		r.index.mu.Lock()
		r.index.fail = errDown
		r.index.mu.Unlock()
		r.capture(s)
		r.wantAnswer("admitted before", <-answer, http.StatusAccepted, "", "")
		r.wantAnswer("during the outage", r.post(event("b", 1, 1)), http.StatusServiceUnavailable, "index_unavailable", "")
		<-time.After(10 * retryDelay)
		r.index.mu.Lock()
		r.index.fail = nil
		r.index.mu.Unlock()
		r.wantAnswer("the same after the outage", r.post(event("a", 1, 1)), http.StatusAccepted, "", "")
		<-time.After(2 * retryDelay)
		synctest.Wait()
		if !r.index.has("a") {
			t.Error("the id never came into the index")
		}
	})
}

// TestPartlyConfirmedBatch: a crash after a part of an entry was confirmed finds the rest of its ids in the log.
func TestPartlyConfirmedBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		for _, id := range []string{"a", "b", "c"} {
			r.send(event(id, 1, 1))
			synctest.Wait()
		}
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for commit := range uint64(2) {
			s.Confirm(syncline.Position{Epoch: 1, Commit: commit + 1})
			synctest.Wait()
		}
		s.Close() //nolint:errcheck // it returns nil
		s = r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		r.wantAnswer("the unconfirmed one again", r.post(event("c", 1, 1)), http.StatusAccepted, "", "")
	})
}

// TestPartlyConfirmedUnderLoad: the same in the middle of a load. Capture has put what was handed out later into the entry of what was handed
// out before the log's end was looked at.
func TestPartlyConfirmedUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		next := func(id string) *syncline.Batch {
			r.send(event(id, 1, 1))
			b, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		confirm := func(commit uint64) {
			s.Confirm(syncline.Position{Epoch: 1, Commit: commit})
			synctest.Wait()
		}
		first, entry := next("a"), next("b")
		if _, err := r.log.Append(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		confirm(1)
		for _, id := range []string{"c", "d"} {
			b := next(id)
			b.Events[0].Txn = len(entry.Txns)
			entry.Events, entry.Txns = append(entry.Events, b.Events[0]), append(entry.Txns, b.Txns[0])
			entry.Position, entry.Checkpoint = b.Position, b.Checkpoint
		}
		if _, err := r.log.Append(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		confirm(2)
		confirm(3)
		s.Close() //nolint:errcheck // it returns nil
		s = r.open()
		defer s.Close() //nolint:errcheck // it returns nil
		for _, id := range []string{"a", "b", "c", "d"} {
			r.wantAnswer(id+" again", r.post(event(id, 1, 1)), http.StatusAccepted, "", "")
		}
		if diff := cmp.Diff([]string{"a", "b", "c", "d"}, r.ids()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// TestNoIDIsMissedBetweenMemoryAndIndex: a request that looked into the index before an id came in finds it in memory.
func TestNoIDIsMissedBetweenMemoryAndIndex(t *testing.T) {
	r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
	s := r.open()
	defer s.Close() //nolint:errcheck // it returns nil
	first := r.send(event("a", 1, 1))
	b, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inLookup, release := make(chan struct{}), make(chan struct{}) // closed by the look-up, and by the test
	r.index.mu.Lock()
	r.index.looked = func() {
		close(inLookup)
		<-release
	}
	r.index.mu.Unlock()
	second := r.send(event("a", 1, 1))
	<-inLookup
	r.index.mu.Lock()
	r.index.looked = nil
	r.index.mu.Unlock()
	if _, err := r.log.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	s.Confirm(b.Position)
	r.wantAnswer("the first", <-first, http.StatusAccepted, "", "")
	// The index has the id at once; memory must keep it until the look-up is over. There is nothing to wait for where that
	// holds, so the time is bounded.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 100 {
		<-tick.C
		s.mu.Lock()
		_, kept := s.ids["a"]
		s.mu.Unlock()
		if r.index.has("a") && !kept {
			t.Error("the id has left memory during a look-up")
			break
		}
	}
	close(release)
	select {
	case w := <-second:
		r.wantAnswer("the second", w, http.StatusAccepted, "", "")
	case <-time.After(5 * time.Second):
		t.Error("the second request waits for another append")
	}
}

// readFrom is a log that notes where it is read from.
type readFrom struct {
	*memlog.Log
	from syncline.Seq
}

func (l *readFrom) Read(ctx context.Context, from syncline.Seq) (syncline.LogReader, error) {
	l.from = from
	return l.Log.Read(ctx, from)
}

// TestAStartReadsOnlyWhatTheIndexLacks: a restart does not read the log from its beginning, after a rest or in the middle of a load that
// never rests.
func TestAStartReadsOnlyWhatTheIndexLacks(t *testing.T) {
	const requests = 10
	for name, busy := range map[string]bool{"after a rest": false, "under load": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &readFrom{Log: memlog.New(memlog.Options{}).Log("pos")}
				r := newRig(t, log.Log, newIndex(), func(o *Options) { o.Systems[0].Log = log })
				s := r.open()
				next := func(id int) *syncline.Batch {
					r.send(event(strconv.Itoa(id), id, 1))
					b, err := s.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					return b
				}
				b := next(0)
				for id := 1; id <= requests; id++ {
					if _, err := log.Append(t.Context(), b); err != nil {
						t.Fatal(err)
					}
					now := b
					if busy { // there is always one that was handed out and is not in the log
						b = next(id)
					}
					s.Confirm(now.Position)
					synctest.Wait()
					if !busy && id < requests {
						b = next(id)
					}
				}
				s.Close() //nolint:errcheck // it returns nil
				s = r.open()
				defer s.Close() //nolint:errcheck // it returns nil
				switch {
				case busy && log.from < requests-1:
					t.Errorf("the log of %d entries is read from %d on", requests, log.from)
				case !busy && log.from != 0:
					t.Errorf("the log of %d entries is read from %d on, and nothing of it is new", requests, log.from)
				}
				for id := range requests {
					r.wantAnswer("what the log has", r.post(event(strconv.Itoa(id), id, 1)), http.StatusAccepted, "", "")
				}
			})
		})
	}
}
