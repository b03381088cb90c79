package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/internal/status"
)

func newTranslate(std Streams) *cobra.Command {
	var o resourceOptions
	cmd := &cobra.Command{
		Use:   "translate -f PATH...",
		Short: "Print the model that resources are turned into",
		Long: `Print, as JSON, the plain model that every family of resources is turned into.
Secrets are named, never shown.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return translate(cmd.Context(), std, &o) },
	}
	o.flags(cmd.Flags())
	return cmd
}

func translate(ctx context.Context, std Streams, o *resourceOptions) error {
	r, err := o.load(ctx, std, true)
	if err != nil {
		return err
	}
	if r.update.Set == nil {
		return fmt.Errorf("read resources: %w", r.fatal)
	}
	p, err := o.pipeline(offline(r.store))
	if err != nil {
		return err
	}
	config, report, _ := p.Translate(r.update.Set)
	if err := printJSON(std.Out, config); err != nil {
		return err
	}
	report.Join(status.Report{Problems: r.update.Problems})
	report.Sort()
	printProblems(std.Err, report.Problems)
	if report.Errors() > 0 {
		return errReported
	}
	return nil
}
