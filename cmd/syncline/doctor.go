package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/daemon"
	"syncline/internal/health"
	"syncline/internal/ops"
)

// diagnosis is one thing that doctor has looked at. Levels are ok, warning and problem.
type diagnosis struct {
	About string `json:"about"`
	Level string `json:"level"`
	Code  string `json:"code,omitempty"`
	What  string `json:"what"`
	Fix   string `json:"fix,omitempty"`
}

// The levels of a diagnosis.
const (
	fine    = "ok"
	warning = "warning"
	trouble = "problem"
)

func doctorCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look at everything that this installation needs, and say what is wrong",
		Long: "Looks at the configuration and its references, at each system and rule as `syncline run --check` does, at the directories and their disk,\n" +
			"and at the server that is at work, if one is. It changes nothing and can be run beside a server, best as the user that the server runs as.\n" +
			"The exit code is 1 where there are problems, 3 where the configuration is invalid.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, files, err := g.read()
			found, invalid := diagnoseConfig(c, err)
			if c != nil {
				for _, f := range append(daemon.Check(cmd.Context(), c), daemon.CheckDisk(c)...) {
					found = append(found, diagnosisOf(&f))
				}
			}
			found = append(found, g.diagnoseServer(cmd.Context(), files)...)
			if err := g.print(cmd, found, func(w *tabwriter.Writer) { printDiagnoses(w, found) }); err != nil {
				return err
			}
			if invalid {
				return &exitError{code: exitConfig}
			}
			for _, f := range found {
				if f.Level == trouble {
					return &exitError{code: exitFailed}
				}
			}
			return nil
		},
	}
}

func printDiagnoses(w *tabwriter.Writer, found []diagnosis) {
	row(w, "ABOUT\tRESULT\tCODE\tWHAT")
	levels := make(map[string]int)
	for _, f := range found {
		levels[f.Level]++
		row(w, "%s\t%s\t%s\t%s", f.About, f.Level, f.Code, f.What)
		if f.Fix != "" {
			row(w, "\t\t\t  fix: %s", oneLine(f.Fix))
		}
	}
	row(w, "")
	row(w, "%s, %s", count(levels[trouble], "problem"), count(levels[warning], "warning"))
}

// diagnoseConfig tells what is wrong with the configuration, and whether it is that which cannot be used.
func diagnoseConfig(c *config.Config, err error) (found []diagnosis, invalid bool) {
	const about = "configuration"
	problems, listed := err.(config.Problems) //nolint:errorlint // read returns it as it is
	switch {
	case listed:
		for _, p := range problems {
			found = append(found, diagnosis{about, trouble, string(p.Code), fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message), p.Suggestion})
		}
	case err != nil:
		found = append(found, refused(about, trouble, err))
	default:
		found = append(found, diagnosis{About: about, Level: fine,
			What: fmt.Sprintf("valid: %s, %s; every reference finds something", count(len(c.Systems), "system"), count(len(c.Rules), "rule"))})
	}
	return found, err != nil
}

// diagnosisOf is what a check has found, in the words of doctor.
func diagnosisOf(f *daemon.Finding) diagnosis {
	about := f.System
	if f.Rule != "" {
		about += ", rule " + f.Rule
	}
	level := map[string]string{"ok": fine, "warn": warning, "fail": trouble}[f.Level]
	return diagnosis{about, level, f.Code, f.What, f.Fix}
}

func refused(about, level string, err error) diagnosis {
	f := syncline.Failure(err, "")
	return diagnosis{about, level, f.Code, f.What, f.Fix}
}

// diagnoseServer tells whether a server is at work, and on these files; how it is; and what it knows of systems and routes that
// nobody can see from outside, such as clocks that differ.
func (g *globals) diagnoseServer(ctx context.Context, files []config.File) []diagnosis {
	const about = "server"
	client, err := g.client()
	if err != nil {
		return []diagnosis{refused(about, trouble, err)}
	}
	ready, err := client.Ready(ctx)
	switch {
	case unreachable(err) && g.remote() == "":
		return []diagnosis{{about, warning, "server_not_running", "no server answers where this configuration has it listen", "`syncline run`, if one is to run here"}}
	case err != nil:
		return []diagnosis{refused(about, trouble, err)}
	}
	status, err := client.Status(ctx)
	if err != nil {
		return []diagnosis{refused(about, warning, err)}
	}
	found := []diagnosis{{About: about, Level: fine, What: "syncline " + status.Version + " runs and is ready"}}
	if !ready.Ready {
		found[0] = diagnosis{about, trouble, "server_not_ready", "syncline " + status.Version + " runs and is not ready: " + strings.Join(ready.Reasons, "; "), "`syncline status`"}
	}
	if files != nil {
		found = append(found, sameConfig(ctx, client, files))
	}
	for _, w := range status.Warnings {
		found = append(found, diagnosis{About: about, Level: warning, What: w})
	}
	for i := range status.Systems {
		s := &status.Systems[i]
		found = append(found, complaints("server, "+s.Name, s.Error, s.Warnings)...)
	}
	routes, err := client.Routes(ctx)
	if err != nil {
		return append(found, refused(about, warning, err))
	}
	for i := range routes {
		found = append(found, complaints("server, route "+routes[i].ID, routes[i].Error, routes[i].Warnings)...)
	}
	return append(found, wellBeing(ctx, client))
}

// sameConfig tells whether the server is at work on these files. A server that was given a file by `apply` has it from there.
func sameConfig(ctx context.Context, client *ops.Client, files []config.File) diagnosis {
	running, err := client.Config(ctx)
	switch {
	case err != nil:
		return refused("server", warning, err)
	case running.Hash != daemon.ConfigHash(files):
		return diagnosis{"server", warning, "other_configuration", fmt.Sprintf("it is at work on version %d of the configuration, which is not what these files say", running.Version),
			"`syncline plan` shows what differs, `syncline apply` puts these files to work"}
	}
	return diagnosis{About: "server", Level: fine, What: fmt.Sprintf("it is at work on this configuration (version %d)", running.Version)}
}

func complaints(about string, fault *ops.Fault, warnings []string) (found []diagnosis) {
	if fault != nil {
		found = append(found, diagnosis{about, trouble, fault.Code, strings.TrimPrefix(fault.Text, fault.Code+": "), fault.Fix})
	}
	for _, w := range warnings {
		found = append(found, diagnosis{About: about, Level: warning, What: w})
	}
	return found
}

// wellBeing is the level of the server's own report.
func wellBeing(ctx context.Context, client *ops.Client) diagnosis {
	r, err := client.Health(ctx)
	if err != nil {
		return refused("health", warning, err)
	}
	if r.Level == health.Healthy {
		return diagnosis{About: "health", Level: fine, What: string(r.Level)}
	}
	level := warning
	if r.Level == health.Critical {
		level = trouble
	}
	what := string(r.Level)
	for _, one := range r.Recommendations {
		if one.Level == r.Level {
			what += "; " + one.Text
		}
	}
	return diagnosis{"health", level, "health_not_well", what, "`syncline health` has the command for each"}
}
