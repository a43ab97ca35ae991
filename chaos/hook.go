package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"syncline/internal/webhook"
)

// receiver is the webhook's end: it checks signatures, that every delivery of an event has its id and says the same, the order of first deliveries of
// each key, and that what comes was written.
type receiver struct {
	w      *world
	server *httptest.Server

	mu     sync.Mutex
	mood   func(http.ResponseWriter) verdict // decides about each event; nil = takes it
	over   chan struct{}                     // while it is there, nobody is answered until it is closed
	came   map[string]delivery               // by the id that receivers are to tell repeats by
	vers   map[int64]string                  // the keys of versions that came
	newest map[string]int64                  // version of each key's newest first delivery
	again  int                               // deliveries that were repeated
	// heard are the versions of each key in the order of first deliveries, 0 for a delete. What a copy brought is not among them.
	heard map[string][]int64
}

func newReceiver(w *world) *receiver {
	r := &receiver{w: w, came: make(map[string]delivery), vers: make(map[int64]string), newest: make(map[string]int64), heard: make(map[string][]int64)}
	r.server = httptest.NewServer(r)
	return r
}

func (r *receiver) port() int { return r.server.Listener.Addr().(*net.TCPAddr).Port }

func (r *receiver) close() {
	r.feel(nil)
	r.server.CloseClientConnections()
	r.server.Close()
}

// delivery is what came first of an event: what every delivery of it has to say. Not all of its text: a process that took over has learnt of a table's
// columns in its own order, and knows of those that were added since.
type delivery struct {
	kind, subject  string
	ver            int64
	val, sum, tier string
}

// hang has it answer nobody until the channel is closed; nil ends that.
func (r *receiver) hang(over chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = over
}

// verdict is what becomes of an event.
type verdict int

const (
	takes   verdict = iota
	refuses         // it has answered so
	hides           // takes it, and cuts the connection instead of saying so
)

// feel sets what decides about events; nil takes them.
func (r *receiver) feel(mood func(http.ResponseWriter) verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mood = mood
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // cut off on its way
	}
	if err := r.verify(req.Header, body); err != nil {
		r.w.watch.fail("webhook", "%v", err)
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	var event struct {
		ID, Subject, Type string
		Data              struct {
			After *struct {
				K    int
				Ver  int64
				Val  string
				Sum  string
				Tier string
			}
		}
	}
	if err := json.Unmarshal(body, &event); err != nil {
		r.w.watch.fail("webhook", "an event that is no JSON: %v", err)
		return
	}
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	if over != nil {
		select {
		case <-over:
		case <-req.Context().Done():
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v := takes
	if r.mood != nil {
		v = r.mood(w)
	}
	switch v {
	case refuses:
		return
	case hides:
		defer panic(http.ErrAbortHandler) // which is what the server understands as cutting the connection
	case takes:
		w.WriteHeader(http.StatusNoContent)
	}
	// Where an id has letters that the header's may not have, a dot above all, they are percent-encoded there.
	if id, err := url.PathUnescape(req.Header.Get(webhook.HeaderID)); err != nil || id != event.ID {
		r.w.watch.fail("stable identity", "webhook: event %s came as %s, by which repeats are told", event.ID, id)
		return
	}
	now := delivery{kind: event.Type, subject: event.Subject}
	a := event.Data.After
	if a != nil {
		now.ver, now.val, now.sum, now.tier = a.Ver, a.Val, a.Sum, a.Tier
	}
	was, again := r.came[event.ID]
	if again {
		r.again++
		if was != now {
			r.w.watch.fail("stable identity", "webhook: event %s is version %d, and came again as version %d, or with other contents", event.ID, was.ver, now.ver)
		}
		return
	}
	r.came[event.ID] = now
	if a == nil {
		r.heard[event.Subject] = append(r.heard[event.Subject], 0)
		return
	}
	key := strconv.Itoa(a.K)
	if event.Subject != key || !r.w.plan.proven("reg", key, a.Ver, a.Val) {
		r.w.watch.fail("nothing is invented", "webhook: event %s of key %s has the value of another record or version (%d)", event.ID, event.Subject, a.Ver)
	}
	r.vers[a.Ver] = key
	if was := r.newest[key]; a.Ver < was && !strings.HasSuffix(event.Type, "snapshot") {
		r.w.watch.fail("order of first deliveries", "webhook: of key %s version %d came first after %d", key, a.Ver, was)
	}
	r.newest[key] = max(a.Ver, r.newest[key])
	if !strings.HasSuffix(event.Type, "snapshot") {
		r.heard[key] = append(r.heard[key], a.Ver)
	}
}

// verify sees that the request was signed, by the time that the program has, or had.
func (r *receiver) verify(header http.Header, body []byte) (err error) {
	for _, now := range r.w.clock.readings() {
		if err = webhook.Verify(hookSecret, header, body, now, 0); err == nil {
			return nil
		}
	}
	return err
}

// differs tells of a key of which something else was heard than was committed, or in another order.
func (r *receiver) differs(committed map[string][]int64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(committed)) {
		if want, got := committed[key], r.heard[key]; !slices.Equal(want, got) {
			at := 0
			for at < min(len(want), len(got)) && want[at] == got[at] {
				at++
			}
			return fmt.Sprintf("of key %s it was told %d changes of %d; from the %d. on the versions are %v, and were committed as %v (0 = deleted)", key, len(got), len(want),
				at+1, got[at:min(len(got), at+5)], want[at:min(len(want), at+5)])
		}
	}
	return ""
}

// misses returns committed versions that did not come.
func (r *receiver) misses(must []write) (missing []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range must {
		if _, ok := r.vers[w.ver]; !ok {
			missing = append(missing, w.ver)
		}
	}
	return missing
}

// told are the versions that came, with their keys, and how many deliveries were repeats.
func (r *receiver) told() (all []write, again int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ver, key := range r.vers {
		all = append(all, write{entity: "reg", key: key, ver: ver})
	}
	return all, r.again
}
