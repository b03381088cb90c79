package resource

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// lastApplied is kubectl's copy of the whole object, its secrets included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// metadata is an object's metadata; what only concerns the API server is
// declared so that it is no unknown field, and dropped.
type metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	CreationTimestamp timestamp         `json:"creationTimestamp"`
	Generation        int64             `json:"generation"`
	UID               string            `json:"uid"`
	ResourceVersion   string            `json:"resourceVersion"`

	GenerateName               dropped `json:"generateName"`
	SelfLink                   dropped `json:"selfLink"`
	DeletionTimestamp          dropped `json:"deletionTimestamp"`
	DeletionGracePeriodSeconds dropped `json:"deletionGracePeriodSeconds"`
	OwnerReferences            dropped `json:"ownerReferences"`
	Finalizers                 dropped `json:"finalizers"`
	ManagedFields              dropped `json:"managedFields"`
}

// dropped takes any value and keeps nothing of it.
type dropped struct{}

// UnmarshalJSON forgets b.
func (*dropped) UnmarshalJSON([]byte) error { return nil }

type timestamp struct{ time.Time }

// UnmarshalText reads RFC 3339.
func (t *timestamp) UnmarshalText(b []byte) error {
	v, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return fmt.Errorf("want a time such as 2026-01-31T12:00:00Z")
	}
	t.Time = v
	return nil
}

// UnmarshalJSON is there to hide time.Time's own, which words its errors for
// programmers.
func (t *timestamp) UnmarshalJSON(b []byte) error {
	return t.UnmarshalText([]byte(strings.Trim(string(b), `"`)))
}

// metadata fills the object's identity, and reports whether it has one. Without
// one nobody can say which object this is, so the whole file is broken.
func (w *walker) metadata(n *node) bool {
	m := n.get("metadata")
	if m == nil || m.kind != mapNode {
		w.p.broken(n.line, fmt.Sprintf("%s without metadata", w.kind.Kind), "write metadata with a name")
		return false
	}
	m.dropSecrets()
	o := w.obj
	o.Name, o.Namespace = textOf(m.get("name")), w.namespace(m) // for the origins of faults
	var md metadata
	w.value(&path{name: "metadata", line: m.line}, m, reflect.ValueOf(&md).Elem())
	if !w.named(n, m, &md) {
		return false
	}
	o.Labels, o.Annotations = md.Labels, md.Annotations
	o.Created, o.Generation = md.CreationTimestamp.Time, md.Generation
	o.UID, o.ResourceVersion = md.UID, md.ResourceVersion
	return true
}

// namespace returns the object's namespace, or the default one.
func (w *walker) namespace(m *node) string {
	if w.kind.Cluster {
		return ""
	}
	if ns := textOf(m.get("namespace")); ns != "" {
		return ns
	}
	return w.p.d.opts.Namespace
}

// named checks the name and the namespace.
func (w *walker) named(n, m *node, md *metadata) bool {
	o := w.obj
	if err := checkName(md.Name, 253); err != "" {
		o.Name = ""
		w.p.broken(lineIn(m, "name", n.line), fmt.Sprintf("%s: metadata.name: %s", o.Kind, err), "name it in lower-case letters, digits, '-' and '.'")
		return false
	}
	if v := m.get("namespace"); v != nil && v.kind != nullNode {
		if err := checkName(md.Namespace, 63); err != "" || strings.Contains(md.Namespace, ".") {
			w.p.broken(lineIn(m, "namespace", n.line), fmt.Sprintf("%s %s: metadata.namespace is no namespace's name", o.Kind, md.Name), "write lower-case letters, digits and '-'")
			return false
		}
	}
	o.Name = md.Name
	return true
}

var dnsName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// checkName says what is wrong with a name (RFC 1123), or nothing.
func checkName(s string, most int) string {
	switch {
	case s == "":
		return "there is no name"
	case len(s) > most:
		return fmt.Sprintf("it is longer than %d characters", most)
	case !dnsName.MatchString(s):
		return fmt.Sprintf("%q is no name", s)
	}
	return ""
}

func lineIn(n *node, name string, otherwise int) int {
	for _, f := range n.fields {
		if f.name == name {
			return f.line
		}
	}
	return otherwise
}

// dropSecrets removes from metadata what may repeat the object's secrets.
func (n *node) dropSecrets() {
	keep := n.fields[:0]
	for _, f := range n.fields {
		if f.name == "managedFields" {
			continue
		}
		if f.name == "annotations" {
			inner := f.value.fields[:0]
			for _, a := range f.value.fields {
				if a.name != lastApplied {
					inner = append(inner, a)
				}
			}
			f.value.fields = inner
		}
		keep = append(keep, f)
	}
	n.fields = keep
}

// name returns s for a message if it looks like the name of something, as
// kinds, groups, versions and objects are called; else a stand-in.
func name(s string) string {
	if len(s) > 253 || strings.ContainsFunc(s, func(c rune) bool { return c != '.' && c != '/' && !isWord(string(c)) }) {
		return "(unreadable)"
	}
	return s
}
