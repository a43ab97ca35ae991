package daemon

import (
	"context"
	"strings"
	"sync"
	"time"

	"syncline"
	"syncline/internal/backoff"
	"syncline/internal/config"
	"syncline/internal/failpoint"
	"syncline/internal/httpclient"
	"syncline/internal/state"
)

const (
	// deliverLow and deliverHigh bound how long a message waits after a failure.
	deliverLow  = 5 * time.Second
	deliverHigh = 10 * time.Minute
	// deliverFor is how long a message is tried while a channel does not answer; what is older is no news.
	deliverFor = 24 * time.Hour
	// deliverRefused is how often it is tried while the channel refuses it, and at least where a clock that was set makes it old.
	deliverRefused = 5
	// deliverMost is how often it is tried at all, which takes longer than deliverFor unless the clock was set back.
	deliverMost = 500
	// deliverLook is how often is looked for messages that are due while any waits.
	deliverLook = time.Second
)

// channelState is how delivery through one channel goes.
type channelState struct {
	// waiting messages, and how often the first of them was tried, when it will be again and why it was not taken.
	waiting  int
	attempts int
	nextTry  time.Time
	err      error
	// now: something has changed, so that the first is tried without waiting any longer.
	now bool
	// sent is when the last was delivered since the start.
	sent time.Time
	// stuck is how often in a row the state store did not give a message, or did not take what came of one.
	stuck int
}

// deliverAlerts delivers what waits, until ctx ends: for each channel in order and for itself, so that one which does not answer holds up
// no other, and nothing else. An attempt that the end cuts off is repeated after the next start: a message is delivered at least once.
func (d *Daemon) deliverAlerts(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	busy := make(map[string]bool)
	ended := make(chan string) // each delivery sends its channel's name as it ends, or finds ctx ended
	pace := time.NewTicker(deliverLook)
	defer pace.Stop()
	for news := true; ; {
		if news {
			counts, err := d.state.UndeliveredCounts(ctx)
			if err != nil && ctx.Err() == nil {
				d.log.Warn("messages that wait cannot be read", "err", err)
			}
			news = len(counts) > 0 || err != nil
			for name, n := range counts {
				if busy[name] || !d.due(name, n, time.Now()) {
					continue
				}
				busy[name] = true
				all.Go(func() {
					d.deliver(ctx, name)
					select {
					case ended <- name:
					case <-ctx.Done():
					}
				})
			}
		}
		select {
		case <-ctx.Done():
			return
		case name := <-ended:
			delete(busy, name)
		case <-d.alerting.mail:
			news = true
		case <-pace.C:
		}
	}
}

// due notes how many messages wait for the channel, and reports whether the first is to be tried.
func (d *Daemon) due(name string, waiting int, now time.Time) bool {
	d.alerting.mu.Lock()
	defer d.alerting.mu.Unlock()
	st := d.channelLocked(name)
	st.waiting = waiting
	return st.now || !early(now, st.nextTry)
}

// early reports whether an attempt has to wait. One that would wait for longer than any does comes of a clock that was set back.
func early(now, next time.Time) bool {
	return now.Before(next) && next.Sub(now) <= deliverHigh+httpclient.MaxRetryAfter
}

// retryChannel has what waits for the channel tried now.
func (d *Daemon) retryChannel(name string) {
	d.alerting.mu.Lock()
	d.channelLocked(name).now = true
	d.alerting.mu.Unlock()
	note(d.alerting.mail)
}

// hurried reports whether the first message is to be tried although its time has not come, once.
func (d *Daemon) hurried(name string) bool {
	d.alerting.mu.Lock()
	defer d.alerting.mu.Unlock()
	st := d.channelLocked(name)
	now := st.now
	st.now = false
	return now
}

func (d *Daemon) channelLocked(name string) *channelState {
	st := d.alerting.channels[name]
	if st == nil {
		st = &channelState{}
		d.alerting.channels[name] = st
	}
	return st
}

