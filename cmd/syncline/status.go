package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
)

func statusCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show systems and routes with lag, rate and errors",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			status, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			routes, err := client.Routes(cmd.Context())
			if err != nil {
				return err
			}
			all := struct {
				ops.Status
				RouteList []ops.RouteStatus `json:"route_list"`
			}{status, routes}
			return g.print(cmd, all, func(w *tabwriter.Writer) {
				row(w, "syncline %s, up %s", status.Version, time.Duration(status.UptimeSeconds*float64(time.Second)).Round(time.Second))
				row(w, "")
				printSystems(w, status.Systems)
				row(w, "")
				printRoutes(w, routes)
			})
		},
	}
}

func routesCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "routes",
		Short: "List the routes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			routes, err := client.Routes(cmd.Context())
			if err != nil {
				return err
			}
			return g.print(cmd, routes, func(w *tabwriter.Writer) { printRoutes(w, routes) })
		},
	}
}

func printSystems(w io.Writer, systems []ops.SystemStatus) {
	row(w, "SYSTEM\tTYPE\tSTATE\tCAPTURED\tEVENTS/S\tLOG\tPOSITION")
	for _, s := range systems {
		if s.Log == nil {
			row(w, "%s\t%s\t%s\t\t\t\t", s.Name, s.Type, s.State)
		} else {
			row(w, "%s\t%s\t%s\t%d\t%.0f\t%s\t%s", s.Name, s.Type, s.State, s.Log.Captured, s.Log.Rate, size(s.Log.Bytes), s.Log.Position)
		}
		printFault(w, s.Error)
		printWarnings(w, s.Warnings)
	}
}

func printRoutes(w io.Writer, routes []ops.RouteStatus) {
	row(w, "ROUTE\tFROM\tTO\tSTATE\tLAG\tEVENTS/S\tAPPLIED\tPARKED\tP50\tP99")
	for _, r := range routes {
		row(w, "%s\t%s\t%s\t%s\t%s\t%.0f\t%d\t%d\t%s\t%s", r.ID, r.Source, r.Target, r.State, lag(r), r.Rate, r.Counts.Applied, r.Counts.Parked,
			ops.Seconds(r.LatencyP50), ops.Seconds(r.LatencyP99))
		printFault(w, r.Error)
		printWarnings(w, r.Warnings)
	}
}

func printWarnings(w io.Writer, list []string) {
	for _, warning := range list {
		row(w, "  warning: %s", warning)
	}
}

func printFault(w io.Writer, f *ops.Fault) {
	if f == nil {
		return
	}
	row(w, "  %s", f.Text)
	if f.Fix != "" {
		row(w, "  fix: %s", f.Fix)
	}
}

func lag(r ops.RouteStatus) string {
	if r.LagEvents == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", r.LagEvents, ops.Seconds(r.LagSeconds))
}

func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}
