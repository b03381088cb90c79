// Package builtin is the list of everything that is compiled into Postern: the
// first page to open. A dialect, a source or a provider is one line here.
package builtin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/envoyai"
	"github.com/postern-gateway/postern/internal/dialect/gatewayapi"
	"github.com/postern-gateway/postern/internal/dialect/gloo"
	"github.com/postern-gateway/postern/internal/dialect/gloomesh"
	"github.com/postern-gateway/postern/internal/dialect/istio"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/source/file"
	"github.com/postern-gateway/postern/internal/source/kube"
)

// Options are what the dialects are told of the gateway. The zero Options are
// a gateway that is every workload that a resource selects.
type Options struct {
	// Workload that the gateway is, for selectors; nil: every one.
	Workload *Workload
	// Mesh makes the gateway the side of Workload in a mesh.
	Mesh *Mesh
}

// Workload is a namespace, a name and labels.
type Workload = istio.Workload

// Mesh is what the workload's side of a mesh is told.
type Mesh = istio.Mesh

// Dialects returns every configuration API family that is understood.
func Dialects(o Options) []dialect.Dialect {
	return []dialect.Dialect{
		gatewayapi.New(),
		gloo.New(),
		gloomesh.New(gloomesh.Options{Workload: meshWorkload(o.Workload)}),
		envoyai.New(),
		istio.New(istio.Options{Workload: o.Workload, Mesh: o.Mesh}),
	}
}

// meshWorkload is the workload in Gloo Mesh's terms.
func meshWorkload(w *Workload) *gloomesh.Workload {
	if w == nil {
		return nil
	}
	return &gloomesh.Workload{Namespace: w.Namespace, Name: w.Name, Labels: w.Labels}
}

// Names returns what the dialects are called.
func Names() []string {
	var out []string
	for _, d := range Dialects(Options{}) {
		out = append(out, d.Name)
	}
	return out
}

// MeshNames returns what the dialects are called that have rules for the
// workload's side of a mesh.
func MeshNames() []string { return []string{istio.New(istio.Options{}).Name} }

// Select returns the dialects with the given names; no names mean all of them,
// and on the workload's side of a mesh those of MeshNames.
func Select(names []string, o Options) ([]dialect.Dialect, error) {
	all := Dialects(o)
	if o.Mesh != nil && len(names) == 0 {
		names = MeshNames()
	}
	if len(names) == 0 {
		return all, nil
	}
	var out []dialect.Dialect
	for _, d := range all {
		if slices.Contains(names, d.Name) {
			out = append(out, d)
		}
	}
	for _, n := range names {
		if known := Names(); !slices.Contains(known, n) {
			return nil, fmt.Errorf("--dialects: %q is not known: have %s", n, strings.Join(known, ", "))
		}
	}
	return out, nil
}

// Kinds returns the kinds that the dialects read, the core kinds included.
func Kinds(dialects []dialect.Dialect) []resource.Kind {
	kinds := append(resource.CoreKinds(), parent.Grants())
	for _, d := range dialects {
		for _, k := range d.Kinds {
			if !slices.ContainsFunc(kinds, func(o resource.Kind) bool { return o.GroupKind == k.GroupKind }) {
				kinds = append(kinds, k)
			}
		}
	}
	return kinds
}

// ClusterNames returns what the dialects are called that are read in a cluster
// unless others are named.
func ClusterNames() []string { return []string{gatewayapi.Name} }

// Loader is a source that can be read once without being followed.
type Loader interface {
	source.Source
	Load(ctx context.Context) (source.Update, error)
}

// FileConfig is what a file source reads.
type FileConfig struct {
	Paths    []string
	Stdin    io.Reader
	Dialects []dialect.Dialect
	Store    *secret.Store
	Env      func(string) (string, bool)
	// Placeholders stand in for variables that are not set, which is
	// otherwise an error.
	Placeholders bool
	// NoSecrets leaves the bytes of every Secret unread: the workload's side
	// of a mesh holds nobody's keys.
	NoSecrets bool
}

// Files returns the source of resources in files and folders.
func Files(c FileConfig) Loader {
	kinds := kindsOf(c.Dialects, c.NoSecrets)
	opts := resource.Options{Env: c.Env}
	if c.Placeholders {
		opts.EnvMode = resource.EnvPlaceholder
	}
	return file.New(file.Config{
		Paths: c.Paths, Stdin: c.Stdin, Kinds: kinds, Store: c.Store,
		Decoder: resource.NewDecoder(kinds, opts),
	})
}

// kindsOf returns the kinds that are read; without secrets, no Secret's bytes
// are kept.
func kindsOf(dialects []dialect.Dialect, noSecrets bool) []resource.Kind {
	kinds := Kinds(dialects)
	if noSecrets {
		i := slices.IndexFunc(kinds, func(k resource.Kind) bool { return k.GroupKind == resource.SecretKind })
		kinds[i].KeepSecrets = func(*resource.Object) bool { return false }
	}
	return kinds
}

// Cluster is a source that is elsewhere, and may be out of reach.
type Cluster interface {
	source.Source
	// Check returns why what is delivered may not be what is there, or nil.
	Check() error
	// Decode decodes an object as those are that are there, one that is not
	// read to nothing.
	Decode(json []byte) resource.Result
	// Look returns the Secrets of keys that are there and may be read, without
	// their bytes.
	Look(ctx context.Context, keys []resource.Key) []*resource.Object
}

// KubernetesConfig is what a Kubernetes source reads.
type KubernetesConfig struct {
	// Kubeconfig is a file that leads to the API server; with InCluster it is
	// that of the pod that we run in.
	Kubeconfig string
	InCluster  bool
	// Exec lets the kubeconfig start a program.
	Exec bool
	// Namespaces to watch; none, or "*", means all of them. SecretNamespaces are
	// those whose Secrets are read; none means no Secrets.
	Namespaces, SecretNamespaces []string
	// Referred says that of every namespace's Secrets those are read that
	// resources refer to, and that no list of all is asked for.
	Referred bool
	// ForeignSecrets lets resources use the Secrets of other namespaces without
	// a ReferenceGrant.
	ForeignSecrets bool

	Dialects  []dialect.Dialect
	Store     *secret.Store
	Log       *slog.Logger
	NoSecrets bool // as FileConfig's
}

// AllNamespaces as a namespace means every one.
const AllNamespaces = kube.AllNamespaces

// HomeNamespace returns the namespace that is one's own in a cluster: that of
// the pod that we run in, or the kubeconfig's.
func HomeNamespace(kubeconfig string, inCluster bool) (string, error) {
	if inCluster {
		return kube.PodNamespace()
	}
	return kube.FileNamespace(kubeconfig)
}

// Kubernetes returns the source of resources in a Kubernetes API server.
func Kubernetes(c KubernetesConfig) (Cluster, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	kinds := kindsOf(c.Dialects, c.NoSecrets)
	return kube.New(kube.Config{
		Client: client, Kinds: kinds, Store: c.Store, Log: c.Log,
		Decoder:    resource.NewDecoder(kinds, resource.Options{EnvMode: resource.EnvRefuse}),
		Namespaces: c.Namespaces, SecretNamespaces: c.SecretNamespaces, Referred: c.Referred, ForeignSecrets: c.ForeignSecrets,
	})
}
