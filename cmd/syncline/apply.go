package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/daemon"
	"syncline/internal/ops"
	"syncline/internal/problem"
)

func applyCommand(g *globals) *cobra.Command {
	var req ops.ApplyRequest
	var resync bool
	since := 24 * time.Hour
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Put a configuration in the place of the one at work",
		Long: "Has the running server work by this configuration (-c): the whole of it or, after an error, nothing. It is validated, and its\n" +
			"new and changed parts are connected to, before anything is touched. Routes and sources that it does not change go on undisturbed.\n" +
			"A restart uses the server's own file again: put there what is to stay.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, client, err := g.draft()
			if err != nil {
				return err
			}
			req.Files = sent(files)
			if cmd.Flags().Changed("since") && !resync {
				return usage(errors.New("--since says how far back --resync looks: give both"))
			}
			if resync {
				req.Since = since.String()
			}
			done, err := client.ApplyConfig(cmd.Context(), req)
			if err != nil {
				return err
			}
			return g.print(cmd, done, func(w *tabwriter.Writer) {
				printPlan(w, done.Plan)
				for _, r := range done.Resyncs {
					if r.Error != "" {
						row(w, "%s of %s/%s for %s not read again: %s", count(r.Keys, "record"), r.Source, r.Entity, r.Route, r.Error)
						continue
					}
					row(w, "%s of %s/%s for %s read again: %s", count(r.Keys, "record"), r.Source, r.Entity, r.Route, r.Run)
				}
				row(w, "Version %d is at work, applied by %s.", done.Version, done.By)
				if !done.Plan.Empty {
					row(w, "A restart uses the server's own file again: put there what is to stay.")
				}
			})
		},
	}
	cmd.Flags().Int64Var(&req.Version, "version", 0, "refuse if another version is at work: that of a plan")
	cmd.Flags().BoolVar(&resync, "resync", false, "read the records again that the logs have and that the edited rules make otherwise")
	cmd.Flags().Var(&length{&since}, "since", "how far back --resync looks in the logs")
	return cmd
}

// reload applies the configuration that the server was started with at each SIGHUP, until ctx ends. One that cannot be applied changes
// nothing, and the log says why.
func reload(ctx context.Context, path string, d *daemon.Daemon, log *slog.Logger) {
	hangups := make(chan os.Signal, 1) // one that comes while another is carried out is carried out after it
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		files, problems := config.Files(path)
		err := problems.Err()
		if err == nil {
			err = d.Reload(ctx, files, "SIGHUP")
		}
		if err != nil && ctx.Err() == nil {
			code, fix := refusal(err)
			log.Error("configuration was not applied, the one at work stays", "code", code, "err", fmt.Errorf("%s: %w", path, err), "fix", fix)
		}
	}
}

// refusal is the code and the way out of an error of applying a file.
func refusal(err error) (code, fix string) {
	var unread config.Problems
	var invalid *ops.InvalidConfig
	var failed *ops.CheckFailed
	switch {
	case errors.As(err, &unread), errors.As(err, &invalid):
		return problem.CodeConfigInvalid, "correct it: `syncline validate` shows where"
	case errors.As(err, &failed):
		return problem.CodeCheckFailed, "correct what is listed: `syncline run --check` shows it with the ways out"
	}
	return syncline.CodeOf(err), syncline.FixOf(err)
}
