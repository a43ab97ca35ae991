package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// refusing is a mirror whose target has one more constraint.
func refusing(check string) rule {
	return rule{"syncline", "{id: account, from: source/account, to: target/account}", strings.TrimSuffix(account.table, ")") + ", CHECK (" + check + "))", false, ""}
}

// refused measures how much bad records hold good ones up: a backlog of twice as many inserts as there are rows, of which none is refused,
// or one of a hundred.
func (b *bench) refused(ctx context.Context) (section, error) {
	rows := 2 * b.rows
	bad := rows / 100
	s := section{
		title: fmt.Sprintf("%s inserts of which %s are refused", count(rows), count(bad)),
		how: "Single-row inserts in transactions of ten; the target refuses the bad ones by a check constraint, and they are tried again by the rule's defaults meanwhile. " +
			"From starting Syncline's process until the mark written last is seen at the target.",
		head: []string{"", "rows/s", "time", "parked keys", "more time, per parked key", "peak memory", "CPU"},
	}
	var whole time.Duration
	for _, c := range []struct{ what, check string }{
		{"none", "id >= 0"},
		{"every hundredth", "id % 100 <> 50"},
		{"all in a row", fmt.Sprintf("id NOT BETWEEN %d AND %d", rows/2+1, rows/2+bad)},
	} {
		b.say("  %s", c.what)
		t, parked, err := b.refusedOnce(ctx, c.check, rows)
		if err != nil {
			return s, fmt.Errorf("%s: %w", c.what, err)
		}
		each := "–"
		if parked > 0 {
			each = fmt.Sprintf("%.2f ms", float64(t.took-whole)/float64(time.Millisecond)/float64(parked))
		} else {
			whole = t.took
		}
		s.rows = append(s.rows, []string{c.what, count(int(rate(rows, t.took))), seconds(t.took), count(parked), each, mebibytes(t.peak), seconds(t.cpu)})
		b.say("  %s: %s", c.what, seconds(t.took))
	}
	return s, nil
}

// refusedOnce has the backlog worked off on databases of its own, and returns how many keys were parked.
func (b *bench) refusedOnce(ctx context.Context, check string, rows int) (trial, int, error) {
	f, err := newFieldOf(ctx, b, "refused", account, refusing(check))
	if err != nil {
		return trial{}, 0, err
	}
	defer f.abandon()
	if err := f.level(ctx); err != nil {
		return trial{}, 0, err
	}
	b.say("    write the backlog")
	if err := execAll(ctx, f.src, "SET synchronous_commit = off", insertBacklog(rows), "SET synchronous_commit = on"); err != nil {
		return trial{}, 0, err
	}
	if err := f.setMark(ctx); err != nil {
		return trial{}, 0, err
	}
	marked, parked := f.marked(f.syncline), 0
	t, err := f.timed(ctx, f.syncline, func(ctx context.Context) (bool, error) {
		done, err := marked(ctx)
		if !done || err != nil {
			return false, err
		}
		routes, err := f.syncline.api.Routes(ctx)
		for _, r := range routes {
			parked += int(r.Counts.Parked)
		}
		return true, err
	})
	if err != nil {
		return t, 0, err
	}
	return t, parked, f.drop(ctx)
}
