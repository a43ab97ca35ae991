package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
)

func pauseCommand(g *globals) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "pause {source|entity|rule|target} NAME... --reason TEXT",
		Short: "Hold back the routes of sources, entities, rules or targets",
		Long: "Holds back every route that reads the source or the entity (SYSTEM/ENTITY), has the rule, or writes to the target, until\n" +
			"`syncline resume KIND NAME`, across restarts too. A route finishes the batch that it has in hand. Logs go on collecting: what comes\n" +
			"meanwhile is applied in order on resume. A route whose group has a paused rule waits as a whole.",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := pauseRequest(args[0], args[1:])
			if err != nil {
				return usage(err)
			}
			if req.Reason = reason; reason == "" {
				return usage(errors.New("give --reason TEXT: it is shown wherever the pause is"))
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			done, err := client.Pause(cmd.Context(), req)
			if err != nil {
				return err
			}
			if len(done.Finishing) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "still finishing a batch: %s\n", strings.Join(done.Finishing, ", ")) //nolint:errcheck // talk
			}
			return g.print(cmd, done.Items, func(w *tabwriter.Writer) { printPauses(w, done.Items) })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is shown wherever the pause is (required)")
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List what is paused",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, (*ops.Client).Pauses, printPauses)
		},
	})
	return cmd
}

func printPauses(w *tabwriter.Writer, list []ops.Pause) {
	row(w, "KIND\tNAME\tSINCE\tBY\tROUTES\tREASON")
	for _, p := range list {
		row(w, "%s\t%s\t%s\t%s\t%s\t%s", p.Kind, p.Name, instant(p.Since), p.By, strings.Join(p.Routes, ","), p.Reason)
	}
}

// pausable are the kinds of things that can be paused.
var pausable = []string{"source", "entity", "rule", "target"}

// pauseRequest names things of one kind.
func pauseRequest(kind string, names []string) (ops.PauseRequest, error) {
	var r ops.PauseRequest
	switch kind {
	case "source":
		r.Sources = names
	case "entity":
		r.Entities = names
	case "rule":
		r.Rules = names
	case "target":
		r.Targets = names
	default:
		return r, fmt.Errorf("%q is not source, entity, rule or target", kind)
	}
	return r, nil
}
