package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
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
				for _, warning := range status.Warnings {
					row(w, "  warning: %s", warning)
				}
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
			return show(g, cmd, (*ops.Client).Routes, func(w *tabwriter.Writer, routes []ops.RouteStatus) { printRoutes(w, routes) })
		},
	}
}

func printSystems(w io.Writer, systems []ops.SystemStatus) {
	t := newNoted("SYSTEM\tTYPE\tSTATE\tCAPTURED\tEVENTS/S\tLOG\tHELD\tPOSITION")
	for _, s := range systems {
		line := fmt.Sprintf("%s\t%s\t%s\t\t\t\t\t", s.Name, s.Type, s.State)
		if s.Log != nil {
			position := s.Log.Position
			if s.Log.Last == 0 { // nothing was captured yet
				position = "-"
			}
			line = fmt.Sprintf("%s\t%s\t%s\t%d\t%.0f\t%s\t%s\t%s", s.Name, s.Type, s.State, s.Log.Captured, s.Log.Rate, size(s.Log.Bytes), held(s.Risk), position)
		}
		t.row(line, slices.Concat(notes(s.Error, s.Warnings), riskNotes(s.Risk), gapNotes(s.Gap)))
	}
	t.print(w)
}

// held is what the source's system keeps for it.
func held(r *ops.SourceRisk) string {
	if r == nil {
		return "-"
	}
	return size(r.HeldBytes)
}

// riskNotes say what is wrong with a slot.
func riskNotes(r *ops.SourceRisk) []string {
	if r == nil || !r.AtRisk {
		return nil
	}
	note := fmt.Sprintf("slot %s is %s", r.Slot, r.SlotState)
	if r.Reason != "" {
		note += " (" + r.Reason + ")"
	}
	if r.SafeBytes != nil {
		note += fmt.Sprintf(": the server removes what it holds after %s more", size(max(*r.SafeBytes, 0)))
	}
	return []string{"warning: " + note}
}

// gapNotes say what is missing, and what becomes of it.
func gapNotes(g *ops.DeclaredGap) []string {
	if g == nil {
		return nil
	}
	what := fmt.Sprintf("changes from %s to %s are missing", g.From, cmp.Or(g.To, "where the stream begins again"))
	if g.ToSeq > 0 {
		what = fmt.Sprintf("entries %d to %d of the log are missing", g.FromSeq, g.ToSeq)
	} else if g.From == "" {
		what = "a part of the log is missing"
	}
	note := fmt.Sprintf("gap: %s (%s, by %s, since %s)", what, g.Reason, g.By, instant(g.Since))
	switch {
	case g.Status == "filling":
		note += "; the records are being read again"
	case g.Next != nil:
		note += "; goes on at " + instant(*g.Next)
	}
	list := []string{note}
	if g.Error != "" {
		list = append(list, fmt.Sprintf("try %d: %s", g.Attempts, g.Error))
	}
	return list
}

func printRoutes(w io.Writer, routes []ops.RouteStatus) {
	t := newNoted("ROUTE\tFROM\tTO\tSTATE\tLAG\tEVENTS/S\tAPPLIED\tPARKED\tP50\tP99")
	for _, r := range routes {
		t.row(fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%.0f\t%d\t%d\t%s\t%s", r.ID, r.Source, r.Target, r.State, lag(r), r.Rate, r.Counts.Applied,
			r.Counts.Parked, ops.Seconds(r.LatencyP50), ops.Seconds(r.LatencyP99)), routeNotes(&r))
	}
	t.print(w)
}

// routeNotes say why a route does not work, and since when.
func routeNotes(r *ops.RouteStatus) (list []string) {
	for _, p := range r.Pauses {
		list = append(list, fmt.Sprintf("paused: %s %s since %s by %s: %s", p.Kind, p.Name, instant(p.Since), p.By, p.Reason))
	}
	list = slices.Concat(list, notes(r.Error, r.Warnings), gapNotes(r.Gap))
	switch {
	case r.State == ops.RouteRunning || r.State == ops.RouteStarting || r.Error == nil:
	case r.NextTry != nil:
		list = append(list, fmt.Sprintf("since %s; tried again at %s", instant(r.Since), instant(*r.NextTry)))
	default:
		list = append(list, "since "+instant(r.Since))
	}
	return slices.Concat(list, verifiedNotes(r.Verified))
}

// verifiedNotes tell what comparing the rules' targets has come to.
func verifiedNotes(list []ops.Verified) (notes []string) {
	for _, v := range list {
		switch {
		case v.LatelySeconds > 0:
			note := fmt.Sprintf("verified: %s: %s of %s records in the last %s, %d different", v.Rule, percent(v.Share), thousands(v.Records),
				time.Duration(v.LatelySeconds*float64(time.Second)).Round(time.Minute), v.Differences)
			if v.Unsettled > 0 {
				note += fmt.Sprintf(", of %s it could not be told", thousands(v.Unsettled))
			}
			notes = append(notes, note)
		case v.At != nil && v.Differences > 0:
			notes = append(notes, fmt.Sprintf("warning: %s: %d of %s records differ since %s: `syncline verify show %s`", v.Rule, v.Differences, thousands(v.Records),
				instant(*v.At), v.Verification))
		}
	}
	return notes
}

// thousands writes a number so that it can be read.
func thousands(n int64) string {
	if n >= 1_000_000 {
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	}
	return fmt.Sprint(n)
}

func notes(f *ops.Fault, warnings []string) (notes []string) {
	if f != nil {
		notes = append(notes, f.Text)
		if f.Fix != "" {
			notes = append(notes, "fix: "+oneLine(f.Fix))
		}
	}
	for _, warning := range warnings {
		notes = append(notes, "warning: "+warning)
	}
	return notes
}

// noted is a table whose rows can have notes below them. A tabwriter ends its columns at a line that does not have them; here they go on.
type noted struct {
	rows  []string
	notes [][]string
}

func newNoted(head string) *noted { return &noted{rows: []string{head}, notes: [][]string{nil}} }

func (t *noted) row(cells string, notes []string) {
	t.rows, t.notes = append(t.rows, cells), append(t.notes, notes)
}

func (t *noted) print(w io.Writer) {
	var aligned strings.Builder
	columns := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	for _, r := range t.rows {
		cells(columns, strings.Split(r, "\t"))
	}
	_ = columns.Flush() // a Builder takes everything
	i := 0
	for line := range strings.Lines(aligned.String()) {
		row(w, "%s", strings.TrimRight(line, " \n"))
		for _, note := range t.notes[i] {
			row(w, "  %s", note)
		}
		i++
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
