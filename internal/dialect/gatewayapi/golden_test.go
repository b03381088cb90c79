package gatewayapi

import (
	"cmp"
	"flag"
	"fmt"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/dialecttest"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

func suite() *dialecttest.Suite {
	return &dialecttest.Suite{Dialects: []dialect.Dialect{New(), neighbour()}, Kinds: knownKinds(), Least: 40, Update: *update}
}

func TestGolden(t *testing.T) { suite().Golden(t) }

// knownKinds are the dialect's, the core ones, and two of another dialect.
func knownKinds() []resource.Kind {
	type empty struct{}
	other := func(kind, plural string) resource.Kind {
		return resource.Kind{
			GroupKind: resource.GroupKind{Group: "example.com", Kind: kind}, Versions: []string{"v1"}, Plural: plural,
			New: func() any { return new(empty) }, Open: []string{""},
		}
	}
	kinds := append(resource.CoreKinds(), New().Kinds...)
	return append(kinds, other("Upstream", "upstreams"), other("Policy", "policies"))
}

// neighbour stands for another dialect: its Upstreams are upstreams, and its
// Policies can be referred to, or target the HTTPRoute that an annotation names.
func neighbour() dialect.Dialect {
	return dialect.Dialect{
		Name: "neighbour",
		Roots: func(v *resource.View) (out []resource.Key) {
			for _, k := range []string{"Upstream", "Policy"} {
				for _, o := range v.All(resource.GroupKind{Group: "example.com", Kind: k}) {
					out = append(out, o.Key)
				}
			}
			return out
		},
		Translate: func(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
			f := &dialect.Fragment{Referable: []dialect.Target{dialect.TargetOf(root)}}
			if root.Kind == "Upstream" {
				name := fmt.Sprintf("%v/%s/%s", root.GroupKind, root.Namespace, root.Name)
				f.Upstreams = []*ir.Upstream{{Name: name, Endpoints: []ir.Endpoint{{Host: "elsewhere", Port: 1}}}}
			}
			if root.Kind == "Policy" {
				o := v.Get(root.GroupKind, root.Namespace, root.Name)
				f.Attachments = []*dialect.Attachment{{
					Target: dialect.TargetOf(root), Slot: "example/limit", Owner: root, Origin: o.Origin(""),
					Steps: []ir.Step{{Phase: ir.PhaseLimit, Slot: "example/limit", BodyLimit: &ir.BodyLimit{Bytes: 1}}},
				}}
				if o.Annotations["target"] != "" {
					a := f.Attachments[0]
					a.Slot = "example/" + cmp.Or(o.Annotations["slot"], "limit")
					a.Steps[0].Slot, a.Steps[0].Origin = a.Slot, o.Origin("")
					if name := o.Annotations["target"]; name != "itself" {
						a.Target = dialect.TargetOf(resource.Key{GroupKind: parent.HTTPRouteKind, Namespace: root.Namespace, Name: name})
					}
				}
			}
			return f, status.Report{}
		},
	}
}
