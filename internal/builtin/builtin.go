// Package builtin is the list of everything that is compiled into Postern: the
// first page to open. A dialect, a source or a provider is one line here.
package builtin

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/envoyai"
	"github.com/postern-gateway/postern/internal/dialect/gatewayapi"
	"github.com/postern-gateway/postern/internal/dialect/gloo"
	"github.com/postern-gateway/postern/internal/dialect/gloomesh"
	"github.com/postern-gateway/postern/internal/dialect/istio"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/source/file"
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
		gloomesh.New(),
		envoyai.New(),
		istio.New(istio.Options{Workload: o.Workload, Mesh: o.Mesh}),
	}
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
	kinds := resource.CoreKinds()
	for _, d := range dialects {
		for _, k := range d.Kinds {
			if !slices.ContainsFunc(kinds, func(o resource.Kind) bool { return o.GroupKind == k.GroupKind }) {
				kinds = append(kinds, k)
			}
		}
	}
	return kinds
}

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
	kinds := Kinds(c.Dialects)
	if c.NoSecrets {
		i := slices.IndexFunc(kinds, func(k resource.Kind) bool { return k.GroupKind == resource.SecretKind })
		kinds[i].KeepSecrets = func(*resource.Object) bool { return false }
	}
	opts := resource.Options{Env: c.Env}
	if c.Placeholders {
		opts.EnvMode = resource.EnvPlaceholder
	}
	return file.New(file.Config{
		Paths: c.Paths, Stdin: c.Stdin, Kinds: kinds, Store: c.Store,
		Decoder: resource.NewDecoder(kinds, opts),
	})
}
