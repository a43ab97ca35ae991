package ops

import (
	"container/list"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// failRate and failBurst bound, for each address, the requests a second whose token does not count and that are answered with why.
	// Secrets cannot be guessed at any rate: it is the log that is kept short.
	failRate, failBurst = 10, 300
	// maxCounted bounds the callers that are counted; the one that was quiet longest is forgotten first.
	maxCounted = 4096
	// maxLinger bounds what is read of a body after its request was answered.
	maxLinger = 32 << 20
)

// limits bound what callers may ask of the server.
type limits struct {
	// slots has room for the requests under way: each puts one in and takes it out.
	slots    chan struct{}
	requests *meter
	failures *meter
}

func newLimits(concurrency, perSecond int) *limits {
	return &limits{slots: make(chan struct{}, concurrency), requests: newMeter(rate.Limit(perSecond), 2*perSecond), failures: newMeter(failRate, failBurst)}
}

// enter reports whether there is room for one more request, which then has to leave.
func (l *limits) enter() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l *limits) leave() { <-l.slots }

// take counts a request of the caller. It returns how many seconds the caller should wait instead, 0 for none.
func (l *limits) take(caller string) int { return l.requests.take(caller, time.Now()) }

// fail counts a request from the address whose token does not count.
func (l *limits) fail(address string) int { return l.failures.take(address, time.Now()) }

// linger reads what the caller still sends of a body that nobody wanted. Otherwise the connection is cut while it sends, and many clients
// then show that instead of the answer that says what is wrong.
func linger(r *http.Request, body io.Reader) {
	if r.ProtoMajor > 1 || r.ContentLength > maxLinger || r.Header.Get("Expect") != "" { // whoever expects an answer first sends nothing after it
		return
	}
	_, _ = io.CopyN(io.Discard, body, maxLinger)
}

// meter counts by key.
type meter struct {
	every rate.Limit
	burst int

	mu sync.Mutex
	// keys has an element of order for each key, whose value is a *count; the one used last is at the front.
	keys  map[string]*list.Element
	order *list.List
}

type count struct {
	key string
	*rate.Limiter
}

func newMeter(every rate.Limit, burst int) *meter {
	return &meter{every: every, burst: burst, keys: make(map[string]*list.Element), order: list.New()}
}

func (m *meter) take(key string, now time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.keys[key]
	if ok {
		m.order.MoveToFront(e)
	} else {
		if m.order.Len() >= maxCounted {
			oldest := m.order.Back()
			delete(m.keys, m.order.Remove(oldest).(*count).key)
		}
		e = m.order.PushFront(&count{key, rate.NewLimiter(m.every, m.burst)})
		m.keys[key] = e
	}
	limiter := e.Value.(*count).Limiter
	if limiter.AllowN(now, 1) {
		return 0
	}
	return max(1, int(math.Ceil((1-limiter.TokensAt(now))/float64(m.every))))
}
