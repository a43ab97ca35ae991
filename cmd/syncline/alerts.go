package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/alert"
	"syncline/internal/ops"
	"syncline/internal/state"
)

func alertsCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "Show what fires, and what is about to",
		Long: "Shows the alerts that fire and those whose condition holds, but not yet for long enough. What was told of them is in `syncline alerts history`;\n" +
			"`syncline alerts rules` lists the rules, `syncline alerts channels` whom they tell.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, (*ops.Client).Alerts, func(w *tabwriter.Writer, list []ops.ActiveAlert) {
				if len(list) == 0 {
					row(w, "no alerts fire")
					return
				}
				row(w, "STATE\tSEVERITY\tALERT\tABOUT\tVALUES\tSINCE\tTOLD")
				for i := range list {
					a := &list[i]
					row(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s", a.State, a.Severity, a.Rule, labels(a.Labels), values(a.Values), instant(a.Since), toldOf(a))
				}
			})
		},
	}
	cmd.AddCommand(alertHistoryCommand(g), alertRulesCommand(g), alertChannelsCommand(g), silenceCommand(g), silencesCommand(g), unsilenceCommand(g), alertTestCommand(g))
	return cmd
}

func labels(m map[string]string) string {
	if len(m) == 0 {
		return "the whole"
	}
	return alert.LabelText(m)
}

func values(m map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, name+"="+strconv.FormatFloat(m[name], 'f', -1, 64))
	}
	return strings.Join(parts, " ")
}

func toldOf(a *ops.ActiveAlert) string {
	switch {
	case a.Silence != "":
		return "silence " + a.Silence
	case a.Told != nil && a.Flapping:
		return instant(*a.Told) + " (flapping)"
	case a.Told != nil:
		return instant(*a.Told)
	}
	return "-"
}

func alertHistoryCommand(g *globals) *cobra.Command {
	f := state.ToldFilter{Limit: 100}
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show what was told, and what became of telling each channel, the newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			history := func(c *ops.Client, ctx context.Context) ([]state.Told, error) { return c.AlertHistory(ctx, f) }
			return show(g, cmd, history, func(w *tabwriter.Writer, list []state.Told) {
				row(w, "WHEN\tWHAT\tSEVERITY\tALERT\tABOUT\tCHANNELS")
				for i := range list {
					m := &list[i]
					row(w, "%s\t%s\t%s\t%s\t%s\t%s", instant(m.At), m.What, m.Severity, m.Rule, aboutMessage(&m.Message), delivered(m.Deliveries))
				}
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Rule, "rule", "", "only of this alert")
	flags.BoolVar(&f.Failed, "failed", false, "only what a channel did not get")
	flags.Var(&most{&f.Limit}, "limit", "how many at most; 0 = all")
	return cmd
}

// shownAlerts is how many alerts a line names.
const shownAlerts = 3

func aboutMessage(m *alert.Message) string {
	var parts []string
	for i := range min(len(m.Alerts), shownAlerts) {
		parts = append(parts, labels(m.Alerts[i].Labels))
	}
	if more := len(m.Alerts) + m.More - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, "; ")
}

func delivered(list []state.Delivery) string {
	parts := make([]string, len(list))
	for i := range list {
		d := &list[i]
		parts[i] = d.Channel + " " + d.Status
		if d.Error != "" {
			parts[i] += fmt.Sprintf(" after %d (%s)", d.Attempts, d.Code)
		}
	}
	return strings.Join(parts, ", ")
}

func alertRulesCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "rules",
		Short: "List the rules of alerts, the built-in ones too",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, (*ops.Client).AlertRules, func(w *tabwriter.Writer, list []ops.AlertRule) {
				row(w, "ALERT\tSEVERITY\tWHEN\tFOR\tREPEAT\tCHANNELS\tFIRING\tSTATE")
				for i := range list {
					r := &list[i]
					status := "on"
					switch {
					case !r.Enabled:
						status = "off"
					case r.Error != nil:
						status = r.Error.Text
					}
					row(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s", r.ID, r.Severity, r.When, ops.Seconds(r.ForSeconds), ops.Seconds(r.RepeatSeconds),
						strings.Join(r.Channels, ","), r.Firing, status)
				}
			})
		},
	}
}

func alertChannelsCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "channels",
		Short: "List the channels, and how delivery goes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, (*ops.Client).AlertChannels, func(w *tabwriter.Writer, list []ops.AlertChannel) {
				row(w, "CHANNEL\tTYPE\tLANGUAGE\tWAITING\tATTEMPTS\tNEXT TRY\tLAST SENT\tERROR")
				for i := range list {
					c := &list[i]
					trouble := ""
					if c.Error != nil {
						trouble = c.Error.Text
					}
					row(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s", c.Name, c.Type, c.Language, c.Waiting, c.Attempts, instantOr(c.NextTry), instantOr(c.LastSent), trouble)
				}
			})
		},
	}
}

func instantOr(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return instant(*t)
}

func silenceCommand(g *globals) *cobra.Command {
	var r ops.SilenceRequest
	var length time.Duration
	var until time.Time
	var all bool
	cmd := &cobra.Command{
		Use:   "silence {ALERT|--all} --for DURATION --reason TEXT",
		Short: "Keep messages back for a while",
		Long: "Nothing is told of the alert, or of all, until the silence ends: by itself, or by `syncline alerts unsilence ID`. What is still news then is\n" +
			"told then. --label NAME=VALUE narrows it to alerts with this label.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all == (len(args) == 1):
				return usage(errors.New("name one alert, or give --all"))
			case r.Reason == "":
				return usage(errors.New("give --reason TEXT: it is shown wherever the silence is"))
			case (length > 0) != until.IsZero():
				return usage(errors.New("give one of --for DURATION and --until TIME"))
			}
			if len(args) == 1 {
				r.Rule = args[0]
			}
			if r.ForSeconds = length.Seconds(); !until.IsZero() {
				r.Until = &until
			}
			silence := func(c *ops.Client, ctx context.Context) ([]alert.Silence, error) {
				q, err := c.Silence(ctx, r)
				return []alert.Silence{q}, err
			}
			return show(g, cmd, silence, printSilences)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&all, "all", false, "all alerts")
	flags.StringToStringVar(&r.Labels, "label", nil, "only alerts with this label, as in route=orders; may be repeated")
	flags.DurationVar(&length, "for", 0, "how long, as in 2h30m")
	flags.Var(&moment{&until}, "until", "when it ends (2026-01-31T09:00:00Z)")
	flags.StringVar(&r.Reason, "reason", "", "why; it is shown wherever the silence is (required)")
	return cmd
}

func silencesCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "silences",
		Short: "List the silences that have not ended",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, (*ops.Client).Silences, printSilences)
		},
	}
}

func printSilences(w *tabwriter.Writer, list []alert.Silence) {
	row(w, "ID\tALERT\tLABELS\tUNTIL\tBY\tREASON")
	for i := range list {
		q := &list[i]
		rule := q.Rule
		if rule == "" {
			rule = "all"
		}
		row(w, "%s\t%s\t%s\t%s\t%s\t%s", q.ID, rule, alert.LabelText(q.Labels), instant(q.Until), q.By, q.Reason)
	}
}

func unsilenceCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "unsilence ID...",
		Short: "End silences now",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.each(cmd, args, saying(cmd, "silence %s has ended\n", (*ops.Client).EndSilence))
		},
	}
}

func alertTestCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "test CHANNEL",
		Short: "Send a message to a channel now, and tell what it answered",
		Long:  "Sends a message that says it is a test, at once and once, and tells what the channel's server answered. The exit code is 1 where it did not take it.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := ask(g, cmd, func(c *ops.Client, ctx context.Context) (ops.ChannelTest, error) { return c.TestChannel(ctx, args[0]) })
			if err != nil {
				return err
			}
			err = g.print(cmd, t, func(w *tabwriter.Writer) {
				if t.Delivered {
					row(w, "%s: delivered in %s: %s", t.Channel, ops.Seconds(t.Seconds), t.Answer)
					return
				}
				row(w, "%s: not delivered: %s", t.Channel, t.Error.Text)
				if t.Error.Fix != "" {
					row(w, "  fix: %s", t.Error.Fix)
				}
			})
			if err == nil && !t.Delivered {
				err = &exitError{exitFailed, nil}
			}
			return err
		},
	}
}
