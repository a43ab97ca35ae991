package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
)

// fullSync is what `syncline sync full` was asked.
type fullSync struct {
	req           ops.SyncRequest
	wait          bool
	deleteMissing bool
	dryRun, yes   bool
	maxDelete     float64
}

func syncFullCommand(g *globals) *cobra.Command {
	var f fullSync
	cmd := &cobra.Command{
		Use:   "full SYSTEM/ENTITY",
		Short: "Read all records of an entity again, or some, for all targets or some",
		Long: "Reads records from the source in chunks, beside the live changes, which go first and win. --where is an expression over the columns of\n" +
			"the source's table; it is evaluated here, on the rows that were read. The sync goes on after a restart where it was; see `syncline sync\n" +
			"show`, `pause`, `resume` and `cancel`.\n\n" +
			"--delete-missing also removes from the targets what the source does not have any more. With --dry-run it only counts; without --yes it\n" +
			"counts and stops. Each missing key is read again from the source first, so that a record which was created meanwhile stays.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(g, cmd, args[0]) },
	}
	f.flags(cmd)
	return cmd
}

func (f *fullSync) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.req.Routes, "route", nil, "only for these routes; one that has lost its place begins anew")
	flags.StringArrayVar(&f.req.Keys, "key", nil, "only this record, its key's parts joined by commas; may be repeated")
	flags.StringSliceVar(&f.req.To, "to", nil, "only for these targets: systems or routes")
	flags.StringVar(&f.req.Where, "where", "", "only records for which this expression is true")
	flags.StringVar(&f.req.FromKey, "from-key", "", "only records behind this key, its parts joined by commas")
	flags.Int64Var(&f.req.Rate, "rate", 0, "read so many rows a second at the most")
	flags.BoolVar(&f.wait, "wait", false, "wait until every target has applied it, and show how far it is")
	flags.BoolVar(&f.deleteMissing, "delete-missing", false, "remove from the targets what the source does not have any more")
	flags.BoolVar(&f.dryRun, "dry-run", false, "with --delete-missing: only count what would be removed")
	flags.BoolVar(&f.yes, "yes", false, "with --delete-missing: remove what is missing")
	flags.Float64Var(&f.maxDelete, "max-delete", 10, "with --delete-missing: remove nothing where more than this share of a target is missing, in percent")
}

func (f *fullSync) run(g *globals, cmd *cobra.Command, of string) error {
	if err := nameEntity(&f.req, of); err != nil {
		return err
	}
	if !f.deleteMissing && (f.dryRun || f.yes) {
		return usage(errors.New("--dry-run and --yes go with --delete-missing"))
	}
	if len(f.req.To) > 0 && len(f.req.Routes) > 0 {
		return usage(errors.New("--to and --route exclude each other"))
	}
	if f.deleteMissing && (f.req.Where != "" || f.req.FromKey != "" || len(f.req.Keys) > 0) {
		return usage(errors.New("--delete-missing compares all records: leave out --where, --from-key and --key"))
	}
	client, err := g.client()
	if err != nil {
		return err
	}
	if f.deleteMissing {
		missing := ops.MissingRequest{Source: f.req.Source, Entity: f.req.Entity, To: slices.Concat(f.req.To, f.req.Routes), DryRun: f.dryRun || !f.yes, MaxPercent: &f.maxDelete}
		found, err := client.DeleteMissing(cmd.Context(), missing)
		if err != nil {
			return err
		}
		if f.dryRun {
			return g.print(cmd, found, func(w *tabwriter.Writer) { printMissing(w, found) })
		}
		talk := tabwriter.NewWriter(cmd.ErrOrStderr(), 0, 0, 2, ' ', 0)
		printMissing(talk, found)
		_ = talk.Flush() // talk
		if !f.yes {
			return errors.New("nothing was done: --yes starts the sync and removes the missing records")
		}
	}
	id, err := client.StartSync(cmd.Context(), f.req)
	if err != nil {
		return err
	}
	if route, anew := strings.CutPrefix(id, "start-"); anew && f.wait {
		fmt.Fprintf(cmd.ErrOrStderr(), "route %s had lost its place and begins anew: `syncline sync list` tells how far it is\n", route) //nolint:errcheck // talk
		f.wait = false
	}
	if !f.wait {
		return g.begun(cmd, id)
	}
	return followSync(g, cmd, client, id)
}

func printMissing(w *tabwriter.Writer, m ops.Missing) {
	row(w, "ROUTE\tTARGET\tRECORDS\tMISSING AT THE SOURCE\tNOTE")
	for _, t := range m.Targets {
		if t.Note != "" {
			row(w, "%s\t%s/%s\t\t\tnot compared: %s", t.Route, t.Target, t.Object, t.Note)
			continue
		}
		row(w, "%s\t%s/%s\t%d\t%d (%.2f %%)\t", t.Route, t.Target, t.Object, t.Records, t.Missing, t.Percent)
	}
}

