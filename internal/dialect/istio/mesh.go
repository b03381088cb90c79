package istio

import (
	"net"
	"strconv"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// meshRoot stands for the listener of the workload's side, which no object
// opens.
var meshRoot = resource.Key{GroupKind: resource.GroupKind{Group: networking, Kind: "Mesh"}, Name: meshGateway}

// meshPort is the port that callers on the workload's side mean: they speak
// plain HTTP.
const meshPort = 80

// meshDoor is the listener of the workload's side; nil: there is none.
func (t *translation) meshDoor() *door {
	if t.opts.Mesh == nil {
		return nil
	}
	return &door{name: meshGateway, workload: t.rooted(*t.opts.Workload), port: meshPort, server: &server{Port: &serverPort{Number: meshPort, Protocol: "HTTP"}}}
}

// meshListener opens the listener of the workload's side.
func (t *translation) meshListener() {
	m, w := t.opts.Mesh, t.rooted(*t.opts.Workload)
	l := &dialect.Listener{Targets: []dialect.Target{dialect.TargetOf(meshRoot)}, Owner: meshRoot}
	l.Name, l.Gateway, l.Port, l.Addresses = meshGateway, w.String(), m.Port, []string{m.Address}
	l.Origin = ir.Origin{Kind: "--mesh", Name: net.JoinHostPort(m.Address, strconv.Itoa(m.Port))}
	for _, o := range t.v.All(envoyFilterKind) {
		if l.Closed == nil && extends(o, w, "SIDECAR_OUTBOUND") {
			l.Closed = unsupported(o)
		}
	}
	for _, o := range t.v.All(wasmPluginKind) {
		if l.Closed == nil && extends(o, w, "") {
			l.Closed = unsupported(o)
		}
	}
	t.f.Listeners = append(t.f.Listeners, l)
}

// joinMesh adds what the workload's side serves of the hosts.
func (t *translation) joinMesh(b *bound, hosts []string) {
	if d := t.meshDoor(); d != nil && len(hosts) > 0 {
		b.scopes = append(b.scopes, &scope{door: d, hosts: hosts, gateways: []string{meshGateway}})
	}
}

// meshTLS is how the workload's side speaks to what is in the mesh: with its
// own certificate, and only to who proves the identity that it must. Without a
// word of a DestinationRule that is the egress gateway's. The caller's host is
// the server name, so that a Gateway with hosts of its own takes it.
func (t *translation) meshTLS(p *policy) *ir.ClientTLS {
	out := &ir.ClientTLS{Identity: true, AutoSNI: true, SubjectAltNames: []string{t.opts.Mesh.Egress}}
	if s := p.TLS; s != nil {
		out.Origin = p.rule.Origin("spec")
		out.SNI, out.AutoSNI = s.SNI, s.SNI == ""
		if len(s.SubjectAltNames) > 0 {
			out.SubjectAltNames = s.SubjectAltNames
		}
	}
	return out
}

// keeps reports whether the key of an LLMProvider may be read: it is nobody's
// but the workloads' that the provider selects.
func (d *definition) keeps(o *resource.Object) bool {
	s, ok := o.Spec.(*llmProvider)
	return ok && s.Spec.selects(o, d.opts.Workload)
}
