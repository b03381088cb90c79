package envoyai

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// member is a backend of a rule.
type member struct {
	// schema is empty where the backend is not there.
	schema   string
	upstream string
	weight   int
	// tier is the priority, and within it whether it is for fallback.
	tier   [2]int
	closed *ir.Closed
	origin ir.Origin
}

const maxWeight = 1_000_000

// members reads the rule's backends. One that cannot be used keeps its share.
func (w *ruleWork) members() []member {
	if len(w.spec.BackendRefs) > maxMatches {
		w.at.Fail("backendRefs", "make two rules of it", "there are %d backends, and at most %d are taken", len(w.spec.BackendRefs), maxMatches)
	}
	var out []member
	for i := range w.spec.BackendRefs {
		ref := &w.spec.BackendRefs[i]
		at := w.at.in("backendRefs[%d]", i)
		mark := w.Mark()
		m := w.member(at, ref, i)
		if c := w.Since(mark); c != nil {
			m.closed = c
		}
		out = append(out, m)
	}
	return out
}

func (w *ruleWork) member(at *place, ref *routeBackend, index int) member {
	m := member{weight: 1, origin: at.Origin("")}
	if ref.Weight != nil {
		m.weight = *ref.Weight
	} else if w.form.generation == original {
		at.Fail("weight", "write one", "weight is missing")
	}
	if m.weight < 0 || m.weight > maxWeight {
		at.Fail("weight", "use 0 to 1000000", "%d is no weight", m.weight)
		m.weight = 0
	}
	if ref.Priority != nil {
		m.tier[0] = *ref.Priority
	}
	if m.tier[0] < 0 {
		at.Fail("priority", "write 0 or more", "%d is no priority", m.tier[0])
	}
	w.refusePools(at, ref)
	key := resource.Key{GroupKind: w.form.backends, Namespace: cmp.Or(ref.Namespace, w.Object.Namespace), Name: ref.Name}
	if !parent.Granted(w.t.v, w.Object.GroupKind, w.Object.Namespace, key) {
		at.unresolved("namespace", parent.GrantRemedy(w.Object.GroupKind, w.Object.Namespace, key), "%v may not be used from %s", key, w.Object.Namespace)
		return m
	}
	o := w.t.v.Get(key.GroupKind, key.Namespace, key.Name)
	if o == nil {
		at.unresolved("name", w.suggest(key), "no %s %q in %s; requests for it get 500", key.Kind, key.Name, key.Namespace)
		return m
	}
	f := w.quiet(o).backendForm()
	m.schema, m.upstream = f.schema.Name, upstreamName(key)
	if w.isFallback(o, &f) {
		m.tier[1] = 1
	}
	if t := f.timeouts; t != nil {
		request, attempt := w.quiet(o).checkDuration("timeouts", t)
		w.steps = append(w.steps, timeoutStep(ir.Timeouts{Request: request, Attempt: attempt}, o.Origin("spec.timeouts")))
	}
	if ref.ModelNameOverride != "" || ref.HeaderMutation != nil || ref.BodyMutation != nil || !w.tuned.isZero() {
		m.upstream = fmt.Sprintf("%s#%s.%d:%s/%s", upstreamName(w.Object.Key), w.label(), index, key.Namespace, key.Name)
		u := w.quiet(o).upstream(variant{name: m.upstream, model: ref.ModelNameOverride, headers: ref.HeaderMutation, body: ref.BodyMutation, at: at})
		w.tuned.apply(u)
		w.t.f.Upstreams = append(w.t.f.Upstreams, u)
	}
	return m
}

// isFallback reports whether a backend leads to a Backend for fallback.
func (w *ruleWork) isFallback(o *resource.Object, f *backendForm) bool {
	if f.ref == nil {
		return false
	}
	key := f.ref.key(o.Namespace, "Service")
	_, b := resource.Spec[egBackend](w.t.v, backendKind, key.Namespace, key.Name)
	return f.ref.Fallback || key.GroupKind == backendKind && b != nil && b.Spec.Fallback
}

// refusePools reports a backend of another kind than the route's.
func (w *ruleWork) refusePools(at *place, ref *routeBackend) {
	switch {
	case ref.Group == nil && ref.Kind == nil:
	case ref.Group == nil || ref.Kind == nil:
		at.Fail("", "remove both", "group and kind must be specified together")
	case *ref.Kind == "InferencePool":
		at.Fail("kind", "name an AIServiceBackend", "an InferencePool is not supported; requests for it get 500")
	default:
		at.Fail("kind", "remove group and kind", "only InferencePool from inference.networking.k8s.io group is supported, and that is not built")
	}
}

// group is the endpoints that the same backends take.
type group struct {
	endpoints []*endpoint
	members   []member
}

