package cli

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/internal/builtin"
)

// controllerOptions are the flags of controller alone.
type controllerOptions struct {
	image string
	roles string
	args  []string
	guard bool // NetworkPolicies are made
	// refresh has the report made anew; set before anything runs.
	refresh func()
}

func newController(std Streams) *cobra.Command {
	o := runOptions{deploys: &controllerOptions{}, bind: "127.0.0.1"}
	cmd := &cobra.Command{
		Use:   "controller --image IMAGE (--kubeconfig FILE | --in-cluster)",
		Short: "Make data planes for the Gateways of a cluster, and write statuses",
		Long: `Make and keep, for each Gateway of a cluster whose GatewayClass has the
controllerName postern.dev/gateway-controller, a ServiceAccount, a Deployment, a
Service, a NetworkPolicy, a PodDisruptionBudget and a HorizontalPodAutoscaler. The pods run
postern run --in-cluster --gateway NAMESPACE/NAME, and write nothing to the API
server; this program translates the resources of all Gateways, serves none, and
writes the statuses. Of several replicas one alone writes.

Replicas, resources and the type of the Service are said by a PosternProxy, which
parametersRef of the class or of the Gateway names. Labels and annotations of
the Gateway's infrastructure are put on everything, on pods too, which are
replaced when these change. Names and labels are those that the Gateway API
recommends. What is changed or deleted by others comes back; a Gateway that is
given another class, or deleted, takes it all with it.

The pods may read what the ClusterRoles ROLES-read-cluster and ROLES-read grant,
and Secrets (ROLES-read-secrets) in their own namespace and where their Gateway's
configuration leads, as far as --secret-namespaces names it.`,
		Example: "  postern controller --in-cluster --image ghcr.io/postern-gateway/postern:1.0 --secret-namespaces ai,apps",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !o.cluster.given():
				return usageError{errors.New("name a cluster with --kubeconfig or --in-cluster")}
			case o.deploys.image == "":
				return usageError{errors.New("--image: name the image that the data planes run")}
			case o.statuses.readOnly:
				return usageError{errors.New("--read-only: nothing would be made")}
			}
			if err := o.cluster.check(nil); err != nil {
				return err
			}
			o.prepare(cmd.Flags())
			return o.run(cmd.Context(), std)
		},
	}
	f := cmd.Flags()
	o.familyFlags(f)
	o.cluster.flags(f)
	o.statuses.flags(f)
	o.adminFlags(f)
	o.deploys.flags(f)
	return cmd
}

func (o *controllerOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.image, "image", "", "`IMAGE` that the data planes run")
	f.StringVar(&o.roles, "roles", "postern", "`NAME` that the ClusterRoles begin with which the data planes get: NAME-read-cluster, NAME-read and NAME-read-secrets")
	f.BoolVar(&o.guard, "network-policies", true, "make a NetworkPolicy for each data plane: callers reach the listeners alone, and the controller's namespace the metrics")
	f.StringArrayVar(&o.args, "data-plane-arg", nil, "further `ARGUMENT` of the data planes' postern run, such as --access-log=; repeatable")
}

// begin adds what makes data planes to the duties of a process. args are those
// by which the data planes understand the resources as it does.
func (o *controllerOptions) begin(d *duties, k builtin.KubernetesConfig, args ...string) error {
	var err error
	d.deployer, err = builtin.NewDeployer(k, builtin.DeployConfig{
		Image: o.image, Roles: o.roles, Args: append(args, o.args...), NetworkPolicies: o.guard, Home: d.home, Changed: func() { o.refresh() },
	})
	return err
}
