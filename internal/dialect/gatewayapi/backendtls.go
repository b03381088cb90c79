package gatewayapi

import (
	"fmt"
	"net/url"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/service"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// policyUse is a BackendTLSPolicy that concerns a backend of the route.
type policyUse struct {
	policy *resource.Object
	// faults of the policy, conflict with an older one included.
	faults []parent.Fault
}

// backendTLS returns the TLS for a Service's port by the policy that takes
// precedence: one for the port's name before one for the whole Service, then
// the oldest. A policy that cannot be carried out closes the backend: it is
// never spoken to in plain text.
func (h *httpRoute) backendTLS(ref service.Ref) (*ir.ClientTLS, *ir.Closed) {
	port := service.PortName(h.v, ref)
	winner := (*resource.Object)(nil)
	for _, section := range []string{port, ""} {
		rivals := policiesFor(h.v, ref.Namespace, ref.Name, section)
		for i, p := range rivals {
			faults := judge(h.v, p).faults
			if i > 0 {
				faults = append([]parent.Fault{conflicted(rivals[0])}, faults...)
			}
			h.policies = append(h.policies, policyUse{p, faults})
		}
		if winner == nil && len(rivals) > 0 {
			winner = rivals[0]
		}
		if port == "" {
			break
		}
	}
	if winner == nil {
		return nil, nil
	}
	j := judge(h.v, winner)
	if j.closed != nil {
		return nil, j.closed
	}
	return j.tls, nil
}

func conflicted(winner *resource.Object) parent.Fault {
	return parent.Fault{
		Condition: "Accepted", Reason: "Conflicted", Field: "spec.targetRefs",
		What: fmt.Sprintf("%v is older and has the same target", winner.Key), Remedy: "remove one of them",
	}
}

// policiesFor returns the policies for a Service, or a named port of it, the
// one that takes precedence first.
func policiesFor(v *resource.View, namespace, name, section string) []*resource.Object {
	var out []*resource.Object
	for _, o := range v.In(backendTLSPolicyKind, namespace) {
		for _, t := range o.Spec.(*BackendTLSPolicy).Spec.TargetRefs {
			if t.Group == "" && t.Kind == "Service" && string(t.Name) == name && parent.Or(t.SectionName, "") == section {
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

// judgement is what a policy comes to, its targets apart.
type judgement struct {
	tls    *ir.ClientTLS
	closed *ir.Closed
	faults []parent.Fault
}

func judge(v *resource.View, obj *resource.Object) judgement {
	spec := &obj.Spec.(*BackendTLSPolicy).Spec.Validation
	j := judgement{closed: faulty(obj), tls: &ir.ClientTLS{SNI: string(spec.Hostname), Origin: obj.Origin("spec.validation")}}
	fault := func(f parent.Fault) {
		j.faults = append(j.faults, f)
		if j.closed == nil && f.Condition == "Accepted" {
			j.closed = f.Closed(obj)
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
		cas, faults := authorities(v, backendTLSPolicyKind, obj.Namespace, localRefs(obj.Namespace, spec.CACertificateRefs))
		j.tls.CAs = cas
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
		j.tls.SubjectAltNames = append(j.tls.SubjectAltNames, name)
	}
	return j
}

func localRefs(namespace string, list []gatewayv1.LocalObjectReference) []caRef {
	out := make([]caRef, len(list))
	for i, r := range list {
		out[i] = caRef{
			key: resource.Key{
				GroupKind: resource.GroupKind{Group: string(r.Group), Kind: string(r.Kind)}, Namespace: namespace, Name: string(r.Name),
			},
			field: fmt.Sprintf("spec.validation.caCertificateRefs[%d]", i),
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

// tellPolicies reports the policies of the route's backends for one of its
// Gateways, which is their ancestor.
func (h *httpRoute) tellPolicies(p parent.Parent) {
	about := fmt.Sprintf("Gateway %s/%s", p.Gateway.Namespace, p.Gateway.Name)
	for _, use := range h.policies {
		policyOutcomes(&h.report, use.policy, about, use.faults)
	}
}

func policyOutcomes(report *status.Report, obj *resource.Object, about string, faults []parent.Fault) {
	for _, condition := range []string{"Accepted", "ResolvedRefs"} {
		o := status.Outcome{Object: obj.Status(), About: about, Condition: condition, OK: true, Reason: condition}
		if closed := faulty(obj); closed != nil && condition == "Accepted" {
			o.OK, o.Reason, o.Message = false, "Invalid", closed.Reason
		}
		for _, f := range faults {
			if f.Condition == condition {
				o.OK, o.Reason, o.Message = false, f.Reason, f.What
				break
			}
		}
		report.Outcome(o)
	}
}

// translatePolicy reports a policy's faults. What it does shows at the routes;
// the outcomes here, of no ancestor, are for those that no route uses.
func translatePolicy(v *resource.View, obj *resource.Object) (*dialect.Fragment, status.Report) {
	var report status.Report
	spec := &obj.Spec.(*BackendTLSPolicy).Spec
	faults := judge(v, obj).faults
	if len(spec.TargetRefs) == 0 {
		faults = append(faults, parent.Fault{Condition: "Accepted", Reason: "Invalid", Field: "spec.targetRefs", What: "the policy has no target", Remedy: "name a Service"})
	}
	for i, t := range spec.TargetRefs {
		field := fmt.Sprintf("spec.targetRefs[%d]", i)
		if f := target(v, obj, t, field); f != nil {
			faults = append(faults, *f)
			continue
		}
		if rivals := policiesFor(v, obj.Namespace, string(t.Name), parent.Or(t.SectionName, "")); rivals[0] != obj {
			f := conflicted(rivals[0])
			f.Field = field
			faults = append(faults, f)
		}
	}
	if len(spec.Options) > 0 {
		report.Add(status.Warningf(obj.Origin("spec.options"), "TLS options are not read").Fix("remove them"))
	}
	for _, f := range faults {
		report.Add(f.Problem(obj))
	}
	policyOutcomes(&report, obj, "", faults)
	return &dialect.Fragment{Referable: []dialect.Target{dialect.TargetOf(obj.Key)}}, report
}

// target says what is wrong with one of a policy's targets.
func target(v *resource.View, obj *resource.Object, t gatewayv1.LocalPolicyTargetReferenceWithSectionName, field string) *parent.Fault {
	f := &parent.Fault{Condition: "Accepted", Reason: "TargetNotFound", Field: field}
	if t.Group != "" || t.Kind != "Service" {
		f.Reason, f.What, f.Remedy = "Invalid", fmt.Sprintf("a target of kind %s is not supported", t.Kind), "name a Service"
		return f
	}
	_, svc := resource.Spec[resource.Service](v, resource.ServiceKind, obj.Namespace, string(t.Name))
	if svc == nil {
		key := resource.Key{GroupKind: resource.ServiceKind, Namespace: obj.Namespace, Name: string(t.Name)}
		f.What, f.Remedy = fmt.Sprintf("no Service %q in %s", t.Name, obj.Namespace), suggest(v, key)
		return f
	}
	section := parent.Or(t.SectionName, "")
	if section == "" || slices.ContainsFunc(svc.Spec.Ports, func(p resource.ServicePort) bool { return p.Name == section }) {
		return nil
	}
	f.What, f.Remedy = fmt.Sprintf("Service %s/%s has no port named %q", obj.Namespace, t.Name, section), "name one of its ports, or remove sectionName"
	return f
}
