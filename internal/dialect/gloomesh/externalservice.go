package gloomesh

import (
	"fmt"
	"net"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
)

// externalService makes an upstream of each port.
func (p *place) externalService(s *externalServiceSpec) {
	mark := p.Mark()
	if len(s.Hosts)+len(s.Addresses) == 0 {
		p.Fail("hosts", "write hosts", "the ExternalService has neither hosts nor addresses")
	}
	for i, h := range s.Hosts {
		if !reading.IsHost(strings.ToLower(h)) || strings.Contains(h, "*") {
			p.Fail(fmt.Sprintf("hosts[%d]", i), "write one name", "%q is no name that can be dialled", h)
		}
	}
	for i, a := range s.Addresses {
		if net.ParseIP(a) == nil {
			p.Fail(fmt.Sprintf("addresses[%d]", i), "write an IP address", "%q is no IP address", a)
		}
	}
	p.Refuse("selector", s.Selector)
	closed := p.Since(mark)
	if len(s.Ports) == 0 {
		p.Fail("ports", "write ports", "the ExternalService has no ports, and nothing can lead there")
	}
	seen := map[int]bool{}
	for i := range s.Ports {
		at := p.in(fmt.Sprintf("ports[%d]", i))
		if seen[s.Ports[i].Number] {
			at.Fail("number", "give each port a number of its own", "port %d is written twice; the first holds", s.Ports[i].Number)
			continue
		}
		seen[s.Ports[i].Number] = true
		u := at.externalPort(s, &s.Ports[i])
		if closed != nil {
			u.Closed = closed
		}
		if len(p.Object.Faults) > 0 {
			u.Closed = reading.Unread(p.Object)
		}
		p.t.f.Upstreams = append(p.t.f.Upstreams, u)
	}
}

func (p *place) externalPort(s *externalServiceSpec, e *externalPort) *ir.Upstream {
	mark := p.Mark()
	u := &ir.Upstream{Name: upstreamName(externalServiceKind, p.Object.Namespace, p.Object.Name, e.Number), Origin: p.Origin("")}
	number := e.Number
	if t := e.TargetPort; t != nil && t.Number != 0 {
		number = t.Number
	} else if t != nil && t.Name != "" {
		p.Fail("targetPort", "write targetPort.number", "a target port by name is not supported; the port is closed")
	}
	if e.Number <= 0 || e.Number > 65535 || number <= 0 || number > 65535 {
		p.Fail("number", "write one of 1 to 65535", "it is no port; it is closed")
	}
	// Addresses are where the hosts are; the hosts are then what is verified.
	where := s.Addresses
	if len(where) == 0 {
		where = s.Hosts
	}
	for _, h := range where {
		u.Endpoints = append(u.Endpoints, ir.Endpoint{Host: strings.ToLower(h), Port: number})
	}
	u.TLS = p.clientTLS(s, e)
	p.protocol(e, u)
	p.Refuse("egressGatewayRoutes", e.EgressGatewayRoutes)
	u.Closed = p.Since(mark)
	return u
}

// protocol reads a port's protocol. HTTPS without clientsideTls is what an
// application of a mesh speaks by itself; requests to a gateway have ended
// their TLS here, so the gateway begins it anew.
func (p *place) protocol(e *externalPort, u *ir.Upstream) {
	switch strings.ToUpper(e.Protocol) {
	case "", "HTTP", "HTTP_PROXY", "GRPC_WEB", "GRPC-WEB":
	case "HTTP2", "GRPC":
		u.Protocol = ir.ProtocolHTTP2
	case "HTTPS", "TLS":
		if e.ClientsideTLS == nil {
			p.Warn("protocol", "write clientsideTls: {mode: SIMPLE}", "the port speaks TLS and nothing says how; the name and the system's roots are verified")
			u.TLS = &ir.ClientTLS{Origin: p.Origin("protocol")}
			if len(u.Endpoints) > 0 {
				u.TLS.SNI = p.serverName()
			}
		}
	default:
		p.Fail("protocol", "write HTTP, HTTPS, HTTP2 or GRPC", "protocol %q is not supported; the port is closed", e.Protocol)
	}
}

