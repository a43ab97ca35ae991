package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"syncline/internal/apply"
)

// refusesAll is a mirror whose target refuses all but the mark. A key that is refused waits for a person at once: what is measured is
// the waiting, and not the attempts before it.
var refusesAll = rule{"syncline", "{id: account, from: source/account, to: target/account, retry: {max: 1}}",
	strings.TrimSuffix(account.table, ")") + ", CHECK (id = 0))", false, ""}

// parked measures the memory of a process whose target refuses as many keys as a table of updates has records.
func (b *bench) parked(ctx context.Context) (section, error) {
	keys := max(b.rows/5, 10)
	s := section{
		title: fmt.Sprintf("Memory with %s parked keys", count(keys)),
		how: "The target refuses the records, of 200 bytes, by a check constraint, each by itself. Resident is what the process has at that moment; the heap is what the " +
			"Go runtime has allocated, with what is not collected yet.",
		head: []string{"", "parked keys", "resident", "heap", "peak memory"},
	}
	f, err := newFieldOf(ctx, b, "parked", account, refusesAll)
	if err != nil {
		return s, err
	}
	defer f.abandon()
	if err := f.syncline.start(ctx); err != nil {
		return s, err
	}
	if err := f.setMark(ctx); err != nil {
		return s, err
	}
	if err := f.await(ctx, f.syncline, f.marked(f.syncline)); err != nil {
		return s, err
	}
	if err := s.memory(ctx, "nothing parked", f.syncline); err != nil {
		return s, err
	}
	b.say("  park %s keys", count(keys))
	if err := execAll(ctx, f.src, account.insert(1, keys)); err != nil {
		return s, err
	}
	if err := f.await(ctx, f.syncline, f.syncline.parks(keys)); err != nil {
		return s, err
	}
	if err := s.memory(ctx, "after they were parked", f.syncline); err != nil {
		return s, err
	}
	if err := f.syncline.stop(ctx); err != nil {
		return s, err
	}
	b.say("  start again")
	if err := f.syncline.start(ctx); err != nil {
		return s, err
	}
	if err := f.await(ctx, f.syncline, f.syncline.parks(keys)); err != nil {
		return s, err
	}
	if err := s.memory(ctx, "after the next start", f.syncline); err != nil {
		return s, err
	}
	if err := f.syncline.stop(ctx); err != nil {
		return s, err
	}
	return s, f.drop(ctx)
}

// parks reports whether this many keys are parked, and the route has them.
func (p *program) parks(keys int) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		routes, err := p.api.Routes(ctx)
		if err != nil || len(routes) != 1 {
			return false, nil //nolint:nilerr // it may be too early, or too busy: check tells what has ended
		}
		has := routes[0].State == string(apply.RouteRunning) || routes[0].State == string(apply.RouteDegraded)
		return has && routes[0].Counts.Parked == int64(keys), nil
	}
}

// memory adds a line with what the program has now.
func (s *section) memory(ctx context.Context, what string, p *program) error {
	routes, err := p.api.Routes(ctx)
	if err != nil {
		return err
	}
	var keys int64
	for _, r := range routes {
		keys += r.Counts.Parked
	}
	heap, err := p.metric(ctx, "go_memstats_heap_alloc_bytes")
	if err != nil {
		return err
	}
	resident, err := residentOf(p.running.pid())
	if err != nil {
		return err
	}
	used, err := p.usage()
	if err != nil {
		return err
	}
	s.rows = append(s.rows, []string{what, count(int(keys)), mebibytes(resident), mebibytes(int64(heap)), mebibytes(used.peak)})
	return nil
}

// metric is the value of a metric without labels.
func (p *program) metric(ctx context.Context, name string) (value float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", p.port), nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(text, 64)
		}
	}
	return 0, errors.Join(fmt.Errorf("there is no metric %s", name), lines.Err())
}
