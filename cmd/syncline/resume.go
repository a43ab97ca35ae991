package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func resumeCommand(g *globals) *cobra.Command {
	var system string
	cmd := &cobra.Command{
		Use:   "resume ROUTE | --system SYSTEM",
		Short: "Have a stopped route or system try again now",
		Long: "Has a route that has halted, or waits after an error, try again now. It goes on where it stood: nothing is left out. With\n" +
			"--system, the system's own capture and every route that writes to it do.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && system == "":
				return usage(errors.New("give a route, or --system SYSTEM"))
			case len(args) == 1 && system != "":
				return usage(errors.New("give a route or --system, not both"))
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			what := system
			if what != "" {
				err = client.ResumeSystem(cmd.Context(), what)
			} else {
				what = args[0]
				err = client.ResumeRoute(cmd.Context(), what)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s works, or tries again now; see `syncline status`\n", what) //nolint:errcheck // talk
			return nil
		},
	}
	cmd.Flags().StringVar(&system, "system", "", "the source, and the routes to the target, of this name")
	return cmd
}
