package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
)

func syncCommand(g *globals) *cobra.Command {
	var f fullSync
	cmd := &cobra.Command{
		Use:   "sync SYSTEM/ENTITY",
		Short: "Read records from the source again, beside the live changes",
		Long: "Reads all records of an entity (or those of --key) from the source again and applies them through the normal path. A\n" +
			"route that needs a sync begins anew with it, as does one that has lost its place and is named by --route. After any other\n" +
			"halt a route goes on where it stood: see `syncline resume`. It is `syncline sync full` in short, which tells more.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(g, cmd, args[0]) },
	}
	f.flags(cmd)
	cmd.AddCommand(pollCommand(g, "incremental", "Ask a polled entity now for what is new behind its watermark",
		"Asks the source of a polled entity (capture mode poll) for the records that have changed since the last time, without waiting for\n"+
			"its schedule. `syncline sync list` tells what became of it."))
	cmd.AddCommand(pollCommand(g, "sweep", "Look now for records of a polled entity that are gone",
		"Reads the keys of a polled entity (capture mode poll) and reports the records that are not there any more as deleted. Where more\n"+
			"than half of them are gone it does nothing and fails with the code sweep_refused; --force has it go on."))
	cmd.AddCommand(syncFullCommand(g), syncShowCommand(g),
		steerCommand(g, ops.SyncPause, "Have a sync read nothing more until it is resumed",
			"Holds a sync after the chunk that it reads at this moment, across restarts too. Live changes go on."),
		steerCommand(g, ops.SyncResume, "Have a paused sync go on", "Goes on behind the last chunk that is in the log; --rate changes how fast."),
		steerCommand(g, ops.SyncCancel, "Give a sync up", "Ends a sync after the chunk that it reads at this moment. What it has read is applied and stays."))
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the latest syncs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, (*ops.Client).Syncs, func(w *tabwriter.Writer, list []ops.Sync) {
				row(w, "SYNC\tKIND\tOF\tSTATUS\tDONE\tCHUNKS\tROWS\tERROR")
				for _, s := range list {
					done := ""
					if s.Percent != nil {
						done = fmt.Sprintf("%.0f %%", *s.Percent)
					}
					row(w, "%s\t%s\t%s/%s\t%s\t%s\t%d\t%d\t%s", s.ID, s.Kind, s.Source, s.Entity, s.Status, done, s.Chunks, s.Rows, s.Error)
				}
			})
		},
	})
	return cmd
}

// pollCommand asks a polled entity something.
func pollCommand(g *globals, kind, short, long string) *cobra.Command {
	req := ops.SyncRequest{Kind: kind}
	cmd := &cobra.Command{
		Use:   kind + " SYSTEM/ENTITY",
		Short: short,
		Long:  long,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return startSync(g, cmd, req, args[0])
		},
	}
	if kind == "sweep" {
		cmd.Flags().BoolVar(&req.Force, "force", false, "also where suspiciously many records are gone")
	}
	return cmd
}

// startSync asks for a sync of SYSTEM/ENTITY and prints its id.
func startSync(g *globals, cmd *cobra.Command, req ops.SyncRequest, of string) error {
	if err := nameEntity(&req, of); err != nil {
		return err
	}
	return begin(g, cmd, func(c *ops.Client, ctx context.Context) (string, error) { return c.StartSync(ctx, req) })
}

// nameEntity puts SYSTEM/ENTITY into the request.
func nameEntity(req *ops.SyncRequest, of string) (err error) {
	var ok bool
	if req.Source, req.Entity, ok = strings.Cut(of, "/"); !ok {
		err = usage(fmt.Errorf("%q is not SYSTEM/ENTITY", of))
	}
	return err
}
