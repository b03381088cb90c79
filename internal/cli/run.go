package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// runOptions are the flags of run.
type runOptions struct {
	resourceOptions
	bind       string
	ports      []string
	connectTo  []string
	upstreamCA string
	admin      string
	health     string
	accessLog  string
	drain      time.Duration
	bodyBudget int64
}

func newRun(std Streams) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run -f PATH...",
		Short: "Serve a folder of resources",
		Long: `Serve the resources in files and folders, and follow their changes.

When it serves, it has printed "postern: ready" on standard error, and /readyz
of the admin listener answers 200. SIGTERM and Ctrl-C drain: no new connections,
requests under way end by themselves or at the drain limit.

${NAME} in a secret is the environment variable of that name.`,
		Example: `  postern run -f examples/gloo-gateway-jwt --port 8080=8081`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), std) },
	}
	o.flags(cmd.Flags())
	o.serveFlags(cmd.Flags())
	return cmd
}

func (o *runOptions) serveFlags(f *pflag.FlagSet) {
	f.StringVar(&o.bind, "bind", "127.0.0.1", "address of every listener that names none")
	f.StringArrayVar(&o.ports, "port", nil, "LISTENER=BIND: bind a listener's port elsewhere, such as 80=8080; repeatable")
	f.StringArrayVar(&o.connectTo, "connect-to", nil, "HOST:PORT=ADDR:PORT: dial this address in place of that one, TLS name unchanged; repeatable")
	f.StringVar(&o.upstreamCA, "upstream-ca", "", "PEM file of further roots for upstream TLS")
	f.StringVar(&o.admin, "admin", "127.0.0.1:9901", "address of the admin listener; empty for none")
	f.StringVar(&o.health, "health", "", "address of a listener for /livez, /readyz and /metrics alone (default none)")
	f.StringVar(&o.accessLog, "access-log", "-", "file of the access log; - is standard output, empty for none")
	f.DurationVar(&o.drain, "drain", 30*time.Second, "how long requests may go on after the end was asked for")
	f.Int64Var(&o.bodyBudget, "body-budget", 256<<20, "bytes of request bodies held in memory at once")
}

func (o *runOptions) run(ctx context.Context, std Streams) error {
	s, err := o.assemble(ctx, std)
	if err != nil {
		return err
	}
	defer s.close()
	return s.serve(ctx)
}