// everything is all endpoints.
func everything() []*endpoint {
	out := make([]*endpoint, len(endpoints))
	for i := range endpoints {
		out[i] = &endpoints[i]
	}
	return out
}

// groups sorts the endpoints by who takes them.
func groups(members []member) []*group {
	var out []*group
	byWho := map[string]*group{}
	for i := range endpoints {
		e := &endpoints[i]
		var who []member
		key := ""
		for j, m := range members {
			if m.schema == "" || e.takenBy(m.schema) {
				who = append(who, m)
				key += fmt.Sprint(j, " ")
			}
		}
		g := byWho[key]
		if g == nil {
			g = &group{members: who}
			byWho[key] = g
			out = append(out, g)
		}
		g.endpoints = append(g.endpoints, e)
	}
	return out
}

// forward sends requests to members, by weight, or by tiers where there are
// several.
func (w *ruleWork) forward(members []member, group int) ir.Action {
	origin := w.at.Origin("backendRefs")
	members = slices.DeleteFunc(slices.Clone(members), func(m member) bool { return m.weight == 0 })
	tiers := tiersOf(members)
	out := &ir.Forward{Origin: origin}
	switch {
	case len(members) == 0:
		return ir.Action{Closed: &ir.Closed{Reason: "the rule has no backend with a weight", Origin: origin}}
	case len(tiers) == 1:
		for _, m := range members {
			out.Backends = append(out.Backends, ir.Backend{Upstream: m.upstream, Weight: m.weight, Closed: m.closed, Origin: m.origin})
		}
	default:
		u := &ir.Upstream{Name: fmt.Sprintf("%s#%s.tiers-%d", upstreamName(w.Object.Key), w.label(), group), Origin: origin}
		for _, tier := range tiers {
			var list []ir.TierMember
			for _, m := range tier {
				if m.closed == nil {
					list = append(list, ir.TierMember{Upstream: m.upstream, Weight: m.weight})
				}
			}
			if len(list) > 0 {
				u.Tiers = append(u.Tiers, list)
			}
		}
		if len(u.Tiers) == 0 {
			return ir.Action{Closed: members[0].closed}
		}
		w.t.f.Upstreams = append(w.t.f.Upstreams, u)
		out.Backends = []ir.Backend{{Upstream: u.Name, Weight: 1, Origin: origin}}
	}
	return ir.Action{Forward: out}
}

// tiersOf sorts members by priority, the most preferred first.
func tiersOf(members []member) [][]member {
	sorted := slices.Clone(members)
	slices.SortStableFunc(sorted, func(a, b member) int { return slices.Compare(a.tier[:], b.tier[:]) })
	var out [][]member
	for i, m := range sorted {
		if i == 0 || m.tier != sorted[i-1].tier {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], m)
	}
	return out
}

// refusal answers requests in a schema that no backend of the rule takes.
func (w *ruleWork) refusal(members []member) ir.Action {
	var schemas []string
	for _, m := range members {
		if !slices.Contains(schemas, m.schema) {
			schemas = append(schemas, m.schema)
		}
	}
	what := fmt.Sprintf("the backends of this route speak %s, and requests in another schema are not translated; call %s",
		strings.Join(schemas, ", "), strings.Join(callable(schemas), ", "))
	body, _ := json.Marshal(map[string]any{ // texts: cannot fail
		"type":  "error",
		"error": map[string]string{"type": "UnprocessableEntity", "code": "422", "message": what},
	})
	return ir.Action{Direct: &ir.Direct{Status: 422, ContentType: "application/json", Body: string(body), Origin: w.at.Origin("backendRefs")}}
}

// callable lists the endpoints that backends of the schemas take.
func callable(schemas []string) []string {
	var out []string
	for i := range endpoints {
		if e := &endpoints[i]; slices.ContainsFunc(schemas, e.takenBy) {
			out = append(out, e.String())
		}
	}
	return out
}

// tellForeign warns of backends that the clients of the others cannot reach:
// requests are not translated.
func (w *ruleWork) tellForeign(members []member) {
	for _, m := range members {
		own := callable([]string{m.schema})
		if m.schema == "" || slices.Contains(own, endpoints[0].path) {
			continue
		}
		others := "others get 422"
		if slices.ContainsFunc(members, func(o member) bool { return o.schema == schemaOpenAI || o.schema == schemaAzureOpenAI }) {
			others = "others go to the rule's other backends"
		}
		p := w.t.place(w.Object, m.origin.Field)
		p.Warn("", "call it in its own schema, or name a backend with the schema of the clients",
			"the backend speaks %s, and requests are not translated: it takes %s, and %s", m.schema, strings.Join(own, ", "), others)
	}
}
