package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Pushed events come from clients that do as they have to: what was not answered is sent again, as it was. Nobody else knows what they
// sent, so that an event which was answered and is lost cannot be had again; and some of what was answered is sent once more, also long after, which
// must change nothing.

const (
	pushClients = 2
	pushRoute   = "sale-dw"
	// pushKeys are the records of each client that are written again and again. All others are written once, so that each event of theirs can be missed.
	pushKeys = 8
	// pushFirst is the key of the record that is written once by version 0.
	pushFirst = 1_000_000
	// pushAgain is how many answered requests a client remembers, to send them once more.
	pushAgain = 30
)

// pushed is everything that clients push to the system till.
type pushed struct {
	w       *world
	server  string // past a proxy of its own
	http    *http.Client
	clients [pushClients]*pushClient
	token   atomic.Pointer[string]
	events  atomic.Int64 // that were made, each of which is in the log once at most

	// quiet is held by who puts an older log, or none, in the place of the log: what was answered meanwhile would be gone with it.
	quiet sync.RWMutex

	mu     sync.Mutex
	newest map[int64]int64 // version of each key whose event was answered; 0 = deleted
	forgot bool            // the counts of the route do not go back to the beginning
}

// pushClient sends one request after the other. Only its own goroutine uses it, and settle when that has ended.
type pushClient struct {
	number  int64
	waiting *pushRequest // was sent, or is to be, and was not answered
	old     []*pushRequest
}

// pushRequest is taken whole or not at all.
type pushRequest struct {
	body   []byte
	events []pushEvent
}

type pushEvent struct {
	key, ver int64
	gone     bool
}

func newPushed(w *world) *pushed {
	p := &pushed{w: w, http: &http.Client{Timeout: 5 * time.Second}, newest: make(map[int64]int64)}
	for i := range p.clients {
		p.clients[i] = &pushClient{number: int64(i)}
	}
	return p
}

// work sends requests until ctx ends. What was not answered then waits for settle, or for the next work.
func (p *pushed) work(ctx context.Context, c *pushClient, rnd *rand.Rand) {
	for ctx.Err() == nil && !p.w.watch.over() {
		p.w.writers.wait(ctx)
		if c.waiting == nil {
			c.waiting = p.make(c, rnd)
		}
		if !p.send(ctx, c) {
			_ = sleep(ctx, time.Duration(20+rnd.IntN(200))*time.Millisecond)
			continue
		}
		if len(c.old) > 0 && rnd.IntN(3) == 0 { // the client has not heard, or has crashed before it has noted that
			if status, err := p.post(ctx, c.old[rnd.IntN(len(c.old))].body); err == nil && status == http.StatusAccepted {
				p.w.count("pushed requests that were repeated after their answer")
			}
		}
		_ = sleep(ctx, time.Duration(5+rnd.IntN(60))*time.Millisecond)
	}
}

