package cli

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// otherwiseNamespace is where the Lease is, for who runs in no pod.
const otherwiseNamespace = "postern-system"

// statusOptions are the flags that say who writes statuses to the API server.
type statusOptions struct {
	readOnly  bool
	elect     bool
	namespace string
}

func (o *statusOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.readOnly, "read-only", false, "write nothing to the API server: no statuses, no lease; so it is with --gateway and --mesh")
	f.BoolVar(&o.elect, "leader-elect", true, "of several replicas let one alone write to the API server")
	f.StringVar(&o.namespace, "leader-election-namespace", "", "`NAMESPACE` of the lease by which that one is elected (default the pod's own, else "+otherwiseNamespace+")")
}

// check returns what is wrong with the flags; cluster tells whether the
// resources are in one, and share whether only some of them are served.
func (o *statusOptions) check(f *pflag.FlagSet, cluster, share bool) error {
	if cluster && share && f.Changed("read-only") && !o.readOnly {
		return usageError{errors.New("--read-only=false: who serves one Gateway, or one workload, writes nothing; let postern controller, or a run without --gateway, write statuses")}
	}
	if cluster {
		return nil
	}
	for _, name := range []string{"read-only", "leader-elect", "leader-election-namespace"} {
		if f.Changed(name) {
			return usageError{errors.New("--" + name + " needs --kubeconfig or --in-cluster")}
		}
	}
	return nil
}

// home returns the namespace that we run in.
func (o *statusOptions) home() string {
	own, _ := builtin.HomeNamespace("", true) // who runs in no pod has none
	return cmp.Or(o.namespace, own, otherwiseNamespace)
}

// duties are what is done beside serving, in a cluster: by the leader alone,
// if one is elected.
type duties struct {
	statuses builtin.Statuses
	events   builtin.Events
	alerts   func() (*resource.Set, []status.Problem) // set before begin
	deployer builtin.Deployer                         // nil: nothing is made for Gateways
	accounts builtin.Statuses                         // nil: none are kept
	cluster  builtin.KubernetesConfig
	elect    bool
	home     string
}

// newDuties returns the duties of a process that reads a cluster; nil: none.
func (o *statusOptions) newDuties(c builtin.KubernetesConfig) (*duties, error) {
	if o.readOnly {
		return nil, nil
	}
	d := &duties{cluster: c, elect: o.elect, home: o.home()}
	var err error
	if d.statuses, err = builtin.NewStatuses(c, d.home); err != nil {
		return nil, err
	}
	d.events, err = builtin.NewEvents(c, func() (*resource.Set, []status.Problem) { return d.alerts() })
	return d, err
}

// offer hears of what is served.
func (d *duties) offer(a *gateway.Applied) {
	if d == nil {
		return
	}
	d.statuses.Offer(a.Set, a.Ledger, a.News)
	if d.accounts != nil {
		d.accounts.Offer(a.Set, a.Ledger, a.News)
	}
	if d.deployer != nil {
		d.deployer.Update(a.Set, a.Config)
	}
}

// keepAccounts adds the accounts of Gateways to the duties, for who serves
// each at an address of its own.
func (d *duties) keepAccounts() error {
	if d == nil {
		return nil
	}
	var err error
	d.accounts, err = builtin.NewAccounts(d.cluster)
	return err
}

// run does all of the duties until ctx ends.
func (d *duties) run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { d.statuses.Run(ctx) })
	work.Go(func() { d.events.Run(ctx) })
	if d.accounts != nil {
		work.Go(func() { d.accounts.Run(ctx) })
	}
	if d.deployer != nil {
		work.Go(func() { d.deployer.Lead(ctx) })
	}
	work.Wait()
}

// begin does the duties until ctx ends, with what g finds. wait returns when
// they have ended.
func (d *duties) begin(ctx context.Context, g *gateway.Gateway) (wait func()) {
	var work sync.WaitGroup
	if d != nil {
		d.alerts = g.Alerts
		work.Go(func() {
			if !d.elect {
				d.run(ctx)
			} else if err := builtin.Lead(ctx, d.cluster, d.home, d.run); err != nil {
				d.cluster.Log.Error("nothing is written to the API server", "error", err)
			}
		})
		if d.deployer != nil {
			work.Go(func() { d.deployer.Run(ctx) })
		}
	}
	return work.Wait
}

// made returns what is known of what the Gateways of a set run on.
func (d *duties) made(set *resource.Set) status.Report {
	if d == nil || d.deployer == nil {
		return status.Report{}
	}
	return d.deployer.Report(set)
}
