package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/status"
)

// checkOptions are the flags of check.
type checkOptions struct {
	resourceOptions
	output string
	online bool
	// connectTo and upstreamCA are as run's, for online.
	connectTo  []string
	upstreamCA string
}

func newCheck(std Streams) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check -f PATH...",
		Short: "Say every problem of a folder of resources, without serving it",
		Long: `Read, translate and compile resources, and print every problem as

  file:line: Kind namespace/name: field: what is wrong; what to do

Environment variables that are not set get a placeholder. The exit code is 1 if
there is an error, 0 if there are warnings alone.`,
		Example: `  postern check -f policies/
  postern check -f policies/ --exposed deny -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), std) },
	}
	o.flags(cmd.Flags())
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "`FORMAT` of the output: text or json")
	cmd.Flags().BoolVar(&o.online, "online", false, "also fetch what the resources point to: key sets, and credentials for providers")
	cmd.Flags().StringArrayVar(&o.connectTo, "connect-to", nil, "`HOST:PORT=ADDR:PORT`: with --online, dial this address in place of that one; repeatable")
	cmd.Flags().StringVar(&o.upstreamCA, "upstream-ca", "", "`FILE` of further roots for --online, as PEM")
	return cmd
}

// checked is check's result as JSON. Its lists may be empty and are never null.
type checked struct {
	Errors   int              `json:"errors"`
	Warnings int              `json:"warnings"`
	Objects  int              `json:"objects"`
	Problems []status.Problem `json:"problems"`
	Outcomes []status.Outcome `json:"outcomes"`
	// Credentials are those that --online fetched.
	Credentials []credential.Status `json:"credentials,omitempty"`
}

func (o *checkOptions) run(ctx context.Context, std Streams) error {
	if o.output != "text" && o.output != "json" {
		return usageError{fmt.Errorf("-o %q: want text or json", o.output)}
	}
	r, err := o.load(ctx, std, true)
	if err != nil {
		return err
	}
	p, err := o.pipeline(offline(r.store))
	if err != nil {
		return err
	}
	result := p.Apply(r.update)
	defer result.Compiled.Snapshot.Release()
	report := result.Report()
	if r.fatal != nil && report.Errors() == 0 {
		return fmt.Errorf("read resources: %w", r.fatal)
	}
	var fetched []credential.Status
	if o.online {
		look, err := o.newOnline(std, r.store)
		if err != nil {
			return err
		}
		defer look.client.CloseIdleConnections()
		report.Add(look.keySets(ctx, result.Config)...)
		var problems []status.Problem
		fetched, problems = look.credentials(ctx, result.Config)
		report.Add(problems...)
		report.Sort()
	}
	return o.print(std, result.Objects, report, fetched)
}

func (o *checkOptions) print(std Streams, objects int, report status.Report, fetched []credential.Status) error {
	errs, warnings := report.Errors(), report.Warnings()
	if o.output == "json" {
		out := checked{
			Errors: errs, Warnings: warnings, Objects: objects,
			Problems: append([]status.Problem{}, report.Problems...), Outcomes: append([]status.Outcome{}, report.Outcomes...),
			Credentials: fetched,
		}
		if err := printJSON(std.Out, out); err != nil {
			return err
		}
	} else {
		printProblems(std.Out, report.Problems)
		for _, s := range fetched {
			if s.Error == "" {
				fmt.Fprintf(std.Err, "fetched %s: valid until %s\n", s.Name, s.Expires.UTC().Format(time.RFC3339))
			}
		}
		fmt.Fprintf(std.Err, "%s: %s, %s\n", count(objects, "object"), count(errs, "error"), count(warnings, "warning"))
	}
	if errs > 0 {
		return errReported
	}
	return nil
}

// count returns "1 error" or "2 errors".
func count(n int, noun string) string { return fmt.Sprintf("%d %s", n, plural(n, noun)) }

// plural returns "error" or "errors".
func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
