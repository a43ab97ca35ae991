package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
)

func schedulesCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedules",
		Short: "List timed work: when it is due next, and what came of it last",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, (*ops.Client).Schedules, printSchedules)
		},
	}
	cmd.AddCommand(historyCommand(g), runScheduleCommand(g), pauseScheduleCommand(g), resumeScheduleCommand(g))
	return cmd
}

func printSchedules(w *tabwriter.Writer, list []ops.Schedule) {
	t := newNoted("SCHEDULE\tWORK\tWHEN\tSTATE\tNEXT\tLAST\tAT\tMISSED\tFAILED")
	for i := range list {
		s := &list[i]
		when := s.Timing
		if s.Timezone != "UTC" {
			when += " " + s.Timezone
		}
		next, last, at := "-", "-", "-"
		if s.Next != nil {
			next = instant(*s.Next)
		}
		state := s.State
		if s.Overdue {
			state += " (overdue)"
		}
		if s.Last != nil {
			last, at = s.Last.Status, instant(s.Last.Started)
		}
		var notes []string
		if s.Waits != "" {
			notes = []string{s.Waits}
		}
		t.row(fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d", s.ID, s.Work, when, state, next, last, at, s.Missed, s.Failures), notes)
	}
	t.print(w)
}

func historyCommand(g *globals) *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use:   "history ID",
		Short: "Show what became of a schedule's occurrences, the newest first",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(g, cmd, func(c *ops.Client, ctx context.Context) ([]ops.ScheduleRun, error) {
				return c.ScheduleHistory(ctx, args[0], limit)
			}, printHistory)
		},
	}
	cmd.Flags().Var(&most{&limit}, "limit", "how many at most; 0 = all")
	return cmd
}

func printHistory(w *tabwriter.Writer, list []ops.ScheduleRun) {
	row(w, "STARTED\tSTATUS\tCAUSE\tTOOK\tMISSED\tCOUNTS\tRUN\tMORE")
	for i := range list {
		r := &list[i]
		var counts, more []string
		for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
			counts = append(counts, fmt.Sprintf("%s=%d", name, r.Counts[name]))
		}
		if r.By != "" || r.Reason != "" {
			more = append(more, strings.TrimSpace(r.By+": "+r.Reason))
		}
		if r.Note != "" {
			more = append(more, r.Note)
		}
		if r.Error != nil {
			more = append(more, r.Error.Code+": "+r.Error.Text)
		}
		took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Millisecond)
		row(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s", instant(r.Started), r.Status, r.Cause, took, r.Missed, strings.Join(counts, " "), r.ID, strings.Join(more, "; "))
	}
}

func runScheduleCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "run ID --reason TEXT",
		Short: "Do the work of a schedule now",
		Long: "Begins a run now, also of a schedule that is paused or disabled. Its next time stays as it is. `syncline schedules history ID` shows\n" +
			"what comes of it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if g.reason == "" {
				return usage(errors.New("give --reason TEXT: it is kept with the run"))
			}
			return begin(g, cmd, func(c *ops.Client, ctx context.Context) (string, error) { return c.RunSchedule(ctx, args[0], g.reason) })
		},
	}
}

func pauseScheduleCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "pause ID... --reason TEXT",
		Short: "Begin no more runs of schedules, across restarts too",
		Long: "Occurrences begin no runs until `syncline schedules resume ID`, across restarts too. A run that is under way goes on. What comes\n" +
			"meanwhile is not made up for.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if g.reason == "" {
				return usage(errors.New("give --reason TEXT: it is shown wherever the pause is"))
			}
			pause := func(c *ops.Client, ctx context.Context, id string) error { return c.PauseSchedule(ctx, id, g.reason) }
			if err := g.each(cmd, args, saying(cmd, "schedule %[1]s is paused until `syncline schedules resume %[1]s`\n", pause)); err != nil {
				return err
			}
			return g.done(cmd, args)
		},
	}
}

func resumeScheduleCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "resume ID...",
		Short: "Begin runs of paused schedules again",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.each(cmd, args, saying(cmd, "schedule %[1]s works again; see `syncline schedules`\n", (*ops.Client).ResumeSchedule)); err != nil {
				return err
			}
			return g.done(cmd, args)
		},
	}
}
