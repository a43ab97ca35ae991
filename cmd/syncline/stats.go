package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
)

func statsCommand(g *globals) *cobra.Command {
	var q ops.StatsQuery
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Sum up tasks by status, rates and times over a stretch of time",
		Long:  "Sums up the tasks that routes came to in a stretch of time, the last 24 hours if none is given, as they are now.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stats := func(c *ops.Client, ctx context.Context) (ops.Stats, error) { return c.Stats(ctx, q) }
			return show(g, cmd, stats, func(w *tabwriter.Writer, st ops.Stats) { printStats(w, &st) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&q.Route, "route", "", "only of this route")
	flags.StringVar(&q.Rule, "rule", "", "only of this rule")
	flags.StringVar(&q.Source, "source", "", "only from this system")
	flags.StringVar(&q.Target, "target", "", "only to this system")
	between(cmd, &q.From, &q.To)
	return cmd
}

func printStats(w *tabwriter.Writer, st *ops.Stats) {
	row(w, "from\t%s", instant(st.From))
	row(w, "to\t%s", instant(st.To))
	if st.Since != nil {
		row(w, "journal since\t%s", instant(*st.Since))
	}
	row(w, "tasks\t%d", st.Read)
	c, p := &st.Completed, &st.Pending
	row(w, "completed\t%d\t%s\t%d applied, %d superseded, %d filtered, %d skipped", st.Totals.Completed, rate(st.SuccessRate), c.Applied, c.Superseded, c.Filtered,
		c.Skipped)
	row(w, "failed\t%d\t%s", st.Totals.Failed, rate(st.FailureRate))
	row(w, "conflict\t%d\t%s", st.Totals.Conflict, rate(st.ConflictRate))
	row(w, "cancelled\t%d", st.Totals.Cancelled)
	row(w, "pending\t%d\t\t%d retrying, %d held, %d reading", st.Totals.Pending, p.Retrying, p.Held, p.Reading)
	row(w, "")
	row(w, "\tMEAN\tP50\tP95\tP99")
	for _, t := range []struct {
		name string
		ops.Times
	}{{"execution", st.Execution}, {"end to end", st.EndToEnd}} {
		row(w, "%s\t%s\t%s\t%s\t%s", t.name, seconds(t.Mean), seconds(t.P50), seconds(t.P95), seconds(t.P99))
	}
}

func rate(share *float64) string {
	if share == nil {
		return "-"
	}
	return percent(*share)
}

// percent is a share with two digits. It is 100 and 0 only where that is exactly so: what is read is whether anything failed, or was left out.
func percent(share float64) string {
	text := fmt.Sprintf("%.2f %%", share*100)
	switch {
	case text == "100.00 %" && share < 1:
		return ">99.99 %"
	case text == "0.00 %" && share > 0:
		return "<0.01 %"
	}
	return text
}

func seconds(s *float64) string {
	if s == nil {
		return "-"
	}
	return ops.Seconds(*s)
}
