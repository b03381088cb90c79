// Package cli is the command line: one file for each subcommand. Results go to
// standard output, talk to standard error. Exit codes: 0 good, 1 the resources
// are wrong or a check failed, 2 usage.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Streams is what a command reads, writes and finds in its environment.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Env looks a variable up, as os.LookupEnv.
	Env func(string) (string, bool)
}

// The exit codes.
const (
	exitGood  = 0
	exitWrong = 1
	exitUsage = 2
)

// errReported ends a command whose problems have been printed already.
var errReported = errors.New("reported")

// usageError is a fault of the command line.
type usageError struct{ error }

// Main runs the command line args and returns the exit code. It ends when ctx
// does.
func Main(ctx context.Context, args []string, std Streams) int {
	root := newRoot(std)
	root.SetArgs(args)
	root.SetIn(std.In)
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitGood
	case errors.Is(err, errReported):
		return exitWrong
	case errors.As(err, &usage):
		fmt.Fprintf(std.Err, "postern: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(std.Err, "postern: %v\n", err)
		return exitWrong
	}
}

func newRoot(std Streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "postern",
		Short:         "The guarded door between your callers and your LLM providers",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; see postern --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(
		newRun(std), newController(std), newCheck(std), newExplain(std), newTest(std), newTranslate(std), newDemo(std),
		newSimulate(std), newToken(std), newVersion(std),
	)
	for _, c := range root.Commands() {
		if c.Args == nil {
			c.Args = noArgs
		}
	}
	return root
}

// noArgs refuses arguments that are no flags.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.Flags().Lookup("file") != nil:
		return usageError{fmt.Errorf("argument %q: name files and folders with -f", args[0])}
	}
	return usageError{fmt.Errorf("argument %q: %s takes none; see %[2]s --help", args[0], cmd.CommandPath())}
}
