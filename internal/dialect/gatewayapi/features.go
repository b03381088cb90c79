package gatewayapi

import "slices"

// features are the names of what we serve of the Gateway API, as its package
// features calls them. Users and the API's conformance suite read them in the
// status of our GatewayClasses. What needs definitions of the experimental
// channel, as HTTPRouteRetry does, is served but not listed: without them the
// API server drops the field.
func features() []string {
	list := []string{
		"Gateway", "HTTPRoute", "GRPCRoute", "ReferenceGrant", // core
		"BackendTLSPolicy", "BackendTLSPolicySANValidation", // backendtls
		"GatewayAddressEmpty", "GatewayStaticAddresses", // gateway.go, and who hands out addresses
		"GatewayHTTPListenerIsolation", "GatewayHTTPSListenerDetectMisdirectedRequests", // dataplane
		"GatewayPort8080",                                                                                          // parent
		"GatewayInfrastructure",                                                                                    // infrastructure
		"ListenerSet",                                                                                              // listenerset.go
		"GatewayBackendClientCertificate",                                                                          // clientcert.go
		"GRPCRouteNamedRouteRule",                                                                                  // grpcroute.go
		"HTTPRouteBackendProtocolH2C",                                                                              // service
		"HTTPRouteBackendProtocolWebSocket",                                                                        // service
		"GatewayFrontendClientCertificateValidation", "GatewayFrontendClientCertificateValidationInsecureFallback", // tls.go
		"HTTPRouteDestinationPortMatching", "HTTPRouteParentRefPort", // parent
		"HTTPRouteBackendRequestHeaderModification",                                                     // backend.go
		"HTTPRouteRequestMirror", "HTTPRouteRequestMultipleMirrors", "HTTPRouteRequestPercentageMirror", // backend.go
		"HTTPRouteResponseHeaderModification", "HTTPRouteCORS", // filter.go
		"HTTPRouteQueryParamMatching", "HTTPRouteMethodMatching", // match.go
		"HTTPRouteHostRewrite", "HTTPRoutePathRewrite", // rewrite.go
		"HTTPRoutePathRedirect", "HTTPRoutePortRedirect", "HTTPRouteSchemeRedirect", // rewrite.go
		"HTTPRoute303RedirectStatusCode", "HTTPRoute307RedirectStatusCode", "HTTPRoute308RedirectStatusCode", // rewrite.go
		"HTTPRouteRequestTimeout", "HTTPRouteBackendTimeout", // rewrite.go
		"HTTPRouteNamedRouteRule", // rule.go
	}
	slices.Sort(list)
	return list
}
