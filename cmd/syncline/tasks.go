package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
	"syncline/internal/state"
)

func tasksCommand(g *globals) *cobra.Command {
	var q ops.TaskQuery
	cmd := &cobra.Command{
		Use:   "tasks",
		Short: "List tasks: those that are not simply done, or any by --status",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tasks := func(c *ops.Client, ctx context.Context) (ops.List[ops.Task], error) { return c.TaskPages(ctx, q) }
			return show(g, cmd, tasks, func(w *tabwriter.Writer, page ops.List[ops.Task]) {
				if len(page.Items) == 0 && page.Next == "" {
					row(w, "no tasks")
					return
				}
				row(w, "TASK\tSTATUS\tKEY\tATTEMPTS\tCODE\tERROR")
				for i := range page.Items {
					t := &page.Items[i]
					row(w, "%s\t%s\t%s\t%d\t%s\t%s", t.ID, statusOf(t), t.Key, t.Attempts, t.Code, withoutCode(t))
				}
				if page.Next != "" {
					row(w, "more: --after %s", page.Next)
				}
			})
		},
	}
	choose(cmd, &q.Choice, allStatuses)
	flags := cmd.Flags()
	flags.StringVar(&q.After, "after", "", "where the list before ended")
	q.Limit = 100
	flags.Var(&most{&q.Limit}, "limit", "how many at most; 0 = all")
	cmd.AddCommand(taskShowCommand(g), taskRetryCommand(g), taskEditCommand(g), taskWatchCommand(g), taskCancelCommand(g))
	return cmd
}

// statusOf is the task's status with its reason.
func statusOf(t *ops.Task) string {
	if t.Reason == "" {
		return string(t.Status)
	}
	return fmt.Sprintf("%s (%s)", t.Status, t.Reason)
}

func taskShowCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one task with its record",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			task := func(c *ops.Client, ctx context.Context) (ops.Task, error) { return c.Task(ctx, args[0]) }
			return show(g, cmd, task, func(w *tabwriter.Writer, t ops.Task) {
				row(w, "task\t%s", t.ID)
				row(w, "status\t%s", statusOf(&t))
				row(w, "event\t%s/%s seq %d.%d", t.Source, t.Entity, t.Seq, t.Index)
				row(w, "target\t%s key %s", t.Object, t.Key)
				row(w, "attempts\t%d", t.Attempts)
				if t.Behind > 0 {
					row(w, "behind it\t%d", t.Behind)
				}
				row(w, "created\t%s", instant(t.Created))
				row(w, "updated\t%s", instant(t.Updated))
				if t.NextTry != nil {
					row(w, "next try\t%s", instant(*t.NextTry))
				}
				over := ""
				if t.Status == state.TaskCompleted {
					over = " before"
				}
				row(w, "code%s\t%s", over, t.Code)
				row(w, "error%s\t%s", over, withoutCode(&t))
				if fix := taskFix(&t); fix != "" {
					row(w, "fix\t%s", fix)
				}
				if t.Record != nil {
					row(w, "operation\t%s", t.Record.Op)
					if t.Record.Size > 0 {
						row(w, "size\t%d bytes: the log has the key only", t.Record.Size)
					}
					row(w, "before\t%s", t.Record.Before)
					row(w, "after\t%s", t.Record.After)
				}
				if t.Edit != nil && t.Original != nil {
					row(w, "edited\t%s by %s: %s", instant(t.Edit.At), t.Edit.By, t.Edit.Reason)
					row(w, "it came as\t%s", t.Original.After)
				}
			})
		},
	}
}

// taskFix is the way out for a task that waits for a person; "" = it waits for none.
func taskFix(t *ops.Task) string {
	switch t.Status {
	case state.TaskFailed:
		return fmt.Sprintf("mend the cause, then `syncline tasks retry %s`; or correct the record with `syncline tasks edit %s --record FILE --reason TEXT`; "+
			"or give it up with `syncline tasks cancel %s --reason TEXT`", t.ID, t.ID, t.ID)
	case state.TaskConflict:
		return fmt.Sprintf("`syncline conflicts show %s`", t.ID)
	}
	return ""
}

// withoutCode is the task's error without the code that stands beside it.
func withoutCode(t *ops.Task) string { return strings.TrimPrefix(t.Error, t.Code+": ") }

func instant(t time.Time) string { return t.Local().Format(time.RFC3339) }

// The statuses that a command takes.
var (
	allStatuses     = state.TaskStatuses
	waitingStatuses = []state.TaskStatus{state.TaskPending, state.TaskFailed, state.TaskConflict}
)

