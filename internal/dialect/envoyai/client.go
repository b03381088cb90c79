package envoyai

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
)

// clientTraffic reads a ClientTrafficPolicy: it is put on the listeners that it
// targets. What of it would guard and is not there closes them.
func (p *place) clientTraffic(s *clientTrafficPolicySpec) {
	mark := p.Mark()
	out := &ir.HTTPSettings{}
	p.clientLimits(s, out)
	if s.Headers != nil {
		p.in("headers").clientHeaders(s.Headers, out)
	}
	p.clientAddress(s, out)
	if s.EnableProxyProtocol {
		p.Fail("enableProxyProtocol", "remove it", "the PROXY protocol is not supported; the listeners are closed")
	}
	p.Refuse("proxyProtocol", s.ProxyProtocol)
	tls := p.listenerTLS(s.TLS)
	for _, f := range []struct {
		name  string
		there present
	}{
		{"grpc", s.GRPC}, {"healthCheck", s.HealthCheck}, {"http1", s.HTTP1}, {"http3", s.HTTP3},
		{"scheme", s.Scheme}, {"tcpKeepalive", s.TCPKeepalive},
	} {
		p.Ignore(f.name, f.there)
	}
	closed := p.Since(mark)
	targets := p.targets(&s.targeting, []string{gatewayKindName})
	if c := faulty(p.Object); c != nil {
		closed = c
	}
	if closed != nil {
		out, tls = &ir.HTTPSettings{Steps: []ir.Step{{Phase: ir.PhasePre, Slot: name + "/" + p.Object.Kind, Origin: closed.Origin, Closed: closed}}}, nil
	}
	for _, t := range targets {
		p.t.f.Attachments = append(p.t.f.Attachments, &dialect.Attachment{
			Target: t, Slot: name + "/" + p.Object.Kind, Owner: p.Object.Key, Age: p.Object.Created, Listener: out, ListenerTLS: tls, Origin: p.Origin(""),
		})
	}
}

// clientLimits reads what bounds connections and requests.
func (p *place) clientLimits(s *clientTrafficPolicySpec, out *ir.HTTPSettings) {
	if t := s.Timeout; t != nil {
		at := p.in("timeout")
		at.Ignore("tcp", t.TCP)
		if h := t.HTTP; h != nil {
			out.IdleTimeout = at.duration("http.idleTimeout", h.IdleTimeout)
			out.HeadTimeout = at.duration("http.requestHeadersReceivedTimeout", h.RequestHeadersReceivedTimeout)
			out.RequestTimeout = at.duration("http.requestReceivedTimeout", h.RequestReceivedTimeout)
			out.StreamIdleTimeout = at.duration("http.streamIdleTimeout", h.StreamIdleTimeout)
		}
	}
	if h := s.HTTP2; h != nil {
		at := p.in("http2")
		if out.MaxStreams = h.MaxConcurrentStreams; out.MaxStreams < 0 {
			at.Fail("maxConcurrentStreams", "write 1 or more", "%d is no limit", out.MaxStreams)
		}
		at.Ignore("connectionKeepalive", h.ConnectionKeepalive)
		at.Ignore("initialConnectionWindowSize", h.InitialConnectionWindowSize)
		at.Ignore("initialStreamWindowSize", h.InitialStreamWindowSize)
		at.Ignore("onInvalidMessage", h.OnInvalidMessage)
	}
	if c := s.Connection; c != nil {
		at := p.in("connection")
		at.Ignore("bufferLimit", c.BufferLimit)
		at.Refuse("connectionLimit", c.ConnectionLimit)
		at.Ignore("maxAcceptPerSocketEvent", c.MaxAcceptPerSocketEvent)
		at.Ignore("socketBufferLimit", c.SocketBufferLimit)
	}
	if c := s.Path; c != nil {
		if c.DisableMergeSlashes {
			p.Warn("path.disableMergeSlashes", "remove it", "doubled slashes are always joined, so that a path means one thing")
		}
		if a := c.EscapedSlashesAction; a != "" && a != "RejectRequest" {
			p.Warn("path.escapedSlashesAction", "write RejectRequest", "a path with an escaped slash is always refused, so that a path means one thing")
		}
	}
}

