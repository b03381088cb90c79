package main

import (
	"bytes"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/resource"
)

// resources are the plurals of a group's kinds, as roles name them.
type resources struct {
	Namespaced []string `yaml:"namespaced,omitempty"`
	Cluster    []string `yaml:"cluster,omitempty"`
}

// rules returns what each family reads by API group, and under "core" what is
// read for all of them. Secrets are not there: who reads them is told by name.
func rules() ([]byte, error) {
	all := map[string]map[string]*resources{"core": grouped(resource.CoreKinds())}
	for _, d := range builtin.Dialects(builtin.Options{}) {
		all[d.Name] = grouped(d.Kinds)
	}
	var out bytes.Buffer
	out.WriteString("# Written by deploy/crds/generate: the kinds that each family of resources reads, by API group.\n")
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	err := enc.Encode(all)
	return out.Bytes(), err
}

func grouped(kinds []resource.Kind) map[string]*resources {
	out := map[string]*resources{}
	for _, k := range kinds {
		if k.GroupKind == resource.SecretKind {
			continue
		}
		r := out[k.Group]
		if r == nil {
			r = &resources{}
			out[k.Group] = r
		}
		if k.Cluster {
			r.Cluster = append(r.Cluster, k.Plural)
		} else {
			r.Namespaced = append(r.Namespaced, k.Plural)
		}
	}
	for _, r := range out {
		slices.Sort(r.Namespaced)
		slices.Sort(r.Cluster)
	}
	return out
}
