package gatewayapi

import (
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/status"
)

// clientCertificateField is where a Gateway names what its backends are shown.
const clientCertificateField = "spec.tls.backend.clientCertificateRef"

// readClientCertificate resolves the certificate that the Gateway shows to
// backends over TLS, whatever dialect they are of. Where there is none, they
// are closed: a backend that asks for it optionally would take the gateway for
// somebody else.
func (g *gateway) readClientCertificate() {
	if !g.namesClientCertificate() {
		return
	}
	g.shown = &dialect.ClientCertificate{Name: g.obj.Namespace + "/" + g.obj.Name}
	pair, fault := g.keyPair(g.obj, *g.spec.TLS.Backend.ClientCertificateRef, clientCertificateField)
	if fault == nil {
		g.shown.Pair = pair
		return
	}
	if fault.Reason == "InvalidCertificateRef" {
		fault.Reason = "InvalidClientCertificateRef"
	}
	fault.What += "; backends over TLS get no requests, which are answered with 500"
	g.noCertificate = fault
	g.shown.Closed = fault.Closed(g.obj)
}

func (g *gateway) namesClientCertificate() bool {
	return g.spec.TLS != nil && g.spec.TLS.Backend != nil && g.spec.TLS.Backend.ClientCertificateRef != nil
}

// tellClientCertificate reports what became of the reference.
func (g *gateway) tellClientCertificate() {
	if !g.namesClientCertificate() {
		return
	}
	o := status.Outcome{Object: g.obj.Status(), Condition: "ResolvedRefs", OK: true, Reason: "ResolvedRefs"}
	if f := g.noCertificate; f != nil {
		g.report.Add(f.Problem(g.obj))
		o.OK, o.Reason, o.Message = false, f.Reason, f.What
	}
	g.report.Outcome(o)
}
