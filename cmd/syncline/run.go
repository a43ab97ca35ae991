package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/daemon"
	"syncline/internal/memory"
)

func runCommand(g *globals) *cobra.Command {
	var check bool
	var level, format string
	var drain time.Duration
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Do the work until SIGTERM or Ctrl-C",
		Long: "Captures and applies until SIGTERM or Ctrl-C; then it finishes what it has in hand within the drain timeout. A second\n" +
			"signal ends it at once, which loses nothing either.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, files, err := g.read()
			if err != nil {
				return err
			}
			log, err := logger(cmd.ErrOrStderr(), level, format)
			if err != nil {
				return err
			}
			if check {
				return g.check(cmd, daemon.Check(cmd.Context(), c))
			}
			memory.Bound()
			d, err := daemon.Open(cmd.Context(), daemon.Options{Config: c, Files: files, Dir: g.dir(), Version: version(), DrainTimeout: drain, Logger: log})
			if err != nil {
				return err
			}
			log.Info("syncline is running", "version", version(), "api", d.URL(), "pid", os.Getpid())
			go reload(cmd.Context(), g.config, d, log)
			err = closeAfter(d, d.Run(cmd.Context()))
			if err == nil {
				log.Info("syncline has stopped")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "connect to everything, report, and end")
	cmd.Flags().DurationVar(&drain, "drain-timeout", 30*time.Second, "how long work in hand may take at the end")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cmd.Flags().StringVar(&format, "log-format", "text", "text or json")
	return cmd
}

// closeAfter closes the daemon and returns the first error.
func closeAfter(d *daemon.Daemon, err error) error {
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}

// check prints what was found; anything that failed is exit code 4.
func (g *globals) check(cmd *cobra.Command, found []daemon.Finding) error {
	err := g.print(cmd, found, func(w *tabwriter.Writer) {
		row(w, "SYSTEM\tRESULT\tCODE\tWHAT")
		for _, f := range found {
			what := f.What
			if f.Rule != "" {
				what = "rule " + f.Rule + ": " + what
			}
			row(w, "%s\t%s\t%s\t%s", f.System, f.Level, f.Code, what)
			if f.Fix != "" {
				row(w, "\t\t\t  fix: %s", oneLine(f.Fix))
			}
		}
	})
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.Level == "fail" {
			return &exitError{code: exitUnreachable, err: fmt.Errorf("not everything can work as configured")}
		}
	}
	return nil
}
