package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"syncline"
	"syncline/internal/config"
)

func initCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Write a commented starter configuration",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := os.OpenFile(g.config, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, os.ErrExist) {
				return syncline.Errorf(syncline.Rejected, "file_exists", "%s is there already and is left as it is", g.config).
					WithFix("name another file with -c")
			}
			if err != nil {
				return err
			}
			if _, err := f.Write(config.Starter()); err != nil {
				return errors.Join(err, f.Close())
			}
			if err := f.Close(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "wrote %s\nnext: edit it, then `syncline validate` and `syncline run`\n", g.config) //nolint:errcheck // talk
			return nil
		},
	}
}
