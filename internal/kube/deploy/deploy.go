// Package deploy makes what the Gateways of a cluster run on, and keeps it: for
// each Gateway of our classes a ServiceAccount, a Deployment, a Service, a
// NetworkPolicy, a PodDisruptionBudget and a HorizontalPodAutoscaler, and
// bindings by which its pods may read.
//
//	resource.Set ─► plan ─► desired objects ─┐
//	ir.Config ────► which Secrets are needed ─┴─ apply ─► API server
//	                                               ▲         │ watch
//	                                 live objects ─┴─────────┘
//	                                      └─► Report: addresses, or why there are none
//
// Everything is written by server-side apply under a field manager of its own,
// so that what others add to an object stays; what somebody changes or deletes
// comes back. Objects in a Gateway's namespace are owned by it and go with it.
// An object of the same name that is not ours is never touched.
//
// Who serves is told by the pods' arguments alone; this package sees neither a
// request nor a secret.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Manager is the name under which fields are owned.
const Manager = "postern-controller"

// gather is how long a change waits for others.
const gather = 50 * time.Millisecond

// Waits between tries of what the API server refused.
const (
	retryLeast = 500 * time.Millisecond
	retryMost  = 30 * time.Second
)

// Config is what a Deployer makes, and with what.
type Config struct {
	// Client leads to the API server.
	Client *rest.Config
	// Image that the pods run.
	Image string
	// Args are further arguments of the pods' `postern run`.
	Args []string
	// Namespaces that are watched; none, or "*", means every one.
	Namespaces []string
	// SecretNamespaces are those whose Secrets the pods may read, "*" every one;
	// none means no Secret at all.
	SecretNamespaces []string
	// Roles is the beginning of the names of three ClusterRoles that are there
	// already: -read-cluster, -read and -read-secrets.
	Roles string
	// NetworkPolicies says that the pods are guarded by one each, unless a
	// Gateway's parameters say otherwise; Home is the namespace that may then
	// read their metrics.
	NetworkPolicies bool
	Home            string
	// Changed hears whenever Report may say something else.
	Changed func()
	Log     *slog.Logger
}

// Deployer makes and keeps what Gateways run on. Run may be called once.
type Deployer struct {
	cfg    Config
	client dynamic.Interface
	live   *live
	nudged chan struct{}

	passing sync.Mutex

	mu     sync.Mutex
	set    *resource.Set
	config *ir.Config
	lead   context.Context   // of who may write; nil: we may not
	states map[string]*state // by Gateway, "namespace/name"

	// Of the goroutine of Run.
	planner planner
	secrets secretNeeds
	applied map[objectKey]memo
}

// state is what became of one Gateway's objects.
type state struct {
	uid       string
	fault     string // why something could not be made
	addresses []status.Address
	missing   outcome // why it is not programmed; empty: it is
}

// outcome is the reason and the message of a condition that is not met.
type outcome struct{ reason, message string }

// New returns a Deployer. It connects to nothing yet.
func New(cfg Config) (*Deployer, error) {
	if cfg.Image == "" {
		return nil, errors.New("the image of the data planes is not named")
	}
	own := rest.CopyConfig(cfg.Client)
	own.UserAgent, own.QPS, own.Burst = Manager, 50, 100
	own.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("api server: %w", err)
	}
	d := &Deployer{
		cfg: cfg, client: client, nudged: make(chan struct{}, 1),
		states: map[string]*state{}, applied: map[objectKey]memo{},
	}
	d.planner.cfg = &d.cfg
	d.live = newLive(client, &d.cfg, d.nudge)
	return d, nil
}

// Update takes note of the resources, and of what they were made into.
func (d *Deployer) Update(set *resource.Set, config *ir.Config) {
	d.mu.Lock()
	d.set, d.config = set, config
	d.mu.Unlock()
	d.nudge()
}

// Lead lets objects be written until ctx ends, and returns when none is any
// more: only one Deployer of a cluster may write. All of them follow what
// there is.
func (d *Deployer) Lead(ctx context.Context) {
	d.setLead(ctx)
	<-ctx.Done()
	d.endLead()
	d.passing.Lock() // what is under way
	defer d.passing.Unlock()
}

func (d *Deployer) setLead(ctx context.Context) {
	d.mu.Lock()
	d.lead = ctx
	d.mu.Unlock()
	d.nudge()
}

func (d *Deployer) endLead() {
	d.mu.Lock()
	d.lead = nil
	d.mu.Unlock()
	d.nudge()
}

// Run makes and keeps until ctx ends.
func (d *Deployer) Run(ctx context.Context) {
	// The reflectors would log by themselves, each request anew.
	ctx, stop := context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	var work sync.WaitGroup
	d.live.start(ctx, &work)
	defer work.Wait()
	defer stop()
	if !d.live.wait(ctx) {
		return
	}
	wait := retryLeast
	for {
		var again <-chan time.Time
		if d.pass() {
			wait = retryLeast
		} else {
			again = time.After(wait)
			wait = min(2*wait, retryMost)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-d.nudged:
		}
		select { // what is applied together becomes one pass
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
	}
}

func (d *Deployer) nudge() {
	select {
	case d.nudged <- struct{}{}:
	default:
	}
}

// pass brings everything in line once, and reports whether all of it is.
func (d *Deployer) pass() bool {
	d.passing.Lock()
	defer d.passing.Unlock()
	d.mu.Lock()
	set, config, lead := d.set, d.config, d.lead
	d.mu.Unlock()
	if set == nil {
		return true
	}
	plans := d.planner.plan(set)
	d.secrets.look(config)
	errs := map[string]error{}
	good := true
	if lead != nil && lead.Err() == nil {
		good = d.write(lead, set, plans, errs) || lead.Err() != nil
	}
	d.tell(plans, errs, lead != nil)
	return good
}

// Report returns where each Gateway of a set is reached, and which cannot be
// yet: one that was not looked at is at no address.
func (d *Deployer) Report(set *resource.Set) status.Report {
	var out status.Report
	if set == nil {
		return out
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	v := resource.NewView(set)
	for _, o := range v.All(parent.GatewayKind) {
		if !parent.Ours(v, o) {
			continue
		}
		name := o.Namespace + "/" + o.Name
		s := d.states[name]
		if s == nil || s.uid != o.UID {
			s = &state{missing: outcome{"AddressNotAssigned", "nothing was made for it yet"}}
		}
		if s.fault != "" {
			out.Add(status.Errorf(o.Origin(""), "what it runs on is not as it should be: %s", s.fault).Fix("see to it that the controller may write there"))
		}
		if len(s.addresses) > 0 {
			out.Join(status.Report{Addresses: map[string][]status.Address{name: s.addresses}})
		}
		if s.missing != (outcome{}) {
			out.Outcome(status.Outcome{Object: o.Status(), Condition: "Programmed", Reason: s.missing.reason, Message: s.missing.message})
		}
	}
	return out
}