// make is a request of some events; each key's versions rise.
func (p *pushed) make(c *pushClient, rnd *rand.Rand) *pushRequest {
	r := new(pushRequest)
	var list []string
	n := 1 + rnd.IntN(6)
	if rnd.IntN(30) == 0 {
		n = 100 + rnd.IntN(200)
	}
	var writes []write
	for range n {
		e := pushEvent{ver: p.w.writers.version.Add(1)}
		e.key = pushFirst + e.ver
		if rnd.IntN(2) == 0 {
			e.key, e.gone = c.number*pushKeys+rnd.Int64N(pushKeys), rnd.IntN(8) == 0
		}
		r.events = append(r.events, e)
		key := strconv.FormatInt(e.key, 10)
		writes = append(writes, write{entity: "sale", key: key, ver: e.ver, gone: e.gone})
		data := fmt.Sprintf(`{"k":%d,"ver":%d,"val":%q}`, e.key, e.ver, p.w.plan.proof("sale", key, e.ver))
		op := "updated"
		if e.gone {
			op, data = "deleted", fmt.Sprintf(`{"before":%s}`, data)
		}
		list = append(list, fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"till","type":"sale.%s","subject":"%s","priority":%q,"data":%s}`,
			e.ver, op, key, []string{"normal", "low", "high", "critical"}[rnd.IntN(4)], data))
	}
	r.body = []byte("[" + strings.Join(list, ",") + "]")
	p.events.Add(int64(n))
	p.w.journal.pushed(writes)
	return r
}

// send sends what waits, and reports whether it was answered with a yes.
func (p *pushed) send(ctx context.Context, c *pushClient) bool {
	status, err := p.post(ctx, c.waiting.body)
	if err != nil || status != http.StatusAccepted {
		p.w.count("pushed requests without a yes")
		return false
	}
	p.mu.Lock()
	for _, e := range c.waiting.events {
		p.newest[e.key] = e.ver
		if e.gone {
			p.newest[e.key] = 0
		}
	}
	p.mu.Unlock()
	p.w.add("pushed events", len(c.waiting.events))
	c.old = append(c.old, c.waiting)
	if len(c.old) > pushAgain {
		c.old = slices.Delete(c.old, 0, 1)
	}
	c.waiting = nil
	return true
}

// mayAnswer are the answers after which a client sends a request again: what is refused for good must not be.
var mayAnswer = []int{http.StatusAccepted, http.StatusServiceUnavailable, http.StatusInsufficientStorage, http.StatusUnauthorized}

func (p *pushed) post(ctx context.Context, body []byte) (status int, err error) {
	p.quiet.RLock()
	defer p.quiet.RUnlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.server+"/v1/events", strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/cloudevents-batch+json")
	req.Header.Set("Authorization", "Bearer "+*p.token.Load())
	resp, err := p.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // the status tells
	if !slices.Contains(mayAnswer, resp.StatusCode) {
		text, _ := io.ReadAll(resp.Body)
		p.w.watch.fail("what is pushed is taken", "status %d: %.500s", resp.StatusCode, text)
	}
	return resp.StatusCode, nil
}

// settle sends what still waits until it is answered. No client is at work; nothing is wrong.
func (p *pushed) settle(ctx context.Context) error {
	return p.w.eventually(ctx, patience, func(ctx context.Context) error {
		for _, c := range p.clients {
			if c.waiting != nil && !p.send(ctx, c) {
				return errors.New("pushed events are not answered")
			}
		}
		return nil
	})
}

// forgetIDs has clients repeat nothing of what a log held that is gone, with its ids. No client is at work.
func (p *pushed) forgetIDs() {
	for _, c := range p.clients {
		c.old = nil
	}
}

// forgetCounts says that its route begins anew, and does not count what it has read before, or counts it again.
func (p *pushed) forgetCounts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgot = true
}

// counted sees that the route has read no more than was pushed: what was repeated is not there twice. Who calls it has asked for the count before.
func (p *pushed) counted(read int64) {
	if made := p.events.Load(); read > made {
		p.w.watch.fail("nothing that was pushed is doubled", "%d events were read, and %d were pushed", read, made)
	}
}

// differs compares the warehouse with what was answered.
func (p *pushed) differs(ctx context.Context) error {
	p.mu.Lock()
	want := make(map[int64]int64, len(p.newest))
	for key, ver := range p.newest {
		if ver > 0 {
			want[key] = ver
		}
	}
	forgot := p.forgot
	p.mu.Unlock()
	text, err := column[string](ctx, p.w.dst, `SELECT coalesce(json_object_agg(k, ver), '{}')::text FROM sale`)
	if err != nil {
		return err
	}
	var got map[int64]int64
	if err := json.Unmarshal([]byte(text[0]), &got); err != nil {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("warehouse, sale (-answered +target, version by key):\n%.3000s", diff)
	}
	routes, err := p.w.api.Load().Routes(ctx)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if made := p.events.Load(); r.ID == pushRoute && !forgot && r.Counts.Read != made {
			return fmt.Errorf("%d events were pushed, and route %s has read %d", made, r.ID, r.Counts.Read)
		}
	}
	return nil
}
