package gloo

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
)

// Keys of a TLS Secret.
const (
	certKey = "tls.crt"
	keyKey  = "tls.key"
	caKey   = "ca.crt"
)

// serverTLS returns what a VirtualService shows to its clients, or why it can
// show nothing.
func (t *translation) serverTLS(o *resource.Object, s *sslConfig) (*ir.ServerTLS, *ir.Closed) {
	const at = "spec.sslConfig"
	tls := &ir.ServerTLS{ALPN: s.ALPNProtocols, Origin: o.Origin(at)}
	p := t.options(o, at)
	before := p.Mark()
	var params ir.ClientTLS
	p.parameters(s.Parameters, &params)
	tls.MinVersion, tls.MaxVersion, tls.CipherSuites = params.MinVersion, params.MaxVersion, params.CipherSuites
	if sec, r := p.tlsSecret(&s.sslCommon); sec != nil {
		if !sec.HasKey(certKey) || !sec.HasKey(keyKey) {
			p.Fail("secretRef", "put both into its data", "secret %v has no %s or no %s", r, certKey, keyKey)
		}
		tls.Certificates = []ir.KeyPair{keyPair(r, p.Origin("secretRef"))}
		oneWay := s.OneWayTLS != nil && *s.OneWayTLS
		if sec.HasKey(caKey) && !oneWay {
			tls.ClientCAs = []ir.Bytes{{Ref: secretKey(r, caKey)}}
		}
	}
	if len(s.VerifySubjectAltName) > 0 {
		p.Fail("verifySubjectAltName", "remove it, or check the client's name by a policy", "verifySubjectAltName of clients is not supported; the listener is closed")
	}
	p.ignore("ocspStaplePolicy", s.OCSPStaplePolicy)
	if s.DisableTLSSessionResumption != nil && *s.DisableTLSSessionResumption {
		p.Warn("disableTlsSessionResumption", "remove it", "disableTlsSessionResumption is not supported and has no effect")
	}
	if s.TransportSocketConnectTimeout.Set {
		p.Warn("transportSocketConnectTimeout", "use requestHeadersTimeout", "transportSocketConnectTimeout is not supported and has no effect")
	}
	if closed := p.Since(before); closed != nil {
		return &ir.ServerTLS{Origin: tls.Origin}, closed
	}
	return tls, nil
}

// clientTLS returns how an upstream's certificate is verified: against the CA
// of the secret, or the system's roots where it has none. What the product
// leaves unverified, we verify.
func (p *options) clientTLS(s *upstreamSSL) *ir.ClientTLS {
	tls := &ir.ClientTLS{SNI: s.SNI, SubjectAltNames: s.VerifySubjectAltName, Origin: p.Origin("")}
	p.parameters(s.Parameters, tls)
	sec, r := (*resource.Secret)(nil), ref{}
	if s.SecretRef != nil || s.SDS.set() || s.SSLFiles != nil {
		sec, r = p.tlsSecret(&s.sslCommon)
	}
	if sec != nil {
		p.upstreamSecret(s, sec, r, tls)
	}
	if s.AllowRenegotiation != nil && *s.AllowRenegotiation {
		p.Warn("allowRenegotiation", "remove it", "renegotiation is never allowed")
	}
	return tls
}

func (p *options) upstreamSecret(s *upstreamSSL, sec *resource.Secret, r ref, tls *ir.ClientTLS) {
	switch {
	case sec.HasKey(certKey) != sec.HasKey(keyKey):
		p.Fail("secretRef", "put both into its data, or neither", "secret %v has only one of %s and %s", r, certKey, keyKey)
	case !sec.HasKey(certKey) && !sec.HasKey(caKey):
		p.Fail("secretRef", "put "+caKey+" into its data", "secret %v has neither %s nor %s", r, caKey, certKey)
	}
	if sec.HasKey(caKey) {
		tls.CAs = []ir.Bytes{{Ref: secretKey(r, caKey)}}
	}
	oneWay := s.OneWayTLS != nil && *s.OneWayTLS
	if sec.HasKey(certKey) && !oneWay {
		pair := keyPair(r, p.Origin("secretRef"))
		tls.Certificate = &pair
	}
}

