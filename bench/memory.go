package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline/internal/ops"
)

const (
	idleRoutes = 500
	// idleLong has what is done once a minute in it.
	idleLong    = time.Minute
	memoryLimit = 256 << 20
	startLimit  = 200 * time.Millisecond
	againLimit  = 2 * time.Second
)

// memory measures what a process takes that drains a backlog of twice as many events as there are rows, that has many routes and nothing to
// do, and how soon one works again that was killed with such a backlog in its log.
func (b *bench) memory(ctx context.Context) (section, error) {
	events := 2 * b.rows
	s := section{
		title: fmt.Sprintf("A backlog of %s events, and %d idle routes", count(events), idleRoutes),
		how: "The backlog is one of inserts. After kill -9, all of it is in the log and nothing at the target, which was locked; the time is from the start of the next process until " +
			"its first rows are seen. The idle routes are of one source with as many tables, one rule each; their start is until the API answers, and until all work.",
		head: []string{"", "peak memory", "time", "CPU"},
	}
	drained, err := b.drain(ctx, events)
	if err != nil {
		return s, fmt.Errorf("drain: %w", err)
	}
	again, first, err := b.recover(ctx, events)
	if err != nil {
		return s, fmt.Errorf("recover: %w", err)
	}
	quiet, err := b.many(ctx)
	if err != nil {
		return s, fmt.Errorf("%d routes: %w", idleRoutes, err)
	}
	s.rows = [][]string{
		{"drain the source's backlog", mebibytes(drained.peak), seconds(drained.took), seconds(drained.cpu)},
		{"after kill -9, first rows seen", "–", milliseconds(first), "–"},
		{"after kill -9, drain the log", mebibytes(again.peak), seconds(again.took), seconds(again.cpu)},
		{fmt.Sprintf("%d routes, first answer", idleRoutes), "–", milliseconds(quiet.answered), "–"},
		{fmt.Sprintf("%d routes, ready", idleRoutes), "–", milliseconds(quiet.ready), "–"},
		{fmt.Sprintf("%d routes, idle", idleRoutes), mebibytes(quiet.resident) + " resident", idleLong.String(), percent(quiet.cpu, idleLong)},
	}
	s.goals = []goal{
		atMost("memory while a backlog is drained", memoryLimit, max(drained.peak, again.peak), mebibytes),
		atMost("first rows after kill -9", againLimit, first, milliseconds),
		atMost(fmt.Sprintf("memory with %d idle routes", idleRoutes), memoryLimit, quiet.resident, mebibytes),
		atMost(fmt.Sprintf("idle CPU with %d routes, of one core", idleRoutes), 0.01, quiet.cpu.Seconds()/idleLong.Seconds(), share),
	}
	return s, nil
}

// pending makes a field whose source has a backlog of inserts that nobody has read.
func (b *bench) pending(ctx context.Context, name string, events int) (*field, error) {
	f, err := makeField(ctx, b, name, account, mirror, func(*field) error { return nil })
	if err != nil {
		return f, err
	}
	if err := f.level(ctx); err != nil {
		return f, err
	}
	if err := execAll(ctx, f.src, "SET synchronous_commit = off", insertBacklog(events), "SET synchronous_commit = on"); err != nil {
		return f, err
	}
	return f, f.setMark(ctx)
}

func (b *bench) drain(ctx context.Context, events int) (trial, error) {
	f, err := b.pending(ctx, "drain", events)
	if err != nil {
		return trial{}, err
	}
	defer f.abandon()
	t, err := f.timed(ctx, f.syncline, f.marked(f.syncline))
	if err != nil {
		return t, err
	}
	b.say("  drained in %s, peak memory %s", seconds(t.took), mebibytes(t.peak))
	return t, f.drop(ctx)
}

