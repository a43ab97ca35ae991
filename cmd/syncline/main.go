// Command syncline keeps business systems consistent with each other.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/ops"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitConfig      = 3
	exitUnreachable = 4
	exitDiffers     = 5
)

// exitError ends the program with a code; err may be nil where everything was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() {
	// The first signal asks for an orderly end; after it, the next one ends the process as it always does.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it returns the exit code. Data goes to stdout, talk to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	var problem *ops.Problem
	var problems config.Problems
	switch {
	case errors.As(err, &exit):
		if exit.err != nil {
			complain(stderr, exit.err)
		}
		return exit.code
	case errors.As(err, &problems):
		_ = problems.WriteText(stderr, isTerminal(stderr))
		fmt.Fprintf(stderr, "\n%s\n", count(len(problems), "problem")) //nolint:errcheck // talk
		return exitConfig
	case errors.As(err, &problem):
		faults(stderr, problem)
		complain(stderr, err)
		return problem.ExitCode()
	}
	complain(stderr, err)
	if usageError(err) {
		return exitUsage
	}
	return exitFailed
}

// complain prints an error and, where there is one, the way out.
func complain(w io.Writer, err error) {
	w = screen{w}
	fmt.Fprintf(w, "error: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  ")) //nolint:errcheck // there is nobody else to tell
	var e *syncline.Error
	if errors.As(err, &e) && e.Fix != "" {
		fmt.Fprintf(w, "  fix: %s\n", e.Fix) //nolint:errcheck // as above
	}
}

// errUsage marks a call that was wrong in itself.
var errUsage = errors.New("usage")

func usageError(err error) bool { return errors.Is(err, errUsage) }

// usage makes cobra's errors about arguments and flags recognisable.
func usage(err error) error { return fmt.Errorf("%w: %w", errUsage, err) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "syncline",
		Short:         "Keeps business systems consistent with each other",
		Long:          "Syncline captures changes in source systems, keeps them in a durable log and applies them to any number of\ntargets: in order, without loss, within milliseconds.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w (see %s --help)", usage(err), cmd.CommandPath())
	})
	g := &globals{}
	root.PersistentFlags().StringVarP(&g.config, "config", "c", "syncline.yaml", "configuration file or directory")
	g.named = func() bool { return root.PersistentFlags().Changed("config") }
	g.output = formats[0]
	root.PersistentFlags().VarP(&oneOf[string]{&g.output, formats}, "output", "o", "output: "+list(formats))
	root.PersistentFlags().StringVar(&g.server, "server", "", "URL of a running syncline (default $SYNCLINE_SERVER, else where http.listen of the configuration says)")
	root.PersistentFlags().StringVar(&g.token, "token", "", "token for the server; better in $SYNCLINE_TOKEN, where other users of the machine do not see it")
	root.PersistentFlags().StringVar(&g.ca, "ca", "", "file of certificates that the server's may be signed with (default $SYNCLINE_CA)")
	root.PersistentFlags().StringVar(&g.reason, "reason", "", "why; the audit log keeps it")
	root.AddCommand(
		demoCommand(g),
		initCommand(g),
		validateCommand(g),
		planCommand(g),
		applyCommand(g),
		runCommand(g),
		doctorCommand(g),
		statusCommand(g),
		routesCommand(g),
		rulesCommand(g),
		tasksCommand(g), statsCommand(g), conflictsCommand(g),
		healthCommand(g), lagCommand(g), alertsCommand(g),
		syncCommand(g),
		schedulesCommand(g),
		explainCommand(g),
		replayCommand(g),
		verifyCommand(g),
		pauseCommand(g),
		resumeCommand(g),
		tokenCommand(g),
		auditCommand(g),
		versionCommand(g),
		scriptCommand(),
	)
	wrapArgs(root)
	return root
}

// wrapArgs makes wrong arguments and sets of flags of a command and its subcommands usage errors.
func wrapArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil { // cobra would say so later, as an error like any other
				err = cmp.Or(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups())
			}
			if err != nil {
				return fmt.Errorf("%w (see %s --help)", usage(err), cmd.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}
