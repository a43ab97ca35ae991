package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func resumeCommand(g *globals) *cobra.Command {
	var system string
	var acceptGap bool
	cmd := &cobra.Command{
		Use:   "resume {source|entity|rule|target} NAME... | ROUTE... | --system SYSTEM",
		Short: "Lift a pause, or have a stopped route or system try again now",
		Long: "With a kind and names, lifts pauses (see `syncline pause`); a route goes on once nothing holds it back any more.\n\n" +
			"With routes, has those that have halted, or wait after an error, try again now. They go on where they stood: nothing is left out. With\n" +
			"--system, the system's own capture and every route that writes to it do.\n\n" +
			"--accept-gap is for a source that has halted because changes are missing (a slot that is gone, a restored backup, another server): its log goes\n" +
			"on behind the gap, which is recorded, and all records are read again, so that what was changed or deleted meanwhile arrives, too.",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case acceptGap && system == "":
				return usage(errors.New("--accept-gap needs --system SYSTEM"))
			case len(args) > 0 && system != "":
				return usage(errors.New("give routes or --system, not both"))
			case len(args) == 0 && system == "":
				return usage(errors.New("give a route, or --system SYSTEM"))
			case len(args) > 1 && slices.Contains(pausable, args[0]):
				return liftPauses(cmd, g, args[0], args[1:])
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			resume := client.ResumeRoute
			if system != "" {
				resume, args = client.ResumeSystem, []string{system}
			}
			if acceptGap {
				resume = client.AcceptGap
			}
			for _, what := range args {
				if err := resume(cmd.Context(), what); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s works, or tries again now; see `syncline status`\n", what) //nolint:errcheck // talk
			}
			return g.done(cmd, map[string][]string{"resumed": args})
		},
	}
	cmd.Flags().StringVar(&system, "system", "", "the source, and the routes to the target, of this name")
	cmd.Flags().BoolVar(&acceptGap, "accept-gap", false, "go on without the changes that the source cannot bring any more, and have every record read again")
	return cmd
}

func liftPauses(cmd *cobra.Command, g *globals, kind string, names []string) error {
	req, err := pauseRequest(kind, names)
	if err != nil {
		return usage(err)
	}
	client, err := g.client()
	if err != nil {
		return err
	}
	if err := client.Unpause(cmd.Context(), req); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s %s resumed; see `syncline status`\n", kind, strings.Join(names, ", ")) //nolint:errcheck // talk
	return g.done(cmd, map[string][]string{"resumed": names})
}
