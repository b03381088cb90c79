package envoyai

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Bounds of the CRDs.
const (
	maxRules         = 15
	maxOriginalRules = 128
	maxParents       = 16
	maxMatches       = 128
	maxConditions    = 16
)

// route translates an AIGatewayRoute or LLMRoute.
func (p *place) route() {
	mark := p.Mark()
	r := &routeWork{place: p, form: p.routeForm()}
	if a, ok := p.Object.Spec.(*aiGatewayRoute); ok {
		p.Ignore("llmRequestCosts", a.Spec.LLMRequestCosts)
	}
	r.bounds()
	hostnames, known := r.hostnames()
	if r.closed = faulty(p.Object); r.closed == nil {
		r.closed = p.Since(mark)
	}
	r.tuned, r.claimed = r.upstreamTuning(), r.claimHeaders()
	rules := r.rules()
	parents := parent.Attach(p.t.v, parent.Route{
		Object: p.Object, Kinds: []resource.GroupKind{p.Object.GroupKind, parent.HTTPRouteKind},
		Refs: r.form.parents, Field: r.form.parentField, Hostnames: hostnames,
	}, &p.t.report)
	for _, at := range parents {
		if known {
			r.serve(at, rules)
		}
		if !at.Foreign {
			p.t.report.Outcome(status.Outcome{Object: p.Object.Status(), About: at.About, Condition: "Accepted", OK: at.Accepted, Reason: at.Reason, Message: at.Message})
		}
	}
	p.t.f.Referable = append(p.t.f.Referable, r.targets("")...)
}

// routeWork is the translation of one route.
type routeWork struct {
	*place
	form   routeForm
	closed *ir.Closed // every rule answers so
	listed []ir.ListedModel
	tuned  tuning
	// claimed are the headers that policies of the route write claims into.
	claimed map[string]resource.Key
}

// bounds checks what the CRDs count.
func (r *routeWork) bounds() {
	most := maxRules
	if r.form.generation != today {
		most = maxOriginalRules
	}
	switch n := len(r.form.rules); {
	case n == 0:
		r.Fail("rules", "write one", "the route has no rules")
	case n > most:
		r.Fail("rules", "make two routes of it", "there are %d rules, and at most %d are taken", n, most)
	}
	if len(r.form.parents) == 0 {
		r.Warn(reading.Last(r.form.parentField), "name a Gateway", "the route has no parent, and is not served")
	}
	if n := len(r.form.parents); n > maxParents && r.form.generation == today {
		r.Fail("parentRefs", "make two routes of it", "there are %d parents, and at most %d are taken", n, maxParents)
	}
	names := map[string]bool{}
	for i, rule := range r.form.rules {
		switch at := fmt.Sprintf("rules[%d].name", i); {
		case rule.Name == "":
		case rule.Name == notFoundRule:
			r.Fail(at, "call it otherwise", "rule name %s is reserved", notFoundRule)
		case names[rule.Name]:
			r.Fail(at, "call it otherwise", "rule name must be unique within the route")
		}
		names[rule.Name] = true
	}
}

// hostnames returns the valid ones. Where none is left of some, known is
// false: no host at all is better than every host.
func (r *routeWork) hostnames() (valid []string, known bool) {
	for i, h := range r.form.hostnames {
		if parent.ValidHostname(h) {
			valid = append(valid, h)
			continue
		}
		r.Fail(fmt.Sprintf("hostnames[%d]", i), "write a lower case DNS name without a port; it may begin with \"*.\"", "%q is no hostname", h)
	}
	unreadable := slices.ContainsFunc(r.Object.Faults, func(p status.Problem) bool { return strings.HasPrefix(p.Origin.Field, "spec.hostname") })
	return valid, len(valid) > 0 || len(r.form.hostnames) == 0 && !unreadable
}

// targets returns what a rule stands for, narrowest first: policies are for the
// HTTPRoute that the product would make of the route.
func (r *routeWork) targets(rule string) []dialect.Target {
	t := dialect.Target{GroupKind: parent.HTTPRouteKind, Namespace: r.Object.Namespace, Name: r.Object.Name}
	list := []dialect.Target{t, target(r.Object.Key)}
	if rule != "" {
		section := t
		section.Section = rule
		list = append([]dialect.Target{section}, list...)
	}
	return list
}

// rules translates every rule, and what is served beside them.
func (r *routeWork) rules() []*dialect.Route {
	var out []*dialect.Route
	for i := range r.form.rules {
		w := &ruleWork{routeWork: r, at: r.in("rules[%d]", i), spec: &r.form.rules[i], index: i}
		out = append(out, w.translate()...)
	}
	return append(out, r.models(), r.notFound())
}

