package istio

import (
	"maps"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// apiGatewayKind is the Gateway API's Gateway, which is another dialect's to
// serve; Istio's policies hold for it all the same.
var apiGatewayKind = resource.GroupKind{Group: "gateway.networking.k8s.io", Kind: "Gateway"}

// gatewayNameLabel is on the workload of a Gateway API's Gateway.
const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name"

// apiWorkload is the workload that a Gateway API's Gateway runs on: it has the
// Gateway's labels, and its name in one of them.
func (t *translation) apiWorkload(o *resource.Object) istioauth.Workload {
	w := istioauth.Workload{Namespace: o.Namespace, Labels: map[string]string{}, Gateway: o.Name}
	maps.Copy(w.Labels, o.Labels)
	if own := t.opts.Workload; own != nil && own.Namespace == o.Namespace && own.Labels[gatewayNameLabel] == o.Name {
		maps.Copy(w.Labels, own.Labels)
	}
	w.Labels[gatewayNameLabel] = o.Name
	return w
}

// protectAPIGateway attaches to a Gateway API's Gateway what its workload has
// to ask of every request.
func (t *translation) protectAPIGateway(o *resource.Object) {
	mesh, _ := t.mesh()
	w := t.apiWorkload(o)
	env := t.authEnv(mesh, t.rooted(Workload{Namespace: w.Namespace, Labels: w.Labels}))
	result := istioauth.Translate(t.v, env, w)
	if len(result.Steps) == 0 {
		return
	}
	attach := func(a dialect.Attachment) {
		a.Target, a.Owner, a.Age, a.Origin = dialect.TargetOf(o.Key), o.Key, o.Created, o.Origin("")
		t.f.Attachments = append(t.f.Attachments, &a)
	}
	attach(dialect.Attachment{Slot: name + "/security", Steps: result.Steps})
	if mesh.PathNormalization != ir.PathStrict {
		attach(dialect.Attachment{Slot: name + "/paths", Listener: &ir.HTTPSettings{PathNormalization: mesh.PathNormalization}})
	}
}

// holdsForAPIGateway reports whether a policy is for a Gateway API's Gateway.
func (t *translation) holdsForAPIGateway(o *resource.Object, mesh *istioauth.Mesh) bool {
	for _, g := range t.v.All(apiGatewayKind) {
		if (g.Namespace == o.Namespace || o.Namespace == mesh.RootNamespace) && istioauth.Applies(o, t.apiWorkload(g)) {
			return true
		}
	}
	return false
}
