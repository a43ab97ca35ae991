package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
	"syncline/internal/state"
)

// changedStatuses are what a task can have become.
var changedStatuses = []state.TaskStatus{state.TaskPending, state.TaskCompleted, state.TaskFailed, state.TaskConflict, state.TaskCancelled}

func taskWatchCommand(g *globals) *cobra.Command {
	var q ops.StreamQuery
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Follow tasks that fail, conflict, are cancelled, and that go on, as it happens",
		Long: "Prints each change of a task to failed, conflict or cancelled and back, and how many tasks of each rule were done meanwhile, until it\n" +
			"is interrupted. With -o json each is one line.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if g.output == "yaml" {
				return usage(fmt.Errorf("watch prints a table, or lines of JSON"))
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			return client.Watch(cmd.Context(), q, func(s ops.Streamed) error { return printStreamed(g, cmd, s) })
		},
	}
	flags := cmd.Flags()
	flags.Var(&oneOf[state.TaskStatus]{&q.Status, changedStatuses}, "status", "only what becomes: "+list(changedStatuses))
	flags.StringVar(&q.Route, "route", "", "only of this route")
	flags.StringVar(&q.Rule, "rule", "", "only of this rule")
	flags.StringVar(&q.Source, "source", "", "only from this system")
	flags.StringVar(&q.Target, "target", "", "only to this system")
	flags.StringVar(&q.Entity, "entity", "", "only of this entity")
	flags.StringVar(&q.After, "after", "", "begin behind the change of this number: 0 for all that are kept")
	return cmd
}

func printStreamed(g *globals, cmd *cobra.Command, s ops.Streamed) error {
	out := cmd.OutOrStdout()
	if g.output == "json" {
		var what any = s.Task
		switch {
		case s.Completed != nil:
			what = s.Completed
		case s.Gap != nil:
			what = s.Gap
		}
		return json.NewEncoder(out).Encode(what)
	}
	switch {
	case s.Task != nil:
		t := s.Task
		row(out, "%s  %s  %s -> %s  %s", t.At.Local().Format(time.TimeOnly), t.Task, t.Was, statusOf(&ops.Task{Status: t.Status, Reason: t.Reason}), t.Error)
	case s.Completed != nil:
		for _, r := range s.Completed.Rules {
			row(out, "%s  %s  %d applied, %d superseded, %d filtered, %d skipped, %d parked", s.Completed.At.Local().Format(time.TimeOnly), r.Rule, r.Counts.Applied,
				r.Counts.Superseded, r.Counts.Filtered, r.Counts.Skipped, r.Counts.Parked)
		}
	case s.Gap != nil:
		fmt.Fprintln(cmd.ErrOrStderr(), s.Gap.Text) //nolint:errcheck // talk
	}
	return nil
}
