package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline/internal/state"
)

func tasksCommand(g *globals) *cobra.Command {
	var f state.Filter
	cmd := &cobra.Command{
		Use:   "tasks",
		Short: "List tasks that are not simply done: waiting, failed, cancelled",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			page, err := client.Tasks(cmd.Context(), f)
			if err != nil {
				return err
			}
			return g.print(cmd, page, func(w *tabwriter.Writer) {
				row(w, "TASK\tSTATUS\tKEY\tATTEMPTS\tCODE\tERROR")
				for _, t := range page.Items {
					row(w, "%s\t%s\t%s\t%d\t%s\t%s", t.ID, t.Status, t.Key, t.Attempts, t.Code, t.Error)
				}
				if page.Next != "" {
					row(w, "more: --after %s", page.Next)
				}
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Status, "status", "", "retrying, held, reading, failed, cancelled or resolved; without it all but the resolved")
	flags.StringVar(&f.Rule, "rule", "", "only of this rule")
	flags.StringVar(&f.Source, "source", "", "only from this system")
	flags.StringVar(&f.Entity, "entity", "", "only of this entity")
	flags.StringVar(&f.Key, "key", "", "only of this target key")
	flags.StringVar(&f.Code, "code", "", "only with this error code")
	flags.StringVar(&f.After, "after", "", "cursor of the next page")
	flags.IntVar(&f.Limit, "limit", 100, "size of a page")
	cmd.AddCommand(taskShowCommand(g), taskRetryCommand(g), taskCancelCommand(g))
	return cmd
}

func taskShowCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one task with its record",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			t, err := client.Task(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return g.print(cmd, t, func(w *tabwriter.Writer) {
				row(w, "task\t%s", t.ID)
				row(w, "status\t%s", t.Status)
				row(w, "event\t%s/%s seq %d.%d", t.Source, t.Entity, t.Seq, t.Index)
				row(w, "target\t%s key %s", t.Object, t.Key)
				row(w, "attempts\t%d", t.Attempts)
				row(w, "error\t%s %s", t.Code, t.Error)
				if t.Record != nil {
					row(w, "operation\t%s", t.Record.Op)
					if t.Record.Size > 0 {
						row(w, "size\t%d bytes: the log has the key only", t.Record.Size)
					}
					row(w, "before\t%s", t.Record.Before)
					row(w, "after\t%s", t.Record.After)
				}
			})
		},
	}
}

func taskRetryCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "retry ID",
		Short: "Try a waiting or failed task again now",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			if err := client.RetryTask(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is tried again; see `syncline tasks show %s`\n", args[0], args[0]) //nolint:errcheck // talk
			return nil
		},
	}
}

func taskCancelCommand(g *globals) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "cancel ID --reason TEXT",
		Short: "Give a waiting or failed task up; what waits behind it goes on",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			return client.CancelTask(cmd.Context(), args[0], reason)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept with the task")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}
