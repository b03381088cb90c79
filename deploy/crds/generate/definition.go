package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
)

// definition is a CustomResourceDefinition, as far as we fill one in.
// https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
type definition struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name   string            `yaml:"name"`
		Labels map[string]string `yaml:"labels"`
	} `yaml:"metadata"`
	Spec struct {
		Group    string    `yaml:"group"`
		Names    names     `yaml:"names"`
		Scope    string    `yaml:"scope"`
		Versions []version `yaml:"versions"`
	} `yaml:"spec"`
}

type names struct {
	Kind       string   `yaml:"kind"`
	ListKind   string   `yaml:"listKind"`
	Plural     string   `yaml:"plural"`
	Singular   string   `yaml:"singular"`
	ShortNames []string `yaml:"shortNames,omitempty,flow"`
}

type version struct {
	Name         string         `yaml:"name"`
	Served       bool           `yaml:"served"`
	Storage      bool           `yaml:"storage"`
	Deprecated   bool           `yaml:"deprecated,omitempty"`
	Columns      []column       `yaml:"additionalPrinterColumns,omitempty"`
	Schema       map[string]any `yaml:"schema"`
	Subresources map[string]any `yaml:"subresources"`
}

// column is what kubectl get shows besides the name.
type column struct {
	Name        string `yaml:"name"`
	Type        string `yaml:"type"`
	Description string `yaml:"description,omitempty"`
	JSONPath    string `yaml:"jsonPath"`
	// Priority above 0 shows it with -o wide only.
	Priority int `yaml:"priority,omitempty"`
}

// label marks what this program wrote, so that it can be told from the
// definitions of the product itself.
const label = "postern.dev/definition"

// family returns the definitions of a dialect's kinds in its own groups.
func family(d dialect.Dialect) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Written by deploy/crds/generate: what Postern reads of %s. Fields that it does not know are kept.\n"+
		"# Where the product itself is installed, its own definitions are the better ones.\n", d.Name)
	kinds := slices.Clone(d.Kinds)
	slices.SortFunc(kinds, func(a, b resource.Kind) int { return strings.Compare(a.Group+"/"+a.Plural, b.Group+"/"+b.Plural) })
	for _, k := range kinds {
		if k.Group == "gateway.networking.k8s.io" || k.Group == "postern.dev" { // definitions of their own
			continue
		}
		def, err := define(d.Name, k)
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		enc := yaml.NewEncoder(&out)
		enc.SetIndent(2)
		if err := enc.Encode(def); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

func define(family string, k resource.Kind) (*definition, error) {
	f := facts[k.GroupKind]
	d := &definition{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"}
	d.Metadata.Name = k.Plural + "." + k.Group
	d.Metadata.Labels = map[string]string{label: family}
	d.Spec.Group = k.Group
	d.Spec.Scope = "Namespaced"
	if k.Cluster {
		d.Spec.Scope = "Cluster"
	}
	d.Spec.Names = names{Kind: k.Kind, ListKind: k.Kind + "List", Plural: k.Plural, Singular: strings.ToLower(k.Kind), ShortNames: f.short}
	after := columns[k.Group]
	if f.status != nil {
		after = f.status
	}
	for i, v := range k.Versions {
		s, err := schema(f.fields[v])
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", k.GroupKind, v, err)
		}
		d.Spec.Versions = append(d.Spec.Versions, version{
			Name: v, Served: true, Storage: i == 0, Deprecated: slices.Contains(f.deprecated, v),
			Columns: append(slices.Clone(f.columns), after...),
			Schema:  map[string]any{"openAPIV3Schema": s}, Subresources: map[string]any{"status": map[string]any{}},
		})
	}
	return d, nil
}
