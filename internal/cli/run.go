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
	cluster    kubernetesOptions
	statuses   statusOptions
	identity   identityOptions
	meshSide   meshOptions
	bind       string
	ports      []string
	addresses  string
	connectTo  []string
	upstreamCA string
	guard      bool
	allow      []string
	admin      string
	health     string
	accessLog  string
	behind     bool
	deploys    *controllerOptions // nil: what serves
	drain      time.Duration
	drainDelay time.Duration
	bodyBudget int64
}

func newRun(std Streams) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run -f PATH... | --kubeconfig FILE | --in-cluster",
		Short: "Serve a folder of resources, or those of a cluster",
		Long: `Serve the resources in files and folders, or in the Kubernetes API, and follow
their changes.

When it serves, it has printed "postern: ready" on standard error, and /readyz
of the admin listener answers 200. SIGTERM and Ctrl-C drain: no new connections,
requests under way end by themselves or at the drain limit.

${NAME} in a secret is the environment variable of that name. What is broken in
the resources is closed and told of; see postern check. A file that is not YAML
keeps run from starting. A port below 1024 that cannot be bound is shifted by
10000, unless --port names it.

In a cluster a Gateway is served if the controllerName of its GatewayClass is
postern.dev/gateway-controller, of the families of resources the Gateway API
alone is read unless --dialects names others, and --guard-destinations is on.
What the API server held last is served while it is away. What became of each
object is written into its status, of several replicas by one, unless
--read-only is given.`,
		Example: `  postern run -f examples/gloo-gateway-jwt --port 8080=8081
  kubectl kustomize overlays/dev | postern run -f -
  postern run --kubeconfig ~/.kube/config --secret-namespaces ai`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.cluster.check(o.paths); err != nil {
				return err
			}
			if err := o.statuses.check(cmd.Flags(), o.cluster.given(), o.gateway != "" || o.meshSide.addr != ""); err != nil {
				return err
			}
			o.prepare(cmd.Flags())
			return o.run(cmd.Context(), std)
		},
	}
	o.flags(cmd.Flags())
	o.serveFlags(cmd.Flags())
	return cmd
}

func (o *runOptions) serveFlags(f *pflag.FlagSet) {
	o.cluster.flags(f)
	o.statuses.flags(f)
	f.StringVar(&o.bind, "bind", "127.0.0.1", "`ADDR` of every listener that names none; with --in-cluster all addresses unless given")
	f.StringArrayVar(&o.ports, "port", nil, "`LISTENER=BIND`: bind a port elsewhere than asked for, such as 80=8080 or apps/edge:80=127.0.0.2:8080; repeatable")
	f.StringVar(&o.addresses, "gateway-addresses", "", "`CIDR` out of which each Gateway gets an address of its own, which this machine must have")
	f.StringArrayVar(&o.connectTo, "connect-to", nil, "`HOST:PORT=ADDR:PORT`: dial this address in place of that one, TLS name unchanged; repeatable")
	f.BoolVar(&o.guard, "guard-destinations", false, "refuse to dial this machine, its link and metadata services, wherever resources lead; on in a cluster unless given as false")
	f.StringArrayVar(&o.allow, "allow-destination", nil, "`CIDR` that may be dialled in spite of --guard-destinations; repeatable")
	f.StringVar(&o.upstreamCA, "upstream-ca", "", "`FILE` of further roots for upstream TLS, as PEM")
	o.identity.flags(f)
	o.meshSide.flags(f)
	o.adminFlags(f)
	f.StringVar(&o.accessLog, "access-log", "-", "`FILE` of the access log; - is standard output, empty for none")
	f.BoolVar(&o.behind, "behind-service", false, "be reached through a Service: a port below 1024 is bound shifted by 10000 unless --port names it, and with --gateway the addresses of the Gateway are the Service's")
	f.DurationVar(&o.drainDelay, "drain-delay", 0, "`TIME` after the end was asked for in which requests are still taken, /readyz is 503 and clients are asked to leave; --drain counts from then on")
	f.DurationVar(&o.drain, "drain", 30*time.Second, "`TIME` that requests may go on for after the end was asked for")
	f.Int64Var(&o.bodyBudget, "body-budget", 256<<20, "`BYTES` of request bodies held in memory at once, of all requests together")
}

// adminFlags are those of the listeners that are no resource's.
func (o *runOptions) adminFlags(f *pflag.FlagSet) {
	f.StringVar(&o.admin, "admin", "127.0.0.1:9901", "`ADDR` of the admin listener; empty for none")
	f.StringVar(&o.health, "health", "", "`ADDR` of a listener for /livez, /readyz and /metrics alone (default none)")
}

func (o *runOptions) run(ctx context.Context, std Streams) error {
	s, err := o.assemble(ctx, std)
	if err != nil {
		return err
	}
	defer s.close()
	return s.serve(ctx)
}
