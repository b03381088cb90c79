package envoyai

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
)

// ruleWork is the translation of one rule.
type ruleWork struct {
	*routeWork
	at    *place
	spec  *routeRule
	index int
	steps []ir.Step
}

// label is how the rule is called.
func (w *ruleWork) label() string {
	if w.spec.Name != "" {
		return w.spec.Name
	}
	return fmt.Sprintf("rule-%d", w.index)
}

// translate returns a route for each group of endpoints that the same backends
// take, and one that refuses the others.
func (w *ruleWork) translate() []*dialect.Route {
	mark := w.Mark()
	conditions := w.conditions()
	w.timing()
	w.list(conditions)
	closed := w.closed
	if closed == nil {
		closed = w.Since(mark)
	}
	members := w.members()
	if closed == nil && len(members) == 0 {
		closed = &ir.Closed{Reason: "the rule has no backends", Origin: w.at.Origin("")}
	}
	if closed != nil {
		return []*dialect.Route{w.route(everything(), conditions, ir.Action{Closed: closed})}
	}
	w.tellForeign(members)
	var out []*dialect.Route
	for i, g := range groups(members) {
		action := w.refusal(members)
		if len(g.members) > 0 {
			action = w.forward(g.members, i)
		}
		if rt := w.route(g.endpoints, conditions, action); len(rt.Matches) > 0 {
			out = append(out, rt)
		}
	}
	return out
}

func (w *ruleWork) route(list []*endpoint, conditions []condition, action ir.Action) *dialect.Route {
	var matches []ir.Match
	for _, e := range list {
		for _, c := range conditions {
			if m, ok := e.match(c); ok {
				matches = append(matches, m)
			}
		}
	}
	rt := w.dialectRoute(w.label(), w.spec.Name, matches, action)
	rt.Steps, rt.Origin = w.steps, w.at.Origin("")
	return rt
}

// condition is one match of a rule.
type condition struct {
	headers, model []ir.StringMatch
	order          ir.Order
}

// conditions reads the rule's matches; none means every request. A match with
// a faulty condition stays without it: the rule is closed then.
func (w *ruleWork) conditions() []condition {
	specs := w.spec.Matches
	if len(specs) == 0 {
		specs = make([]routeMatch, 1)
	}
	if len(specs) > maxMatches {
		w.at.Fail("matches", "make two rules of it", "there are %d matches, and at most %d are taken", len(specs), maxMatches)
	}
	out := make([]condition, len(specs))
	for i, m := range specs {
		if len(m.Headers) > maxConditions {
			w.at.Fail(fmt.Sprintf("matches[%d].headers", i), "write fewer", "there are %d, and at most %d are taken", len(m.Headers), maxConditions)
		}
		seen := map[string]bool{}
		for j, h := range m.Headers {
			at := w.at.in("matches[%d].headers[%d]", i, j)
			lower := strings.ToLower(h.Name)
			if seen[lower] {
				at.Fail("name", "write it once", "header %q is matched twice", h.Name)
				continue
			}
			seen[lower] = true
			if by, ok := w.claimed[lower]; ok {
				at.Fail("name", "decide by the authorization of the policy", "%v writes a claim into this header after the route is chosen, so that any caller could choose by writing it", by)
			}
			out[i].add(at, h, w.form.generation)
		}
		// As one match of the HTTPRoute that the product makes: every path.
		whole := ir.Match{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/"}, Headers: slices.Concat(out[i].headers, out[i].model)}
		out[i].order = parent.Order(whole)
	}
	return out
}

// add reads one condition.
func (c *condition) add(at *place, h headerMatch, g generation) {
	m := ir.StringMatch{Name: h.Name}
	switch {
	case len(h.Name) > 256 || !reading.IsToken(h.Name):
		at.Fail("name", "correct it", "%q is no header name", h.Name)
		return
	case h.Value == "" || len(h.Value) > 4096:
		at.Fail("value", "write 1 to 4096 bytes", "the value is empty or too long")
		return
	case h.Type == "" || h.Type == "Exact":
		m.Exact = &h.Value
	case h.Type != "RegularExpression":
		at.Fail("type", "write Exact or RegularExpression", "%q is no kind of match", h.Type)
		return
	case g != today:
		at.Fail("type", "write Exact, or bring the route into today's form", "currently only exact match is supported")
		return
	default:
		if _, err := regexp.Compile(h.Value); err != nil {
			at.Fail("value", "write it in the syntax of RE2", "the expression is not valid")
			return
		}
		m.Regex = &h.Value
	}
	if isModelHeader(h.Name) {
		m.Name = ""
		c.model = append(c.model, m)
		return
	}
	c.headers = append(c.headers, m)
}

// timing reads the rule's time-outs. A stream is cut when nothing moves, not
// when the request's time is over.
func (w *ruleWork) timing() {
	t := ir.Timeouts{Request: defaultRequest}
	if s := w.spec.Timeouts; s != nil {
		request, attempt := w.at.checkDuration("timeouts", s)
		t.Attempt = attempt
		if s.Request != nil {
			t.Request = request
		}
	}
	if s := w.spec.StreamIdleTimeout; s != nil {
		t.Idle = w.at.duration("streamIdleTimeout", s)
		if t.Idle > 0 && (t.Attempt == 0 || t.Idle < t.Attempt) {
			t.Attempt = t.Idle
		}
	}
	if w.form.generation != today {
		w.unknownToOld()
	}
	if t != (ir.Timeouts{}) {
		w.steps = append(w.steps, timeoutStep(t, w.at.Origin("timeouts")))
	}
}

func timeoutStep(t ir.Timeouts, origin ir.Origin) ir.Step {
	return ir.Step{Phase: ir.PhaseForward, Slot: name + "/timeouts", Origin: origin, Timeouts: &t}
}

// unknownToOld reports fields that rules of the older forms have not.
func (w *ruleWork) unknownToOld() {
	if w.Object.GroupKind != llmRouteKind {
		return // an AIGatewayRoute may be half way
	}
	for _, f := range []struct {
		field string
		set   bool
	}{
		{"name", w.spec.Name != ""},
		{"timeouts", w.spec.Timeouts != nil},
		{"streamIdleTimeout", w.spec.StreamIdleTimeout != nil},
		{"modelsOwnedBy", w.spec.ModelsOwnedBy != nil},
		{"modelsCreatedAt", w.spec.ModelsCreatedAt != nil},
	} {
		if f.set {
			w.at.Fail(f.field, "remove it, or write an AIGatewayRoute", "an LLMRoute has no %s", f.field)
		}
	}
}
