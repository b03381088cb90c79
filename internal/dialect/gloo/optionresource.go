package gloo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// routeOption attaches a RouteOption to the HTTPRoutes that it targets, and
// offers it to rules that refer to it. Delegating VirtualServices read it by
// themselves.
func (t *translation) routeOption(o *resource.Object, s *routeOptionSpec) {
	list := t.routeSettings(o, "spec.options", s.Options)
	itself := dialect.TargetOf(o.Key)
	t.f.Referable = append(t.f.Referable, itself)
	t.attach(itself, nil, o, list)
	for _, target := range t.targets(o, &s.targeted, httpRouteKind) {
		t.attach(target, nil, o, list)
	}
}

// virtualHostOption attaches a VirtualHostOption to Gateways.
func (t *translation) virtualHostOption(o *resource.Object, s *virtualHostOptionSpec) {
	list := t.hostSettings(o, "spec.options", s.Options)
	for _, target := range t.targets(o, &s.targeted, apiGatewayKind, listenerSetKind, xListenerSetKind) {
		t.attach(target, nil, o, list)
	}
}

func (t *translation) listenerOption(o *resource.Object, s *listenerOptionSpec) {
	list := t.listenerSettings(o, "spec.options", s.Options)
	for _, target := range t.targets(o, &s.targeted, apiGatewayKind, listenerSetKind, xListenerSetKind) {
		t.attach(target, nil, o, list)
	}
}

func (t *translation) httpListenerOption(o *resource.Object, s *httpListenerOptionSpec) {
	list := t.httpListenerSettings(o, "spec.options", s.Options)
	for _, target := range t.targets(o, &s.targeted, apiGatewayKind, listenerSetKind, xListenerSetKind) {
		t.attach(target, nil, o, list)
	}
}

// targets returns what an option resource attaches to, and reports what it
// cannot. A target lies in the option's own namespace.
func (t *translation) targets(o *resource.Object, s *targeted, kinds ...resource.GroupKind) []dialect.Target {
	refs, at := s.TargetRefs, "spec.targetRefs[%d]"
	if s.TargetRef != nil {
		refs = append([]targetRef{*s.TargetRef}, refs...)
	}
	var out []dialect.Target
	for i, r := range refs {
		here := fmt.Sprintf(at, i)
		if s.TargetRef != nil {
			here = fmt.Sprintf(at, i-1)
			if i == 0 {
				here = "spec.targetRef"
			}
		}
		if what, remedy := t.untargetable(o, r, kinds); what != "" {
			t.report.Add(status.Errorf(o.Origin(here), "%s; nothing is attached", what).Fix("%s", remedy))
			continue
		}
		target := dialect.Target{
			GroupKind: resource.GroupKind{Group: r.Group, Kind: r.Kind}, Namespace: o.Namespace, Name: r.Name, Section: r.SectionName,
		}
		if !slices.Contains(out, target) {
			out = append(out, target)
		}
	}
	return out
}

// untargetable says why an option cannot attach to a target, or "".
func (t *translation) untargetable(o *resource.Object, r targetRef, kinds []resource.GroupKind) (what, remedy string) {
	gk := resource.GroupKind{Group: r.Group, Kind: r.Kind}
	want := kinds[0].Group + " " + kinds[0].Kind
	switch {
	case !slices.Contains(kinds, gk):
		return fmt.Sprintf("a %s cannot target %v", o.Kind, gk), "target a " + want
	case r.Name == "":
		return "the target has no name", "name a " + r.Kind
	case cmp.Or(r.Namespace, o.Namespace) != o.Namespace:
		return fmt.Sprintf("the target is in namespace %s, and a %s reaches only its own, %s", r.Namespace, o.Kind, o.Namespace),
			"move the " + o.Kind + " to " + r.Namespace
	case gk == httpRouteKind && r.SectionName != "":
		return "a RouteOption cannot target one rule of an HTTPRoute", "refer to it from the rule, by an ExtensionRef filter"
	case !t.v.Knows(gk):
		return fmt.Sprintf("%s is not read here", r.Kind), "read the Gateway API too (--dialects gatewayapi)"
	}
	target := t.v.Get(gk, o.Namespace, r.Name)
	if target == nil {
		return fmt.Sprintf("no %s %q in %s", r.Kind, r.Name, o.Namespace), t.suggest(gk, ref{r.Name, o.Namespace})
	}
	if r.SectionName != "" {
		if names := sections(target); !slices.Contains(names, r.SectionName) {
			return fmt.Sprintf("%s %q has no listener %q", r.Kind, r.Name, r.SectionName),
				cmp.Or(dialect.Suggest(r.SectionName, names), "correct the name")
		}
	}
	return "", ""
}

// sections returns the names of a Gateway's listeners. Its Go type is another
// dialect's; its JSON is the API's.
func sections(o *resource.Object) []string {
	var s struct {
		Spec struct {
			Listeners []struct {
				Name string `json:"name"`
			} `json:"listeners"`
		} `json:"spec"`
	}
	text, err := json.Marshal(o.Spec)
	if err != nil || json.Unmarshal(text, &s) != nil {
		return nil
	}
	var names []string
	for _, l := range s.Spec.Listeners {
		names = append(names, l.Name)
	}
	return names
}
