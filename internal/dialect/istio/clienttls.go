package istio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// tlsTarget is whom TLS is begun with.
type tlsTarget struct {
	host string
	// names are what a ServiceEntry says of the certificate.
	names []string
	// inside says that it is in the mesh.
	inside bool
}

// clientTLS returns how a policy begins TLS; nil: in plain text. What it says
// and cannot be done closes the upstream; the DestinationRule reports it.
func (t *translation) clientTLS(p *policy, to tlsTarget) (*ir.ClientTLS, *ir.Closed) {
	switch {
	case t.opts.Mesh != nil && to.inside:
		return t.meshTLS(p), nil
	case p.TLS == nil || p.TLS.Mode == clientDisable:
		return nil, nil
	}
	quiet := t.quiet().place(p.rule, "spec.trafficPolicy.tls")
	out := quiet.readClientTLS(p.TLS)
	if out.SNI == "" {
		out.SNI = to.host
	}
	if len(out.SubjectAltNames) == 0 {
		out.SubjectAltNames = to.names
	}
	closed := quiet.Since(0)
	if out.Identity && len(out.SubjectAltNames) == 0 && closed == nil {
		closed = &ir.Closed{Reason: nobodySays(to.host), Origin: p.rule.Origin("spec")}
	}
	return out, closed
}

// nobodySays is why ISTIO_MUTUAL cannot be verified: Istio takes the service
// accounts of the pods behind a service, which a gateway does not see.
func nobodySays(host string) string {
	return fmt.Sprintf("nothing says which identity %s must prove with ISTIO_MUTUAL", host)
}

// checkClientTLS reports what of a rule's TLS settings cannot be done.
func (p *place) checkClientTLS(s *clientTLS) {
	if s.Mode == clientDisable {
		return
	}
	p.readClientTLS(s)
	host := hostIn(p.Object.Spec.(*destinationRule).Spec.Host, p.Object.Namespace)
	if s.Mode != clientIstioMutual || len(s.SubjectAltNames) > 0 || p.t.opts.Mesh != nil {
		return
	}
	for _, o := range p.t.v.All(serviceEntryKind) {
		e := &o.Spec.(*serviceEntry).Spec
		if len(e.SubjectAltNames) > 0 && slices.ContainsFunc(e.Hosts, func(h string) bool { return covers(host, strings.ToLower(h)) }) {
			return
		}
	}
	p.Warn("subjectAltNames", "write the SPIFFE ID that it must prove, such as spiffe://cluster.local/ns/default/sa/httpbin", "%s; requests of this gateway to it are closed", nobodySays(host))
}

// readClientTLS reads TLS settings: against the CA that is given or the
// system's roots, since what Envoy leaves unverified we verify.
func (p *place) readClientTLS(s *clientTLS) *ir.ClientTLS {
	out := &ir.ClientTLS{SNI: strings.ToLower(s.SNI), SubjectAltNames: s.SubjectAltNames, Origin: p.Origin("")}
	switch {
	case s.Mode == clientIstioMutual && (s.CredentialName != "" || s.ClientCertificate != "" || s.PrivateKey != "" || s.CACertificates != ""):
		p.Fail("mode", "remove the others, or write MUTUAL", "with ISTIO_MUTUAL the workload shows its own certificate, and none other can be named; what it leads to is closed")
		return out
	case s.Mode == clientIstioMutual:
		out.Identity = true
		return out
	case s.ClientCertificate != "" || s.PrivateKey != "" || s.CACRL != "":
		p.Fail("clientCertificate", "put the certificate into a Secret and use credentialName", "files are not supported; what it leads to is closed")
	case s.Mode == clientMutual && s.CredentialName == "":
		p.Fail("credentialName", "put the certificate into a Secret and name it", "MUTUAL needs a certificate; what it leads to is closed")
	}
	switch {
	case s.CACertificates == "", s.CACertificates == "system":
	default:
		p.Fail("caCertificates", "put ca.crt into a Secret and use credentialName", "files are not supported; what it leads to is closed")
	}
	if s.CredentialName != "" {
		p.clientCredential(s, out)
	}
	if s.InsecureSkipVerify != nil && *s.InsecureSkipVerify {
		p.Warn("insecureSkipVerify", "remove it, and give the CA by credentialName", "nobody verifies whom requests reach")
		out.InsecureSkipVerify = true
	}
	return out
}

// clientCredential reads the Secret with the CA and, for MUTUAL, the
// certificate. "configmap://" names a ConfigMap with the CA.
func (p *place) clientCredential(s *clientTLS, out *ir.ClientTLS) {
	namespaces := p.t.clientNamespaces(p.Object)
	if name, ok := strings.CutPrefix(s.CredentialName, "configmap://"); ok {
		if ca, found := p.authority(namespaces, name); found && s.Mode == clientSimple {
			out.CAs = []ir.Bytes{ca}
			return
		}
		p.Fail("credentialName", "write a ConfigMap with ca.crt, for SIMPLE alone", "ConfigMap %q cannot be used; what it leads to is closed", name)
		return
	}
	name := strings.TrimPrefix(s.CredentialName, "kubernetes://")
	o, data := secretref.First(p.t.v, namespaces, name)
	if o == nil {
		missing := secretref.None(p.t.v, namespaces, name)
		p.Fail("credentialName", missing.Remedy, "%s; what it leads to is closed", missing.What)
		return
	}
	if secretref.PrivateKey.In(data) != "" && !secretref.Permitted(p.t.v, p.Object, o.Key) {
		p.Fail("credentialName", parent.GrantRemedy(p.Object.GroupKind, p.Object.Namespace, o.Key), "%v may not be used from %s; what it leads to is closed", o.Key, p.Object.Namespace)
		return
	}
	ca, found := p.authority(namespaces, name+"-cacert")
	if !found {
		ca, found = p.authority(namespaces, name)
	}
	if found {
		out.CAs = []ir.Bytes{ca}
	}
	cert, key := secretref.Certificate.In(data), secretref.PrivateKey.In(data)
	switch {
	case s.Mode == clientMutual && (cert == "" || key == ""):
		p.Fail("credentialName", "put both into its data", "secret %s/%s has no tls.crt or no tls.key; what it leads to is closed", o.Namespace, o.Name)
	case s.Mode == clientMutual:
		out.Certificate = &ir.KeyPair{Certificate: secretref.Of(o.Key, cert), Key: secretref.Of(o.Key, key), Origin: p.Origin("credentialName")}
	case !found:
		p.Fail("credentialName", "put ca.crt into its data", "secret %s/%s has no ca.crt; what it leads to is closed", o.Namespace, o.Name)
	}
}

// clientNamespaces returns where the Secrets of a DestinationRule are: beside
// the gateway's pods. Where nobody said which workload we are, they may also be
// beside the rule.
func (t *translation) clientNamespaces(o *resource.Object) []string {
	if t.opts.Workload != nil {
		return []string{t.opts.Workload.Namespace}
	}
	out := []string{o.Namespace}
	for _, w := range t.workloads() {
		for _, ns := range t.secretNamespaces(w) {
			if !slices.Contains(out, ns) {
				out = append(out, ns)
			}
		}
	}
	return out
}

// quiet is a translation that reports nothing, for what another root reports.
func (t *translation) quiet() *translation {
	return &translation{opts: t.opts, v: t.v, config: t.config}
}
