package main

import (
	"context"
	"fmt"
	"strings"
)

// scaling measures how the rate of updates depends on how many rules look at each event, on the number of columns, and on the size of the
// backlog. A route is one slice: their number is not to be chosen.
func (b *bench) scaling(ctx context.Context) (section, error) {
	s := section{
		title: "How the rate of updates scales",
		how: "Updates in transactions of ten on a table of a fifth as many rows. Of the rules, one mirrors the table, and the condition of each other one holds for no row: each rule is a " +
			"route, which reads the log by itself. Wider rows are more bytes to read, to log and to write, for native replication as well.",
		head: []string{"", "updates", "native", "Syncline", "ratio"},
	}
	rows := max(b.rows/50*10, 100)
	for _, n := range []int{1, 10, 100} {
		r := mirror
		var more strings.Builder
		for i := 1; i < n; i++ {
			fmt.Fprintf(&more, "\n  - {id: none%d, from: source/account, to: target/none%[1]d, create: true, conditions: [{field: score, operator: less_than, value: 0}]}", i)
		}
		r.text += more.String()
		if err := b.scale(ctx, &s, fmt.Sprintf("%d rules", n), fmt.Sprintf("rules%d", n), account, r, rows); err != nil {
			return s, err
		}
	}
	for _, n := range []int{2, 10, 60} {
		if err := b.scale(ctx, &s, fmt.Sprintf("%d columns", n), fmt.Sprintf("columns%d", n), columnShape(n), mirror, rows); err != nil {
			return s, err
		}
	}
	backlogs := []int{rows, 10 * rows}
	if b.huge {
		backlogs = append(backlogs, 100*rows)
	}
	for i, n := range backlogs {
		if err := b.scale(ctx, &s, "backlog", fmt.Sprintf("backlog%d", i), account, mirror, n); err != nil {
			return s, err
		}
	}
	return s, nil
}

// scale adds a line: one backlog, against native replication.
func (b *bench) scale(ctx context.Context, s *section, label, name string, sh shape, r rule, rows int) error {
	b.say("  %s, %s updates", label, count(rows))
	f, err := newFieldOf(ctx, b, name, sh, r)
	if err != nil {
		return err
	}
	records := max(rows/5, 10)
	trials, err := f.backlog(ctx, load{rows: rows, fill: sh.insert(1, records), write: updateBacklog(rows, "score = score + 1", spread(records))})
	if err != nil {
		return fmt.Errorf("%s: %w", label, err)
	}
	base, ours := measured{trials: trials[f.base]}, measured{trials: trials[f.syncline]}
	s.rows = append(s.rows, []string{label, count(rows), count(int(base.rate(rows))), count(int(ours.rate(rows))),
		fmt.Sprintf("%.2f", ours.against(base, rows).median)})
	return nil
}
