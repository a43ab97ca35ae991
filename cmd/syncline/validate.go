package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"syncline/internal/config"
)

func validateCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Find everything that is wrong with the configuration",
		Long:  "Finds everything that can be known to be wrong without connecting to anything. Exit code 3 if there is any.\nThe tests of the rules are run too: exit code 1 where one fails. To try the connections too: `syncline run --check`.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, problems := config.Load(g.config, nil)
			if g.output != "table" {
				var list bytes.Buffer
				if err := problems.WriteJSON(&list); err != nil {
					return err
				}
				if err := g.print(cmd, json.RawMessage(list.Bytes()), nil); err != nil {
					return err
				}
				if len(problems) > 0 {
					return &exitError{code: exitConfig}
				}
				return g.testRules(cmd, c, nil)
			}
			if err := problems.Err(); err != nil {
				return err
			}
			if err := g.testRules(cmd, c, nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is valid: %s, %s\n", g.config, count(len(c.Systems), "system"), count(len(c.Rules), "rule")) //nolint:errcheck // talk
			return nil
		},
	}
}

// count says how many there are of something.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
