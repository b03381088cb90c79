package gatewayapi

import "slices"

// features are the names of what we serve of the Gateway API, as its package
// features calls them. Users and the API's conformance suite read them in the
// status of our GatewayClasses.
func features() []string {
	list := []string{
		"Gateway", "HTTPRoute", "ReferenceGrant", // core
		"BackendTLSPolicy", "BackendTLSPolicySANValidation", // backendtls
		"GatewayPort8080", // gateway.go
		"GatewayFrontendClientCertificateValidation",           // tls.go
		"HTTPRouteBackendRequestHeaderModification",            // backend.go
		"HTTPRouteResponseHeaderModification", "HTTPRouteCORS", // filter.go
		"HTTPRouteQueryParamMatching", "HTTPRouteMethodMatching", // match.go
		"HTTPRouteHostRewrite", "HTTPRoutePathRewrite", // rewrite.go
		"HTTPRouteNamedRouteRule", // rule.go
	}
	slices.Sort(list)
	return list
}
