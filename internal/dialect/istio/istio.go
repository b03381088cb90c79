// Package istio is the dialect of Istio's networking resources, and of the LLM
// resources that Alibaba's mesh (ASM) adds to them. It owns what they mean at
// one gateway, which stands where Istio has an ingress or egress gateway; what
// concerns the sidecars of a mesh is reported and left alone, unless the
// gateway is the workload's side itself (Options.Mesh).
//
//	Gateway ──────────────────────────────► Listeners    ┐
//	VirtualService, LLMRoute, LLMProvider ► VirtualHosts ├─► Fragment
//	  their destinations:                                │
//	  Service, ServiceEntry, LLMProvider ─► ir.Upstream  ┘
//	  and what DestinationRule says of them
//
// Whatever selects workloads by labels is held against the workload that a
// Gateway runs on (workload.go). Security policies are package istioauth's:
// what applies to a workload becomes steps of its listeners.
//
// Sources: the protos of istio.io/api (networking/v1), istio.io/docs, and ASM's
// help pages on LLMProvider and LLMRoute.
package istio

import (
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// The dialect's name, as slots and upstreams carry it.
const name = "istio"

// Options say what the gateway is in the mesh. The zero Options are a gateway
// that is every workload that a Gateway selects.
type Options struct {
	// Workload that the gateway is, or nil: one for each Gateway, with its
	// namespace and the labels that its selector names.
	Workload *Workload
	// Mesh, if set, makes the gateway the side of Workload: only rules for the
	// reserved gateway "mesh" hold.
	Mesh *Mesh
}

// Mesh is the workload's side of a mesh.
type Mesh struct {
	// Address and Port to listen on.
	Address string
	Port    int
	// Egress is the SPIFFE ID that the egress gateway must prove.
	Egress string
}

// New returns the dialect.
func New(opts Options) dialect.Dialect {
	d := &definition{opts: opts}
	return dialect.Dialect{Name: name, Kinds: d.kinds(), Roots: d.roots, Translate: d.translate, Status: objectStatus}
}

// definition is what New was told.
type definition struct{ opts Options }

// roots lists every object of the dialect's kinds, and the Gateway API's
// Gateways, for which its policies hold.
func (d *definition) roots(v *resource.View) []resource.Key {
	var keys []resource.Key
	if d.opts.Mesh != nil {
		keys = append(keys, meshRoot)
	} else {
		keys = append(keys, v.Keys(apiGatewayKind)...)
	}
	for _, k := range d.kinds() {
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
	config *meshConfig // nil: not read yet
}

// translate turns one root into its fragment.
func (d *definition) translate(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
	t := &translation{opts: d.opts, v: v, f: &dialect.Fragment{}}
	if root == meshRoot {
		t.meshListener()
		return t.f, t.report
	}
	o := v.Get(root.GroupKind, root.Namespace, root.Name)
	if o == nil {
		return t.f, t.report
	}
	if o.GroupKind == apiGatewayKind {
		t.protectAPIGateway(o)
		return t.f, t.report
	}
	p := t.place(o, "spec")
	switch spec := o.Spec.(type) {
	case *gateway:
		p.gateway(&spec.Spec)
	case *virtualService:
		p.virtualService(&spec.Spec)
	case *destinationRule:
		p.checkRule(&spec.Spec)
	case *serviceEntry:
		p.checkEntry(&spec.Spec)
	case *llmProvider:
		p.llmProvider(&spec.Spec)
	case *llmRoute:
		p.llmRoute(&spec.Spec)
	case *extension:
		p.checkExtension()
	case *istioauth.AuthorizationPolicy, *istioauth.RequestAuthentication:
		p.security()
	case *peerAuthentication:
		p.peers()
	case *notBuilt:
		p.Warn("", "remove it", "%s is not supported and has no effect", o.Kind)
	}
	reading.Accept(o, &t.report, "Failed")
	return t.f, t.report
}
