package istioauth

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/resource"
)

const (
	gatewayGroup = "gateway.networking.k8s.io"
	// gatewayLabel is on the pods of a Gateway API's Gateway.
	gatewayLabel = gatewayGroup + "/gateway-name"
	maxTargets   = 16
)

// Applies reports whether an AuthorizationPolicy or RequestAuthentication of
// the root namespace or the workload's own is for a workload. One of which
// that cannot be told is.
func Applies(o *resource.Object, w Workload) bool {
	s := scopeOf(o)
	targets := s.targets()
	switch {
	case len(s.faults(o)) > 0:
		return true
	case len(targets) > 0:
		gateway := w.Gateway
		if gateway == "" {
			gateway = w.Labels[gatewayLabel]
		}
		for _, t := range targets {
			if t.isGateway() && gateway != "" && t.Name == gateway && o.Namespace == w.Namespace {
				return true
			}
		}
		return false
	case s.Selector == nil:
		return true
	}
	for name, value := range s.Selector.MatchLabels {
		if have, ok := w.Labels[name]; !ok || have != value {
			return false
		}
	}
	return true
}

func scopeOf(o *resource.Object) *Scope {
	switch s := o.Spec.(type) {
	case *AuthorizationPolicy:
		return &s.Spec.Scope
	case *RequestAuthentication:
		return &s.Spec.Scope
	}
	return &Scope{}
}

// targets are what the object is for by name; the deprecated single reference
// too.
func (s *Scope) targets() []TargetRef {
	if s.TargetRef != nil {
		return append([]TargetRef{*s.TargetRef}, s.TargetRefs...)
	}
	return s.TargetRefs
}

func (t *TargetRef) isGateway() bool { return t.Group == gatewayGroup && t.Kind == "Gateway" }

// scopeFault is what is wrong with a Scope.
type scopeFault struct{ field, remedy, what string }

// faults are what makes it doubtful what an object is for.
func (s *Scope) faults(o *resource.Object) []scopeFault {
	var out []scopeFault
	add := func(field, remedy, format string, args ...any) {
		out = append(out, scopeFault{field, remedy, fmt.Sprintf(format, args...)})
	}
	ways := 0
	for _, there := range []bool{s.Selector != nil, s.TargetRef != nil, s.TargetRefs != nil} {
		if there {
			ways++
		}
	}
	if ways > 1 {
		add("spec", "keep one of selector and targetRefs", "selector, targetRef and targetRefs exclude each other")
	}
	if s.TargetRefs != nil && len(s.TargetRefs) == 0 {
		add("spec.targetRefs", "name a target, or remove the field", "the list is empty")
	}
	if len(s.TargetRefs) > maxTargets {
		add("spec.targetRefs", "split the object", "there are more than %d targets", maxTargets)
	}
	if s.Selector != nil {
		for name, value := range s.Selector.MatchLabels {
			if name == "" || strings.Contains(name, "*") || strings.Contains(value, "*") {
				add("spec.selector.matchLabels", "write whole labels", "a label may not be empty or hold a wildcard")
			}
		}
	}
	for i, t := range s.TargetRefs {
		at := fmt.Sprintf("spec.targetRefs[%d]", i)
		switch {
		case t.Kind == "" || t.Name == "":
			add(at, "write kind and name", "the target has no kind or no name")
		case t.Namespace != "":
			add(at+".namespace", "put the object into the target's namespace", "a target of another namespace cannot be referred to")
		}
	}
	if t := s.TargetRef; t != nil && (t.Kind == "" || t.Name == "" || t.Namespace != "") {
		add("spec.targetRef", "write kind and name, and no namespace", "the target is not named as it should be")
	}
	return out
}

// scope reports what is wrong with what an object is for.
func (r *reader) scope(s *Scope) {
	for _, f := range s.faults(r.o) {
		r.fail(f.field, f.remedy, "%s", f.what)
	}
	for i, t := range s.targets() {
		if !t.isGateway() && t.Kind != "" {
			at := "spec.targetRef"
			if s.TargetRef == nil {
				at = fmt.Sprintf("spec.targetRefs[%d]", i)
			}
			r.warn(at, "refer to a Gateway of gateway.networking.k8s.io", "a %s is no target for a gateway; this reference has no effect", t.Kind)
		}
	}
}
