package envoyai

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postern-gateway/postern/internal/dialect/service"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// serviceBackend makes the upstream of an AIServiceBackend or LLMBackend, for
// the routes that ask nothing of their own of it.
func (p *place) serviceBackend() {
	u := p.upstream(variant{name: upstreamName(p.Object.Key)})
	p.t.f.Upstreams = append(p.t.f.Upstreams, u)
	p.t.f.Referable = append(p.t.f.Referable, target(p.Object.Key))
	out := status.Outcome{Object: p.Object.Key.Status(), Condition: "Ready", OK: true, Reason: "Ready"}
	if u.Closed != nil {
		out.OK, out.Reason, out.Message = false, "NotReady", u.Closed.Reason
	}
	p.t.report.Outcome(out)
}

// variant is what a route asks of a backend.
type variant struct {
	name string
	// model replaces the request's; empty: it stays.
	model   string
	headers *headerMutation
	body    *bodyMutation
	// at is where the route asks for it; nil: no route does.
	at *place
}

// upstream makes an upstream of a backend.
func (p *place) upstream(v variant) *ir.Upstream {
	mark := p.Mark()
	f := p.backendForm()
	u := p.address(&f)
	u.Name, u.Origin = v.name, p.Origin("")
	notReady := u.Closed
	if policy, at := p.policyFor(&f); policy != nil || at != nil {
		if at != nil {
			notReady = at
		} else {
			var c *ir.Closed
			if u.Credential, c = policy.credential(); c != nil && notReady == nil {
				notReady = c
			}
		}
		p.schemaOf(&f, policy, v.model, u)
	} else {
		p.schemaOf(&f, nil, v.model, u)
	}
	if u.Credential != nil && u.TLS == nil {
		p.Warn("backendRef", "give the Backend TLS, by a BackendTLSPolicy for instance", "the provider's credential travels without TLS")
	}
	p.mutations(u, f.headers, f.body)
	if v.at != nil {
		v.at.mutations(u, v.headers, v.body)
	}
	p.checkDuration("timeouts", f.timeouts)
	if c := p.quotaFor(); c != nil {
		notReady = c
	}
	switch {
	case faulty(p.Object) != nil:
		u.Closed = faulty(p.Object)
	case p.Since(mark) != nil:
		u.Closed = p.Since(mark)
	default:
		u.Closed = notReady
	}
	return u
}

// schemaOf prepares u for the backend's wire API.
func (p *place) schemaOf(f *backendForm, policy *place, model string, u *ir.Upstream) {
	if !p.knownSchema(f) {
		return
	}
	var gcp *gcpCredentials
	if policy != nil {
		gcp = policy.Object.Spec.(*backendSecurityPolicy).Spec.GCP
	}
	p.api(f, gcp, model, u)
}

// address returns an upstream that leads where backendRef does.
func (p *place) address(f *backendForm) *ir.Upstream {
	closed := func(field, remedy, format string, args ...any) *ir.Upstream {
		p.Fail(field, remedy, format, args...)
		return &ir.Upstream{}
	}
	if f.ref == nil || f.ref.Name == "" {
		return closed("backendRef", "name a Backend", "backendRef is missing, or names nothing")
	}
	key := f.ref.key(p.Object.Namespace, "Service")
	switch {
	case key.GroupKind == backendKind:
	case key.GroupKind != resource.ServiceKind:
		return closed("backendRef", "name a Backend of "+envoyGroup, "a backend of kind %v is not supported", key.GroupKind)
	case f.generation == today:
		return closed("backendRef", "put the Service's name into a Backend, as an fqdn", "backendRef must be a Backend of %s", envoyGroup)
	case f.ref.Port == nil:
		return closed("backendRef.port", "write the Service's port", "a reference to a Service must have a port")
	}
	if !p.granted("backendRef", key) {
		return &ir.Upstream{}
	}
	if key.GroupKind == resource.ServiceKind {
		return p.serviceAddress(key, *f.ref.Port)
	}
	o := p.t.v.Get(backendKind, key.Namespace, key.Name)
	if o == nil {
		p.unresolved("backendRef", p.suggest(key), "no Backend %q in %s", key.Name, key.Namespace)
		return &ir.Upstream{}
	}
	u := p.quiet(o).endpoints(&o.Spec.(*egBackend).Spec)
	switch {
	case len(u.Endpoints) == 1 && u.Endpoints[0].SNI == "" && !isIP(u.Endpoints[0].Host):
		u.Host = u.Endpoints[0].Host
	case len(u.Endpoints) > 0:
		p.put(u, "backendRef", ir.Step{Host: &ir.HostRewrite{Auto: true}})
	}
	return u
}

func (p *place) serviceAddress(key resource.Key, port int) *ir.Upstream {
	u := p.serviceUpstream("backendRef", service.Ref{Namespace: key.Namespace, Name: key.Name, Port: port})
	if u == nil {
		return &ir.Upstream{}
	}
	return u
}