// choose adds the flags that choose tasks.
func choose(cmd *cobra.Command, c *ops.Choice, statuses []state.TaskStatus) {
	flags := cmd.Flags()
	flags.Var(&oneOf[state.TaskStatus]{&c.Status, statuses}, "status", "only of this status: "+list(statuses))
	reasons := []string{state.StatusRetrying, state.StatusHeld, state.StatusReading}
	if len(statuses) == len(allStatuses) {
		reasons = append(reasons, state.Superseded.String(), state.Filtered.String(), state.Skipped.String())
	}
	flags.Var(&oneOf[string]{&c.Why, reasons}, "why", "only those that are pending or completed for this reason: "+list(reasons))
	flags.StringVar(&c.Route, "route", "", "only of this route")
	flags.StringVar(&c.Rule, "rule", "", "only of this rule")
	flags.StringVar(&c.Source, "source", "", "only from this system")
	flags.StringVar(&c.Target, "target", "", "only to this system")
	flags.StringVar(&c.Entity, "entity", "", "only of this entity")
	flags.StringVar(&c.Key, "key", "", "only of this target key")
	flags.StringVar(&c.Code, "code", "", "only with this error code")
	flags.Var(&oneOf[string]{&c.Class, errorClasses}, "class", "only with an error of this class: "+list(errorClasses))
	between(cmd, &c.From, &c.To)
}

// between adds the flags of a stretch of time.
func between(cmd *cobra.Command, from, to *time.Time) {
	flags := cmd.Flags()
	flags.Var(&ago{from}, "since", "only from this long ago on (1h, 7d)")
	flags.Var(&moment{from}, "from", "only from this time on (2026-01-31T09:00:00Z)")
	flags.Var(&moment{to}, "to", "only before this time")
	cmd.MarkFlagsMutuallyExclusive("since", "from")
}

// single reports whether the selection is one id, of which the server can say why it cannot be done.
func single(s ops.Selection) bool {
	one := len(s.IDs) == 1
	s.IDs = nil
	return one && s.Empty()
}

var errNoTask = errors.New("give the IDs of tasks, or choose tasks by --status, --route, --rule, --target, --code, --since or another flag")

// tellChosen says on how many tasks a command was carried out, and on which it was not. Where that is all of them it has failed.
func tellChosen(g *globals, cmd *cobra.Command, s ops.Selection, done ops.Chosen, what string) error {
	text := fmt.Sprintf("%d tasks %s", done.Tasks, what)
	if done.Tasks == 1 {
		text = "1 task " + what
	}
	fmt.Fprintln(cmd.ErrOrStderr(), text) //nolint:errcheck // talk
	err := g.print(cmd, done, func(w *tabwriter.Writer) {
		for _, r := range done.Results {
			if !r.Taken {
				row(w, "%s\t%s\t%s", r.ID, r.Code, strings.TrimPrefix(r.Error, r.Code+": "))
			}
		}
	})
	if err == nil && done.Tasks == 0 && len(done.Results) > 0 {
		err = &exitError{code: exitFailed}
	}
	return err
}

// one is the result of a command on the one task of this id.
func one(id string) ops.Chosen {
	return ops.Chosen{Tasks: 1, Results: []ops.TaskResult{{ID: id, Taken: true}}}
}

func taskRetryCommand(g *globals) *cobra.Command {
	var s ops.Selection
	var reason string
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
				if err := client.RetryTask(cmd.Context(), args[0], reason); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s is tried again; see `syncline tasks show %s`\n", args[0], args[0]) //nolint:errcheck // talk
				return g.done(cmd, one(args[0]))
			}
			done, err := client.RetryTasks(cmd.Context(), s, reason)
			if err != nil {
				return err
			}
			return tellChosen(g, cmd, s, done, "tried again; see `syncline tasks`")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	choose(cmd, &s.Choice, waitingStatuses)
	return cmd
}

func taskEditCommand(g *globals) *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use:   "edit ID --record FILE --reason TEXT",
		Short: "Correct the record of a waiting task, and try it again",
		Long: "Gives a task that waits another record and has it tried. FILE is a JSON object of columns of the source, as `tasks show` has them\n" +
			"under after (- for stdin). Columns that it does not name stay as they are, and the key must. The record as it came is kept.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case file == "":
				return usage(errors.New("give --record FILE"))
			case reason == "":
				return usage(errors.New("give --reason TEXT: it is kept with the task"))
			}
			read := func() ([]byte, error) { return os.ReadFile(file) } //nolint:gosec // the operator's own path
			if file == "-" {
				read = func() ([]byte, error) { return io.ReadAll(cmd.InOrStdin()) }
			}
			record, err := read()
			if err != nil {
				return usage(err)
			}
			if !json.Valid(record) {
				return usage(fmt.Errorf("%s is not JSON", file))
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			if err := client.EditTask(cmd.Context(), args[0], record, reason); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is tried again; see `syncline tasks show %s`\n", args[0], args[0]) //nolint:errcheck // talk
			return g.done(cmd, one(args[0]))
		},
	}
	cmd.Flags().StringVar(&file, "record", "", "the file with the record (required)")
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept with the task (required)")
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
				if err := client.CancelTask(cmd.Context(), args[0], reason); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s is given up; see `syncline tasks show %s`\n", args[0], args[0]) //nolint:errcheck // talk
				return g.done(cmd, one(args[0]))
			}
			done, err := client.CancelTasks(cmd.Context(), s, reason)
			if err != nil {
				return err
			}
			return tellChosen(g, cmd, s, done, "cancelled")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept with the task (required)")
	choose(cmd, &s.Choice, waitingStatuses)
	return cmd
}
