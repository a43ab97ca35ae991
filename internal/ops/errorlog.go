package ops

import (
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// complaintRate and complaintBurst bound what net/http has logged of connections. Whoever reaches the port can make it complain, of a
// handshake that is none for instance, as often as he likes.
const complaintRate, complaintBurst = 1, 20

// complaints is a writer that logs lines at a bounded rate, and says how many it has left out.
type complaints struct {
	log *slog.Logger

	mu      sync.Mutex
	limit   *rate.Limiter
	leftOut int
}

// errorLog is what net/http complains to.
func errorLog(l *slog.Logger) *log.Logger {
	return log.New(&complaints{log: l, limit: rate.NewLimiter(complaintRate, complaintBurst)}, "", 0)
}

// Write logs one line.
func (c *complaints) Write(line []byte) (int, error) {
	c.mu.Lock()
	allowed, leftOut := c.limit.AllowN(time.Now(), 1), c.leftOut
	if allowed {
		c.leftOut = 0
	} else {
		c.leftOut++
	}
	c.mu.Unlock()
	switch {
	case !allowed:
	case leftOut > 0:
		c.log.Warn(strings.TrimSpace(string(line)), "left_out", leftOut)
	default:
		c.log.Warn(strings.TrimSpace(string(line)))
	}
	return len(line), nil
}
