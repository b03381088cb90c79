// Package gloomesh is the dialect of Gloo Mesh (Gloo Platform): VirtualGateway
// and RouteTable, the places that routes lead to, and the policies that select
// routes by label. It owns what those resources mean at one gateway of one
// cluster; what concerns the workloads of a mesh is reported and left alone.
//
//	VirtualGateway ────────────────────► Listeners    ┐
//	RouteTable, tables it delegates to ► VirtualHosts ├─► Fragment
//	ExternalService, VirtualDestination► ir.Upstream  │
//	policies, by labels of routes ─────► Attachments  ┘
//
// A policy selects routes by labels, so it reads the RouteTables: it attaches
// itself to each route that it finds. A change of a policy, or of a Secret that
// it reads, repeats that policy alone; a change of a RouteTable repeats the
// table, those that delegate to it, and the policies, each of which walks over
// the routes' labels once. Clusters are read as one: wherever a resource names
// a cluster, ours is meant.
//
// Sources: the protos of solo-io/solo-apis (gloo-mesh v2.6), and
// docs.solo.io/gloo-mesh-gateway.
package gloomesh

import (
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// The dialect's name, as slots and upstreams carry it.
const name = "gloomesh"

// New returns the dialect.
func New(o Options) dialect.Dialect {
	return dialect.Dialect{Name: name, Kinds: kinds(), Roots: roots, Translate: o.translate, Status: objectStatus}
}

// roots lists every object of the dialect's kinds.
func roots(v *resource.View) []resource.Key {
	var keys []resource.Key
	for _, k := range kinds() {
		keys = append(keys, v.Keys(k.GroupKind)...)
	}
	return keys
}

// translation is the work on one root.
type translation struct {
	opts   Options
	v      *resource.View
	f      *dialect.Fragment
	report status.Report
}

// translate turns one root into its fragment.
func (o Options) translate(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
	return (&translation{opts: o, v: v, f: &dialect.Fragment{}}).translate(root)
}

func (t *translation) translate(root resource.Key) (*dialect.Fragment, status.Report) {
	o := t.v.Get(root.GroupKind, root.Namespace, root.Name)
	if o == nil {
		return t.f, t.report
	}
	p := t.place(o, "spec")
	switch spec := o.Spec.(type) {
	case *virtualGateway:
		t.gateway(o, &spec.Spec)
	case *routeTable:
		t.routeTable(o, &spec.Spec)
	case *externalService:
		p.externalService(&spec.Spec)
	case *virtualDestination:
		p.virtualDestination(&spec.Spec)
	case *workspace, *workspaceSettings, *extAuthServer: // read where they matter
	case *notBuilt:
		p.Warn("", "remove it", "%s is not supported and has no effect", o.Kind)
	default:
		p.policy(o.Spec)
	}
	reading.Accept(o, &t.report, "Failed")
	return t.f, t.report
}