// followSync shows how far a sync is until every target has applied it.
func followSync(g *globals, cmd *cobra.Command, client *ops.Client, id string) error {
	bar := progressBar{out: cmd.ErrOrStderr(), live: isTerminal(cmd.ErrOrStderr())}
	var last ops.Sync
	err := client.FollowSync(cmd.Context(), id, func(s ops.Sync) error {
		last = s
		bar.show(&s, time.Now())
		return nil
	})
	bar.end()
	if err != nil {
		return err
	}
	if err := g.print(cmd, last, func(w *tabwriter.Writer) { printSync(w, last) }); err != nil {
		return err
	}
	switch {
	case last.Status != "done":
		return fmt.Errorf("the sync is %s: %s", last.Status, firstOf(last.Error, last.Reason, "nobody said why"))
	case len(last.Behind) > 0:
		return fmt.Errorf("the rows are in the log, and wait there: route %s is %s", last.Behind[0].Route, last.Behind[0].State)
	}
	return nil
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// progressBar shows a sync on one line of a terminal, or elsewhere as a line now and then.
type progressBar struct {
	out   io.Writer
	live  bool
	shown bool
	last  string // status that was shown last
	next  time.Time
}

const (
	barWidth = 30
	// barEvery is how often a line is written where there is no terminal.
	barEvery = 10 * time.Second
)

func (b *progressBar) show(s *ops.Sync, now time.Time) {
	if b.live {
		fmt.Fprintf(b.out, "\r\x1b[K%s", barLine(s)) //nolint:errcheck // talk
		b.shown = true
		return
	}
	if s.Status == b.last && now.Before(b.next) {
		return
	}
	b.last, b.next = s.Status, now.Add(barEvery)
	fmt.Fprintln(b.out, barLine(s)) //nolint:errcheck // talk
}

func (b *progressBar) end() {
	if b.shown {
		fmt.Fprintln(b.out) //nolint:errcheck // talk
	}
}

// barLine is what a terminal shows of a sync.
func barLine(s *ops.Sync) string {
	var l strings.Builder
	if s.Percent != nil {
		full := int(*s.Percent / 100 * barWidth)
		fmt.Fprintf(&l, "[%s%s] %3.0f %%  ", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), *s.Percent)
	}
	fmt.Fprintf(&l, "%s  %d rows", s.Status, s.Scanned)
	if s.Estimate > 0 && !s.Over() {
		fmt.Fprintf(&l, " of about %d", s.Estimate)
	}
	if s.Rows != s.Scanned {
		fmt.Fprintf(&l, ", %d wanted", s.Rows)
	}
	if s.Rate > 0 {
		fmt.Fprintf(&l, ", %.0f/s", s.Rate)
	}
	if s.Left != nil {
		fmt.Fprintf(&l, ", %s left", (time.Duration(*s.Left) * time.Second).String())
	}
	for _, r := range s.Behind {
		switch {
		case s.Over() && r.State == ops.RouteRunning:
			fmt.Fprintf(&l, ", %s still applies", r.Route)
		case r.State != ops.RouteRunning:
			fmt.Fprintf(&l, ", waits for %s (%s)", r.Route, r.State)
		}
	}
	return l.String()
}

func printSync(w *tabwriter.Writer, s ops.Sync) {
	row(w, "sync\t%s", s.ID)
	row(w, "of\t%s/%s (%s)", s.Source, s.Entity, s.Kind)
	if len(s.Routes) > 0 {
		row(w, "for\t%s", strings.Join(s.Routes, ", "))
	}
	if s.Where != "" {
		row(w, "where\t%s", s.Where)
	}
	if s.FromKey != "" {
		row(w, "behind\t%s", s.FromKey)
	}
	row(w, "progress\t%s", barLine(&s))
	if s.MaxRate > 0 {
		row(w, "at most\t%d rows/s", s.MaxRate)
	}
	if s.Reason != "" || s.By != "" {
		row(w, "reason\t%s (%s)", s.Reason, s.By)
	}
	if s.Error != "" {
		row(w, "error\t%s", s.Error)
	}
	row(w, "since\t%s", instant(s.Created))
}

func syncShowCommand(g *globals) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "show SYNC",
		Short: "Show how far a sync is",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait {
				client, err := g.client()
				if err != nil {
					return err
				}
				return followSync(g, cmd, client, args[0])
			}
			return show(g, cmd, func(c *ops.Client, ctx context.Context) (ops.Sync, error) { return c.Sync(ctx, args[0]) }, printSync)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "follow it until every target has applied it")
	return cmd
}

// steerCommand asks something of a sync.
func steerCommand(g *globals, action, short, long string) *cobra.Command {
	var s ops.Steering
	var rate int64
	cmd := &cobra.Command{
		Use:   action + " SYNC",
		Short: short,
		Long:  long,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.Reason == "" && action != ops.SyncResume {
				return usage(errors.New("give --reason TEXT: it is shown wherever the sync is"))
			}
			if cmd.Flags().Changed("rate") {
				s.Rate = &rate
			}
			return show(g, cmd, func(c *ops.Client, ctx context.Context) (ops.Sync, error) {
				return c.SteerSync(ctx, args[0], action, s)
			}, printSync)
		},
	}
	cmd.Flags().StringVar(&s.Reason, "reason", "", "why; it is shown wherever the sync is")
	if action == ops.SyncResume {
		cmd.Flags().Int64Var(&rate, "rate", 0, "from now on so many rows a second at the most; 0 = as fast as live changes allow")
	}
	return cmd
}
