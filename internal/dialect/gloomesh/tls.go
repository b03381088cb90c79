package gloomesh

import (
	"fmt"

	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
)

// Data keys of Secrets with certificates: those of kubernetes.io/tls, and
// those of Istio's generic form.
var (
	certKeys = []string{"tls.crt", "cert"}
	keyKeys  = []string{"tls.key", "key"}
	caKeys   = []string{"ca.crt", "cacert"}
)

// serverTLS reads what a listener shows to its clients. namespaces are where
// its Secret may be, in order.
func (p *place) serverTLS(s *serverTLS, namespaces []string) *ir.ServerTLS {
	out := &ir.ServerTLS{Origin: p.Origin("")}
	switch {
	case s.Mode != tlsSimple && s.Mode != tlsMutual:
		p.Fail("mode", "write SIMPLE, or MUTUAL", "the mode is missing, or not supported; the listener is closed")
		return out
	case bool(s.Files):
		p.Fail("files", "put the files into a Secret and use secretName", "files are not supported; the listener is closed")
		return out
	case s.SecretName == "":
		p.Fail("secretName", "name a Secret of type kubernetes.io/tls", "there is no certificate; the listener is closed")
		return out
	}
	p.certificates(s, namespaces, out)
	if len(s.VerifySubjectAltName) > 0 {
		p.Fail("verifySubjectAltName", "check the client's name by a policy", "verifySubjectAltName of clients is not supported; the listener is closed")
	}
	p.versions(s, out)
	return out
}

func (p *place) certificates(s *serverTLS, namespaces []string, out *ir.ServerTLS) {
	o, data := p.findSecret(namespaces, s.SecretName)
	if o == nil {
		missing := secretref.None(p.t.v, namespaces, s.SecretName)
		p.Fail("secretName", missing.Remedy, "%s; the listener is closed", missing.What)
		return
	}
	cert, key := pick(data, certKeys), pick(data, keyKeys)
	if cert == "" || key == "" {
		p.Fail("secretName", "put both into its data", "secret %s/%s has no tls.crt or no tls.key; the listener is closed", o.Namespace, o.Name)
		return
	}
	out.Certificates = []ir.KeyPair{{Certificate: refTo(o, cert), Key: refTo(o, key), Origin: p.Origin("secretName")}}
	if s.Mode != tlsMutual {
		return
	}
	if ca := pick(data, caKeys); ca != "" {
		out.ClientCAs = []ir.Bytes{{Ref: refTo(o, ca)}}
		return
	}
	if other, more := p.findSecret([]string{o.Namespace}, s.SecretName+"-cacert"); other != nil && pick(more, caKeys) != "" {
		out.ClientCAs = []ir.Bytes{{Ref: refTo(other, pick(more, caKeys))}}
		return
	}
	p.Fail("secretName", "put ca.crt into the Secret", "nothing verifies clients' certificates; the listener is closed")
}

// findSecret returns the first Secret of a name.
func (p *place) findSecret(namespaces []string, name string) (*resource.Object, *resource.Secret) {
	for _, ns := range namespaces {
		if o, s := resource.Spec[resource.Secret](p.t.v, resource.SecretKind, ns, name); o != nil {
			return o, s
		}
	}
	return nil, nil
}

// pick returns the first key that a Secret has, or "".
func pick(s *resource.Secret, keys []string) string {
	for _, k := range keys {
		if s.HasKey(k) {
			return k
		}
	}
	return ""
}

func refTo(o *resource.Object, key string) secret.Ref {
	return secret.Ref{Kind: resource.SecretKind.Kind, Namespace: o.Namespace, Name: o.Name, Key: key}
}

// suites maps the names of BoringSSL, which Envoy takes, to those of
// crypto/tls.
var suites = map[string]string{
	"ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	"ECDHE-RSA-AES128-GCM-SHA256":   "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	"ECDHE-RSA-AES256-GCM-SHA384":   "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
	"ECDHE-RSA-CHACHA20-POLY1305":   "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}

// versions reads versions and cipher suites. TLS 1.0 and 1.1 are never spoken.
func (p *place) versions(s *serverTLS, out *ir.ServerTLS) {
	if s.Parameters == nil {
		return
	}
	if v := s.Parameters.MinimumProtocolVersion; v == tls10 || v == tls11 {
		p.Warn("parameters.minimumProtocolVersion", "write TLSv1_2", "TLS below 1.2 is not spoken")
	}
	if v := s.Parameters.MaximumProtocolVersion; v == tls10 || v == tls11 {
		p.Fail("parameters.maximumProtocolVersion", "write TLSv1_2 or TLSv1_3", "TLS below 1.2 is not spoken; the listener is closed")
	}
	names := map[tlsVersion]string{tls12: "1.2", tls13: "1.3"}
	out.MinVersion, out.MaxVersion = names[s.Parameters.MinimumProtocolVersion], names[s.Parameters.MaximumProtocolVersion]
	for i, n := range s.Parameters.CipherSuites {
		if suites[n] == "" {
			p.Warn(fmt.Sprintf("parameters.cipherSuites[%d]", i), "remove it", "cipher suite %q is not supported", n)
			continue
		}
		out.CipherSuites = append(out.CipherSuites, suites[n])
	}
	if len(s.Parameters.CipherSuites) > 0 && len(out.CipherSuites) == 0 {
		p.Fail("parameters.cipherSuites", "name one such as ECDHE-RSA-AES128-GCM-SHA256", "no cipher suite is left; the listener is closed")
	}
}
