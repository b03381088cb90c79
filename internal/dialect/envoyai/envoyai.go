// Package envoyai is the dialect of Envoy AI Gateway, and of the kinds of Envoy
// Gateway that its users need. It owns what those resources mean at one gateway.
//
//	AIGatewayRoute, LLMRoute ─form─► routeForm ─► VirtualHosts ┐
//	AIServiceBackend, LLMBackend ──► backendForm ► ir.Upstream ├─► Fragment
//	Backend ───────────────────────────────────────────────────┤
//	BackendSecurityPolicy ─────────► the upstreams' credential ┤
//	SecurityPolicy, … TrafficPolicy, HTTPRouteFilter ► Attachments ┘
//
// The AI kinds come in three generations: the original form of Pull request 43
// (2025-01), that of v0.1, and today's. Each is read into one internal form,
// after which nothing asks which it was. Requests are not translated between
// wire APIs: a backend takes those of its own schema, from the endpoints that
// Envoy AI Gateway serves.
//
// A policy that targets the HTTPRoute of an AIGatewayRoute's name, which Envoy
// AI Gateway would generate, holds for the AIGatewayRoute.
//
// Sources: the CRDs and documentation of envoyproxy/ai-gateway (7ada5ca85,
// v0.1.0, v1.1) and envoyproxy/gateway (v1.6).
package envoyai

import (
	"fmt"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// The dialect's name, as slots and upstreams carry it.
const name = "envoyai"

// New returns the dialect.
func New() dialect.Dialect {
	return dialect.Dialect{Name: name, Kinds: kinds(), Roots: roots, Translate: translate, Status: objectStatus}
}

// roots lists every object of the dialect's own kinds.
func roots(v *resource.View) []resource.Key {
	var keys []resource.Key
	for _, k := range ownKinds() {
		keys = append(keys, v.Keys(k.GroupKind)...)
	}
	return keys
}

// translation is the work on one root.
type translation struct {
	v      *resource.View
	f      *dialect.Fragment
	report status.Report
	refs   map[int]bool // the problems that are references to what is not there
}

// translate turns one root into its fragment.
func translate(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
	t := &translation{v: v, f: &dialect.Fragment{}}
	o := v.Get(root.GroupKind, root.Namespace, root.Name)
	if o == nil {
		return t.f, t.report
	}
	p := t.place(o, "spec")
	switch spec := o.Spec.(type) {
	case *aiGatewayRoute, *llmRoute:
		p.route()
	case *aiServiceBackend, *llmBackend:
		p.serviceBackend()
	case *egBackend:
		p.egBackend(&spec.Spec)
	case *backendSecurityPolicy:
		p.backendSecurity(&spec.Spec)
	case *securityPolicy:
		p.securityPolicy(&spec.Spec)
	case *backendTrafficPolicy:
		p.backendTraffic(&spec.Spec)
	case *clientTrafficPolicy:
		p.clientTraffic(&spec.Spec)
	case *httpRouteFilter:
		p.routeFilter(&spec.Spec)
	case *guardPolicy:
		p.guard(&spec.Spec.targeting)
	case *quotaPolicy:
		p.quota(spec.Spec.TargetRefs)
	case *notBuilt:
		p.Warn("", "remove it", "%s is not supported and has no effect", o.Kind)
	}
	t.outcome(o)
	return t.f, t.report
}

// outcome tells whether an object was accepted, and whether all that it refers
// to is there.
func (t *translation) outcome(o *resource.Object) {
	accepted := status.Outcome{Object: o.Key.Status(), Condition: "Accepted", OK: true, Reason: "Accepted"}
	refs := status.Outcome{Object: o.Key.Status(), Condition: "ResolvedRefs", OK: true, Reason: "ResolvedRefs"}
	tell := func(out *status.Outcome, reason string, pr status.Problem) {
		at := pr.Origin
		if out.OK && pr.Severity == status.Error && at.Kind == o.Kind && at.Namespace == o.Namespace && at.Name == o.Name {
			out.OK, out.Reason, out.Message = false, reason, pr.What
		}
	}
	for i, pr := range t.report.Problems {
		if t.refs[i] {
			tell(&refs, "RefNotFound", pr)
		} else {
			tell(&accepted, "Invalid", pr)
		}
	}
	for _, pr := range o.Faults {
		tell(&accepted, "Invalid", pr)
	}
	t.report.Outcome(accepted)
	if !refs.OK {
		t.report.Outcome(refs)
	}
}

// faulty says that o's fields could not all be read; nil: they could.
func faulty(o *resource.Object) *ir.Closed {
	if len(o.Faults) == 0 {
		return nil
	}
	return &ir.Closed{Reason: fmt.Sprintf("%v has fields that could not be read: %s", o.Key, o.Faults[0].What), Origin: o.Faults[0].Origin}
}