// tlsSecret returns the Secret that holds a certificate, or reports why there
// is none.
func (p *options) tlsSecret(s *sslCommon) (*resource.Secret, ref) {
	switch {
	case s.SDS.set():
		p.Fail("sds", "use secretRef", "sds is not supported")
		return nil, ref{}
	case s.SSLFiles != nil:
		p.Fail("sslFiles", "put the files into a Secret and use secretRef", "sslFiles is not supported")
		return nil, ref{}
	case s.SecretRef == nil:
		p.Fail("secretRef", "name a Secret of type kubernetes.io/tls", "there is no secretRef")
		return nil, ref{}
	}
	r := s.SecretRef.in(p.Object.Namespace)
	_, sec, missing := secretref.Find(p.t.v, p.Object, r.Namespace, r.Name)
	switch {
	case missing != nil:
		p.Fail("secretRef", missing.Remedy, "%s", missing.What)
		return nil, r
	case sec.HasKey("tls") && !sec.HasKey(certKey) && !sec.HasKey(caKey):
		p.Fail("secretRef", "make it of type kubernetes.io/tls, with "+certKey+" and "+keyKey, "secret %v is in the form of old releases, YAML inside its data, which is not supported", r)
		return nil, r
	}
	return sec, r
}

func secretKey(r ref, key string) secret.Ref {
	return secret.Ref{Kind: "Secret", Namespace: r.Namespace, Name: r.Name, Key: key}
}

func keyPair(r ref, origin ir.Origin) ir.KeyPair {
	return ir.KeyPair{Certificate: secretKey(r, certKey), Key: secretKey(r, keyKey), Origin: origin}
}

// parameters reads versions and cipher suites. TLS 1.0 and 1.1 are never
// spoken.
func (p *options) parameters(s *sslParameters, tls *ir.ClientTLS) {
	if s == nil {
		return
	}
	if s.MinimumProtocolVersion.Old() {
		p.Warn("parameters.minimumProtocolVersion", "write TLSv1_2", "TLS below 1.2 is not spoken")
	}
	if s.MaximumProtocolVersion.Old() {
		p.Fail("parameters.maximumProtocolVersion", "write TLSv1_2 or TLSv1_3", "TLS below 1.2 is not spoken")
	}
	tls.MinVersion, tls.MaxVersion = s.MinimumProtocolVersion.Name(), s.MaximumProtocolVersion.Name()
	for i, n := range s.CipherSuites {
		suites, ok := cipherSuites(n)
		if !ok {
			p.Warn(fmt.Sprintf("parameters.cipherSuites[%d]", i), "remove it", "cipher suite %q is not supported", n)
		}
		tls.CipherSuites = append(tls.CipherSuites, suites...)
	}
	if len(s.CipherSuites) > 0 && len(tls.CipherSuites) == 0 {
		p.Fail("parameters.cipherSuites", "name one such as ECDHE-RSA-AES128-GCM-SHA256", "no cipher suite is left")
	}
	if len(s.ECDHCurves) > 0 {
		p.Warn("parameters.ecdhCurves", "remove it", "ecdhCurves is not supported and has no effect")
	}
}

// olderSuites are taken beside Envoy's present ones, by the names of BoringSSL.
var olderSuites = map[string]string{
	"ECDHE-ECDSA-AES128-SHA": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
	"ECDHE-RSA-AES128-SHA":   "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
	"ECDHE-ECDSA-AES256-SHA": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
	"ECDHE-RSA-AES256-SHA":   "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
	"AES128-GCM-SHA256":      "TLS_RSA_WITH_AES_128_GCM_SHA256",
	"AES256-GCM-SHA384":      "TLS_RSA_WITH_AES_256_GCM_SHA384",
}

// cipherSuites reads one entry: a name, or a group of equals "[A|B]".
func cipherSuites(n string) ([]string, bool) {
	var out []string
	ok := true
	for _, one := range strings.Split(strings.Trim(n, "[]"), "|") {
		if s := cmp.Or(envoy.CipherSuite(one), olderSuites[one]); s != "" {
			out = append(out, s)
		} else {
			ok = false
		}
	}
	return out, ok
}
