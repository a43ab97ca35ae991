package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
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
					row(w, "%s\t%s\t%s\t%d\t%s\t%s", t.ID, t.Status, t.Key, t.Attempts, t.Code, withoutCode(t))
				}
				if page.Next != "" {
					row(w, "more: --after %s", page.Next)
				}
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Status, "status", "", "retrying, held, reading, failed, cancelled or resolved; without it all but the resolved")
	choose(cmd, &f.Route, &f.Rule, &f.Source, &f.Entity, &f.Key, &f.Code)
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
				row(w, "created\t%s", instant(t.Created))
				row(w, "updated\t%s", instant(t.Updated))
				if t.NextTry != nil {
					row(w, "next try\t%s", instant(*t.NextTry))
				}
				row(w, "code\t%s", t.Code)
				row(w, "error\t%s", withoutCode(t))
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

// withoutCode is the task's error without the code that stands beside it.
func withoutCode(t ops.Task) string { return strings.TrimPrefix(t.Error, t.Code+": ") }

func instant(t time.Time) string { return t.Local().Format(time.RFC3339) }

// choose adds the flags that choose tasks.
func choose(cmd *cobra.Command, route, rule, source, entity, key, code *string) {
	flags := cmd.Flags()
	flags.StringVar(route, "route", "", "only of this route")
	flags.StringVar(rule, "rule", "", "only of this rule")
	flags.StringVar(source, "source", "", "only from this system")
	flags.StringVar(entity, "entity", "", "only of this entity")
	flags.StringVar(key, "key", "", "only of this target key")
	flags.StringVar(code, "code", "", "only with this error code")
}

// chooseMany adds the flags that choose tasks that wait.
func chooseMany(cmd *cobra.Command, s *ops.Selection) {
	cmd.Flags().StringVar(&s.Status, "status", "", "only the retrying, held, reading or failed")
	choose(cmd, &s.Route, &s.Rule, &s.Source, &s.Entity, &s.Key, &s.Code)
}

// single reports whether the selection is one id, of which the server can say why it cannot be done.
func single(s ops.Selection) bool {
	one := len(s.IDs) == 1
	s.IDs = nil
	return one && s.Empty()
}

var errNoTask = errors.New("give the IDs of tasks, or choose tasks by --status, --route, --rule, --source, --entity, --key or --code")

// tellChosen says how many tasks a command was carried out on.
func tellChosen(cmd *cobra.Command, s ops.Selection, n int, done string) {
	text := fmt.Sprintf("%d tasks %s", n, done)
	if n == 1 {
		text = "1 task " + done
	}
	if missing := len(s.IDs) - n; missing > 0 {
		text += fmt.Sprintf("; %d of the IDs are not among those that wait", missing)
	}
	fmt.Fprintln(cmd.ErrOrStderr(), text) //nolint:errcheck // talk
}

func taskRetryCommand(g *globals) *cobra.Command {
	var s ops.Selection
	cmd := &cobra.Command{
		Use:   "retry ID... | --status failed --route ROUTE ...",
		Short: "Try waiting or failed tasks again now",
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.IDs = args; s.Empty() {
				return usage(errNoTask)
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			if single(s) {
				if err := client.RetryTask(cmd.Context(), args[0]); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s is tried again; see `syncline tasks show %s`\n", args[0], args[0]) //nolint:errcheck // talk
				return nil
			}
			n, err := client.RetryTasks(cmd.Context(), s)
			if err == nil {
				tellChosen(cmd, s, n, "tried again; see `syncline tasks`")
			}
			return err
		},
	}
	chooseMany(cmd, &s)
	return cmd
}

func taskCancelCommand(g *globals) *cobra.Command {
	var reason string
	var s ops.Selection
	cmd := &cobra.Command{
		Use:   "cancel {ID... | --status failed --route ROUTE ...} --reason TEXT",
		Short: "Give waiting or failed tasks up; what waits behind them goes on",
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.IDs = args; s.Empty() {
				return usage(errNoTask)
			}
			if reason == "" {
				return usage(errors.New("give --reason TEXT: it is kept with the task"))
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			if single(s) {
				return client.CancelTask(cmd.Context(), args[0], reason)
			}
			n, err := client.CancelTasks(cmd.Context(), s, reason)
			if err == nil {
				tellChosen(cmd, s, n, "cancelled")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept with the task (required)")
	chooseMany(cmd, &s)
	return cmd
}
