package gatewayapi

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/backendtls"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/reading"
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
		rivals := backendtls.For(h.v, resource.Key{GroupKind: resource.ServiceKind, Namespace: ref.Namespace, Name: ref.Name}, section)
		for i, p := range rivals {
			faults := judge(h.v, p).Faults
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
	if j.Closed != nil {
		return nil, j.Closed
	}
	return j.TLS, nil
}

func conflicted(winner *resource.Object) parent.Fault {
	return parent.Fault{
		Condition: "Accepted", Reason: "Conflicted", Field: "spec.targetRefs",
		What: fmt.Sprintf("%v is older and has the same target", winner.Key), Remedy: "remove one of them",
	}
}

// judge reads a policy.
func judge(v *resource.View, obj *resource.Object) backendtls.Judgement {
	return backendtls.Judge(v, obj, faulty(obj))
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
	spec := &obj.Spec.(*backendtls.Policy).Spec
	faults := judge(v, obj).Faults
	if len(spec.TargetRefs) == 0 {
		faults = append(faults, parent.Fault{Condition: "Accepted", Reason: "Invalid", Field: "spec.targetRefs", What: "the policy has no target", Remedy: "name a Service"})
	}
	for i, t := range spec.TargetRefs {
		field := fmt.Sprintf("spec.targetRefs[%d]", i)
		if f := target(v, obj, t, field); f != nil {
			faults = append(faults, *f)
			continue
		}
		if rivals := backendtls.For(v, targetKey(obj, t), parent.Or(t.SectionName, "")); rivals[0] != obj {
			f := conflicted(rivals[0])
			f.Field = field
			faults = append(faults, f)
		}
	}
	if len(spec.Options) > 0 {
		report.Add(status.Warningf(obj.Origin("spec.options"), "TLS options are not read").Fix("remove them"))
	}
	for _, f := range faults {
		p := f.Problem(obj)
		if f.Reason == "TargetNotFound" { // where no route leads, no status says so
			p.Alert = status.TargetNotFound
		}
		report.Add(p)
	}
	policyOutcomes(&report, obj, "", faults)
	return &dialect.Fragment{Referable: []dialect.Target{dialect.TargetOf(obj.Key)}}, report
}

// targetKey returns the object that a target names.
func targetKey(obj *resource.Object, t gatewayv1.LocalPolicyTargetReferenceWithSectionName) resource.Key {
	return resource.Key{GroupKind: resource.GroupKind{Group: string(t.Group), Kind: string(t.Kind)}, Namespace: obj.Namespace, Name: string(t.Name)}
}

// target says what is wrong with one of a policy's targets.
func target(v *resource.View, obj *resource.Object, t gatewayv1.LocalPolicyTargetReferenceWithSectionName, field string) *parent.Fault {
	f := &parent.Fault{Condition: "Accepted", Reason: "TargetNotFound", Field: field}
	key := targetKey(obj, t)
	isService := key.GroupKind == resource.ServiceKind
	if !backendtls.Honoured(key.GroupKind) || !isService && !v.Knows(key.GroupKind) {
		f.Reason, f.What, f.Remedy = "Invalid", fmt.Sprintf("a target of kind %s is not supported", t.Kind), "name a Service"
		return f
	}
	if v.Get(key.GroupKind, key.Namespace, key.Name) == nil {
		f.What, f.Remedy = fmt.Sprintf("no %s %q in %s", t.Kind, t.Name, obj.Namespace), reading.Suggest(v, key.GroupKind, key.Namespace, key.Name)
		return f
	}
	if !isService { // its own dialect knows its sections
		return nil
	}
	_, svc := resource.Spec[resource.Service](v, resource.ServiceKind, obj.Namespace, string(t.Name))
	section := parent.Or(t.SectionName, "")
	if section == "" || slices.ContainsFunc(svc.Spec.Ports, func(p resource.ServicePort) bool { return p.Name == section }) {
		return nil
	}
	f.What, f.Remedy = fmt.Sprintf("Service %s/%s has no port named %q", obj.Namespace, t.Name, section), "name one of its ports, or remove sectionName"
	return f
}
