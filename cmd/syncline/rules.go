package main

import (
	"encoding/json"
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
	"syncline/internal/ops"
	"syncline/internal/trial"
)

func rulesCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List, test and try the rules of the configuration",
		Long:  "Lists the rules of the configuration (-c), or with --server those that a server works by.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules, err := g.rules(cmd)
			if err != nil {
				return err
			}
			return g.print(cmd, rules, func(w *tabwriter.Writer) {
				row(w, "RULE\tFROM\tTO\tSTEPS\tTESTS\tENABLED")
				for _, r := range rules {
					row(w, "%s\t%s\t%s\t%s\t%d\t%v", r.ID, strings.Join(r.From, ", "), r.To, strings.Join(r.Steps, " "), r.Tests, r.Enabled)
				}
			})
		},
	}
	cmd.AddCommand(rulesTestCommand(g), rulesTryCommand(g))
	return cmd
}

// rules lists those of the server that is named, else of the file.
func (g *globals) rules(cmd *cobra.Command) ([]ops.RuleInfo, error) {
	if g.remote() == "" {
		c, err := g.load()
		if err != nil {
			return nil, err
		}
		return daemon.RulesOf(c), nil
	}
	return ask(g, cmd, (*ops.Client).Rules)
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
			"The rule is that of the configuration (-c), and nothing is connected to; with --server a server tries its own.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readEvent(cmd, file)
			if err != nil {
				return err
			}
			if g.remote() != "" {
				return g.tryThere(cmd, args[0], entity, file, data)
			}
			c, err := g.load()
			if err != nil {
				return err
			}
			if r := c.Rule(args[0]); r == nil {
				return noRule(c, args[0])
			}
			out, err := daemon.Try(cmd.Context(), c, args[0], entity, file, data)
			if err != nil {
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

// tryThere has the server try its rule of that name.
func (g *globals) tryThere(cmd *cobra.Command, rule, entity, file string, event []byte) error {
	if _, problems := config.ReadEvent(file, event); problems != nil {
		return problems
	}
	if !json.Valid(event) {
		return usage(errors.New("a server takes events in JSON"))
	}
	client, err := g.client()
	if err != nil {
		return err
	}
	v, err := client.TryRule(cmd.Context(), rule, ops.TryRequest{Event: event, Entity: entity})
	if err != nil {
		return err
	}
	return g.print(cmd, v, func(w *tabwriter.Writer) { _ = v.WriteText(w) })
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
