package capture

import (
	"context"
	"sync"
	"time"

	"syncline"
	"syncline/internal/backoff"
)

// reader asks the source for batches beside the appends.
type reader struct {
	asks   chan struct{} // sent and closed by the loop; has room for the one that is not answered
	taken  chan taken    // sent by the reader's goroutine, which never waits: there is one answer to each ask
	stop   context.CancelFunc
	worker sync.WaitGroup
}

// taken is what Source.Next returned.
type taken struct {
	batch *syncline.Batch
	err   error
}

func (c *Capture) startReader(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	r, source := &reader{asks: make(chan struct{}, 1), taken: make(chan taken, 1), stop: stop}, c.source
	r.worker.Go(func() {
		for range r.asks {
			b, err := source.Next(ctx)
			r.taken <- taken{b, err}
		}
	})
	c.reader = r
}

// stopReader interrupts what the source is doing; what it gave is dropped, it is not confirmed.
func (c *Capture) stopReader() {
	c.reader.stop()
	close(c.reader.asks)
	c.reader.worker.Wait()
	c.reader = nil
}

// Run captures until ctx ends; then what is in hand is appended and it returns nil. hard ends the wait for that. A capture that
// cannot go on stays in Run, halted, until Resume or the end. It is called once.
//
// Beside this goroutine, in which everything is decided, one asks the source and one at a time appends.
func (c *Capture) Run(ctx, hard context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	done := make(chan func(), 1) // sent by the one append or note under way: what the machine is told of it
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	paceTimer := time.NewTimer(time.Hour)
	defer paceTimer.Stop()
	ended := ctx.Done()
	for {
		move := c.m.next()
		c.show()
		switch move {
		case moveOpen:
			last, born, err := c.open(ctx)
			if ctx.Err() != nil {
				c.m.stop()
			}
			if err != nil {
				c.m.closed(err)
				continue
			}
			if c.away {
				c.log.Info("source answers again")
			}
			c.away = false
			c.startReader(ctx)
			c.m.opened(last, born)
		case moveAppend:
			b := c.m.inflight
			workers.Go(func() {
				err := c.append(hard, b)
				done <- func() { c.m.appended(err) }
			})
		case moveRecord:
			b := c.m.inflight
			workers.Go(func() {
				err := c.note(hard, b)
				done <- func() { c.m.recorded(err) }
			})
		case movePause:
			timer.Reset(c.rest())
		case moveClose:
			c.stopReader()
			c.close()
			c.m.closed(c.m.failed)
		case moveEnd:
			return nil
		case moveWait:
			var look <-chan time.Time
			if again := c.pace(); !again.IsZero() {
				paceTimer.Reset(max(again.Sub(c.o.Now()), time.Millisecond))
				look = paceTimer.C
			}
			if c.m.wants() {
				c.m.asked()
				c.reader.asks <- struct{}{}
			}
			var given chan taken
			if c.reader != nil {
				given = c.reader.taken
			}
			select {
			case <-ended:
				ended = nil
				c.m.stop()
			case t := <-given:
				if ctx.Err() != nil { // that may be all that the source had to say
					c.m.stop()
				}
				c.taken(t)
			case tell := <-done:
				tell()
			case <-c.wake:
				c.m.resumed()
			case <-c.steer:
			case <-look:
			case <-c.renew:
				c.derive = newDeriver(c.next().Derive, c.underived)
				c.m.renew()
			case <-c.anew:
				c.m.drop()
			case <-timer.C:
				c.m.elapsed()
			}
		default:
			c.tell(move)
		}
	}
}

func (c *Capture) taken(t taken) {
	if t.err != nil {
		c.m.broke(t.err)
		return
	}
	t.batch.Source = c.o.Source
	c.derive.batch(t.batch)
	if t.batch.Chunk != nil {
		c.sift(t.batch)
	}
	c.m.take(t.batch)
}

// tell carries out the moves that take no time.
func (c *Capture) tell(v move) {
	switch v {
	case moveConfirm:
		c.confirm()
	case moveRelieve:
		c.log.Info("log takes events again")
		c.stall(nil)
	case moveHalt:
		c.away = true
		c.log.Error("capture stopped", "code", syncline.CodeOf(c.m.err), "err", c.m.err, "fix", syncline.FixOf(c.m.err))
	}
}

// rest says why nothing goes on and returns for how long.
func (c *Capture) rest() time.Duration {
	d := syncline.RetryAfter(c.m.err) + backoff.Delay(c.o.MinDelay, c.o.MaxDelay, c.m.failures)
	c.log.Warn("source or log does not answer", "code", syncline.CodeOf(c.m.err), "err", c.m.err, "retry_in", d)
	c.away = !c.m.stalled
	if c.m.stalled {
		c.stall(c.m.err)
		if c.o.Stalled != nil {
			c.o.Stalled(c.m.err)
		}
	}
	return d
}

// Wants reports whether Take may be called.
func (c *Capture) Wants() bool {
	c.pace()
	return c.m.wants()
}

// Take gives the capture what the source's Next returned.
func (c *Capture) Take(b *syncline.Batch, err error) { c.taken(taken{b, err}) }

// Step carries out the next thing that is due, and reports whether there was any. It is what a simulation calls; Run does the same
// with the source read beside the appends. No pause takes time. Why the capture is halted is the error.
func (c *Capture) Step(ctx context.Context) (did bool, err error) {
	move := c.m.next()
	switch move {
	case moveWait, moveEnd:
		return false, nil
	case moveOpen:
		last, born, err := c.open(ctx)
		if err != nil {
			c.m.closed(err)
			break
		}
		c.m.opened(last, born)
	case moveAppend:
		c.m.appended(c.append(ctx, c.m.inflight))
	case moveRecord:
		c.m.recorded(c.note(ctx, c.m.inflight))
	case movePause:
		if c.m.stalled {
			c.stall(c.m.err)
		}
		c.m.elapsed()
	case moveClose:
		c.close()
		c.m.closed(c.m.failed)
	case moveHalt:
		return true, c.m.err
	default:
		c.tell(move)
	}
	c.show()
	return true, nil
}
