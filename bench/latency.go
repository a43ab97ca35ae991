package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	latencyTime   = 10 * time.Second
	latencyWarmup = time.Second // written before, and not counted
	latencyTick   = time.Millisecond
	perCommit     = 10 // rows of a transaction

	// wantedP50 and wantedP99 are what they may take at either rate.
	wantedP50, wantedP99 = 8 * time.Millisecond, 30 * time.Millisecond
)

// moment says that the row with this id, and all before it, were committed or seen at a time of the bench's clock.
type moment struct {
	id int64
	at time.Time
}

// latency measures the time from commit to visibility at two rates. One writer inserts rows with rising ids, in transactions of
// ten that fall due by the clock and not by the one before; the time of the commit is when it returns to the writer. A poller asks the
// target for the highest id at every tick; as both sides keep the commit order, all rows up to it are visible when the answer
// arrives. So a latency is at most a tick and a query too long, by the same clock for both sides.
func (b *bench) latency(ctx context.Context) (section, error) {
	s := section{
		title: fmt.Sprintf("Commit to visible, %s at a steady rate", latencyTime),
		how: fmt.Sprintf("Inserts of ten rows a transaction by one writer. From the return of COMMIT at the source until a poller at the target, which asks for the "+
			"highest id every %s, has the answer that shows the row: at most %s and a query (some 0.1 ms) more than the truth. The CPU is Syncline's, in shares of one core.",
			latencyTick, latencyTick),
		head: []string{"changes/s", "", "reached", "p50", "p99", "max", "peak memory", "CPU"},
	}
	f, err := newField(ctx, b, "latency")
	if err != nil {
		return s, err
	}
	defer f.abandon()
	for round, perSecond := range []int{1000, 5000} {
		if err := f.level(ctx); err != nil {
			return s, err
		}
		var p50, p99 [2]time.Duration // native, Syncline
		for _, sd := range f.sides(round) {
			row, found, err := f.delay(ctx, sd, perSecond)
			if err != nil {
				return s, fmt.Errorf("%s at %d/s: %w", sd.name(), perSecond, err)
			}
			i := 0
			if sd == side(f.syncline) {
				i = 1
			}
			p50[i], p99[i] = quantile(found, 0.5), quantile(found, 0.99)
			b.say("  %d/s: %-18s p50 %s, p99 %s", perSecond, sd.name(), milliseconds(p50[i]), milliseconds(p99[i]))
			s.rows = append(s.rows, row)
		}
		s.rows = append(s.rows, []string{count(perSecond), "**ratio**", "", fmt.Sprintf("%.2f", p50[1].Seconds()/p50[0].Seconds()),
			fmt.Sprintf("%.2f", p99[1].Seconds()/p99[0].Seconds()), "", "", ""})
		label := "commit to visible at " + count(perSecond) + "/s, "
		s.goals = append(s.goals, atMost(label+"p50", wantedP50, p50[1], milliseconds), atMost(label+"p99", wantedP99, p99[1], milliseconds))
	}
	return s, f.drop(ctx)
}

// delay measures one side at one rate. It returns a row of the report and the latencies of the commits, sorted.
func (f *field) delay(ctx context.Context, s side, perSecond int) ([]string, []time.Duration, error) {
	if err := f.settle(ctx); err != nil {
		return nil, nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, nil, err
	}
	if err := f.setMark(ctx); err != nil {
		return nil, nil, err
	}
	if err := f.await(ctx, s, f.marked(s)); err != nil {
		return nil, nil, err
	}
	before, err := s.usage()
	if err != nil {
		return nil, nil, err
	}
	began := time.Now()
	committed, seen, err := f.follow(ctx, s, perSecond)
	if err != nil {
		return nil, nil, err
	}
	took := time.Since(began)
	after, err := s.usage()
	if err != nil {
		return nil, nil, err
	}
	warm := slices.IndexFunc(committed, func(m moment) bool { return m.at.Sub(began) > latencyWarmup })
	if warm < 0 {
		return nil, nil, errors.New("the writer was too slow to measure anything")
	}
	found := delays(committed[warm:], seen)
	last := committed[len(committed)-1]
	row := []string{count(perSecond), s.name(), count(int(rate(len(committed)*perCommit, last.at.Sub(began)))),
		milliseconds(quantile(found, 0.5)), milliseconds(quantile(found, 0.99)), milliseconds(found[len(found)-1]), "–", "–"}
	if after.peak > 0 {
		row[6], row[7] = mebibytes(after.peak), percent(after.cpu-before.cpu, took)
	}
	return row, found, s.stop(ctx)
}

// follow writes at the rate, and polls until everything is seen.
func (f *field) follow(ctx context.Context, s side, perSecond int) (committed, seen []moment, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var end atomic.Int64 // the last id, once it is written
	var polled error
	var poller sync.WaitGroup
	poller.Go(func() {
		seen, polled = poll(ctx, s.copy(), &end)
		if polled != nil {
			cancel()
		}
	})
	committed, err = f.write(ctx, perSecond)
	if err != nil {
		cancel()
	} else {
		end.Store(committed[len(committed)-1].id)
	}
	poller.Wait()
	if polled != nil && !errors.Is(polled, context.Canceled) {
		return nil, nil, fmt.Errorf("poll: %w", polled)
	}
	return committed, seen, err
}

// write inserts rows at the rate and returns the last id of each commit.
func (f *field) write(ctx context.Context, perSecond int) ([]moment, error) {
	var id int64
	if err := f.src.QueryRow(ctx, "SELECT max(id) FROM account").Scan(&id); err != nil {
		return nil, err
	}
	insert := "INSERT INTO account SELECT " + account.record + " FROM generate_series($1::int, $2::int) i"
	pause := time.Second * perCommit / time.Duration(perSecond)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var committed []moment
	for due := time.Now(); len(committed) < int((latencyTime+latencyWarmup)/pause); due = due.Add(pause) {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		}
		if _, err := f.src.Exec(ctx, insert, id+1, id+perCommit); err != nil {
			return nil, fmt.Errorf("write: %w", err)
		}
		id += perCommit
		committed = append(committed, moment{id, time.Now()})
	}
	return committed, nil
}

// poll returns when which highest id was seen first, up to end.
func poll(ctx context.Context, c *pgx.Conn, end *atomic.Int64) ([]moment, error) {
	var seen []moment
	var highest int64
	err := wait(ctx, latencyTick, func(ctx context.Context) (bool, error) {
		var id int64
		if err := c.QueryRow(ctx, "SELECT max(id) FROM account").Scan(&id); err != nil {
			return false, err
		}
		if id > highest {
			highest = id
			seen = append(seen, moment{id, time.Now()})
		}
		last := end.Load()
		return last > 0 && highest >= last, nil
	})
	return seen, err
}

// delays returns how long after its commit each id was seen, sorted. Both lists rise, and the last id was seen. What is seen
// before its COMMIT has returned to the writer took no time.
func delays(committed, seen []moment) []time.Duration {
	list := make([]time.Duration, 0, len(committed))
	i := 0
	for _, m := range committed {
		for seen[i].id < m.id {
			i++
		}
		list = append(list, max(0, seen[i].at.Sub(m.at)))
	}
	slices.Sort(list)
	return list
}

func percent(part, whole time.Duration) string { return share(part.Seconds() / whole.Seconds()) }

func share(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }
