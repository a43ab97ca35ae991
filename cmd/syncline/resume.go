package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func resumeCommand(g *globals) *cobra.Command {
	var system string
	var acceptGap bool
	cmd := &cobra.Command{
		Use:   "resume {source|entity|rule|target} NAME... | ROUTE... | --system SYSTEM",
		Short: "Lift a pause, or have a stopped route or system try again now",
		Long: "With a kind and names, lifts pauses (see `syncline pause`); a route goes on once nothing holds it back any more.\n\n" +
			"With routes, has those that have halted, or wait after an error, try again now. They go on where they stood: nothing is left out. With\n" +
			"--system, the system's own capture and every route that writes to it do.\n\n" +
			"--accept-gap is for a source that has halted because changes are missing (a slot that is gone, a restored backup, another server): its log goes\n" +
			"on behind the gap, which is recorded, and all records are read again, so that what was changed or deleted meanwhile arrives, too.\n\n" +
			"The answer comes once what was resumed has worked for a second, or after a few seconds, and tells how it is; the exit code is 1 where something has\n" +
			"stopped again.",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case acceptGap && system == "":
				return usage(errors.New("--accept-gap needs --system SYSTEM"))
			case len(args) > 0 && system != "":
				return usage(errors.New("give routes or --system, not both"))
			case len(args) == 0 && system == "":
				return usage(errors.New("give a route, or --system SYSTEM"))
			case len(args) > 1 && slices.Contains(pausable, args[0]):
				return liftPauses(cmd, g, args[0], args[1:])
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			resume := client.ResumeRoute
			if system != "" {
				resume, args = client.ResumeSystem, []string{system}
			}
			if acceptGap {
				resume = client.AcceptGap
			}
			long := lookLong
			if acceptGap {
				long = lookBehind
			}
			look := func() (list []standing, err error) {
				for _, name := range args {
					some, err := standings(cmd.Context(), client, name, system != "")
					if err != nil {
						return nil, err
					}
					list = append(list, some...)
				}
				return list, nil
			}
			resumeAll := func() error {
				for _, name := range args {
					if err := resume(cmd.Context(), name); err != nil {
						return err
					}
				}
				return nil
			}
			return resumeAndAwait(cmd, g, args, long, look, resumeAll)
		},
	}
	cmd.Flags().StringVar(&system, "system", "", "the source, and the routes to the target, of this name")
	cmd.Flags().BoolVar(&acceptGap, "accept-gap", false, "go on without the changes that the source cannot bring any more, and have every record read again")
	return cmd
}

// resumeAndAwait has all of it try again, and tells what came of that.
func resumeAndAwait(cmd *cobra.Command, g *globals, names []string, long time.Duration, look func() ([]standing, error), resume func() error) error {
	before, err := look()
	if err != nil {
		return err
	}
	if err := resume(); err != nil {
		return err
	}
	list := before
	if slices.ContainsFunc(before, func(s standing) bool { return !s.works() }) {
		if list, err = await(cmd.Context(), long, look); err != nil {
			return err
		}
	}
	for i := range list {
		list[i].tell(cmd.ErrOrStderr())
	}
	if err := g.done(cmd, map[string]any{"resumed": names, "now": list}); err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(s standing) bool { return s.stopped() }) {
		return &exitError{exitFailed, nil}
	}
	return nil
}

func liftPauses(cmd *cobra.Command, g *globals, kind string, names []string) error {
	req, err := pauseRequest(kind, names)
	if err != nil {
		return usage(err)
	}
	client, err := g.client()
	if err != nil {
		return err
	}
	if err := client.Unpause(cmd.Context(), req); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s %s resumed; see `syncline status`\n", kind, strings.Join(names, ", ")) //nolint:errcheck // talk
	return g.done(cmd, map[string][]string{"resumed": names})
}
