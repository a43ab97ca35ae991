package main

import (
	"github.com/spf13/cobra"

	"syncline/internal/daemon"
)

// scriptCommand is the process that runs the script of a rule. syncline starts it, nobody else has a use for it.
func scriptCommand() *cobra.Command {
	return &cobra.Command{
		Use:    daemon.ScriptCommand,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return daemon.ScriptWorker() },
	}
}
