package envoyai

import (
	"cmp"
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
)

// generation is one of the forms that the AI kinds have had.
type generation int

const (
	// today: AIGatewayRoute with parentRefs, policies with targetRefs.
	today generation = iota
	// early: v0.1, AIGatewayRoute with targetRefs and schema.
	early
	// original: Pull request 43, LLMRoute and LLMBackend.
	original
)

// String names a generation for people.
func (g generation) String() string {
	switch g {
	case original:
		return "the original form of Pull request 43"
	case early:
		return "the form of v0.1"
	}
	return "today's form"
}

// routeForm is what routes of all generations come to.
type routeForm struct {
	generation
	parents     []gatewayv1.ParentReference
	parentField string
	hostnames   []string
	rules       []routeRule
	backends    resource.GroupKind
}

// routeForm reads the part of a route in which the generations differ.
func (p *place) routeForm() routeForm {
	switch spec := p.Object.Spec.(type) {
	case *llmRoute:
		s := &spec.Spec
		f := routeForm{generation: original, rules: s.Rules, parentField: "spec.targetRefs", backends: llmBackendKind}
		f.parents = parents(s.TargetRefs)
		p.inputSchema(s.InputSchema)
		p.Note("", "rename it to AIGatewayRoute, inputSchema to schema, and targetRefs to parentRefs",
			"%v: read as an AIGatewayRoute, and %q in its rules as the request's model", original, "x-envoy-ai-gateway-llm-model")
		return f
	case *aiGatewayRoute:
		s := &spec.Spec
		f := routeForm{parents: s.ParentRefs, parentField: "spec.parentRefs", hostnames: s.Hostnames, rules: s.Rules, backends: aiServiceBackendKind}
		if s.Schema == nil && len(s.TargetRefs) == 0 && !bool(s.FilterConfig) {
			return f
		}
		f.generation = early
		p.earlyRoute(s, &f)
		return f
	}
	return routeForm{}
}

// earlyRoute reads what v0.1 had and today's form has not.
func (p *place) earlyRoute(s *aiGatewayRouteSpec, f *routeForm) {
	if p.Object.Version == versionStable {
		p.Fail("", "write parentRefs", "%s has neither targetRefs nor schema nor filterConfig, which v0.1 had", versionStable)
		return
	}
	if len(s.TargetRefs) > 0 {
		if len(s.ParentRefs) > 0 {
			p.Fail("targetRefs", "keep parentRefs", "targetRefs and parentRefs exclude each other")
		}
		f.parents, f.parentField = parents(s.TargetRefs), "spec.targetRefs"
	}
	if s.Schema != nil && s.Schema.Name != schemaOpenAI {
		p.Fail("schema.name", "write OpenAI", "%q is no schema of requests: OpenAI is", s.Schema.Name)
	}
	p.Ignore("filterConfig", s.FilterConfig)
	p.Note("", "write parentRefs in place of targetRefs, and no schema", "%v: read as today's", early)
}

// inputSchema checks what clients speak in the original form.
func (p *place) inputSchema(s *originalSchema) {
	switch {
	case s == nil || s.Schema == "":
		p.Fail("inputSchema.schema", "write OpenAI", "inputSchema.schema is missing")
	case !slices.Contains(originalSchemas, s.Schema):
		p.Fail("inputSchema.schema", "write OpenAI", "%q is no schema; there are OpenAI and AWSBedrock", s.Schema)
	case s.Schema != schemaOpenAI:
		p.Fail("inputSchema.schema", "write OpenAI", "requests of schema %s are not taken: self.schema == 'OpenAI' must hold", s.Schema)
	}
}

// parents turns the references of old routes into parents.
func parents(list []targetRef) []gatewayv1.ParentReference {
	out := make([]gatewayv1.ParentReference, len(list))
	for i, t := range list {
		group, kind := gatewayv1.Group(t.Group), gatewayv1.Kind(t.Kind)
		out[i] = gatewayv1.ParentReference{Group: &group, Kind: &kind, Name: gatewayv1.ObjectName(t.Name)}
		if t.SectionName != "" {
			section := gatewayv1.SectionName(t.SectionName)
			out[i].SectionName = &section
		}
	}
	return out
}

// backendForm is what backends of all generations come to.
type backendForm struct {
	generation
	schema      apiSchema
	schemaField string
	ref         *objectRef
	policy      *policyRef
	headers     *headerMutation
	body        *bodyMutation
	timeouts    *requestTimeouts
}

// backendForm reads the part of a backend in which the generations differ.
func (p *place) backendForm() backendForm {
	switch spec := p.Object.Spec.(type) {
	case *llmBackend:
		s := &spec.Spec
		f := backendForm{generation: original, schemaField: "outputSchema.schema", ref: s.BackendRef, policy: s.BackendSecurityPolicyRef}
		if s.OutputSchema != nil {
			f.schema = apiSchema{Name: s.OutputSchema.Schema, Version: s.OutputSchema.Version}
		}
		p.Note("", "rename it to AIServiceBackend, outputSchema.schema to schema.name, and name it in the policy's targetRefs",
			"%v: read as an AIServiceBackend", original)
		return f
	case *aiServiceBackend:
		s := &spec.Spec
		f := backendForm{
			schemaField: "schema.name", ref: s.BackendRef, policy: s.BackendSecurityPolicyRef,
			headers: s.HeaderMutation, body: s.BodyMutation, timeouts: s.Timeouts,
		}
		if s.Schema != nil {
			f.schema = *s.Schema
		}
		if s.BackendSecurityPolicyRef != nil || s.Timeouts != nil {
			f.generation = early
			if p.Object.Version == versionStable {
				p.Fail("", "name the backend in the policy's targetRefs, and put timeouts into the route's rules",
					"%s has neither backendSecurityPolicyRef nor timeouts, which v0.1 had", versionStable)
			} else {
				p.Note("", "name the backend in the policy's targetRefs, and put timeouts into the route's rules", "%v: read as today's", early)
			}
		}
		return f
	}
	return backendForm{}
}

// key returns what a reference names: a Service where no kind is written.
func (r *objectRef) key(namespace, kind string) resource.Key {
	gk := resource.GroupKind{Kind: kind}
	if r.Group != nil {
		gk.Group = *r.Group
	}
	if r.Kind != nil {
		gk.Kind = *r.Kind
	}
	return resource.Key{GroupKind: gk, Namespace: cmp.Or(r.Namespace, namespace), Name: r.Name}
}

// granted reports whether the object may refer to another namespace's; if not,
// that is a fault of the field.
func (p *place) granted(field string, to resource.Key) bool {
	if parent.Granted(p.t.v, p.Object.GroupKind, p.Object.Namespace, to) {
		return true
	}
	p.unresolved(field, parent.GrantRemedy(p.Object.GroupKind, p.Object.Namespace, to), "%v may not be used from %s", to, p.Object.Namespace)
	return false
}

// quiet returns the place of another object, of which what is wrong is told by
// its own translation.
func (p *place) quiet(o *resource.Object) *place {
	return (&translation{v: p.t.v}).place(o, "spec")
}

// upstreamName returns the name of the upstream that an object makes.
func upstreamName(k resource.Key) string {
	return fmt.Sprintf("%s/%s/%s/%s", k.Group, k.Kind, k.Namespace, k.Name)
}
