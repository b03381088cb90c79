package istio

import (
	"slices"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

var peerAuthenticationKind = resource.GroupKind{Group: "security.istio.io", Kind: "PeerAuthentication"}

// peerAuthentication is security.istio.io PeerAuthentication: how sidecars are
// spoken to. A gateway's servers say that themselves.
type peerAuthentication struct {
	Spec struct {
		Selector      *labelSelector     `json:"selector"`
		MTLS          present            `json:"mtls"`
		PortLevelMTLS map[string]present `json:"portLevelMtls"`
	} `json:"spec"`
}

// meshConfig is what was read of the mesh's configuration.
type meshConfig struct {
	istioauth.Mesh
	problems []status.Problem
}

// mesh reads the mesh's configuration, once.
func (t *translation) mesh() (istioauth.Mesh, []status.Problem) {
	if t.config == nil {
		mesh, problems := istioauth.ReadMesh(t.v, istioauth.RootNamespace)
		t.config = &meshConfig{mesh, problems}
	}
	return t.config.Mesh, t.config.problems
}

// protect puts the policies that apply to a door's workload on its listener:
// on each of its routes, and on what no route takes, so that a caller who is
// refused does not learn what there is.
func (t *translation) protect(d *door, l *dialect.Listener) {
	mesh, _ := t.mesh()
	l.HTTP.PathNormalization = mesh.PathNormalization
	result := istioauth.Translate(t.v, t.authEnv(mesh, d.workload), d.workload.forPolicies())
	if len(result.Steps) == 0 {
		return
	}
	target := dialect.TargetOf(d.gateway.Key)
	target.Section = "listener " + d.name
	l.Targets = append([]dialect.Target{target}, l.Targets...)
	t.f.Attachments = append(t.f.Attachments, &dialect.Attachment{
		Target: target, Slot: name + "/security", Owner: d.gateway.Key, Age: d.gateway.Created,
		Steps: result.Steps, Origin: l.Origin,
	})
	l.Otherwise = &dialect.VirtualHost{
		Owner: d.gateway.Key, Origin: l.Origin,
		Routes: []*dialect.Route{{
			Route: ir.Route{
				Name: d.gateway.Key.String() + "/no-route", Matches: []ir.Match{{}}, Origin: l.Origin,
				Action: ir.Action{Direct: &ir.Direct{Status: 404, Origin: l.Origin}},
			},
			Owner: d.gateway.Key,
		}},
	}
}

// forPolicies is a workload as istioauth knows it.
func (w *Workload) forPolicies() istioauth.Workload {
	return istioauth.Workload{Namespace: w.Namespace, Labels: w.Labels}
}

// authEnv leads the questions of CUSTOM policies to the upstreams of the mesh.
func (t *translation) authEnv(mesh istioauth.Mesh, w *Workload) *istioauth.Env {
	return &istioauth.Env{Mesh: mesh, Dialect: name, Upstream: func(host string, port int) string {
		upstream, problem := t.upstream(target{host: hostIn(host, mesh.RootNamespace), port: port, workload: w})
		if problem != nil {
			return "" // dialled as it is written
		}
		return upstream
	}}
}

// security reports a policy: what is wrong with it, and whether it is for a
// workload of ours.
func (p *place) security() {
	mesh, problems := p.t.mesh()
	p.t.report.Add(istioauth.Check(p.Object, &mesh)...)
	p.t.report.Add(problems...)
	if p.t.opts.Mesh != nil { // it is for what is called
		return
	}
	var ours []*Workload
	for _, w := range p.t.workloads() {
		if (w.Namespace == p.Object.Namespace || p.Object.Namespace == mesh.RootNamespace) && istioauth.Applies(p.Object, w.forPolicies()) {
			ours = append(ours, w)
		}
	}
	if len(ours) == 0 && p.t.holdsForAPIGateway(p.Object, &mesh) {
		return
	}
	if len(ours) == 0 {
		p.Fail("", p.selectable(), "it applies to no workload that the gateway is, so it protects nothing here")
		return
	}
	policy, ok := p.Object.Spec.(*istioauth.AuthorizationPolicy)
	if !ok || !speaksOfPeers(&policy.Spec) {
		return
	}
	for _, w := range ours {
		p.warnPlain(policy, w)
	}
}

// warnPlain reports a policy about callers' identities where callers prove
// none: what it allows by them is refused, and what it denies is let through.
func (p *place) warnPlain(o *istioauth.AuthorizationPolicy, w *Workload) {
	for _, e := range p.t.allEntries(w) {
		if e.server.asksClients() {
			continue
		}
		effect := "they match nobody there"
		if o.Spec.Action == "DENY" {
			effect = "a DENY by them can never hold there"
		}
		p.Warn("rules", "write tls.mode: ISTIO_MUTUAL there", "it speaks of callers' identities, and port %d of %v asks for no client certificate: %s", e.port, e.gateway.Key, effect)
	}
}

// asksClients reports whether a server asks its clients for certificates.
func (s *server) asksClients() bool {
	return s.secure() && s.TLS != nil && (s.TLS.Mode == tlsIstioMutual || s.TLS.Mode == tlsMutual || s.TLS.Mode == tlsOptionalMutual)
}

// speaksOfPeers reports whether a policy has a positive condition on who the
// caller's certificate says that it is.
func speaksOfPeers(s *istioauth.AuthorizationPolicySpec) bool {
	for _, r := range s.Rules {
		for _, f := range r.From {
			if f.Source != nil && len(f.Source.Principals)+len(f.Source.Namespaces)+len(f.Source.ServiceAccounts)+len(f.Source.TrustDomains) > 0 {
				return true
			}
		}
		for _, c := range r.When {
			if len(c.Values) > 0 && slices.Contains([]string{"source.principal", "source.namespace", "source.serviceAccount", "source.trustDomain"}, c.Key) {
				return true
			}
		}
	}
	return false
}

// peers reports a PeerAuthentication, which says nothing to a gateway.
func (p *place) peers() {
	p.Warn("", "write tls.mode on the servers of Gateways", "PeerAuthentication is for the sidecars of a mesh; each server of a Gateway says by its tls.mode whether callers must show a certificate")
}
