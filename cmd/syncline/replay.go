package main

import (
	"errors"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
)

func replayCommand(g *globals) *cobra.Command {
	var req ops.ReplayRequest
	cmd := &cobra.Command{
		Use:   "replay --route ROUTE --from TIME|SEQ --reason TEXT",
		Short: "Send the records of a stretch of the log to a route again",
		Long: "Counts the records that a stretch of the log is about, compares them with what the target holds, and has them read from the source\n" +
			"again for the route alone. They come as they are now, behind what the log has: nothing at the target goes back. --dry-run only counts\n" +
			"and compares.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if req.Reason = g.reason; req.Reason == "" {
				return usage(errors.New("give --reason TEXT: the audit log keeps it"))
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			done, err := client.Replay(cmd.Context(), req)
			if err != nil {
				return err
			}
			return g.print(cmd, done, func(w *tabwriter.Writer) { printReplay(w, &req, &done) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&req.Route, "route", "", "the route (required)")
	flags.StringVar(&req.From, "from", "", "the first entry of the log: its number, or a time as 2026-01-31T09:00:00Z (required)")
	flags.StringVar(&req.To, "to", "", "the last entry, or the time before which entries were appended (default the log's end)")
	flags.StringArrayVar(&req.Keys, "key", nil, "only the record with this key at the source; may be repeated")
	flags.BoolVar(&req.DryRun, "dry-run", false, "only count and compare")
	for _, name := range []string{"route", "from"} {
		_ = cmd.MarkFlagRequired(name) // it is there
	}
	return cmd
}

func printReplay(w *tabwriter.Writer, req *ops.ReplayRequest, r *ops.Replay) {
	row(w, "log of %s, entries %d to %d: %s of the route's entities, about %s", r.Source, r.From, r.To, count(int(r.Events), "event"), count(r.Keys, "record"))
	if r.Keyless > 0 {
		row(w, "%s without a key: not sent again", count(int(r.Keyless), "event"))
	}
	row(w, "of %d that were compared, %d differ at the target; of %d it cannot be told", r.Compared, r.Differ, r.Unknown)
	if r.Note != "" {
		row(w, "%s", r.Note)
	}
	for _, s := range r.Samples {
		row(w, "    %s/%s %s %s", s.Entity, s.Key, s.State, strings.Join(s.Fields, ", "))
	}
	switch {
	case req.DryRun:
		row(w, "nothing was sent: without --dry-run, %s would be read from %s again", count(r.Keys, "record"), r.Source)
	case len(r.Runs) == 0:
		row(w, "there is nothing to send")
	default:
		row(w, "%s read again: %s; see `syncline sync list`", count(r.Keys, "record"), strings.Join(r.Runs, ", "))
	}
}
