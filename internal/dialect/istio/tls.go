package istio

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// serverTLS reads what a listener shows to its clients, and asks of them.
// namespaces are where its Secrets may be, in order.
func (p *place) serverTLS(s *serverTLS, namespaces []string) *ir.ServerTLS {
	out := &ir.ServerTLS{Origin: p.Origin("")}
	if s == nil {
		p.Fail("", "write tls with a mode and a credentialName", "the port is HTTPS and nothing says how; the listener is closed")
		return out
	}
	if s.Mode == tlsIstioMutual {
		p.identity(s, out)
	} else {
		p.certificates(s, namespaces, out)
	}
	p.clientChecks(s, out)
	p.versions(s, out)
	return out
}

// identity shows the workload's own certificate, and asks clients for theirs,
// of the same mesh.
func (p *place) identity(s *serverTLS, out *ir.ServerTLS) {
	out.Identity, out.ClientIdentity = true, true
	if s.CredentialName != "" || len(s.CredentialNames) > 0 || s.ServerCertificate != "" || s.PrivateKey != "" || s.CACertificates != "" || s.CACertCredentialName != "" {
		p.Fail("mode", "remove the others, or write MUTUAL", "with ISTIO_MUTUAL the workload shows its own certificate, and none other can be named; the listener is closed")
	}
}

// clientChecks reads what is asked of clients' certificates beside their CA.
func (p *place) clientChecks(s *serverTLS, out *ir.ServerTLS) {
	out.ClientNames = s.SubjectAltNames
	for i, pin := range s.VerifyCertificateSPKI {
		b, err := base64.StdEncoding.DecodeString(pin)
		if err != nil || len(b) != sha256.Size {
			p.Fail(index("verifyCertificateSpki", i), "write a SHA-256 digest in base64", "it is no digest of a public key; the listener is closed")
		}
		out.ClientKeys = append(out.ClientKeys, hex.EncodeToString(b))
	}
	for i, pin := range s.VerifyCertificateHash {
		b, err := hex.DecodeString(strings.ReplaceAll(pin, ":", ""))
		if err != nil || len(b) != sha256.Size {
			p.Fail(index("verifyCertificateHash", i), "write a SHA-256 digest in hexadecimal", "it is no digest of a certificate; the listener is closed")
		}
		out.ClientHashes = append(out.ClientHashes, hex.EncodeToString(b))
	}
	if s.Mode == tlsSimple && len(out.ClientNames)+len(out.ClientKeys)+len(out.ClientHashes) > 0 {
		p.Fail("mode", "write MUTUAL", "names and digests are demanded of clients' certificates, and SIMPLE asks for none; the listener is closed")
	}
	if s.InsecureSkipVerify != nil && *s.InsecureSkipVerify {
		p.Fail("insecureSkipVerify", "remove it", "clients' certificates are verified or not asked for; the listener is closed")
	}
}

// certificates reads the Secrets that a server names.
func (p *place) certificates(s *serverTLS, namespaces []string, out *ir.ServerTLS) {
	names := s.CredentialNames
	at := func(i int) string { return fmt.Sprintf("credentialNames[%d]", i) }
	if s.CredentialName != "" {
		if len(names) > 0 {
			p.Fail("credentialNames", "keep one of them", "credentialName and credentialNames exclude each other; the listener is closed")
		}
		names, at = []string{s.CredentialName}, func(int) string { return "credentialName" }
	}
	switch {
	case s.ServerCertificate != "" || s.PrivateKey != "" || s.CACertificates != "" || s.CACRL != "" || len(s.TLSCertificates) > 0:
		p.Fail("", "put the files into a Secret and use credentialName", "certificates in files are not supported; the listener is closed")
		return
	case len(names) == 0:
		p.Fail("credentialName", "name a Secret of type kubernetes.io/tls", "there is no certificate; the listener is closed")
		return
	}
	var first *resource.Object
	for i, n := range names {
		o := p.certificate(at(i), n, namespaces, out)
		if first == nil {
			first = o
		}
	}
	if s.Mode == tlsMutual || s.Mode == tlsOptionalMutual {
		out.ClientOptional = s.Mode == tlsOptionalMutual
		p.clientCA(s, first, namespaces, out)
	}
}

