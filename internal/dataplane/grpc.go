package dataplane

import (
	"net/http"
	"strconv"
	"strings"
)

// IsGRPC reports whether a request's head says that it is gRPC: the media type
// application/grpc, with a subtype's suffix or parameters or without.
func IsGRPC(h http.Header) bool {
	rest, ok := strings.CutPrefix(h.Get("Content-Type"), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// forGRPC returns an answer of the gateway's own in the form that a gRPC client
// understands, as Envoy gives it: status 200 without a body, and the gRPC
// status and message in the head.
func (e *Exchange) forGRPC(a *Answer) *Answer {
	if !IsGRPC(e.Header) || a.Status < 400 {
		return a
	}
	out := *a
	out.Header = http.Header{}
	for k, v := range a.Header {
		out.Header[k] = v
	}
	out.Header.Set("Content-Type", "application/grpc")
	out.Header.Set("Grpc-Status", strconv.Itoa(grpcStatus(a.Status)))
	if a.Body != "" {
		out.Header.Set("Grpc-Message", grpcMessage(a.Body))
	}
	out.Status, out.Body = http.StatusOK, ""
	return &out
}

// grpcStatus maps an HTTP status to a gRPC status code, as gRPC's
// http-grpc-status-mapping has it.
func grpcStatus(status int) int {
	switch status {
	case http.StatusBadRequest:
		return 13 // INTERNAL
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusNotFound:
		return 12 // UNIMPLEMENTED
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 14 // UNAVAILABLE
	}
	return 2 // UNKNOWN
}

// grpcMessage percent-encodes a message as gRPC's protocol has it.
func grpcMessage(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			writeHex(&b, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
