package envoy

import "github.com/postern-gateway/postern/internal/ir"

// RetryOn adds a condition of x-envoy-retry-on to r. It reports whether there
// is such a one that needs nothing beside it: neither a list of statuses, nor
// gRPC.
func RetryOn(r *ir.Retry, condition string) bool {
	switch condition {
	case "5xx":
		r.On5xx, r.OnConnect, r.OnReset, r.OnTimeout = true, true, true, true
	case "gateway-error":
		r.Statuses = append(r.Statuses, 502, 503, 504)
		r.OnConnect, r.OnReset, r.OnTimeout = true, true, true
	case "reset", "reset-before-request", "refused-stream":
		r.OnReset = true
	case "connect-failure":
		r.OnConnect = true
	case "retriable-4xx":
		r.Statuses = append(r.Statuses, 409)
	default:
		return false
	}
	return true
}

// IsGRPCRetry reports whether a condition is one of x-envoy-retry-grpc-on.
func IsGRPCRetry(condition string) bool {
	switch condition {
	case "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable":
		return true
	}
	return false
}