// recover kills a process that has the backlog in its log. It returns how long the next one takes for all of it, and until its first rows are seen.
func (b *bench) recover(ctx context.Context, events int) (all trial, first time.Duration, err error) {
	f, err := b.pending(ctx, "recover", events)
	if err != nil {
		return all, 0, err
	}
	defer f.abandon()
	lock, err := pgx.ConnectConfig(ctx, f.syncline.conn.Config().Copy())
	if err != nil {
		return all, 0, err
	}
	defer lock.Close(ctx) //nolint:errcheck // what counts of it is told by its commands
	if err := execAll(ctx, lock, "BEGIN", "LOCK TABLE account IN EXCLUSIVE MODE"); err != nil {
		return all, 0, err
	}
	if err := f.syncline.start(ctx); err != nil {
		return all, 0, err
	}
	if err := f.await(ctx, f.syncline, f.captured); err != nil {
		return all, 0, err
	}
	f.syncline.kill()
	if err := execAll(ctx, lock, "ROLLBACK"); err != nil {
		return all, 0, err
	}
	began := time.Now()
	all, err = f.timed(ctx, f.syncline, func(ctx context.Context) (bool, error) {
		if first == 0 {
			var there bool
			if err := f.syncline.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM account WHERE id > 0)").Scan(&there); err != nil {
				return false, err
			}
			if there {
				first = time.Since(began)
			}
		}
		return f.marked(f.syncline)(ctx)
	})
	if err != nil {
		return all, 0, err
	}
	b.say("  first rows after %s, all after %s", milliseconds(first), seconds(all.took))
	return all, first, f.drop(ctx)
}

// captured reports whether the log has everything that was written: the slot is confirmed beyond where the last mark was committed. What the server
// writes behind that by itself is confirmed ten seconds later only.
func (f *field) captured(ctx context.Context) (done bool, err error) {
	err = f.src.QueryRow(ctx, "SELECT bool_and(confirmed_flush_lsn > $1::pg_lsn) FROM pg_replication_slots WHERE database = current_database()", f.end).Scan(&done)
	return done, err
}

// quiet is a process that has nothing to do.
type quiet struct {
	answered, ready, cpu time.Duration
	resident             int64
}

// synced waits until so many tables have been copied. Their syncs become known one after the other.
func (p *program) synced(ctx context.Context, tables int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return wait(ctx, 250*time.Millisecond, func(ctx context.Context) (bool, error) {
		list, err := p.api.Syncs(ctx)
		return err == nil && len(list) >= tables && !slices.ContainsFunc(list, func(s ops.Sync) bool { return !s.Settled() }), err
	})
}

// many measures a process with many routes that have nothing to do. It is started twice: the first time, it copies the tables, which are empty.
func (b *bench) many(ctx context.Context) (q quiet, err error) {
	const name = "idle500"
	var tables strings.Builder
	s := setup{source: b.source.URL(name), systems: []string{"target: {type: nats_kv, bucket: idle}"}}
	for i := range idleRoutes {
		fmt.Fprintf(&tables, "CREATE TABLE t%d (id int PRIMARY KEY, note text);\n", i)
		s.entities = append(s.entities, fmt.Sprintf("t%d: {}", i))
		s.rules = append(s.rules, fmt.Sprintf("{id: t%d, from: source/t%[1]d, to: target/t%[1]d}", i))
	}
	c, err := create(ctx, b.source.URL, name, tables.String())
	if err != nil {
		return q, err
	}
	if err := c.Close(ctx); err != nil {
		return q, err
	}
	p, err := b.program(name, "syncline", s)
	if err != nil {
		return q, err
	}
	defer p.kill()
	for range 2 {
		if p.running != nil {
			if err := p.stop(ctx); err != nil {
				return q, err
			}
		}
		began := time.Now()
		if err := p.start(ctx); err != nil {
			return q, err
		}
		if err := p.answers(ctx); err != nil {
			return q, err
		}
		q.answered = time.Since(began)
		if err := p.ready(ctx); err != nil {
			return q, err
		}
		q.ready = time.Since(began)
		if err := p.synced(ctx, idleRoutes); err != nil {
			return q, err
		}
	}
	if err := pause(ctx, idleSettle); err != nil {
		return q, err
	}
	before, err := p.usage()
	if err != nil {
		return q, err
	}
	if err := pause(ctx, idleLong); err != nil {
		return q, err
	}
	after, err := p.usage()
	if err != nil {
		return q, err
	}
	q.cpu = after.cpu - before.cpu
	if q.resident, err = residentOf(p.running.pid()); err != nil {
		return q, err
	}
	b.say("  %d routes: ready after %s, %s resident, CPU %s", idleRoutes, milliseconds(q.ready), mebibytes(q.resident), percent(q.cpu, idleLong))
	return q, p.stop(ctx)
}
