package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	idleTime   = 10 * time.Second
	idleStarts = 5
	// idleSettle lets what a start brings with it end before the idle CPU is measured.
	idleSettle = 2 * time.Second
)

// idle measures the start and what a process costs that has nothing to do.
func (b *bench) idle(ctx context.Context) (section, error) {
	s := section{
		title: "Start and idle",
		how: fmt.Sprintf("One source and one target, in sync. The start is from the process's beginning until the API answers, asked every 2 ms, the median of %d; "+
			"ready is when the source and the route work. The CPU is in shares of one core, over %s.", idleStarts, idleTime),
		head: []string{"", "Syncline"},
	}
	f, err := newField(ctx, b, "idle")
	if err != nil {
		return s, err
	}
	defer f.abandon()
	if err := f.level(ctx); err != nil {
		return s, err
	}
	var answered, ready []time.Duration
	for range idleStarts {
		began := time.Now()
		if err := f.syncline.start(ctx); err != nil {
			return s, err
		}
		if err := f.syncline.answers(ctx); err != nil {
			return s, err
		}
		answered = append(answered, time.Since(began))
		if err := f.syncline.ready(ctx); err != nil {
			return s, err
		}
		ready = append(ready, time.Since(began))
		if err := f.syncline.stop(ctx); err != nil {
			return s, err
		}
	}
	if err := f.syncline.start(ctx); err != nil {
		return s, err
	}
	if err := f.syncline.ready(ctx); err != nil {
		return s, err
	}
	if err := pause(ctx, idleSettle); err != nil {
		return s, err
	}
	before, err := f.syncline.usage()
	if err != nil {
		return s, err
	}
	began := time.Now()
	if err := pause(ctx, idleTime); err != nil {
		return s, err
	}
	took := time.Since(began)
	after, err := f.syncline.usage()
	if err != nil {
		return s, err
	}
	b.say("  first answer after %s, idle CPU %s", milliseconds(median(answered)), percent(after.cpu-before.cpu, took))
	s.rows = [][]string{
		{"first answer of the API", fmt.Sprintf("%s (longest %s)", milliseconds(median(answered)), milliseconds(slices.Max(answered)))},
		{"ready", fmt.Sprintf("%s (longest %s)", milliseconds(median(ready)), milliseconds(slices.Max(ready)))},
		{"idle CPU", percent(after.cpu-before.cpu, took)},
		{"peak memory", mebibytes(after.peak)},
	}
	s.goals = []goal{atMost("start", startLimit, median(answered), milliseconds)}
	if err := f.syncline.stop(ctx); err != nil {
		return s, err
	}
	return s, f.drop(ctx)
}

// answers waits until the API answers anything.
func (p *program) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	url := fmt.Sprintf("http://127.0.0.1:%d/healthz", p.port)
	return wait(ctx, 2*time.Millisecond, func(ctx context.Context) (bool, error) {
		select {
		case <-p.running.ended():
			return false, p.died()
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, nil //nolint:nilerr // nobody listens yet
		}
		return res.StatusCode == http.StatusOK, res.Body.Close()
	})
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
