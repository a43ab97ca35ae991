package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"syncline/internal/demo"
)

// demoRate is how many changes a second somebody can follow.
const demoRate = 50

func demoCommand(*globals) *cobra.Command {
	o := demo.Options{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a made-up business being kept in sync, without any server or configuration",
		Long: "Writes to four SQLite databases as a CRM, a shop, a stock system and the books would, and keeps a warehouse, a report, a cache, a\n" +
			"search index and a partner's webhook in sync with them, until Ctrl-C. Then it waits for what is under way, compares\n" +
			"every target with what the rules make of the sources, and tells what it found: exit code 5 if anything differs.\n" +
			"Everything is in one directory and on 127.0.0.1.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.Changes < 0 || o.Rate < 0:
				return usage(fmt.Errorf("--changes and --rate cannot be negative"))
			case o.Headless && o.Changes == 0:
				return usage(fmt.Errorf("--headless needs --changes"))
			case o.Headless && !cmd.Flags().Changed("rate"):
				o.Rate = 0
			}
			o.Version, o.Out, o.Terminal = version(), cmd.OutOrStdout(), terminal(cmd.OutOrStdout())
			res, err := demo.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if !res.Equal() {
				return &exitError{code: exitDiffers}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Dir, "dir", "./syncline-demo", "directory of the demo; it goes on where it ended there")
	cmd.Flags().BoolVar(&o.Headless, "headless", false, "no live status: make --changes as fast as it goes, compare, end")
	cmd.Flags().Int64Var(&o.Changes, "changes", 0, "end after this many changes (0 = at Ctrl-C)")
	cmd.Flags().Float64Var(&o.Rate, "rate", demoRate, "changes per second (0 = as fast as it goes, as with --headless)")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "what happens in a new directory")
	return cmd
}

// terminal describes the writer where it is a terminal; else nil.
func terminal(w any) *demo.Terminal {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	size := func() (columns, lines int) {
		columns, lines, err := term.GetSize(int(f.Fd()))
		if err != nil || columns == 0 || lines == 0 {
			return 80, 24 // it does not say
		}
		return columns, lines
	}
	return &demo.Terminal{Size: size, Color: os.Getenv("NO_COLOR") == ""}
}
