package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/config"
	"syncline/internal/daemon"
	"syncline/internal/ops"
)

func planCommand(g *globals) *cobra.Command {
	var exitCode, values bool
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what a configuration would change, and what that means for data",
		Long: "Asks the running server what the configuration (-c) would change: systems, rules, routes, and what becomes of their data.\n" +
			"Nothing is changed. The server reads the files with its own environment, as if they stood in place of its own.\n" +
			"Where no server runs, the configuration is compared with the one that was applied last.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, client, err := g.draft()
			if err != nil {
				return err
			}
			req := ops.PlanRequest{Files: sent(files), Values: values}
			if since > 0 {
				req.Since = since.String()
			}
			p, err := client.PlanConfig(cmd.Context(), req)
			if unreachable(err) && g.remote() == "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "no server runs here: this is what its start would change of what was applied last") //nolint:errcheck // talk
				p, err = g.planStart(cmd, files)
			}
			if err != nil {
				return err
			}
			if err := g.print(cmd, p, func(w *tabwriter.Writer) { printPlan(w, p) }); err != nil {
				return err
			}
			if exitCode && !p.Empty {
				return &exitError{code: exitDiffers}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 5 where something would change")
	cmd.Flags().Var(&length{&since}, "since", "run the edited rules over what the logs have of this time until now, and count what would differ")
	cmd.Flags().BoolVar(&values, "values", false, "with --since, show the values that differ")
	return cmd
}

// planStart tells what a start of the server would change.
func (g *globals) planStart(cmd *cobra.Command, files []config.File) (ops.Plan, error) {
	c, problems := config.Read(files, "", nil)
	if err := problems.Err(); err != nil {
		return ops.Plan{}, err
	}
	return daemon.Plan(cmd.Context(), c, files, g.dir())
}

// files reads the configuration as it is written.
func (g *globals) files() ([]config.File, error) {
	files, problems := config.Files(g.config)
	return files, problems.Err()
}

// draft reads the configuration as it is written, for the server that it is to be at work on.
func (g *globals) draft() ([]config.File, *ops.Client, error) {
	files, err := g.files()
	if err != nil {
		return nil, nil, err
	}
	client, err := g.client()
	return files, client, err
}

// dir is what relative paths in the configuration are relative to.
func (g *globals) dir() string {
	dir := g.config
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// sent is how files go to the server, which has no use for where they are here.
func sent(files []config.File) []ops.ConfigFile {
	var list []ops.ConfigFile
	for _, f := range files {
		list = append(list, ops.ConfigFile{Name: filepath.Base(f.Name), Text: string(f.Text)})
	}
	return list
}

func unreachable(err error) bool {
	var p *ops.Problem
	return errors.As(err, &p) && p.Status == 0
}

func printPlan(w io.Writer, p ops.Plan) {
	if p.Empty {
		row(w, "Nothing changes.")
		return
	}
	for _, f := range p.Settings {
		row(w, "~ %s", fieldLine(f))
	}
	changes := func(what string, list []ops.PlannedChange) {
		for _, c := range list {
			sign := map[string]string{"added": "+", "removed": "-"}[c.Change]
			if sign == "" {
				sign = "~"
			}
			row(w, "%s %s %s: %s", sign, what, c.Name, c.Change)
			for _, f := range c.Fields {
				row(w, "    %s", fieldLine(f))
			}
		}
	}
	changes("system", p.Systems)
	changes("rule", p.Rules)
	changes("schedule", p.Schedules)
	effects := func(what string, list []ops.PlannedEffect) {
		for _, e := range list {
			row(w, "%s %s %s", what, e.Name, strings.ReplaceAll(e.Effect, "_", " "))
			for _, line := range e.Data {
				row(w, "    %s", line)
			}
		}
	}
	row(w, "")
	effects("source", p.Sources)
	effects("route", p.Routes)
	row(w, "%s not touched", count(p.Untouched, "route"))
	printImpact(w, p)
	if len(p.Restart) > 0 {
		row(w, "%s: only a restart of the server changes that; it cannot be applied", strings.Join(p.Restart, ", "))
	}
}

// printImpact shows what the edited rules make of the records in the logs.
func printImpact(w io.Writer, p ops.Plan) {
	for _, c := range p.Covered {
		whole := ""
		if !c.Whole {
			whole = "; the rest was not looked at"
		}
		row(w, "log of %s: %d events, %s to %s%s", c.Source, c.Events, c.From.Format(time.DateTime), c.To.Format(time.DateTime), whole)
	}
	for _, i := range p.Impact {
		if i.Unsupported {
			row(w, "rule %s has steps that cannot be previewed: %s would be made again", i.Rule, count(int(i.Keys), "record"))
			continue
		}
		row(w, "rule %s at %s: of %s %d appear, %d change, %d vanish, %d fail, %d unknown", i.Rule, i.Target, count(int(i.Keys), "record"), i.Appear, i.Change,
			i.Vanish, i.Fail, i.Unknown)
		for _, s := range i.Samples {
			what := s.What
			if s.Error != "" {
				what += ": " + s.Error
			}
			row(w, "    %s %s", s.Key, what)
			for _, f := range s.Fields {
				row(w, "        %s", fieldLine(f))
			}
		}
	}
}

// Of values that are longer than longest, what they begin with alike is left out but for the last leading characters of it: a line in
// which the difference cannot be seen is of no use.
const longest, leading = 160, 40

// fieldLine is a value that differs, in one line.
func fieldLine(f ops.PlannedField) string {
	was, now := []rune(f.Was), []rune(f.Now)
	from := 0
	if max(len(was), len(now)) > longest {
		for from < min(len(was), len(now)) && was[from] == now[from] {
			from++
		}
		from = max(0, from-leading)
	}
	shown := func(r []rune) string {
		if len(r) == 0 {
			return "none"
		}
		text := ""
		if from > 0 {
			text = "…"
		}
		if r = r[min(from, len(r)):]; len(r) > longest {
			text += string(r[:longest]) + "…"
		} else {
			text += string(r)
		}
		return strings.ReplaceAll(text, "\n", " ")
	}
	return f.Path + ": " + shown(was) + " → " + shown(now)
}

// faults prints what is wrong with a configuration that a server has refused.
func faults(w io.Writer, p *ops.Problem) {
	for _, f := range p.Fields {
		fmt.Fprintf(w, "%s: %s\n", visible(f.Location), visible(f.Message)) //nolint:errcheck // there is nobody else to tell
	}
}
