package main

import (
	"context"
	"fmt"
	"strings"
)

// scaling is a table of how the rate of updates depends on one thing.
func scaling(on, how string) section {
	return section{
		title: "How the rate of updates scales with " + on,
		how:   "Updates in transactions of ten, on a table of a fifth as many rows where it does not say otherwise. " + how,
		head:  []string{"", "updates", "native", "Syncline", "ratio", "CPU a row", "peak memory"},
	}
}

// scaleRules measures how the rate depends on how many rules look at each event.
func (b *bench) scaleRules(ctx context.Context) (section, error) {
	s := scaling("rules", "One mirrors the table, and the condition of each other one holds for no row. The record may be at that one's target from before, "+
		"since the source sends no old values: it is deleted there. Each rule is a route, which reads the log and writes by itself.")
	rows := max(b.rows/50*10, 100)
	for _, n := range []int{1, 10, 100} {
		r := mirror
		var more strings.Builder
		for i := 1; i < n; i++ {
			fmt.Fprintf(&more, "\n  - {id: none%d, from: source/account, to: target/none%[1]d, create: true, conditions: [{field: score, operator: less_than, value: 0}]}", i)
		}
		r.text += more.String()
		if err := b.scale(ctx, &s, fmt.Sprintf("%d rules", n), fmt.Sprintf("rules%d", n), account, r, rows, rows/5); err != nil {
			return s, err
		}
	}
	return s, nil
}

// scaleColumns measures how the rate depends on the number of columns.
func (b *bench) scaleColumns(ctx context.Context) (section, error) {
	s := scaling("columns", "Wider rows are more bytes to read, to log and to write, for native replication as well.")
	rows := max(b.rows/50*10, 100)
	for _, n := range []int{2, 10, 60} {
		if err := b.scale(ctx, &s, fmt.Sprintf("%d columns", n), fmt.Sprintf("columns%d", n), columnShape(n), mirror, rows, rows/5); err != nil {
			return s, err
		}
	}
	return s, nil
}

// scaleBacklog measures how the rate depends on the size of the backlog.
func (b *bench) scaleBacklog(ctx context.Context) (section, error) {
	s := scaling("the backlog", "The start of each side is part of its time.")
	rows := max(b.rows/50*10, 100)
	type backlog struct{ updates, records int }
	backlogs := []backlog{{rows, rows / 5}, {10 * rows, 2 * rows}}
	if b.huge {
		backlogs = append(backlogs, backlog{10 * rows, 20 * rows}, backlog{100 * rows, 20 * rows})
	}
	for i, l := range backlogs {
		label := fmt.Sprintf("backlog, %s records", count(l.records))
		if err := b.scale(ctx, &s, label, fmt.Sprintf("backlog%d", i), account, mirror, l.updates, l.records); err != nil {
			return s, err
		}
	}
	return s, nil
}

// scale adds a line: one backlog of updates of so many records, against native replication.
func (b *bench) scale(ctx context.Context, s *section, label, name string, sh shape, r rule, rows, records int) error {
	b.say("  %s, %s updates", label, count(rows))
	f, err := newFieldOf(ctx, b, name, sh, r)
	if err != nil {
		return err
	}
	trials, err := f.backlog(ctx, load{rows: rows, fill: sh.insert(1, records), write: updateBacklog(rows, "score = score + 1", spread(records))})
	if err != nil {
		return fmt.Errorf("%s: %w", label, err)
	}
	base, ours := measured{trials: trials[f.base]}, measured{trials: trials[f.syncline]}
	line := ours.line(rows)
	s.rows = append(s.rows, []string{label, count(rows), count(int(base.rate(rows))), count(int(ours.rate(rows))),
		fmt.Sprintf("%.2f", ours.against(base, rows).median), line[5], line[3]})
	return nil
}
