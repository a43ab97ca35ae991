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
	cmd := &cobra.Command{
		Use:   "resume {source|entity|rule|target} NAME... | ROUTE... | --system SYSTEM",
		Short: "Lift a pause, or have a stopped route or system try again now",
		Long: "With a kind and names, lifts pauses (see `syncline pause`); a route goes on once nothing holds it back any more.\n\n" +
			"With routes, has those that have halted, or wait after an error, try again now. They go on where they stood: nothing is left out. With\n" +
			"--system, the system's own capture and every route that writes to it do.",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
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
