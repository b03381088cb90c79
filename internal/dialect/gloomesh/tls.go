package gloomesh

import (
	"fmt"

	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
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
	o, data := secretref.First(p.t.v, namespaces, s.SecretName)
	if o == nil {
		missing := secretref.None(p.t.v, namespaces, s.SecretName)
		p.Fail("secretName", missing.Remedy, "%s; the listener is closed", missing.What)
		return
	}
	cert, key := secretref.Certificate.In(data), secretref.PrivateKey.In(data)
	if cert == "" || key == "" {
		p.Fail("secretName", "put both into its data", "secret %s/%s has no tls.crt or no tls.key; the listener is closed", o.Namespace, o.Name)
		return
	}
	out.Certificates = []ir.KeyPair{{Certificate: secretref.Of(o.Key, cert), Key: secretref.Of(o.Key, key), Origin: p.Origin("secretName")}}
	if s.Mode != tlsMutual {
		return
	}
	if ca := secretref.Authority.In(data); ca != "" {
		out.ClientCAs = []ir.Bytes{{Ref: secretref.Of(o.Key, ca)}}
		return
	}
	if other, more := secretref.First(p.t.v, []string{o.Namespace}, s.SecretName+"-cacert"); other != nil && secretref.Authority.In(more) != "" {
		out.ClientCAs = []ir.Bytes{{Ref: secretref.Of(other.Key, secretref.Authority.In(more))}}
		return
	}
	p.Fail("secretName", "put ca.crt into the Secret", "nothing verifies clients' certificates; the listener is closed")
}

// versions reads versions and cipher suites. TLS 1.0 and 1.1 are never spoken.
func (p *place) versions(s *serverTLS, out *ir.ServerTLS) {
	if s.Parameters == nil {
		return
	}
	if s.Parameters.MinimumProtocolVersion.Old() {
		p.Warn("parameters.minimumProtocolVersion", "write TLSv1_2", "TLS below 1.2 is not spoken")
	}
	if s.Parameters.MaximumProtocolVersion.Old() {
		p.Fail("parameters.maximumProtocolVersion", "write TLSv1_2 or TLSv1_3", "TLS below 1.2 is not spoken; the listener is closed")
	}
	out.MinVersion, out.MaxVersion = s.Parameters.MinimumProtocolVersion.Name(), s.Parameters.MaximumProtocolVersion.Name()
	for i, n := range s.Parameters.CipherSuites {
		if envoy.CipherSuite(n) == "" {
			p.Warn(fmt.Sprintf("parameters.cipherSuites[%d]", i), "remove it", "cipher suite %q is not supported", n)
			continue
		}
		out.CipherSuites = append(out.CipherSuites, envoy.CipherSuite(n))
	}
	if len(s.Parameters.CipherSuites) > 0 && len(out.CipherSuites) == 0 {
		p.Fail("parameters.cipherSuites", "name one such as ECDHE-RSA-AES128-GCM-SHA256", "no cipher suite is left; the listener is closed")
	}
}
