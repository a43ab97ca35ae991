package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
)

func syncCommand(g *globals) *cobra.Command {
	var req ops.SyncRequest
	cmd := &cobra.Command{
		Use:   "sync SYSTEM/ENTITY",
		Short: "Read records from the source again, beside the live changes",
		Long: "Reads all records of an entity (or those of --key) from the source again and applies them through the normal path. A\n" +
			"route that needs a sync begins anew with it, as does one that has lost its place and is named by --route. After any other\n" +
			"halt a route goes on where it stood: see `syncline resume`.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ok bool
			if req.Source, req.Entity, ok = strings.Cut(args[0], "/"); !ok {
				return usage(fmt.Errorf("%q is not SYSTEM/ENTITY", args[0]))
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			id, err := client.StartSync(cmd.Context(), req)
			if err != nil {
				return err
			}
			return g.print(cmd, map[string]string{"id": id}, func(w *tabwriter.Writer) { row(w, "%s", id) })
		},
	}
	cmd.Flags().StringSliceVar(&req.Routes, "route", nil, "only for these routes")
	cmd.Flags().StringArrayVar(&req.Keys, "key", nil, "only this record, its key's parts joined by commas; may be repeated")
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the latest syncs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			list, err := client.Syncs(cmd.Context())
			if err != nil {
				return err
			}
			return g.print(cmd, list, func(w *tabwriter.Writer) {
				row(w, "SYNC\tKIND\tOF\tSTATUS\tCHUNKS\tROWS\tERROR")
				for _, s := range list {
					row(w, "%s\t%s\t%s/%s\t%s\t%d\t%d\t%s", s.ID, s.Kind, s.Source, s.Entity, s.Status, s.Chunks, s.Rows, s.Error)
				}
			})
		},
	})
	return cmd
}