// deliver sends what waits for the channel, until there is nothing more, or something is not taken that will be tried again.
func (d *Daemon) deliver(ctx context.Context, name string) {
	hurried := d.hurried(name)
	for ctx.Err() == nil {
		list, err := d.state.Undelivered(ctx, name, 1)
		if err != nil && ctx.Err() == nil {
			d.log.Warn("what waits for a channel cannot be read", "channel", name, "err", err)
			d.putOff(name, time.Time{}, err)
		}
		if err != nil || len(list) == 0 {
			return
		}
		if hurried {
			list[0].NextTry, hurried = time.Time{}, false
		}
		if !d.deliverOne(ctx, name, &list[0]) {
			return
		}
	}
}

// deliverOne tries one message, and reports whether it is over and done with.
func (d *Daemon) deliverOne(ctx context.Context, name string, u *state.Undelivered) bool {
	now := time.Now()
	if early(now, u.NextTry) {
		d.noteDelivery(name, &u.Delivery, nil)
		return false
	}
	var err error
	ch := d.set().channels[name]
	if ch == nil {
		err = noSuchChannel(d.set().config, name)
	} else {
		failpoint.Hit("daemon.alert.deliver")
		_, err = ch.send(ctx, &u.Message)
		failpoint.Hit("daemon.alert.delivered")
	}
	if ctx.Err() != nil && err != nil {
		return false // it was cut off
	}
	done := u.Delivery
	done.Attempts++
	now = time.Now()
	done.Updated, done.NextTry, done.Code, done.Error = now, time.Time{}, "", ""
	switch {
	case err == nil:
		done.Status = state.DeliverySent
	case ch == nil || hopeless(err, done.Attempts, now.Sub(u.Message.At)):
		done.Status = state.DeliveryFailed
	default:
		done.NextTry = now.Add(max(backoff.Delay(deliverLow, deliverHigh, done.Attempts), syncline.RetryAfter(err)))
	}
	if err != nil {
		done.Code, done.Error = syncline.CodeOf(err), err.Error()
	}
	switch {
	case done.Status == state.DeliveryFailed:
		d.log.Error("an alert was not delivered and is given up", "channel", name, "alert", u.Message.Rule, "attempts", done.Attempts, "err", err)
	case err != nil && done.Attempts == 1:
		d.log.Warn("an alert was not delivered: it is tried again", "channel", name, "alert", u.Message.Rule, "err", err)
	}
	// It is known what came of it, whether or not the daemon ends just now.
	if saveErr := d.state.EndDelivery(context.WithoutCancel(ctx), &done); saveErr != nil {
		d.log.Warn("what came of a delivery cannot be noted: it may be repeated", "channel", name, "err", saveErr)
		d.putOff(name, done.NextTry, saveErr)
		return false
	}
	d.noteDelivery(name, &done, err)
	return done.Status != state.DeliveryWaiting
}

// putOff has the channel wait because of the state store, the longer the more often, and at least until then. The store does not know of a
// wait that it did not take: without this one the same message would be sent again at once.
func (d *Daemon) putOff(name string, until time.Time, err error) {
	d.alerting.mu.Lock()
	defer d.alerting.mu.Unlock()
	st := d.channelLocked(name)
	st.stuck++
	st.err = err
	if st.nextTry = time.Now().Add(backoff.Delay(deliverLow, deliverHigh, st.stuck)); st.nextTry.Before(until) {
		st.nextTry = until
	}
}

// noteDelivery keeps what came of an attempt for who asks.
func (d *Daemon) noteDelivery(name string, done *state.Delivery, err error) {
	d.alerting.mu.Lock()
	defer d.alerting.mu.Unlock()
	st := d.channelLocked(name)
	st.nextTry, st.attempts, st.stuck = done.NextTry, done.Attempts, 0
	switch {
	case done.Status == state.DeliverySent:
		st.sent, st.err, st.attempts = done.Updated, nil, 0
	case err != nil:
		st.err = err
	case done.Error != "":
		st.err = syncline.Errorf(syncline.Transient, done.Code, "%s", strings.TrimPrefix(done.Error, done.Code+": "))
	}
	if done.Status != state.DeliveryWaiting {
		st.waiting = max(st.waiting-1, 0)
	}
}

func noSuchChannel(c *config.Config, name string) error {
	var names []string
	for _, ch := range c.Channels {
		names = append(names, ch.Name)
	}
	return noSuch("channel_not_found", "channel", name, names)
}
