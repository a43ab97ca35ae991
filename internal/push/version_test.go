package push

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memlog"
)

func versioned(id string, key, version int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"pos","type":"order.updated","subject":"%d","entityversion":"%d","data":{"id":%d}}`,
		id, key, version, key)
}

// superseded returns the ids of the events in the log that are.
func (r *rig) superseded() []string {
	ids := []string{}
	for _, b := range stored(r.t, r.log) {
		for i := range b.Events {
			if b.Events[i].Meta.Superseded {
				ids = append(ids, b.EventID(i))
			}
		}
	}
	return ids
}

func (r *rig) wantSuperseded(ids ...string) {
	r.t.Helper()
	if diff := cmp.Diff(append([]string{}, ids...), r.superseded()); diff != "" {
		r.t.Errorf("superseded events (-want +got):\n%s", diff)
	}
}

// TestAnOlderVersionIsSuperseded: whether the higher version is in the request, in memory, in the index, or only in the log.
func TestAnOlderVersionIsSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		taken := func(bodies ...string) {
			t.Helper()
			for _, body := range bodies {
				answer := r.send(body)
				synctest.Wait()
				r.capture(s)
				r.wantAnswer(body, <-answer, http.StatusAccepted, "", "")
			}
			synctest.Wait() // the index has them
		}
		taken(batchOf(versioned("a5", 1, 5), versioned("a4", 1, 4), versioned("b1", 2, 1), versioned("a5again", 1, 5), event("plain", 1, 1)))
		taken(versioned("a3", 1, 3), versioned("b2", 2, 2))

		first := r.send(versioned("c9", 3, 9))
		synctest.Wait()
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		late := r.send(versioned("c8", 3, 8)) // it looks at the index before the index has c9, and leaves the queue after
		synctest.Wait()
		if _, err := r.log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.Confirm(b.Position)
		r.wantAnswer("c9", <-first, http.StatusAccepted, "", "")
		synctest.Wait()
		r.capture(s)
		r.wantAnswer("c8", <-late, http.StatusAccepted, "", "")
		r.wantSuperseded("a4", "a3", "c8")

		for _, index := range []*memIndex{r.index.copy(), newIndex()} {
			synctest.Wait()
			_ = s.Close()
			r = newRig(t, r.log, index, nil)
			s = r.open()
			taken(versioned(fmt.Sprintf("a2-%d", len(index.ids)), 1, 2))
		}
		if got := len(r.superseded()); got != 5 {
			t.Errorf("superseded = %v, want the two that came after a restart too", r.superseded())
		}
		_ = s.Close()
	})
}

// TestAVersionThatIsRaisedWhileTheIndexIsWritten counts: while it is in flight, and once it is durable, before and after a restart.
func TestAVersionThatIsRaisedWhileTheIndexIsWritten(t *testing.T) {
	for name, durable := range map[string]bool{"in flight": false, "durable": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
				s := r.open()
				next := func(body string) *syncline.Batch {
					r.send(body)
					b, err := s.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					return b
				}
				confirm := func(b *syncline.Batch) {
					if _, err := r.log.Append(t.Context(), b); err != nil {
						t.Error(err)
					}
					s.Confirm(b.Position)
				}
				five := next(versioned("a5", 1, 5))
				six := next(versioned("a6", 1, 6))
				once := sync.OnceFunc(func() { confirm(six) })
				if durable {
					r.index.saving = once
				}
				confirm(five)
				synctest.Wait()
				older := next(versioned("a5again", 1, 5))
				once()
				confirm(older)
				synctest.Wait()
				_ = s.Close()
				s = r.open()
				confirm(next(versioned("a5later", 1, 5)))
				r.wantSuperseded("a5again", "a5later")
				_ = s.Close()
			})
		})
	}
}

// TestAVersionThatWasNotStoredSupersedesNothing: what is judged by it would be lost.
func TestAVersionThatWasNotStoredSupersedesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(memlog.Options{}).Log("pos"), newIndex(), nil)
		s := r.open()
		lost := r.send(versioned("a5", 1, 5))
		synctest.Wait()
		if _, err := s.Next(t.Context()); err != nil { // capture has it, and loses it
			t.Fatal(err)
		}
		_ = s.Close()
		r.wantAnswer("a5", <-lost, http.StatusServiceUnavailable, "source_unavailable", "")
		s = r.open()
		answer := r.send(versioned("a4", 1, 4))
		synctest.Wait()
		r.capture(s)
		r.wantAnswer("a4", <-answer, http.StatusAccepted, "", "")
		r.wantSuperseded()
		_ = s.Close()
	})
}
