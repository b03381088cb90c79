package istioauth

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

const (
	// RootNamespace is Istio's default.
	RootNamespace = "istio-system"
	meshName      = "istio"
	meshKey       = "mesh"
)

// Mesh is what of a MeshConfig concerns authorization. NewMesh has the
// defaults.
type Mesh struct {
	// RootNamespace has the policies that are for every namespace.
	RootNamespace string
	// TrustDomain is the mesh's own, the Aliases those that it had.
	TrustDomain        string
	TrustDomainAliases []string
	// PathNormalization is what ir.HTTPSettings of the listeners should say.
	PathNormalization ir.PathNormalization
	Providers         []ExtensionProvider
	// Closed is set where the configuration could not be read: nobody knows
	// then which policies are for whom.
	Closed *ir.Closed
}

// NewMesh returns the configuration of a mesh that has none.
func NewMesh() Mesh { return Mesh{RootNamespace: RootNamespace, TrustDomain: clusterLocal} }

// ReadMesh reads the ConfigMap istio of a namespace; empty: istio-system.
// Without one the mesh has the defaults. Problems are those of the fields that
// are read; the other fields of a MeshConfig concern other programs.
func ReadMesh(v *resource.View, namespace string) (Mesh, []status.Problem) {
	m := NewMesh()
	if namespace != "" {
		m.RootNamespace = namespace
	}
	o, s := resource.Spec[resource.ConfigMap](v, resource.ConfigMapKind, m.RootNamespace, meshName)
	if s == nil || s.Data[meshKey] == "" {
		return m, nil
	}
	r := &meshReader{reading.Place{Object: o, At: "data." + meshKey, Report: &status.Report{}}, &m}
	r.read(s.Data[meshKey])
	return m, r.Report.Problems
}

// meshReader is the work on one MeshConfig.
type meshReader struct {
	reading.Place
	m *Mesh
}

// meshConfig is the part of istio.mesh.v1alpha1.MeshConfig that is read.
type meshConfig struct {
	RootNamespace      string   `yaml:"rootNamespace"`
	TrustDomain        string   `yaml:"trustDomain"`
	TrustDomainAliases []string `yaml:"trustDomainAliases"`
	PathNormalization  struct {
		Normalization string `yaml:"normalization"`
	} `yaml:"pathNormalization"`
	ExtensionProviders []extensionProvider `yaml:"extensionProviders"`
}

func (r *meshReader) read(text string) {
	var c meshConfig
	if err := decodeMesh(text, &c); err != nil {
		r.Fail("", "correct the text", "the mesh's configuration cannot be read (%v); what its policies are for is closed", err)
		r.m.Closed = &ir.Closed{Reason: "the mesh's configuration cannot be read", Origin: r.Origin("")}
		return
	}
	if c.RootNamespace != "" {
		r.m.RootNamespace = c.RootNamespace
	}
	if c.TrustDomain != "" {
		r.m.TrustDomain = c.TrustDomain
	}
	r.m.TrustDomainAliases = c.TrustDomainAliases
	r.m.PathNormalization = r.normalization(c.PathNormalization.Normalization)
	for i := range c.ExtensionProviders {
		r.provider(fmt.Sprintf("extensionProviders[%d]", i), &c.ExtensionProviders[i])
	}
}

// maxMeshBytes bounds what is read; a ConfigMap holds 1 MiB.
const maxMeshBytes = 1 << 20

// decodeMesh reads one YAML document. An error quotes none of it.
func decodeMesh(text string, into *meshConfig) (err error) {
	defer func() {
		if recover() != nil { // the parser's own panics, on hostile input
			err = errors.New("not YAML")
		}
	}()
	if len(text) > maxMeshBytes {
		return fmt.Errorf("more than %d bytes", maxMeshBytes)
	}
	var types *yaml.TypeError
	switch err := yaml.Unmarshal([]byte(text), into); {
	case errors.As(err, &types):
		line, _, _ := strings.Cut(types.Errors[0], ":")
		return errors.New("a value of another type than its field has, at " + line + " of it")
	case err != nil:
		return errors.New("not YAML")
	}
	return nil
}

// normalization reads how paths are normalized. What is unknown is the
// strictest that there is: the gateway's own way.
func (r *meshReader) normalization(name string) ir.PathNormalization {
	switch name {
	case "", "DEFAULT":
		return ir.PathStrict
	case "NONE":
		return ir.PathNone
	case "BASE":
		return ir.PathBase
	case "MERGE_SLASHES":
		return ir.PathMergeSlashes
	case "DECODE_AND_MERGE_SLASHES":
		return ir.PathDecodeSlashes
	}
	r.Fail("pathNormalization.normalization", "write NONE, BASE, MERGE_SLASHES or DECODE_AND_MERGE_SLASHES", "%q is no way to normalize a path", name)
	return ir.PathStrict
}

func warning(o ir.Origin, what, remedy string) status.Problem {
	return status.Warningf(o, "%s", what).Fix("%s", remedy)
}

// provider returns the extension provider of a name, or nil.
func (m *Mesh) provider(name string) *ExtensionProvider {
	for i := range m.Providers {
		if m.Providers[i].Name == name {
			return &m.Providers[i]
		}
	}
	return nil
}

// suggest is the remedy for a provider that is not there.
func (m *Mesh) suggest(name string) string {
	names := make([]string, len(m.Providers))
	for i, p := range m.Providers {
		names[i] = p.Name
	}
	if s := dialect.Suggest(name, names); s != "" {
		return s
	}
	return "add it to extensionProviders in the ConfigMap " + m.RootNamespace + "/" + meshName
}
