// Package gloo is the dialect of Gloo Gateway: VirtualService and its
// RouteTables, the Upstreams, and the option resources that attach to them and
// to Gateway API's Gateways and HTTPRoutes. It owns what those resources mean;
// the Gateway API itself, the auth-config spec (glooauth) and the template of
// transformations (glootemplate) belong to others.
//
//	VirtualService ──routes, RouteTables──► VirtualHost      ┐
//	   its options ──one slot per field───► Attachments      │
//	Gateway, or the implied one ──────────► Listeners        ├─► Fragment
//	Upstream (static, kube, ai) ──────────► ir.Upstream      │
//	*Option, by targetRefs or reference ──► Attachments      ┘
//	AuthConfig, where extauth refers to it: a step of the option that does
//
// Options merge as the product merges them: per top-level field, shallowly,
// the first that sets a field keeps it. So each field is a slot of its own,
// named "gloo/" and the field. A field that guards something and that we do
// not have closes its routes; one that does not is reported.
//
// Sources: the CRDs and protos of solo-io/gloo, and docs.solo.io/gloo-gateway.
package gloo

import (
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/glooauth"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// The dialect's name, as slots and upstreams carry it.
const name = "gloo"

// New returns the dialect.
func New() dialect.Dialect {
	return dialect.Dialect{Name: name, Kinds: kinds(), Roots: roots, Translate: translate, Status: objectStatus}
}

// rooted are the kinds each of whose objects is translated by itself. A
// RouteTable's routes are translated where VirtualServices delegate to it; it
// is a root for its outcome.
var rooted = []resource.GroupKind{
	virtualServiceKind, routeTableKind, gatewayKind, upstreamKind, upstreamGroupKind,
	virtualHostOptionKind, routeOptionKind, listenerOptionKind, httpListenerOptionKind,
	authConfigKind, rateLimitConfigKind, settingsKind, matchableHTTPGatewayKind, matchableTCPGatewayKind,
}

// roots lists the objects of every rooted kind, and the implied gateway where
// VirtualServices have none.
func roots(v *resource.View) []resource.Key {
	var keys []resource.Key
	for _, gk := range rooted {
		keys = append(keys, v.Keys(gk)...)
	}
	if len(v.Keys(gatewayKind)) == 0 && len(v.Keys(virtualServiceKind)) > 0 {
		keys = append(keys, impliedGateway)
	}
	return keys
}

// translation is the work on one root.
type translation struct {
	v      *resource.View
	f      *dialect.Fragment
	report status.Report
	// auth are the AuthConfigs that were translated so far.
	auth map[resource.Key]glooauth.Result
	// above are the settings that a route stands below, narrowest first.
	above [][]setting
}

// translate turns one root into its fragment.
func translate(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
	t := &translation{v: v, f: &dialect.Fragment{}}
	if root == impliedGateway && len(v.All(gatewayKind)) == 0 {
		t.impliedListeners()
		return t.f, t.report
	}
	o := v.Get(root.GroupKind, root.Namespace, root.Name)
	if o == nil {
		return t.f, t.report
	}
	switch spec := o.Spec.(type) {
	case *virtualService:
		t.virtualService(o, &spec.Spec)
	case *routeTable: // nothing of its own
	case *gateway:
		t.gateway(o, &spec.Spec)
	case *upstream:
		t.upstream(o, &spec.Spec)
	case *upstreamGroup:
		t.upstreamGroup(o, &spec.Spec)
	case *virtualHostOption:
		t.virtualHostOption(o, &spec.Spec)
	case *routeOption:
		t.routeOption(o, &spec.Spec)
	case *listenerOption:
		t.listenerOption(o, &spec.Spec)
	case *httpListenerOption:
		t.httpListenerOption(o, &spec.Spec)
	case *authConfig:
		t.authConfig(o, &spec.Spec)
	case *settings:
		t.settings(o)
	case *notBuilt:
		t.notBuilt(o)
	}
	reading.Accept(o, &t.report, "Rejected")
	return t.f, t.report
}

// notBuilt reports an object of a kind that is known and has no effect yet.
// What refers to it is closed where the reference is.
func (t *translation) notBuilt(o *resource.Object) {
	t.report.Add(status.Warningf(o.Origin(""), "%s is not supported yet and has no effect", o.Kind).
		Fix("remove it; routes that need it are closed"))
}
