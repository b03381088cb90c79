package envoyai

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/backendtls"
	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// egBackend makes the upstream that HTTPRoutes may name.
func (p *place) egBackend(s *egBackendSpec) {
	u := p.endpoints(s)
	u.Name, u.Origin = upstreamName(p.Object.Key), p.Origin("")
	if s.Fallback {
		p.Warn("fallback", "use priorities of an AIGatewayRoute", "fallback has effect under AIGatewayRoutes alone")
	}
	p.t.f.Upstreams = append(p.t.f.Upstreams, u)
	p.t.f.Referable = append(p.t.f.Referable, target(p.Object.Key))
}

// endpoints reads where a Backend's requests go, and how it is spoken to. The
// upstream has no name yet.
func (p *place) endpoints(s *egBackendSpec) *ir.Upstream {
	mark := p.Mark()
	u := &ir.Upstream{}
	switch {
	case s.Type == "DynamicResolver":
		p.Fail("type", "list endpoints", "a Backend that goes wherever the request's host says is not supported")
	case s.Type != "" && s.Type != "Endpoints":
		p.Fail("type", "write Endpoints", "%q is no type of Backend", s.Type)
	case len(s.Endpoints) == 0:
		p.Fail("endpoints", "write one", "the Backend has no endpoints")
	}
	for i := range s.Endpoints {
		if e, ok := p.in("endpoints[%d]", i).endpoint(&s.Endpoints[i]); ok {
			u.Endpoints = append(u.Endpoints, e)
		}
		if (s.Endpoints[i].FQDN != nil) != (s.Endpoints[0].FQDN != nil) {
			p.Fail(fmt.Sprintf("endpoints[%d]", i), "make two Backends of them", "fqdn addresses cannot be mixed with others")
		}
	}
	for i, proto := range s.AppProtocols {
		switch proto {
		case "gateway.envoyproxy.io/h2c":
			u.Protocol = ir.ProtocolHTTP2
		case "gateway.envoyproxy.io/ws", "gateway.envoyproxy.io/wss":
		default:
			p.Fail(fmt.Sprintf("appProtocols[%d]", i), "write one of gateway.envoyproxy.io/h2c, /ws and /wss", "%q is no protocol", proto)
		}
	}
	p.backendTLS(s, u)
	if u.Closed == nil {
		u.Closed = p.Since(mark)
	}
	if c := faulty(p.Object); c != nil {
		u.Closed = c
	}
	return u
}

