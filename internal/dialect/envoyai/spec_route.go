package envoyai

import gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

// aiGatewayRoute is the spec of an AIGatewayRoute, in the forms of v0.1 and of
// today.
type aiGatewayRoute struct {
	Spec aiGatewayRouteSpec `json:"spec"`
}

type aiGatewayRouteSpec struct {
	ParentRefs      []gatewayv1.ParentReference `json:"parentRefs"`
	Hostnames       []string                    `json:"hostnames"`
	Rules           []routeRule                 `json:"rules"`
	LLMRequestCosts present                     `json:"llmRequestCosts"`

	// Of v0.1.
	TargetRefs   []targetRef `json:"targetRefs"`
	Schema       *apiSchema  `json:"schema"`
	FilterConfig present     `json:"filterConfig"`
}

// llmRoute is the original form of an AIGatewayRoute.
type llmRoute struct {
	Spec llmRouteSpec `json:"spec"`
}

type llmRouteSpec struct {
	TargetRefs  []targetRef     `json:"targetRefs"`
	InputSchema *originalSchema `json:"inputSchema"`
	Rules       []routeRule     `json:"rules"`
}

// targetRef names what a policy or an old route concerns; a Gateway, or a
// section of one.
type targetRef struct {
	Group       string `json:"group"`
	Kind        string `json:"kind"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName"`
}

// apiSchema is a wire API, as today and in v0.1.
type apiSchema struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Prefix  string `json:"prefix"`
}

// originalSchema is a wire API in the original form.
type originalSchema struct {
	Schema  string `json:"schema"`
	Version string `json:"version"`
}

// routeRule is a rule of a route. Of a rule in the original form, and of one in
// that of v0.1, the backends have a name and a weight alone.
type routeRule struct {
	Name              string           `json:"name"`
	Matches           []routeMatch     `json:"matches"`
	BackendRefs       []routeBackend   `json:"backendRefs"`
	Timeouts          *requestTimeouts `json:"timeouts"`
	StreamIdleTimeout *string          `json:"streamIdleTimeout"`
	ModelsOwnedBy     *string          `json:"modelsOwnedBy"`
	ModelsCreatedAt   *string          `json:"modelsCreatedAt"`
}

type routeMatch struct {
	Headers []headerMatch `json:"headers"`
}

type headerMatch struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

type routeBackend struct {
	Name              string          `json:"name"`
	Namespace         string          `json:"namespace"`
	Group             *string         `json:"group"`
	Kind              *string         `json:"kind"`
	ModelNameOverride string          `json:"modelNameOverride"`
	Weight            *int            `json:"weight"`
	Priority          *int            `json:"priority"`
	HeaderMutation    *headerMutation `json:"headerMutation"`
	BodyMutation      *bodyMutation   `json:"bodyMutation"`
}

type headerMutation struct {
	Set    []headerValue `json:"set"`
	Remove []string      `json:"remove"`
}

type headerValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type bodyMutation struct {
	Set    []bodyValue `json:"set"`
	Remove []string    `json:"remove"`
}

// bodyValue is a top-level member; its value is JSON in a text.
type bodyValue struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// requestTimeouts are the Gateway API's HTTPRouteTimeouts.
type requestTimeouts struct {
	Request        *string `json:"request"`
	BackendRequest *string `json:"backendRequest"`
}
