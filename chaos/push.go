package main

import (
	"bytes"
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

	"syncline/internal/ops"
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
	begins bool            // the route begins anew: its counts say nothing until it has come to the end
	missed int64           // events that its counts do not go back to

	deals deals
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
	said     time.Time // of a deal
}

func newPushed(w *world) *pushed {
	p := &pushed{w: w, http: &http.Client{Timeout: 5 * time.Second}, newest: make(map[int64]int64), deals: deals{newest: make(map[int64]deal)}}
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
	if rnd.IntN(3) == 0 {
		// Each client has deals of its own: of two words of one source the later one in the log stands.
		e := pushEvent{ver: p.w.writers.version.Add(1), key: pushClients*rnd.Int64N(dealKeys/pushClients) + c.number, said: time.Now().UTC().Truncate(time.Microsecond)}
		r.events = append(r.events, e)
		key := strconv.FormatInt(e.key, 10)
		writes = append(writes, write{entity: "deal", key: key, ver: e.ver})
		list = append(list, fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"till","type":"deal.updated","subject":"%s","time":%q,"data":{"k":%[2]s,"ver":%[1]d,"val":%[4]q}}`,
			e.ver, key, e.said.Format(time.RFC3339Nano), p.w.plan.proof("deal", key, e.ver)))
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
		if !e.said.IsZero() {
			p.deals.answered(e.key, deal{e.ver, e.said})
			continue
		}
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
var mayAnswer = []int{http.StatusAccepted, http.StatusServiceUnavailable, http.StatusInsufficientStorage}

func (p *pushed) post(ctx context.Context, body []byte) (status int, err error) {
	p.quiet.RLock()
	defer p.quiet.RUnlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.server+"/v1/events", bytes.NewReader(body))
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

// beginAnew says that its route does: it may not count what it has read before, or count it again. No client is at work until recount.
func (p *pushed) beginAnew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begins = true
}

// recount has the counts of a route that began anew go on from here. The warehouse has all that was pushed.
func (p *pushed) recount(ctx context.Context) error {
	p.mu.Lock()
	begins := p.begins
	p.mu.Unlock()
	if !begins {
		return nil
	}
	return p.w.eventually(ctx, patience, func(ctx context.Context) error {
		r, err := p.route(ctx)
		if err != nil {
			return err
		}
		if r.LagEvents != 0 {
			return fmt.Errorf("route %s has %d events before it", pushRoute, r.LagEvents)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.begins, p.missed = false, p.events.Load()-r.Counts.Read
		return nil
	})
}

func (p *pushed) route(ctx context.Context) (ops.RouteStatus, error) {
	routes, err := p.w.api.Load().Routes(ctx)
	if err != nil {
		return ops.RouteStatus{}, err
	}
	for _, r := range routes {
		if r.ID == pushRoute {
			return r, nil
		}
	}
	return ops.RouteStatus{}, fmt.Errorf("there is no route %s", pushRoute)
}

// unread is how many events were made that the route has not read by its counts; false = they say nothing. Below 0, something was read twice.
func (p *pushed) unread(read int64) (n int64, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events.Load() - p.missed - read, !p.begins
}

// counted sees that the route has read no more than was pushed: what was repeated is not there twice. Who calls it has asked for the count before.
func (p *pushed) counted(read int64) {
	if n, known := p.unread(read); known && n < 0 {
		p.w.watch.fail("nothing that was pushed is doubled", "%d events were read that were not pushed", -n)
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
	r, err := p.route(ctx)
	if err != nil {
		return err
	}
	if n, known := p.unread(r.Counts.Read); known && n != 0 {
		return fmt.Errorf("of the events that were pushed, route %s has not read %d", pushRoute, n)
	}
	return nil
}