// serviceUpstream returns the upstream of a Service's port; nil: there is none,
// which is a fault of the field.
func (p *place) serviceUpstream(field string, ref service.Ref) *ir.Upstream {
	u, err := service.Upstream(p.t.v, ref, service.Options{Dialect: name})
	if e := (*service.Error)(nil); errors.As(err, &e) {
		p.unresolved(field, e.Remedy, "%s", e.What)
		return nil
	}
	return u
}

// policyFor returns the BackendSecurityPolicy of a backend, nil where it has
// none. closed says why the one that it should have cannot hold.
func (p *place) policyFor(f *backendForm) (policy *place, closed *ir.Closed) {
	refuse := func(field, remedy, format string, args ...any) (*place, *ir.Closed) {
		mark := p.Mark()
		p.Fail(field, remedy, format, args...)
		return nil, p.Since(mark)
	}
	var found []*resource.Object
	if r := f.policy; r != nil {
		gk := resource.GroupKind{Group: r.Group, Kind: r.Kind}
		key := resource.Key{GroupKind: backendSecurityPolicyKind, Namespace: p.Object.Namespace, Name: r.Name}
		o := p.t.v.Get(key.GroupKind, key.Namespace, key.Name)
		switch {
		case gk != backendSecurityPolicyKind:
			return refuse("backendSecurityPolicyRef", fmt.Sprintf("write group: %s, kind: BackendSecurityPolicy", aiGroup), "a policy of kind %v is not supported", gk)
		case o == nil:
			mark := p.Mark()
			p.unresolved("backendSecurityPolicyRef.name", p.suggest(key), "no BackendSecurityPolicy %q in %s", r.Name, p.Object.Namespace)
			return nil, p.Since(mark)
		}
		found = append(found, o)
	}
	for _, o := range p.t.v.In(backendSecurityPolicyKind, p.Object.Namespace) {
		if p.isTarget(o) && (len(found) == 0 || found[0] != o) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return p.quiet(found[0]), nil
	}
	return refuse("", "remove one of them, or of its targetRefs", "%v and %v are both for this backend", found[0].Key, found[1].Key)
}

// isTarget reports whether a policy has the object among its targets.
func (p *place) isTarget(policy *resource.Object) bool {
	for _, t := range policy.Spec.(*backendSecurityPolicy).Spec.TargetRefs {
		if t.Group == p.Object.Group && t.Kind == p.Object.Kind && t.Name == p.Object.Name {
			return true
		}
	}
	return false
}

// quotaFor says that a backend is under a quota, which we do not have; nil: it
// is not.
func (p *place) quotaFor() *ir.Closed {
	for _, o := range p.t.v.In(quotaPolicyKind, p.Object.Namespace) {
		for _, t := range o.Spec.(*quotaPolicy).Spec.TargetRefs {
			if targetKey(t, o.Namespace) == p.Object.Key {
				return &ir.Closed{Reason: "QuotaPolicy is not supported", Origin: o.Origin("spec")}
			}
		}
	}
	return nil
}

// maxMutations bounds each list of a mutation, as the CRD does.
const maxMutations = 16

// mutations adds the changes to headers and body. What comes later wins.
func (p *place) mutations(u *ir.Upstream, h *headerMutation, b *bodyMutation) {
	if h != nil {
		at := p.in("headerMutation")
		edit := &ir.HeaderEdit{}
		at.bounded("set", len(h.Set))
		at.bounded("remove", len(h.Remove))
		for i, n := range h.Remove {
			if at.headerName(fmt.Sprintf("remove[%d]", i), n) {
				edit.Request.Remove = append(edit.Request.Remove, n)
			}
		}
		for i, v := range h.Set {
			if at.headerName(fmt.Sprintf("set[%d].name", i), v.Name) && at.headerText(fmt.Sprintf("set[%d].value", i), v.Value) {
				edit.Request.Set = append(edit.Request.Set, ir.HeaderValue{Name: v.Name, Value: v.Value, Origin: at.Origin(fmt.Sprintf("set[%d]", i))})
			}
		}
		p.put(u, "headerMutation", ir.Step{Headers: edit})
	}
	if b != nil {
		at := p.in("bodyMutation")
		edit := &ir.BodyEdit{Remove: b.Remove}
		at.bounded("set", len(b.Set))
		at.bounded("remove", len(b.Remove))
		for i, v := range b.Set {
			field := fmt.Sprintf("set[%d]", i)
			at.Need(field+".path", v.Path)
			if !json.Valid([]byte(v.Value)) {
				at.Fail(field+".value", `write JSON; a text is '"text"'`, "the value is not JSON")
			}
			edit.Set = append(edit.Set, ir.BodyMember{Name: v.Path, Value: v.Value})
		}
		p.put(u, "bodyMutation", ir.Step{BodyEdit: edit})
	}
}

func (p *place) bounded(field string, n int) {
	if n > maxMutations {
		p.Fail(field, "write fewer", "there are %d, and at most %d are taken", n, maxMutations)
	}
}
