package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"syncline/internal/ops"
)

// backfillRate is how many changes a second come while the table is read again.
const backfillRate = 1000

// backfill measures how much later live changes arrive while all rows of their table are read again, and how fast that goes.
func (b *bench) backfill(ctx context.Context) (section, error) {
	rows := 2 * b.rows
	s := section{
		title: "Live changes during a full sync",
		how: fmt.Sprintf("A table of %s rows is read again (`sync full`) while its changes go on, measured as above: %s inserts a second by one writer. "+
			"The first line is without the sync. Then the sync alone.", count(rows), count(backfillRate)),
		head: []string{"", "p50", "p90", "p99", "max", "mean", "rows/s of the sync"},
	}
	f, err := makeField(ctx, b, "backfill", account, mirror, func(*field) error { return nil })
	if err != nil {
		return s, err
	}
	defer f.abandon()
	if err := execAll(ctx, f.src, account.insert(1, rows)); err != nil {
		return s, err
	}
	if err := f.level(ctx); err != nil {
		return s, err
	}
	if err := f.settle(ctx); err != nil {
		return s, err
	}
	if err := f.syncline.start(ctx); err != nil {
		return s, err
	}
	if err := f.syncline.ready(ctx); err != nil {
		return s, err
	}
	line := func(label string, found []time.Duration, speed string) {
		b.say("  %-12s p50 %s, p99 %s, mean %s %s", label, milliseconds(quantile(found, 0.5)), milliseconds(quantile(found, 0.99)), milliseconds(mean(found)), speed)
		s.rows = append(s.rows, []string{label, milliseconds(quantile(found, 0.5)), milliseconds(quantile(found, 0.9)), milliseconds(quantile(found, 0.99)),
			milliseconds(found[len(found)-1]), milliseconds(mean(found)), speed})
	}
	alone, err := f.live(ctx, nil)
	if err != nil {
		return s, err
	}
	line("without", alone, "–")

	// The sync ends when it ends; what is written after that does not count.
	during, done := []time.Duration(nil), ops.Sync{}
	for len(during) == 0 {
		id, err := f.syncline.api.StartSync(ctx, ops.SyncRequest{Source: "source", Entity: "account"})
		if err != nil {
			return s, err
		}
		began := time.Now()
		if during, err = f.live(ctx, func(ctx context.Context) (bool, error) {
			done, err = f.syncline.api.Sync(ctx, id)
			return done.Over(), err
		}); err != nil {
			return s, err
		}
		if !done.Over() {
			done.Updated = time.Now()
		}
		line("during", during, count(int(rate(int(done.Scanned), done.Updated.Sub(began)))))
		if err := f.follows(ctx, id); err != nil {
			return s, err
		}
	}
	s.rows = append(s.rows, []string{"**added ÷ without**", added(alone, during, 0.5), added(alone, during, 0.9), added(alone, during, 0.99), "", fmt.Sprintf("%.2f",
		(mean(during)-mean(alone)).Seconds()/mean(alone).Seconds()), ""})

	id, err := f.syncline.api.StartSync(ctx, ops.SyncRequest{Source: "source", Entity: "account"})
	if err != nil {
		return s, err
	}
	began := time.Now()
	if err := f.follows(ctx, id); err != nil {
		return s, err
	}
	speed := count(int(rate(rows, time.Since(began))))
	b.say("  sync alone %s rows/s", speed)
	s.rows = append(s.rows, []string{"sync alone", "–", "–", "–", "–", "–", speed})
	if err := f.syncline.stop(ctx); err != nil {
		return s, err
	}
	return s, f.drop(ctx)
}

// live returns how late changes arrive, sorted; of those that were written while over was false.
func (f *field) live(ctx context.Context, over func(context.Context) (bool, error)) ([]time.Duration, error) {
	began := time.Now()
	end := began.Add(time.Hour)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan error, 1) // the watcher's one word
	go func() {
		if over == nil {
			watched <- nil
			return
		}
		err := wait(watching, 50*time.Millisecond, over)
		end = time.Now()
		watched <- err
	}()
	committed, seen, err := f.follow(ctx, f.syncline, backfillRate)
	stop()
	if failed := <-watched; err == nil && !errors.Is(failed, context.Canceled) {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	from := slices.IndexFunc(committed, func(m moment) bool { return m.at.Sub(began) > latencyWarmup })
	to := slices.IndexFunc(committed, func(m moment) bool { return m.at.After(end) })
	if to < 0 {
		to = len(committed)
	}
	if from < 0 || to <= from {
		return nil, fmt.Errorf("the sync was over before anything could be measured: give -rows more")
	}
	return delays(committed[from:to], seen), nil
}

// follows waits until the sync is applied.
func (f *field) follows(ctx context.Context, id string) error {
	return f.syncline.api.FollowSync(ctx, id, func(s ops.Sync) error {
		if s.Over() && s.Error != "" {
			return fmt.Errorf("the sync failed: %s", s.Error)
		}
		return nil
	})
}

func mean(list []time.Duration) (sum time.Duration) {
	for _, d := range list {
		sum += d
	}
	return sum / time.Duration(len(list))
}

// added is by how much a quantile has grown, in shares of what it was.
func added(without, with []time.Duration, q float64) string {
	return fmt.Sprintf("%.2f", (quantile(with, q)-quantile(without, q)).Seconds()/quantile(without, q).Seconds())
}