// clientHeaders reads what becomes of headers before and after everything else.
func (p *place) clientHeaders(s *clientHeaders, out *ir.HTTPSettings) {
	if q := s.MaxRequestHeaderLimit; q != nil {
		const most = 1 << 20
		if out.MaxHeaderBytes = int(*q); *q < 1 || *q > most {
			p.Fail("maxRequestHeaderLimit", "write at most 1Mi", "%d bytes are no limit of a request's head", *q)
		}
	}
	switch s.RequestID {
	case "", "Generate":
		out.KeepRequestID = s.PreserveXRequestID != nil && *s.PreserveXRequestID
	case "PreserveOrGenerate", "Preserve":
		out.KeepRequestID = true
	default:
		p.Warn("requestID", "write PreserveOrGenerate or Generate", "%q is not supported: each request has an id", s.RequestID)
	}
	if s.RequestID != "" && s.PreserveXRequestID != nil {
		p.Fail("preserveXRequestID", "remove it", "preserveXRequestID and requestID cannot both be set")
	}
	if e := s.EarlyRequestHeaders; e != nil {
		p.listenerStep("earlyRequestHeaders", ir.HeaderEdit{Request: p.in("earlyRequestHeaders").edit(e)}, out)
	}
	if e := s.LateResponseHeaders; e != nil {
		p.listenerStep("lateResponseHeaders", ir.HeaderEdit{Response: p.in("lateResponseHeaders").edit(e)}, out)
	}
	if a := s.WithUnderscoresAction; a != "" && a != "Allow" {
		p.Warn("withUnderscoresAction", "remove it", "headers with underscores are let pass")
	}
	p.Ignore("disableRateLimitHeaders", s.DisableRateLimitHeaders)
	p.Ignore("enableEnvoyHeaders", s.EnableEnvoyHeaders)
	p.Ignore("host", s.Host)
	if s.XForwardedClientCert {
		p.Warn("xForwardedClientCert", "remove it", "what clients send in x-forwarded-client-cert is always dropped")
	}
}

func (p *place) listenerStep(field string, e ir.HeaderEdit, out *ir.HTTPSettings) {
	out.Steps = append(out.Steps, ir.Step{Phase: ir.PhasePre, Slot: p.slot(field), Origin: p.Origin(field), Headers: &e})
}

// edit reads changes to headers.
func (p *place) edit(s *headerEditor) ir.HeaderChanges {
	var out ir.HeaderChanges
	read := func(list string, values []headerValue) (ok []ir.HeaderValue) {
		for i, v := range values {
			at := fmt.Sprintf("%s[%d]", list, i)
			if p.headerName(at+".name", v.Name) && p.headerText(at+".value", v.Value) {
				ok = append(ok, ir.HeaderValue{Name: v.Name, Value: v.Value, Origin: p.Origin(at)})
			}
		}
		return ok
	}
	out.Set, out.Add = read("set", s.Set), read("add", s.Add)
	for i, n := range s.Remove {
		if p.headerName(fmt.Sprintf("remove[%d]", i), n) {
			out.Remove = append(out.Remove, n)
		}
	}
	p.Refuse("addIfAbsent", s.AddIfAbsent)
	p.Refuse("removeOnMatch", s.RemoveOnMatch)
	return out
}

// clientAddress reads by what a caller's address is known.
func (p *place) clientAddress(s *clientTrafficPolicySpec, out *ir.HTTPSettings) {
	c := s.ClientIPDetection
	if c == nil {
		return
	}
	at := p.in("clientIPDetection")
	at.Refuse("customHeader", c.CustomHeader)
	x := c.XForwardedFor
	n := 0
	for _, set := range []bool{x != nil, bool(c.CustomHeader), bool(c.DirectSourceIP)} {
		if set {
			n++
		}
	}
	if n != 1 {
		at.Fail("", "write one", "exactly one of xForwardedFor, customHeader, or directSourceIP must be set")
	}
	if x == nil {
		return
	}
	at.Ignore("xForwardedFor.disableXForwardedForAppend", x.DisableXForwardedForAppend)
	at.Refuse("xForwardedFor.trustedCIDRs", present(len(x.TrustedCIDRs) > 0))
	if x.NumTrustedHops != nil {
		if out.TrustedHops = *x.NumTrustedHops; out.TrustedHops < 0 {
			at.Fail("xForwardedFor.numTrustedHops", "write 0 or more", "%d is no number of proxies", out.TrustedHops)
		}
	}
}

