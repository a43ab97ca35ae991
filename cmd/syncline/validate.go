package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"syncline/internal/config"
)

func validateCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Find everything that is wrong with the configuration",
		Long:  "Finds everything that can be known to be wrong without connecting to anything. Exit code 3 if there is any.\nTo try the connections too: `syncline run --check`.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, problems := config.Load(g.config, nil)
			if g.output == "json" {
				if err := problems.WriteJSON(cmd.OutOrStdout()); err != nil {
					return err
				}
				if len(problems) > 0 {
					return &exitError{code: exitConfig}
				}
				return nil
			}
			if err := problems.Err(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is valid: %d systems, %d rules\n", g.config, len(c.Systems), len(c.Rules)) //nolint:errcheck // talk
			return nil
		},
	}
}