// serverName returns the name to verify where endpoints are addresses.
func (p *place) serverName() string {
	s := p.Object.Spec.(*externalService).Spec
	if len(s.Addresses) > 0 && len(s.Hosts) > 0 {
		return strings.ToLower(s.Hosts[0])
	}
	return ""
}

// clientTLS returns how the service is verified: against the CA that is
// given, or the system's roots. What Envoy leaves unverified, we verify.
func (p *place) clientTLS(s *externalServiceSpec, e *externalPort) *ir.ClientTLS {
	c := e.ClientsideTLS
	if c == nil || c.Mode == clientDisable {
		return nil
	}
	p = p.in("clientsideTls")
	out := &ir.ClientTLS{SNI: c.SNI, SubjectAltNames: s.SubjectAltNames, Origin: p.Origin("")}
	if out.SNI == "" {
		out.SNI = p.serverName()
	}
	switch {
	case c.Mode == clientIstioMutual:
		p.Fail("mode", "use SIMPLE, or MUTUAL with credentialName", "ISTIO_MUTUAL is not supported; the port is closed")
	case c.Mode == clientMutual && c.CredentialName == "":
		p.Fail("credentialName", "put the certificate into a Secret and name it", "MUTUAL needs a certificate, and files are not supported; the port is closed")
	case c.ClientCertificate != "" || bool(c.PrivateKey):
		p.Fail("clientCertificate", "put the certificate into a Secret and use credentialName", "files are not supported; the port is closed")
	}
	if c.CredentialName != "" {
		p.credential(c, out)
	}
	switch {
	case c.CACertificates == "", c.CACertificates == "system":
	case strings.Contains(c.CACertificates, "-----BEGIN CERTIFICATE-----"):
		out.CAs = []ir.Bytes{{Inline: c.CACertificates}}
	default:
		p.Fail("caCertificates", "write the certificates themselves (PEM), or put ca.crt into a Secret and use credentialName", "files are not supported; the port is closed")
	}
	if c.InsecureSkipVerify != nil && *c.InsecureSkipVerify {
		p.Warn("insecureSkipVerify", "remove it, and give the CA by credentialName", "nobody verifies whom requests reach")
		out.InsecureSkipVerify = true
	}
	return out
}

// credential reads the Secret with the CA and, for MUTUAL, the certificate.
func (p *place) credential(c *clientTLS, out *ir.ClientTLS) {
	o, data := secretref.First(p.t.v, []string{p.Object.Namespace}, c.CredentialName)
	if o == nil {
		missing := secretref.None(p.t.v, []string{p.Object.Namespace}, c.CredentialName)
		p.Fail("credentialName", missing.Remedy, "%s; the port is closed", missing.What)
		return
	}
	if ca := secretref.Authority.In(data); ca != "" {
		out.CAs = []ir.Bytes{{Ref: secretref.Of(o.Key, ca)}}
	}
	cert, key := secretref.Certificate.In(data), secretref.PrivateKey.In(data)
	switch {
	case c.Mode == clientMutual && (cert == "" || key == ""):
		p.Fail("credentialName", "put both into its data", "secret %s/%s has no tls.crt or no tls.key; the port is closed", o.Namespace, o.Name)
	case c.Mode == clientMutual:
		out.Certificate = &ir.KeyPair{Certificate: secretref.Of(o.Key, cert), Key: secretref.Of(o.Key, key), Origin: p.Origin("credentialName")}
	case secretref.Authority.In(data) == "":
		p.Fail("credentialName", "put ca.crt into its data", "secret %s/%s has no ca.crt; the port is closed", o.Namespace, o.Name)
	}
}
