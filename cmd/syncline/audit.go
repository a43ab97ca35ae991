package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
	"syncline/internal/state"
)

func auditCommand(g *globals) *cobra.Command {
	var f state.CallFilter
	limit := 100
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what, when and why, the newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			calls := func(c *ops.Client, ctx context.Context) ([]state.Call, error) { return c.Audit(ctx, f, limit) }
			return show(g, cmd, calls, func(w *tabwriter.Writer, list []state.Call) {
				row(w, "WHEN\tWHO\tFROM\tOPERATION\tWHAT\tSTATUS\tREASON")
				for i := range list {
					c := &list[i]
					row(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s", instant(c.At), c.Who, c.Address, c.Operation, about(c), result(c), c.Reason)
				}
			})
		},
	}
	between(cmd, &f.Since, &f.Until)
	flags := cmd.Flags()
	flags.StringVar(&f.Who, "who", "", "only of the token with this name")
	flags.StringVar(&f.Operation, "operation", "", "only of this operation (cancel-task, start-sync, …)")
	flags.BoolVar(&f.Refused, "refused", false, "only what was refused")
	flags.Var(&most{&limit}, "limit", "how many at most; 0 = all")
	return cmd
}

func about(c *state.Call) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c.Details)) {
		parts = append(parts, name+"="+c.Details[name])
	}
	return strings.Join(parts, " ")
}

func result(c *state.Call) string {
	switch {
	case c.Status == 0:
		return "unknown"
	case c.Code != "":
		return fmt.Sprintf("%d %s", c.Status, c.Code)
	}
	return fmt.Sprint(c.Status)
}