// listenerTLS reads what the listeners' TLS is changed to; nil: nothing.
func (p *place) listenerTLS(s *clientTLSSettings) *ir.ServerTLS {
	if s == nil {
		return nil
	}
	p = p.in("tls")
	out := &ir.ServerTLS{ALPN: s.ALPNProtocols, Origin: p.Origin("")}
	out.MinVersion, out.MaxVersion, out.CipherSuites = p.versions(&s.tlsVersions)
	p.Ignore("fingerprints", s.Fingerprints)
	p.Ignore("session", s.Session)
	if v := s.ClientValidation; v != nil {
		p.in("clientValidation").clientValidation(v, out)
	}
	return out
}

// crlData is the data key of a certificate revocation list.
const crlData = "ca.crl"

// clientValidation reads what is asked of clients' certificates.
func (p *place) clientValidation(v *clientValidation, out *ir.ServerTLS) {
	switch v.Mode {
	case "", "RequireAndVerify":
		out.ClientOptional = v.Optional && v.Mode == ""
	case "VerifyIfGiven":
		out.ClientOptional = true
	default:
		p.Fail("mode", "write RequireAndVerify or VerifyIfGiven", "%q is not supported: a certificate that nobody verifies proves nothing", v.Mode)
	}
	if len(v.CACertificateRefs) == 0 {
		p.Fail("caCertificateRefs", "name a ConfigMap with ca.crt", "no certificate authority to verify clients by")
	}
	cas := &ir.ClientTLS{}
	p.authorities(v.CACertificateRefs, "Secret", cas)
	out.ClientCAs = cas.CAs
	p.Refuse("allowExpiredCertificate", v.AllowExpiredCertificate)
	for i, h := range v.SPKIHashes {
		sum, err := base64.StdEncoding.DecodeString(h)
		if err != nil || len(sum) != sha256.Size {
			p.Fail(fmt.Sprintf("spkiHashes[%d]", i), "write the SHA-256 digest in base64", "it is no digest")
		}
		out.ClientKeys = append(out.ClientKeys, hex.EncodeToString(sum))
	}
	for i, h := range v.CertificateHashes {
		sum := strings.ToLower(strings.ReplaceAll(h, ":", ""))
		if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size {
			p.Fail(fmt.Sprintf("certificateHashes[%d]", i), "write the SHA-256 digest in hexadecimal", "it is no digest")
		}
		out.ClientHashes = append(out.ClientHashes, sum)
	}
	if n := v.SubjectAltNames; n != nil {
		at := p.in("subjectAltNames")
		for _, list := range []struct {
			field string
			names []stringMatch
		}{{"dnsNames", n.DNSNames}, {"emailAddresses", n.EmailAddresses}, {"ipAddresses", n.IPAddresses}, {"uris", n.URIs}} {
			for i, m := range list.names {
				if m.Type != "" && m.Type != "Exact" || m.Value == "" {
					at.Fail(fmt.Sprintf("%s[%d]", list.field, i), "write the whole name, with type Exact", "names are compared exactly alone")
				}
				out.ClientNames = append(out.ClientNames, m.Value)
			}
		}
		at.Refuse("otherNames", n.OtherNames)
	}
	if v.CRL != nil {
		p.Refuse("crl.onlyVerifyLeafCertificate", v.CRL.OnlyVerifyLeafCertificate)
		for i := range v.CRL.Refs {
			out.ClientCRLs = append(out.ClientCRLs, ir.Bytes{Ref: p.secretKey(fmt.Sprintf("crl.refs[%d]", i), &v.CRL.Refs[i], crlData)})
		}
	}
}
