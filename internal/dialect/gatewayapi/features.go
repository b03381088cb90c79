package gatewayapi

import "slices"

// features are the names of what we serve of the Gateway API, as its package
// features calls them. Users and the API's conformance suite read them in the
// status of our GatewayClasses. What needs definitions of the experimental
// channel, as HTTPRouteRetry does, is served but not listed: without them the
// API server drops the field.
func features() []string {
	list := []string{
		// core
		"Gateway", "HTTPRoute", "GRPCRoute", "ReferenceGrant",
		// backendtls
		"BackendTLSPolicy", "BackendTLSPolicySANValidation",
		// gateway.go, and who hands out addresses
		"GatewayAddressEmpty", "GatewayStaticAddresses", "GatewayPort8080",
		// infrastructure
		"GatewayInfrastructure",
		// dataplane
		"GatewayHTTPListenerIsolation", "GatewayHTTPSListenerDetectMisdirectedRequests",
		// tls.go
		"GatewayFrontendClientCertificateValidation", "GatewayFrontendClientCertificateValidationInsecureFallback",
		// clientcert.go
		"GatewayBackendClientCertificate",
		// parent
		"ListenerSet", "HTTPRouteDestinationPortMatching", "HTTPRouteParentRefPort",
		// service
		"HTTPRouteBackendProtocolH2C", "HTTPRouteBackendProtocolWebSocket",
		// rule.go, grpcroute.go
		"HTTPRouteNamedRouteRule", "GRPCRouteNamedRouteRule",
		// match.go
		"HTTPRouteQueryParamMatching", "HTTPRouteMethodMatching",
		// filter.go
		"HTTPRouteResponseHeaderModification", "HTTPRouteCORS",
		// backend.go
		"HTTPRouteBackendRequestHeaderModification",
		"HTTPRouteRequestMirror", "HTTPRouteRequestMultipleMirrors", "HTTPRouteRequestPercentageMirror",
		// rewrite.go
		"HTTPRouteHostRewrite", "HTTPRoutePathRewrite",
		"HTTPRoutePathRedirect", "HTTPRoutePortRedirect", "HTTPRouteSchemeRedirect",
		"HTTPRoute303RedirectStatusCode", "HTTPRoute307RedirectStatusCode", "HTTPRoute308RedirectStatusCode",
		"HTTPRouteRequestTimeout", "HTTPRouteBackendTimeout",
	}
	slices.Sort(list)
	return list
}
