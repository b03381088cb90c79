package gatewayapi

import (
	"fmt"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// The data keys of a Secret of type kubernetes.io/tls.
const (
	certificateKey = "tls.crt"
	privateKeyKey  = "tls.key"
)

// serverTLS returns what an HTTPS listener shows to its clients and asks of
// them; faults go to the listener.
func (g *gateway) serverTLS(l *parent.Listener) *ir.ServerTLS {
	if l.Spec.Protocol != gatewayv1.HTTPSProtocolType {
		return nil
	}
	t := &ir.ServerTLS{Origin: l.Object.Origin(l.Field + ".tls")}
	if l.Spec.TLS == nil || len(l.Spec.TLS.CertificateRefs) == 0 {
		l.Faults = append(l.Faults, parent.Fault{
			Condition: "ResolvedRefs", Reason: "InvalidCertificateRef", Field: l.Field + ".tls.certificateRefs",
			What: "a listener for HTTPS needs a certificate", Remedy: "name a Secret of type kubernetes.io/tls",
		})
		return nil
	}
	if len(l.Spec.TLS.Options) > 0 {
		g.report.Add(status.Warningf(l.Object.Origin(l.Field+".tls.options"), "TLS options are not read").Fix("remove them"))
	}
	for i, ref := range l.Spec.TLS.CertificateRefs {
		pair, fault := g.keyPair(l.Object, ref, fmt.Sprintf("%s.tls.certificateRefs[%d]", l.Field, i))
		if fault != nil {
			l.Faults = append(l.Faults, *fault)
			continue
		}
		t.Certificates = append(t.Certificates, *pair)
	}
	g.clientCAs(l, t)
	return t
}

// keyPair resolves a reference of from's to a certificate. The Secret's bytes are not here to look
// at: whether they are a certificate shows when they are used.
func (g *gateway) keyPair(from *resource.Object, ref gatewayv1.SecretObjectReference, field string) (*ir.KeyPair, *parent.Fault) {
	fault := func(reason, remedy, format string, args ...any) *parent.Fault {
		return &parent.Fault{Condition: "ResolvedRefs", Reason: reason, Field: field, What: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	gk := resource.GroupKind{Group: parent.Or(ref.Group, ""), Kind: parent.Or(ref.Kind, "Secret")}
	if gk != resource.SecretKind {
		return nil, fault("InvalidCertificateRef", "name a Secret", "a certificate in a %v is not supported", gk)
	}
	key := resource.Key{GroupKind: gk, Namespace: parent.Or(ref.Namespace, from.Namespace), Name: string(ref.Name)}
	if !parent.Granted(g.v, from.GroupKind, from.Namespace, key) {
		return nil, fault("RefNotPermitted", parent.GrantRemedy(from.GroupKind, from.Namespace, key), "%v may not be used from %s", key, from.Namespace)
	}
	obj, shape := resource.Spec[resource.Secret](g.v, gk, key.Namespace, key.Name)
	if shape == nil {
		missing := secretref.None(g.v, []string{key.Namespace}, key.Name)
		return nil, fault("InvalidCertificateRef", missing.Remedy, "%s", missing.What)
	}
	if !shape.HasKey(certificateKey) || !shape.HasKey(privateKeyKey) {
		return nil, fault("InvalidCertificateRef", "use a Secret of type kubernetes.io/tls", "%v lacks %s or %s", key, certificateKey, privateKeyKey)
	}
	return &ir.KeyPair{Certificate: secretref.Of(key, certificateKey), Key: secretref.Of(key, privateKeyKey), Origin: obj.Origin("")}, nil
}

// clientCAs adds the client certificate validation that the Gateway asks for
// on the listener's port.
func (g *gateway) clientCAs(l *parent.Listener, t *ir.ServerTLS) {
	validation, field := g.frontend(l.Spec.Port)
	if validation == nil {
		return
	}
	refs := make([]caRef, len(validation.CACertificateRefs))
	for i, r := range validation.CACertificateRefs {
		refs[i] = caRef{
			key: resource.Key{
				GroupKind: resource.GroupKind{Group: string(r.Group), Kind: string(r.Kind)},
				Namespace: parent.Or(r.Namespace, g.obj.Namespace), Name: string(r.Name),
			},
			field: fmt.Sprintf("%s.caCertificateRefs[%d]", field, i),
		}
	}
	cas, faults := authorities(g.v, parent.GatewayKind, g.obj.Namespace, refs)
	t.ClientCAs = cas
	if len(cas) == 0 {
		l.Faults = append(l.Faults, parent.Fault{
			Condition: "Accepted", Reason: "NoValidCACertificate", Object: g.obj, Field: field + ".caCertificateRefs",
			What: "no certificate authority to verify clients by", Remedy: "name a ConfigMap with ca.crt",
		})
	}
	for _, f := range faults {
		if f.Reason == "InvalidKind" {
			f.Reason = "InvalidCACertificateKind"
		}
		f.Object, f.Partial = g.obj, len(cas) > 0 // the others still verify
		l.Faults = append(l.Faults, f)
	}
	switch validation.Mode {
	case "", gatewayv1.AllowValidOnly:
	case gatewayv1.AllowInsecureFallback:
		t.ClientOptional, t.ClientUnverified = true, true
		g.report.Add(status.Warningf(g.obj.Origin(field+".mode"), "clients without a certificate, or with one that does not verify, are let in").
			Fix("use AllowValidOnly, or make sure that the routes ask who calls"))
		g.report.Outcome(status.Outcome{Object: g.obj.Status(), Condition: "InsecureFrontendValidationMode", OK: true, Reason: "ConfigurationChanged"})
	default:
		l.Faults = append(l.Faults, parent.Fault{
			Condition: "Accepted", Reason: "UnsupportedValue", Object: g.obj, Field: field + ".mode",
			What: fmt.Sprintf("%q is no mode", validation.Mode), Remedy: "use AllowValidOnly or AllowInsecureFallback",
		})
	}
}

// frontend returns the validation for a port: its own, else the default.
func (g *gateway) frontend(port gatewayv1.PortNumber) (*gatewayv1.FrontendTLSValidation, string) {
	if g.spec.TLS == nil || g.spec.TLS.Frontend == nil {
		return nil, ""
	}
	for i, p := range g.spec.TLS.Frontend.PerPort {
		if p.Port == port {
			return p.TLS.Validation, fmt.Sprintf("spec.tls.frontend.perPort[%d].tls.validation", i)
		}
	}
	return g.spec.TLS.Frontend.Default.Validation, "spec.tls.frontend.default.validation"
}
