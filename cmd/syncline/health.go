package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline/internal/health"
	"syncline/internal/ops"
)

func healthCommand(g *globals) *cobra.Command {
	var checks int
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Say how everything is, why, and what to do",
		Long: "Makes a report over the last 24 hours (health.window): a level, what is not as it should be, and a command for each. The exit code is 1 where the\n" +
			"level is critical. --checks shows instead what the latest scheduled checks came to.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("checks") {
				return show(g, cmd, func(c *ops.Client, ctx context.Context) ([]ops.HealthCheck, error) {
					return c.HealthChecks(ctx, checks)
				}, printChecks)
			}
			r, err := ask(g, cmd, (*ops.Client).Health)
			if err != nil {
				return err
			}
			if err := g.print(cmd, r, func(w *tabwriter.Writer) { printHealth(w, &r) }); err != nil {
				return err
			}
			if r.Level == health.Critical {
				return &exitError{exitFailed, nil}
			}
			return nil
		},
	}
	cmd.Flags().Var(&most{&checks}, "checks", "show what so many of the latest scheduled checks came to; 0 = all")
	return cmd
}

func printHealth(w *tabwriter.Writer, r *health.Report) {
	row(w, "%s", strings.ToUpper(string(r.Level)))
	for _, note := range r.Notes {
		row(w, "  note: %s", note)
	}
	for _, one := range r.Recommendations {
		level := string(one.Level)
		if one.Level == health.Healthy {
			level = "advice"
		}
		row(w, "  %s: %s", level, one.Text)
		row(w, "    %s", one.Command)
	}
	row(w, "")
	row(w, "from\t%s", instant(r.From))
	if r.Since != nil {
		row(w, "journal since\t%s", instant(*r.Since))
	}
	row(w, "tasks\t%d\t", r.Tasks.Read)
	row(w, "completed\t%d\t%s", r.Tasks.Completed, rate(r.Success))
	row(w, "failed\t%d\t%s", r.Tasks.Failed, rate(r.Failure))
	row(w, "conflict\t%d\t%s", r.Tasks.Conflict, rate(r.Conflict))
	row(w, "mean execution\t%s", seconds(r.MeanExecution))
	of := "" // a route that has not begun, or has stopped, does not know its keys
	if r.Waiting.Keys > 0 {
		of = ", of " + count(int(r.Waiting.Keys), "record")
	}
	row(w, "waiting now\t%d\t%d failed, %d in conflict, %d retrying, %d held, %d reading%s", waits(&r.Waiting), r.Waiting.Failed, r.Waiting.Conflict,
		r.Waiting.Retrying, r.Waiting.Held, r.Waiting.Reading, of)
	row(w, "late events\t%d\tolder than %s", r.Lag.Late, ops.Seconds(r.Lag.LateAfter))
	if r.DiskFree != nil {
		row(w, "log disk free\t%s", rate(r.DiskFree))
	}
	row(w, "")
	row(w, "ROUTE\tLEVEL\tSTATE\tBREAKER\tCOMPLETED\tFAILED\tCONFLICT\tLAG\tOLDEST\tCANARY\tPARKED KEYS")
	for i := range r.Routes {
		rt := &r.Routes[i]
		row(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%d", rt.ID, rt.Level, rt.State, rt.Breaker, rt.Tasks.Completed, rt.Tasks.Failed, rt.Tasks.Conflict,
			rt.LagEvents, ops.Seconds(rt.LagSeconds), seconds(rt.Canary), rt.Waiting.Keys)
	}
	row(w, "")
	row(w, "SOURCE\tLEVEL\tSTATE\tHEARD\tLOG\tSLOT\tHELD\tSAFE")
	for i := range r.Sources {
		s := &r.Sources[i]
		heard, slot, held, safe := "-", "-", "-", "-"
		if s.Quiet != nil {
			heard = ops.Seconds(*s.Quiet) + " ago"
		}
		if s.Risk != nil && s.Risk.Slot != "" {
			slot, held = s.Risk.SlotState, size(s.Risk.HeldBytes)
			if s.Risk.SafeBytes != nil {
				safe = size(*s.Risk.SafeBytes)
			}
		}
		row(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", s.Name, s.Level, s.State, heard, size(s.LogBytes), slot, held, safe)
	}
}

func waits(w *health.Waits) int64 { return w.Failed + w.Conflict + w.Retrying + w.Held + w.Reading }

func printChecks(w *tabwriter.Writer, list []ops.HealthCheck) {
	row(w, "AT\tLEVEL\tCOMPLETED\tFAILED\tCONFLICT\tLATE\tREASONS")
	for i := range list {
		c := &list[i]
		row(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s", instant(c.At), c.Level, c.Tasks.Completed, c.Tasks.Failed, c.Tasks.Conflict, c.Lag.Late, strings.Join(c.Reasons, ", "))
	}
}

func lagCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "lag",
		Short: "Show how far behind the routes are, and where that goes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, (*ops.Client).Lag, func(w *tabwriter.Writer, r health.LagReport) { printLag(w, &r) })
		},
	}
}

func printLag(w *tabwriter.Writer, r *health.LagReport) {
	row(w, "ROUTE\tSTATE\tEVENTS\tOLDEST\tLATE\tMAX\tMEAN\tTREND\tCAUGHT UP IN")
	for i := range r.Routes {
		rt := &r.Routes[i]
		trend := string(rt.Past.Trend)
		if rt.Past.Trend != health.Steady {
			trend += fmt.Sprintf(" (%+.1f/s)", rt.Past.PerSecond)
		}
		row(w, "%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\t%s", rt.ID, rt.State, rt.Events, ops.Seconds(rt.Seconds), rt.Late, ops.Seconds(rt.Past.MaxSeconds),
			ops.Seconds(rt.Past.MeanSeconds), trend, seconds(rt.Past.CatchUp))
	}
	row(w, "")
	t := &r.Total
	if t.Routes == 0 {
		row(w, "no route is behind")
		return
	}
	row(w, "%s behind, by %s; the oldest is %s old, the mean over all routes %s", are(t.Routes, fmt.Sprintf("%d of %s", t.Routes, count(len(r.Routes), "route"))),
		count(int(t.Events), "event"), ops.Seconds(t.MaxSeconds), ops.Seconds(t.MeanSeconds))
	alert := ""
	if t.Alert {
		alert = ": more than health.late.tasks allows"
	}
	row(w, "%s older than %s%s", are(int(t.Late), count(int(t.Late), "event")), ops.Seconds(t.LateAfter), alert)
}

// are is what is of so many things, with the verb.
func are(n int, what string) string {
	if n == 1 {
		return what + " is"
	}
	return what + " are"
}
