package main

import (
	"context"
	"fmt"
	"time"
)

// mostCuts is how often connections are cut to see what stays of them. What is counted begins after the first ones: then everything has been
// opened that is opened once.
const (
	mostCuts  = 8
	firstCuts = 2
)

// nothingStays cuts all connections of the program several times, without anything else that is wrong and without a process that ends, and sees
// that nothing of them stays: what one reconnect leaves behind is too little to be seen, and after a restart it is gone.
func (w *world) nothingStays(ctx context.Context) error {
	cuts := min(mostCuts, int(w.plan.Time/(2500*time.Millisecond)))
	if cuts < 2*firstCuts {
		return nil
	}
	var first usage
	for i := range cuts {
		if err := w.reconnect(ctx); err != nil {
			return err
		}
		if w.watch.over() {
			return nil
		}
		if i == firstCuts-1 {
			var err error
			if first, err = w.usage(ctx); err != nil {
				return err
			}
		}
	}
	// One for each cut is a leak; connections that are idle and will be closed make up for one or the other at a moment.
	spare := cuts - firstCuts - 2
	err := w.eventually(ctx, 15*time.Second, func(ctx context.Context) error {
		now, err := w.usage(ctx)
		if err == nil && (now.descriptors > first.descriptors+spare || now.goroutines > first.goroutines+4*spare) {
			err = fmt.Errorf("%s, and %d reconnects before %s", now, cuts-firstCuts, first)
		}
		return err
	})
	if err != nil {
		w.watch.fail("nothing stays of connections that were cut", "%v", err)
		return nil
	}
	return w.rests(ctx)
}

// restsFor is how long the process is watched that has nothing to do.
const restsFor = 1500 * time.Millisecond

// rests sees that the process does not go round in circles: neither where nothing changes, nor where there is something for targets that nobody
// reaches. It is asked by those who watch, and nothing else.
func (w *world) rests(ctx context.Context) error {
	if err := w.idles(ctx, "who has nothing to do does nothing"); err != nil {
		return err
	}
	for _, name := range targetNames {
		w.net.refuse(name)
	}
	if err := w.touch(ctx); err != nil {
		return err
	}
	if err := w.idles(ctx, "what does not answer is not asked all the time"); err != nil {
		return err
	}
	for _, name := range targetNames {
		if err := w.net.replace(name); err != nil {
			return err
		}
	}
	if err := w.catchUp(ctx); err != nil {
		w.watch.fail("everything catches up", "after no target was there: %v", err)
	}
	return nil
}

// idles sees that the process takes little processor time for a while.
func (w *world) idles(ctx context.Context, promise string) error {
	before, err := w.worked()
	if err != nil {
		return err
	}
	if err := sleep(ctx, restsFor); err != nil {
		return err
	}
	after, err := w.worked()
	if hundredths := int(restsFor / (10 * time.Millisecond)); err == nil && after-before > hundredths*2/3 {
		w.watch.fail(promise, "it took %d hundredths of a second of processor time in %s", after-before, restsFor)
	}
	return err
}

// reconnect cuts every connection of the program, and returns when each was made again and something has gone through.
func (w *world) reconnect(ctx context.Context) error {
	for _, name := range serverNames {
		if err := w.net.replace(name); err != nil {
			return err
		}
	}
	if err := w.touch(ctx); err != nil {
		return err
	}
	if err := w.catchUp(ctx); err != nil {
		w.watch.fail("everything catches up", "after its connections were cut: %v", err)
	}
	return nil
}