var fqdn = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\.?$`)

func (p *place) endpoint(s *egEndpoint) (ir.Endpoint, bool) {
	var out ir.Endpoint
	switch {
	case (s.FQDN != nil) == (s.IP != nil) || s.Unix != nil && (s.FQDN != nil || s.IP != nil):
		if s.Unix != nil && s.FQDN == nil && s.IP == nil {
			p.Fail("unix", "write fqdn or ip", "a Unix socket is not supported")
		} else {
			p.Fail("", "write one of fqdn and ip", "an endpoint is one of fqdn, ip and unix")
		}
		return out, false
	case s.FQDN != nil:
		out.Host, out.Port = strings.TrimSuffix(s.FQDN.Hostname, "."), s.FQDN.Port
		if !fqdn.MatchString(s.FQDN.Hostname) || len(s.FQDN.Hostname) > 253 || s.FQDN.Address != "" {
			p.Fail("fqdn.hostname", "write a lower case DNS name", "%q is no host name", s.FQDN.Hostname)
			return out, false
		}
	default:
		out.Host, out.Port = s.IP.Address, s.IP.Port
		if !isIP(s.IP.Address) || s.IP.Hostname != "" {
			p.Fail("ip.address", "write an IP address", "%q is no IP address", s.IP.Address)
			return out, false
		}
	}
	if out.Port < 1 || out.Port > 65535 {
		p.Fail("", "use 1 to 65535", "%d is no port", out.Port)
		return out, false
	}
	if s.Hostname != "" && s.FQDN == nil {
		out.SNI = s.Hostname
	}
	return out, true
}

// backendTLS reads how a Backend's certificate is verified: by the policy that
// targets it, else as it says itself.
func (p *place) backendTLS(s *egBackendSpec, u *ir.Upstream) {
	if s.TLS != nil {
		u.TLS = p.in("tls").clientTLS(s.TLS, u)
	}
	if slices.Contains(s.AppProtocols, "gateway.envoyproxy.io/wss") && u.TLS == nil {
		u.TLS = &ir.ClientTLS{Origin: p.Origin("appProtocols")}
	}
	policies := backendtls.For(p.t.v, p.Object.Key, "")
	if len(policies) == 0 {
		return
	}
	j := backendtls.Judge(p.t.v, policies[0], faulty(policies[0]))
	for i, o := range policies {
		p.tellTLSPolicy(o, j.Closed, i > 0)
	}
	own := u.TLS
	u.TLS, u.Closed = j.TLS, j.Closed
	if own != nil { // what the policy says nothing of
		u.TLS.Certificate, u.TLS.CipherSuites = own.Certificate, own.CipherSuites
		u.TLS.MinVersion, u.TLS.MaxVersion = own.MinVersion, own.MaxVersion
	}
}

// tellTLSPolicy reports what became of a BackendTLSPolicy here.
func (p *place) tellTLSPolicy(policy *resource.Object, closed *ir.Closed, shadowed bool) {
	out := status.Outcome{Object: policy.Status(), About: p.Object.Key.String(), Condition: "Accepted", OK: true, Reason: "Accepted"}
	switch {
	case shadowed:
		out.OK, out.Reason, out.Message = false, "Conflicted", "an older policy has the same target"
	case closed != nil:
		out.OK, out.Reason, out.Message = false, "Invalid", closed.Reason
	}
	p.t.report.Outcome(out)
}

// clientTLS reads a Backend's own TLS.
func (p *place) clientTLS(s *egTLS, u *ir.Upstream) *ir.ClientTLS {
	out := &ir.ClientTLS{SNI: s.SNI, Origin: p.Origin("")}
	if s.SNI != "" && (s.AutoSNIFromEndpointHostname || !parent.ValidPrecise(s.SNI)) {
		p.Fail("sni", "write a lower case DNS name, and no autoSNIFromEndpointHostname", "sni is no host name, or excluded by autoSNIFromEndpointHostname")
	}
	refs, known := len(s.CACertificateRefs) > 0, s.WellKnownCACertificates != ""
	switch {
	case refs && known:
		p.Fail("wellKnownCACertificates", "keep one of them", "must not contain both CACertificateRefs and WellKnownCACertificates")
	case s.InsecureSkipVerify && (refs || known):
		p.Fail("insecureSkipVerify", "remove it", "must not contain either CACertificateRefs or WellKnownCACertificates when InsecureSkipVerify is enabled")
	case s.InsecureSkipVerify:
		out.InsecureSkipVerify = true
		p.Warn("insecureSkipVerify", "remove it, and give the CA by caCertificateRefs", "nobody verifies whom requests reach")
	case known && s.WellKnownCACertificates != "System":
		p.Fail("wellKnownCACertificates", "write System", "%q are no certificate authorities that we know", s.WellKnownCACertificates)
	case refs:
		p.authorities(s.CACertificateRefs, "ConfigMap", out)
	}
	if c := s.ClientCertificateRef; c != nil {
		cert := p.secretKey("clientCertificateRef", c, "tls.crt")
		key := p.secretKey("clientCertificateRef", c, "tls.key")
		out.Certificate = &ir.KeyPair{Certificate: cert, Key: key, Origin: p.Origin("clientCertificateRef")}
	}
	if slices.Contains(s.ALPNProtocols, "h2") && !slices.Contains(s.ALPNProtocols, "http/1.1") {
		u.Protocol = ir.ProtocolHTTP2
	}
	out.MinVersion, out.MaxVersion, out.CipherSuites = p.versions(&s.tlsVersions)
	p.Ignore("fingerprints", s.Fingerprints)
	return out
}

// authorities reads CAs out of ConfigMaps and Secrets; kind is which, where a
// reference does not say.
func (p *place) authorities(refs []objectRef, kind string, out *ir.ClientTLS) {
	for i := range refs {
		field := fmt.Sprintf("caCertificateRefs[%d]", i)
		key := refs[i].key(p.Object.Namespace, kind)
		if key.GroupKind == resource.SecretKind {
			out.CAs = append(out.CAs, ir.Bytes{Ref: p.secretKey(field, &refs[i], "ca.crt")})
			continue
		}
		cas, faults := backendtls.Authorities(p.t.v, p.Object.GroupKind, p.Object.Namespace, []backendtls.Ref{{Key: key, Field: reading.Join(p.At, field)}})
		out.CAs = append(out.CAs, cas...)
		for _, f := range faults {
			p.t.report.Add(f.Problem(p.Object))
		}
	}
}

// secretKey returns a data key of the Secret that a reference names. One that
// cannot be used is a fault of the field, and the reference is to nothing.
func (p *place) secretKey(field string, r *objectRef, data string) secret.Ref {
	o, s := p.secret(field, r)
	switch {
	case o == nil:
		return secret.Ref{}
	case !s.HasKey(data):
		p.unresolved(field, fmt.Sprintf("put it under %s", data), "%v has no data key %s", o.Key, data)
		return secret.Ref{}
	}
	return secretref.Of(o.Key, data)
}

// secret returns the Secret that a reference names. One that cannot be used is
// a fault of the field, and nil.
func (p *place) secret(field string, r *objectRef) (*resource.Object, *resource.Secret) {
	if r == nil || r.Name == "" {
		p.Fail(field, "name a Secret", "%s is missing", reading.Last(field))
		return nil, nil
	}
	key := r.key(p.Object.Namespace, "Secret")
	if key.GroupKind != resource.SecretKind {
		p.Fail(field, "name a Secret", "a %v cannot be used here", key.GroupKind)
		return nil, nil
	}
	if !secretref.Foreign(p.t.v) && !p.granted(field, key) {
		return nil, nil
	}
	o, s := resource.Spec[resource.Secret](p.t.v, key.GroupKind, key.Namespace, key.Name)
	switch {
	case o == nil:
		missing := secretref.None(p.t.v, []string{key.Namespace}, key.Name)
		p.unresolved(field, missing.Remedy, "%s", missing.What)
		return nil, nil
	case len(o.Faults) > 0:
		p.Fail(field, "correct it", "%v could not be read in full", key)
		return nil, nil
	}
	return o, s
}

// versions reads versions and cipher suites. TLS 1.0 and 1.1 are never spoken.
func (p *place) versions(s *tlsVersions) (lowest, highest string, ciphers []string) {
	read := func(field, v string) string {
		switch v {
		case "", "Auto":
		case "1.2", "1.3":
			return v
		case "1.0", "1.1":
			if field == "maxVersion" {
				p.Fail(field, "write 1.2 or 1.3", "TLS below 1.2 is not spoken")
			} else {
				p.Warn(field, "write 1.2", "TLS below 1.2 is not spoken")
			}
		default:
			p.Fail(field, "write 1.2 or 1.3", "%q is no version of TLS", v)
		}
		return ""
	}
	lowest, highest = read("minVersion", s.MinVersion), read("maxVersion", s.MaxVersion)
	if cmp.Or(highest, "1.3") < cmp.Or(lowest, "1.2") {
		p.Fail("minVersion", "swap them", "minVersion must be smaller or equal to maxVersion")
	}
	for i, n := range s.Ciphers {
		if envoy.CipherSuite(n) == "" {
			p.Warn(fmt.Sprintf("ciphers[%d]", i), "remove it", "cipher suite %q is not supported", n)
			continue
		}
		ciphers = append(ciphers, envoy.CipherSuite(n))
	}
	if len(s.Ciphers) > 0 && len(ciphers) == 0 {
		p.Fail("ciphers", "name one such as ECDHE-RSA-AES128-GCM-SHA256", "no cipher suite is left")
	}
	p.Ignore("ecdhCurves", present(len(s.ECDHCurves) > 0))
	p.Ignore("signatureAlgorithms", present(len(s.SignatureAlgorithms) > 0))
	return lowest, highest, ciphers
}
