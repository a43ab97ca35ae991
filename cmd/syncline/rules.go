package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/daemon"
	"syncline/internal/trial"
)

func rulesCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List, test and try the rules of the configuration",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			type row struct {
				ID      string   `json:"id"`
				From    []string `json:"from"`
				To      string   `json:"to"`
				Steps   []string `json:"steps"`
				Tests   int      `json:"tests"`
				Enabled bool     `json:"enabled"`
			}
			rows := make([]row, 0, len(c.Rules))
			for _, r := range c.Rules {
				one := row{ID: r.ID, To: r.To.String(), Steps: []string{}, Tests: len(r.Tests), Enabled: r.Enabled}
				for _, f := range r.From {
					one.From = append(one.From, f.String())
				}
				for _, s := range r.Transform {
					one.Steps = append(one.Steps, s.Kind())
				}
				rows = append(rows, one)
			}
			return g.print(cmd, rows, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "RULE\tFROM\tTO\tSTEPS\tTESTS\tENABLED") //nolint:errcheck // data
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%v\n", r.ID, strings.Join(r.From, ", "), r.To, strings.Join(r.Steps, " "), r.Tests, r.Enabled) //nolint:errcheck // data
				}
			})
		},
	}
	cmd.AddCommand(rulesTestCommand(g), rulesTryCommand(g))
	return cmd
}

func rulesTestCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "test [RULE …]",
		Short: "Run the tests that stand beside the rules",
		Long:  "Runs the `tests` of all rules, or of those that are named, and tells what differs. Nothing is connected to.\nExit code 1 where a test fails.",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			for _, id := range args {
				if c.Rule(id) == nil {
					return noRule(c, id)
				}
			}
			return g.testRules(cmd, c, args)
		},
	}
}

// noRule is the error of a rule that is not there.
func noRule(c *config.Config, id string) error {
	names := make([]string, len(c.Rules))
	for i, r := range c.Rules {
		names[i] = r.ID
	}
	return usage(fmt.Errorf("there is no rule %s; there are %s", id, strings.Join(names, ", ")))
}

// testResult is what came of one test.
type testResult struct {
	Rule  string   `json:"rule"`
	Test  string   `json:"test"`
	Place string   `json:"place"`
	OK    bool     `json:"ok"`
	Diff  []string `json:"diff,omitempty"`
}

// testRules runs the tests of the rules named, of all where none is. Where there are none it says nothing.
func (g *globals) testRules(cmd *cobra.Command, c *config.Config, only []string) error {
	results := []testResult{}
	failed := 0
	for _, r := range c.Rules {
		if len(r.Tests) == 0 || r.Between != nil || len(only) > 0 && !slices.Contains(only, r.ID) {
			continue
		}
		t, done, err := daemon.Trial(c, r, r.From[0])
		if err != nil {
			return fmt.Errorf("rule %s: %w", r.ID, err)
		}
		for _, test := range r.Tests {
			one := testResult{Rule: r.ID, Test: test.Name, Place: test.Place, Diff: trial.Test(cmd.Context(), t, test)}
			if one.OK = len(one.Diff) == 0; !one.OK {
				failed++
			}
			results = append(results, one)
		}
		if err := done(); err != nil {
			return err
		}
	}
	if cmd.Name() == "test" && g.output != "table" {
		if err := g.print(cmd, results, nil); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			if !r.OK {
				fmt.Fprintf(cmd.OutOrStdout(), "FAIL %s: %s (%s)\n     %s\n", r.Rule, r.Test, r.Place, strings.Join(r.Diff, "\n     ")) //nolint:errcheck // data
			}
		}
	}
	if failed > 0 {
		return &exitError{exitFailed, fmt.Errorf("%d of %s of rules failed", failed, count(len(results), "test"))}
	}
	if cmd.Name() == "test" || len(results) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s passed\n", count(len(results), "test")) //nolint:errcheck // talk
	}
	return nil
}

func rulesTryCommand(g *globals) *cobra.Command {
	var file, entity string
	cmd := &cobra.Command{
		Use:   "try RULE",
		Short: "Show what a rule makes of an event, step by step",
		Long: "Shows which conditions of the rule hold for an event, and what the record is after every step. The event is a file of JSON or YAML as in\n" +
			"a test of a rule, {op, before, after, types, priority …}, or a record by itself, which is one that is created; - reads it from stdin.\n" +
			"Nothing is connected to.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			r := c.Rule(args[0])
			if r == nil || r.Between != nil {
				return noRule(c, args[0])
			}
			from := r.From[0]
			if entity != "" {
				at := slices.IndexFunc(r.From, func(f config.Ref) bool { return f.String() == entity || f.Name == entity })
				if at < 0 {
					return usage(fmt.Errorf("rule %s does not read %s", r.ID, entity))
				}
				from = r.From[at]
			}
			data, err := readEvent(cmd, file)
			if err != nil {
				return err
			}
			event, problems := config.ReadEvent(file, data)
			if problems != nil {
				return problems
			}
			t, done, err := daemon.Trial(c, r, from)
			if err != nil {
				return err
			}
			out, err := trial.Run(cmd.Context(), t, event)
			if err = errors.Join(err, done()); err != nil {
				return err
			}
			if g.output != "table" {
				return g.print(cmd, out.View(), nil)
			}
			return out.WriteText(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&file, "event", "", "file with the event; - = stdin")
	cmd.Flags().StringVar(&entity, "entity", "", "the entity of the event, where the rule reads several (default the first)")
	return cmd
}

// maxEvent bounds an event to try.
const maxEvent = 16 << 20

func readEvent(cmd *cobra.Command, file string) ([]byte, error) {
	switch file {
	case "":
		return nil, usage(errors.New("--event names the file with the event"))
	case "-":
		return io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxEvent))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, syncline.Errorf(syncline.Rejected, "unreadable", "%s cannot be opened", file)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return io.ReadAll(io.LimitReader(f, maxEvent))
}