// notFoundRule is how the product calls the rule that takes what is left.
const notFoundRule = "route-not-found"

// notFound answers what no rule takes.
func (r *routeWork) notFound() *dialect.Route {
	m := ir.Match{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/"}}
	m.Order = parent.Order(m)
	return r.dialectRoute(notFoundRule, notFoundRule, []ir.Match{m}, ir.Action{Direct: &ir.Direct{
		Status: 404, ContentType: "text/plain",
		Body:   "No matching route found. The model that the request names, if any, is likely not configured here.",
		Origin: r.Origin("rules"),
	}})
}

// models answers with the models that the rules name.
func (r *routeWork) models() *dialect.Route {
	m := ir.Match{Path: ir.PathMatch{Kind: ir.PathExact, Value: "/v1/models"}, Methods: []string{"GET"}}
	m.Order = parent.Order(m)
	action := ir.Action{Models: &ir.ModelList{Models: r.listed, Origin: r.Origin("rules")}}
	if r.closed != nil {
		action = ir.Action{Closed: r.closed}
	}
	return r.dialectRoute("models", "", []ir.Match{m}, action)
}

func (r *routeWork) dialectRoute(label, section string, matches []ir.Match, action ir.Action) *dialect.Route {
	return &dialect.Route{
		Route: ir.Route{
			Name:    fmt.Sprintf("%s %s/%s/%s", r.Object.Kind, r.Object.Namespace, r.Object.Name, label),
			Matches: matches, Action: action, Origin: r.Origin("rules"),
		},
		Targets: r.targets(section), Owner: r.Object.Key,
	}
}

// serve puts the rules on the hosts of a parent.
func (r *routeWork) serve(at parent.Parent, rules []*dialect.Route) {
	if len(at.Hosts) == 0 {
		return
	}
	routes := make([]*dialect.Route, len(rules))
	for i, rt := range rules {
		c := *rt
		c.Parent = at.About
		routes[i] = &c
	}
	for _, host := range at.Hosts {
		r.t.f.Hosts = append(r.t.f.Hosts, &dialect.VirtualHost{
			Listeners: host.Listeners, Hostnames: host.Hostnames, Routes: routes,
			Owner: r.Object.Key, Age: r.Object.Created, Origin: r.Origin("hostnames"),
		})
	}
}

// claimHeaders lists the headers that policies for the route, or for one of its
// Gateways, write claims into, and which policy does.
func (r *routeWork) claimHeaders() map[string]resource.Key {
	out := map[string]resource.Key{}
	for _, level := range r.levels() {
		for _, o := range r.t.v.In(securityPolicyKind, level.Namespace) {
			s := &o.Spec.(*securityPolicy).Spec
			if s.JWT == nil || !slices.ContainsFunc(r.quiet(o).targets(&s.targeting, targetKinds), func(t dialect.Target) bool {
				return t.GroupKind == level.GroupKind && t.Name == level.Name
			}) {
				continue
			}
			for _, provider := range s.JWT.Providers {
				for _, c := range provider.ClaimToHeaders {
					out[strings.ToLower(c.Header)] = o.Key
				}
			}
		}
	}
	return out
}

// modelHeaders are the names under which rules know the model of a request.
var modelHeaders = []string{"x-ai-eg-model", "x-envoy-ai-gateway-model", "x-envoy-ai-gateway-llm-model"}

func isModelHeader(n string) bool { return slices.Contains(modelHeaders, strings.ToLower(n)) }

// defaultRequest bounds an exchange whose rule says nothing.
const defaultRequest = 60 * time.Second

// defaultOwner owns models of rules that say nothing.
const defaultOwner = "Envoy AI Gateway"

// list adds the models that a rule names exactly to those that are listed.
func (w *ruleWork) list(conditions []condition) {
	owner, created := defaultOwner, w.Object.Created
	if o := w.spec.ModelsOwnedBy; o != nil && *o != "" {
		owner = *o
	}
	if c := w.spec.ModelsCreatedAt; c != nil {
		t, err := time.Parse(time.RFC3339, *c)
		if err != nil {
			w.at.Fail("modelsCreatedAt", "write one such as 2026-01-01T00:00:00Z", "%q is no time", *c)
		}
		created = t
	}
	for _, c := range conditions {
		for _, m := range c.model {
			if m.Exact != nil {
				w.listed = append(w.listed, ir.ListedModel{ID: *m.Exact, OwnedBy: owner, Created: created})
			}
		}
	}
}
