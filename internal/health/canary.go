package health

import "time"

// Canary remembers how long the marks took that were sent through a route. The zero value has seen none.
type Canary struct {
	// waits is when the oldest mark was sent that has not arrived; zero = all have.
	waits time.Time
	took  time.Duration
	some  bool
}

// Sent takes note of a mark that is sent, or tried to be.
func (c *Canary) Sent(at time.Time) {
	if c.waits.IsZero() {
		c.waits = at
	}
}

// Arrived takes note that the mark that was sent then is at the target, and so are all before it.
func (c *Canary) Arrived(sent, now time.Time) {
	c.waits, c.took, c.some = time.Time{}, max(now.Sub(sent), 0), true
}

// Takes is how long the last mark took, or the one that is under way has taken so far where that is longer; ok is false before the first.
func (c *Canary) Takes(now time.Time) (d time.Duration, ok bool) {
	if c.waits.IsZero() {
		return c.took, c.some
	}
	return max(c.took, now.Sub(c.waits)), true
}

// Forget drops the marks that have not arrived: nothing is expected of the route for now.
func (c *Canary) Forget() { c.waits = time.Time{} }