// certificate adds the key pair of a Secret, and returns it.
func (p *place) certificate(at, written string, namespaces []string, out *ir.ServerTLS) *resource.Object {
	name := strings.TrimPrefix(written, "kubernetes://")
	o, data := secretref.First(p.t.v, namespaces, name)
	if o == nil {
		missing := secretref.None(p.t.v, namespaces, name)
		p.Fail(at, missing.Remedy, "%s; the listener is closed", missing.What)
		return nil
	}
	cert, key := secretref.Certificate.In(data), secretref.PrivateKey.In(data)
	if cert == "" || key == "" {
		p.Fail(at, "put both into its data", "secret %s/%s has no tls.crt or no tls.key; the listener is closed", o.Namespace, o.Name)
		return o
	}
	out.Certificates = append(out.Certificates, ir.KeyPair{Certificate: secretref.Of(o.Key, cert), Key: secretref.Of(o.Key, key), Origin: p.Origin(at)})
	return o
}

// clientCA finds what verifies clients: the object that caCertCredentialName
// names, the Secret "<name>-cacert" beside the certificate, or the
// certificate's own Secret.
func (p *place) clientCA(s *serverTLS, cert *resource.Object, namespaces []string, out *ir.ServerTLS) {
	if s.CACertCredentialName != "" {
		if p.clientAuthority(namespaces, s.CACertCredentialName, out) {
			return
		}
		p.Fail("caCertCredentialName", "put ca.crt into a Secret or ConfigMap of that name", "no Secret or ConfigMap %q with ca.crt in %s; the listener is closed", s.CACertCredentialName, strings.Join(namespaces, " or "))
		return
	}
	if cert == nil { // it is told
		return
	}
	for _, name := range []string{cert.Name + "-cacert", cert.Name} {
		if p.clientAuthority([]string{cert.Namespace}, name, out) {
			return
		}
	}
	p.Fail("credentialName", fmt.Sprintf("put ca.crt into it, or into a Secret %q", cert.Name+"-cacert"), "nothing verifies clients' certificates; the listener is closed")
}

// clientAuthority takes the CA bundle of an object, and the revocation list
// beside it, if there is one.
func (p *place) clientAuthority(namespaces []string, name string, out *ir.ServerTLS) bool {
	ca, ok := p.authority(namespaces, name)
	if !ok {
		return false
	}
	out.ClientCAs = []ir.Bytes{ca}
	if o, data := secretref.First(p.t.v, namespaces, name); o != nil {
		if key := secretref.Revocation.In(data); key != "" {
			out.ClientCRLs = []ir.Bytes{{Ref: secretref.Of(o.Key, key)}}
		}
	}
	return true
}

// authority returns the CA bundle of a Secret or ConfigMap.
func (p *place) authority(namespaces []string, name string) (ir.Bytes, bool) {
	if o, data := secretref.First(p.t.v, namespaces, name); o != nil {
		if key := secretref.Authority.In(data); key != "" {
			return ir.Bytes{Ref: secretref.Of(o.Key, key)}, true
		}
	}
	for _, ns := range namespaces {
		if o, m := resource.Spec[resource.ConfigMap](p.t.v, resource.ConfigMapKind, ns, name); o != nil {
			for _, key := range secretref.Authority {
				if m.Data[key] != "" {
					return ir.Bytes{Inline: m.Data[key]}, true
				}
			}
		}
	}
	return ir.Bytes{}, false
}

// versions reads versions and cipher suites. TLS 1.0 and 1.1 are never spoken.
func (p *place) versions(s *serverTLS, out *ir.ServerTLS) {
	if s.MinProtocolVersion.Old() {
		p.Warn("minProtocolVersion", "write TLSV1_2", "TLS below 1.2 is not spoken")
	}
	if s.MaxProtocolVersion.Old() {
		p.Fail("maxProtocolVersion", "write TLSV1_2 or TLSV1_3", "TLS below 1.2 is not spoken; the listener is closed")
	}
	out.MinVersion, out.MaxVersion = s.MinProtocolVersion.Name(), s.MaxProtocolVersion.Name()
	for i, n := range s.CipherSuites {
		if envoy.CipherSuite(n) == "" {
			p.Warn(fmt.Sprintf("cipherSuites[%d]", i), "remove it", "cipher suite %q is not supported", n)
			continue
		}
		out.CipherSuites = append(out.CipherSuites, envoy.CipherSuite(n))
	}
	if len(s.CipherSuites) > 0 && len(out.CipherSuites) == 0 {
		p.Fail("cipherSuites", "name one such as ECDHE-RSA-AES128-GCM-SHA256", "no cipher suite is left; the listener is closed")
	}
	if len(s.ECDHCurves) > 0 {
		p.Warn("ecdhCurves", "remove it", "ecdhCurves is not supported and has no effect")
	}
}
