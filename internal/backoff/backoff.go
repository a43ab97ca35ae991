// Package backoff says how long to wait before something that failed is tried again.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Delay returns a random time up to a bound that begins at low and doubles with each failure, to high at the most: those who lost
// the same server do not come back in step. failures counts from 1. The result is at least a millisecond.
func Delay(low, high time.Duration, failures int) time.Duration {
	bound := low << min(failures-1, 20)
	if bound <= 0 || bound > high {
		bound = high
	}
	return time.Millisecond + time.Duration(rand.Int64N(int64(bound)))
}
