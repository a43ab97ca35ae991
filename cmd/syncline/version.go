package main

import (
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// release is set by the linker in released binaries.
var release = ""

func versionCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.print(cmd, map[string]string{"version": version()}, func(w *tabwriter.Writer) { row(w, "%s", version()) })
		},
	}
}

// version is the release, else the commit that the binary was built from, else "dev".
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "dev-" + s.Value[:12]
			}
		}
	}
	return "dev"
}
