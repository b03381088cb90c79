package cli

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/secret"
)

// kubernetesOptions are the flags that make the Kubernetes API the source.
type kubernetesOptions struct {
	kubeconfig       string
	inCluster        bool
	exec             bool
	namespaces       []string
	secretNamespaces []string
	foreign          bool
	webhook          webhookOptions
}

func (o *kubernetesOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "read the resources of the cluster that this `FILE` leads to, in place of -f")
	f.BoolVar(&o.inCluster, "in-cluster", false, "read the resources of the cluster that this pod is in, in place of -f")
	f.BoolVar(&o.exec, "kubeconfig-exec", false, "let a kubeconfig start the program that its user names")
	f.StringSliceVar(&o.namespaces, "namespaces", nil, "`NAMESPACES` of the cluster to watch, separated by commas (default all)")
	f.StringSliceVar(&o.secretNamespaces, "secret-namespaces", nil, "`NAMESPACES` of the cluster whose Secrets are read; '*' is all (default those of --namespaces or the kubeconfig's own, with --in-cluster the pod's, and with --gateway the Gateway's; with --kubeconfig and --gateway-addresses wherever resources refer to them)")
	f.BoolVar(&o.foreign, "cross-namespace-credentials", false, "let resources of the cluster use Secrets of other namespaces without a ReferenceGrant")
	o.webhook.flags(f)
}

// secretScope returns the namespaces whose Secrets are read: by default those
// of the one who runs us, since all of them would be a cluster's every secret.
// whole says that we serve every Gateway of a cluster, each at an address of
// its own: by the rights of the one who runs us, their certificates are read
// wherever resources refer to them, and no list of a cluster's Secrets is asked
// for, as referred says.
func (o *kubernetesOptions) secretScope(gateway string, whole bool) (scope []string, referred bool, err error) {
	if len(o.secretNamespaces) > 0 {
		return o.secretNamespaces, false, nil
	}
	var out []string
	if !o.inCluster {
		out = slices.DeleteFunc(slices.Clone(o.namespaces), func(n string) bool { return n == builtin.AllNamespaces })
	}
	if len(out) == 0 && whole && !o.inCluster && gateway == "" {
		return []string{builtin.AllNamespaces}, true, nil
	}
	if len(out) == 0 {
		own, err := builtin.HomeNamespace(o.kubeconfig, o.inCluster)
		if err != nil {
			return nil, false, err
		}
		out = []string{own}
	}
	if namespace, _, _ := strings.Cut(gateway, "/"); namespace != "" && !slices.Contains(out, namespace) {
		out = append(out, namespace)
	}
	return out, false, nil
}

// given reports whether a cluster is the source.
func (o *kubernetesOptions) given() bool { return o.kubeconfig != "" || o.inCluster }

// check returns what is wrong with the flags, paths being those of -f.
func (o *kubernetesOptions) check(paths []string) error {
	switch {
	case o.kubeconfig != "" && o.inCluster:
		return usageError{errors.New("--kubeconfig and --in-cluster: name one of the two")}
	case o.given() && len(paths) > 0:
		return usageError{errors.New("-f and a cluster: resources come from one of the two")}
	case !o.given() && (o.exec || o.foreign || len(o.namespaces)+len(o.secretNamespaces) > 0):
		return usageError{errors.New("--namespaces, --secret-namespaces, --cross-namespace-credentials and --kubeconfig-exec need --kubeconfig or --in-cluster")}
	}
	return o.webhook.check(o.given())
}

// prepare puts in what holds in a cluster unless a flag says otherwise: people
// write its resources whom this machine does not belong to, and its pods are
// reached from outside.
func (o *runOptions) prepare(f *pflag.FlagSet) {
	if !o.cluster.given() {
		return
	}
	if !f.Changed("guard-destinations") {
		o.guard = true
	}
	if !f.Changed("dialects") && !f.Changed("mesh") {
		o.dialects = builtin.ClusterNames()
	}
	if !f.Changed("bind") && o.cluster.inCluster {
		o.bind = everyAddress()
	}
}

// everyAddress returns the wildcard of IPv6, which takes IPv4 too, or where
// there is no IPv6 that of IPv4.
func everyAddress() string {
	ln, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		return "0.0.0.0"
	}
	_ = ln.Close()
	return "::"
}

// understanding returns the flags by which another process understands the
// resources of a cluster as this one does; which namespaces, apart.
func (o *runOptions) understanding() []string {
	out := []string{"--dialects=" + strings.Join(o.dialects, ","), "--exposed=" + o.exposed}
	if o.cluster.foreign {
		out = append(out, "--cross-namespace-credentials")
	}
	return out
}

// openCluster returns the resources of a cluster, of which nothing is read yet.
func (o *runOptions) openCluster(log *slog.Logger) (*read, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	dialects, err := o.selected()
	if err != nil {
		return nil, err
	}
	scope, referred, err := o.cluster.secretScope(o.gateway, o.addresses != "")
	if err != nil {
		return nil, err
	}
	r := &read{store: secret.NewStore()}
	c := builtin.KubernetesConfig{
		Kubeconfig: o.cluster.kubeconfig, InCluster: o.cluster.inCluster, Exec: o.cluster.exec,
		Namespaces: o.cluster.namespaces, SecretNamespaces: scope, Referred: referred, ForeignSecrets: o.cluster.foreign,
		Dialects: dialects, Store: r.store, Log: log, NoSecrets: o.mesh != nil,
	}
	if r.cluster, err = builtin.Kubernetes(c); err != nil {
		return nil, err
	}
	r.source = r.cluster
	// Who serves a share alone does not know what became of the whole: others tell.
	if o.mesh != nil || o.gateway != "" {
		return r, nil
	}
	if r.duties, err = o.statuses.newDuties(c); err != nil {
		return nil, err
	}
	switch {
	case o.deploys != nil:
		err = o.deploys.begin(r.duties, c, o.understanding()...)
	case o.addresses != "":
		err = r.duties.keepAccounts()
	}
	return r, err
}
