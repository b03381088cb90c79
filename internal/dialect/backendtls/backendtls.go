// Package backendtls reads the Gateway API's BackendTLSPolicies: how a backend
// is spoken to over TLS, whatever its kind. Every dialect whose backends such a
// policy may target uses it; it is no dialect, and imports none.
//
//	target ──For──► policies, the one that takes precedence first ──Judge──► TLS, or why none
package backendtls

import (
	"fmt"
	"net/url"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// Kind is the policies' kind.
var Kind = resource.GroupKind{Group: parent.Group, Kind: "BackendTLSPolicy"}

// Honoured reports whether backends of a kind are spoken to as their policies
// say: Services, and Envoy Gateway's Backends.
func Honoured(gk resource.GroupKind) bool {
	return gk == resource.ServiceKind || gk == resource.GroupKind{Group: "gateway.envoyproxy.io", Kind: "Backend"}
}

// Policy is the spec of a BackendTLSPolicy object.
type Policy struct {
	Spec gatewayv1.BackendTLSPolicySpec `json:"spec"`
}

// Described describes the kind to a decoder.
func Described() resource.Kind {
	return resource.Kind{
		GroupKind: Kind, Versions: []string{"v1", "v1alpha3"}, Plural: "backendtlspolicies",
		New: func() any { return new(Policy) }, Vital: []string{"targetRefs"},
	}
}

// For returns the policies for an object of the namespace, or a named section
// of it, the one that takes precedence first: the oldest.
func For(v *resource.View, target resource.Key, section string) []*resource.Object {
	var out []*resource.Object
	for _, o := range v.In(Kind, target.Namespace) {
		for _, t := range o.Spec.(*Policy).Spec.TargetRefs {
			if string(t.Group) == target.Group && string(t.Kind) == target.Kind && string(t.Name) == target.Name &&
				parent.Or(t.SectionName, "") == section {
				out = append(out, o)
				break
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *resource.Object) int {
		if a.Older(b) {
			return -1
		}
		return 1
	})
	return out
}

// Judgement is what a policy comes to, its targets apart.
type Judgement struct {
	TLS *ir.ClientTLS
	// Closed is set where the policy cannot be carried out: its backends are
	// never spoken to in plain text then.
	Closed *ir.Closed
	Faults []parent.Fault
}

// Judge reads a policy. faulty is what closes an object that was not decoded in
// full; nil: it was.
func Judge(v *resource.View, obj *resource.Object, faulty *ir.Closed) Judgement {
	spec := &obj.Spec.(*Policy).Spec.Validation
	j := Judgement{Closed: faulty, TLS: &ir.ClientTLS{SNI: string(spec.Hostname), Origin: obj.Origin("spec.validation")}}
	fault := func(f parent.Fault) {
		j.Faults = append(j.Faults, f)
		if j.Closed == nil && f.Condition == "Accepted" {
			j.Closed = f.Closed(obj)
		}
	}
	invalid := func(field, remedy, format string, args ...any) {
		fault(parent.Fault{Condition: "Accepted", Reason: "Invalid", Field: "spec.validation" + field, What: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	if !parent.ValidPrecise(string(spec.Hostname)) {
		invalid(".hostname", "write a lower case DNS name", "%q is no hostname", spec.Hostname)
	}
	wellKnown := parent.Or(spec.WellKnownCACertificates, "")
	switch {
	case (wellKnown != "") == (len(spec.CACertificateRefs) > 0):
		invalid("", "set one of them", "one of caCertificateRefs and wellKnownCACertificates is needed")
	case wellKnown != "" && wellKnown != string(gatewayv1.WellKnownCACertificatesSystem):
		invalid(".wellKnownCACertificates", "use System", "%q are no certificate authorities that we know", wellKnown)
	case wellKnown == "":
		cas, faults := Authorities(v, Kind, obj.Namespace, localRefs(obj.Namespace, spec.CACertificateRefs))
		j.TLS.CAs = cas
		for _, f := range faults {
			fault(f)
		}
		if len(cas) == 0 {
			fault(parent.Fault{
				Condition: "Accepted", Reason: "NoValidCACertificate", Field: "spec.validation.caCertificateRefs",
				What: "no certificate authority to verify the backend by; requests for it get 500", Remedy: "name a ConfigMap with ca.crt",
			})
		}
	}
	for i, san := range spec.SubjectAltNames {
		name, ok := subjectAltName(san)
		if !ok {
			invalid(fmt.Sprintf(".subjectAltNames[%d]", i), "set hostname for type Hostname, uri for type URI", "the name is not valid")
			continue
		}
		j.TLS.SubjectAltNames = append(j.TLS.SubjectAltNames, name)
	}
	return j
}

func localRefs(namespace string, list []gatewayv1.LocalObjectReference) []Ref {
	out := make([]Ref, len(list))
	for i, r := range list {
		out[i] = Ref{
			Key: resource.Key{
				GroupKind: resource.GroupKind{Group: string(r.Group), Kind: string(r.Kind)}, Namespace: namespace, Name: string(r.Name),
			},
			Field: fmt.Sprintf("spec.validation.caCertificateRefs[%d]", i),
		}
	}
	return out
}

func subjectAltName(san gatewayv1.SubjectAltName) (string, bool) {
	switch {
	case san.Type == gatewayv1.HostnameSubjectAltNameType && san.URI == "":
		return string(san.Hostname), parent.ValidHostname(string(san.Hostname))
	case san.Type == gatewayv1.URISubjectAltNameType && san.Hostname == "":
		u, err := url.Parse(string(san.URI))
		return string(san.URI), err == nil && u.IsAbs() && u.Host != ""
	}
	return "", false
}
