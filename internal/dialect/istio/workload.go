package istio

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/resource"
)

// Workload is what selectors select: a pod's namespace and labels.
type Workload struct {
	Namespace, Name string
	Labels          map[string]string
	// root is the namespace with what is meant for the whole mesh.
	root string
}

// String returns "namespace/name" where there is a name, else the labels.
func (w *Workload) String() string {
	if w.Name != "" {
		return w.Namespace + "/" + w.Name
	}
	return w.Namespace + "/{" + labelText(w.Labels) + "}"
}

// labelText returns labels in a fixed order.
func labelText(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}

// has reports whether w has all labels of a selector.
func (w *Workload) has(labels map[string]string) bool {
	for k, v := range labels {
		if got, ok := w.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// inScope reports whether what is written in a namespace can concern w at all.
func (w *Workload) inScope(namespace string) bool {
	return namespace == w.Namespace || namespace == cmp.Or(w.root, istioauth.RootNamespace)
}

// visible reports whether an object is exported to w's namespace.
func (w *Workload) visible(o *resource.Object, exportTo []string) bool {
	return exported(exportTo, o.Namespace, w.Namespace)
}

// exported reports whether exportTo of an object in one namespace names
// another. Nothing written exports to all; "~" to none.
func exported(exportTo []string, from, to string) bool {
	return len(exportTo) == 0 || slices.ContainsFunc(exportTo, func(e string) bool {
		return e == "*" || e == to || e == "." && from == to
	})
}

// workloadOf returns the workload that a Gateway runs on, or nil where the
// gateway is another one.
func (t *translation) workloadOf(o *resource.Object) *Workload {
	labels := o.Spec.(*gateway).Spec.Selector
	if w := t.opts.Workload; w != nil {
		if t.opts.Mesh != nil || !w.has(labels) {
			return nil
		}
		return t.rooted(*w)
	}
	return t.rooted(Workload{Namespace: o.Namespace, Labels: labels})
}

// rooted returns a workload of the mesh.
func (t *translation) rooted(w Workload) *Workload {
	w.root = t.root()
	return &w
}

// root returns the namespace with what is meant for the whole mesh.
func (t *translation) root() string {
	mesh, _ := t.mesh()
	return mesh.RootNamespace
}

// workloads returns every workload that the gateway is, each once, in a fixed
// order.
func (t *translation) workloads() []*Workload {
	if t.opts.Workload != nil {
		return []*Workload{t.rooted(*t.opts.Workload)}
	}
	var out []*Workload
	for _, o := range t.v.All(gatewayKind) {
		w := t.workloadOf(o)
		if !slices.ContainsFunc(out, w.same) {
			out = append(out, w)
		}
	}
	return out
}

// same reports whether two workloads are one.
func (w *Workload) same(o *Workload) bool {
	return w.Namespace == o.Namespace && w.Name == o.Name && maps.Equal(w.Labels, o.Labels)
}

// older orders Gateways as pilot does: by age, then name, then namespace.
func older(a, b *resource.Object) int {
	return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Name, b.Name), strings.Compare(a.Namespace, b.Namespace))
}
