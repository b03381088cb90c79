package gloomesh

import (
	"path"

	"github.com/postern-gateway/postern/internal/resource"
)

// workspaceOf returns the name of the workspace that a namespace belongs to;
// "": none, or there are no workspaces. Of several the first by name counts.
func (t *translation) workspaceOf(namespace string) string {
	for _, o := range t.v.All(workspaceKind) {
		for _, c := range o.Spec.(*workspace).Spec.WorkloadClusters {
			for _, n := range c.Namespaces {
				if ok, err := path.Match(n.Name, namespace); err == nil && ok {
					return o.Name
				}
			}
		}
	}
	return ""
}

// together reports whether what stands in one namespace reaches another. A
// namespace without a workspace belongs to all: a policy must not lose its
// routes because it was applied beside them.
func (t *translation) together(a, b string) bool {
	if a == b {
		return true
	}
	wa, wb := t.workspaceOf(a), t.workspaceOf(b)
	return wa == "" || wb == "" || wa == wb
}

// picks reports whether a selector fits an object that owner may reach.
func (t *translation) picks(s *selector, o *resource.Object, owner string) bool {
	if s == nil {
		return t.together(owner, o.Namespace)
	}
	switch {
	case s.Name != "" && s.Name != o.Name, s.Namespace != "" && s.Namespace != o.Namespace:
		return false
	case s.Workspace != "" && !t.inWorkspace(o.Namespace, s.Workspace):
		return false
	}
	return labelled(o.Labels, s.Labels) && t.together(owner, o.Namespace)
}

// inWorkspace reports whether a namespace belongs to a workspace; without
// workspaces, one spans all.
func (t *translation) inWorkspace(namespace, want string) bool {
	w := t.workspaceOf(namespace)
	return w == "" || w == want
}

// labelled reports whether labels has all that want has.
func labelled(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
