package dataplane

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// hopByHop are the headers that concern one connection (RFC 9110 7.6.1), and
// Proxy-Connection, which some clients still send.
var hopByHop = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate",
	"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// fromClient are headers that only the gateway may set; a client's own are
// removed whatever they say.
var fromClient = [...]string{
	"X-Forwarded-Client-Cert", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Host", "Forwarded",
	"X-Real-Ip", "X-Client-Ip", "True-Client-Ip",
	"X-Envoy-Original-Path", "X-Envoy-Internal", "X-Envoy-External-Address", "X-Envoy-Decorator-Operation",
	"X-Envoy-Expected-Rq-Timeout-Ms", "X-Envoy-Attempt-Count", "X-Envoy-Original-Host",
	"X-Postern-Decision",
	headerModel, "X-Envoy-Ai-Gateway-Model", "X-Envoy-Ai-Gateway-Llm-Model",
}

// headerModel tells stages and upstreams which model the body names, as in
// Envoy AI Gateway; two older names of it are no client's to set either.
const headerModel = "X-Ai-Eg-Model"

// IsReserved reports whether a canonical header name is one that concerns a
// single connection, or one that only the gateway may set: what a client
// writes there does not travel on.
func IsReserved(name string) bool {
	return slices.Contains(hopByHop[:], name) || slices.Contains(fromClient[:], name) || name == "X-Request-Id"
}

// IsCredentialHeader reports whether a canonical header name is one of the
// well-known ones that carry a caller's credential.
func IsCredentialHeader(name string) bool {
	switch name {
	case "Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Proxy-Authorization":
		return true
	}
	return false
}

// RemoveHopByHop deletes the hop-by-hop headers from h, and those that its
// Connection header names. It is for requests and answers alike.
func RemoveHopByHop(h http.Header) {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// upgradeOf returns the protocol that a request asks to switch to, lower
// case, or "".
func upgradeOf(h http.Header) string {
	for _, v := range h["Connection"] {
		for token := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return strings.ToLower(strings.TrimSpace(h.Get("Upgrade")))
			}
		}
	}
	return ""
}

// acceptsTrailers reports whether TE names trailers (RFC 9110 10.1.4).
func acceptsTrailers(h http.Header) bool {
	for _, v := range h["Te"] {
		for token := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "trailers") {
				return true
			}
		}
	}
	return false
}

// cleanHeader makes the working copy of a request's headers.
func cleanHeader(in http.Header) (http.Header, error) {
	for _, values := range in {
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x00") {
				return nil, errHeaderFolded
			}
		}
	}
	h := in.Clone()
	trailers := acceptsTrailers(in)
	RemoveHopByHop(h)
	if trailers {
		h.Set("Te", "trailers")
	}
	for _, name := range fromClient {
		delete(h, name)
	}
	delete(h, "Host")
	return h, nil
}

// peerAddr returns the address of a connection's other end.
func peerAddr(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}

// localAddr returns the server's end of the connection, where it is known.
func localAddr(ctx context.Context) netip.AddrPort {
	addr, ok := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := addr.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// forwardedFor returns the client's address as far as trusted hops tell it,
// and the X-Forwarded-For that the upstream gets: what trusted hops wrote,
// and the peer. Entries further left are a client's own claim and dropped.
func forwardedFor(h http.Header, peer netip.Addr, hops int) (client netip.Addr, header string) {
	client = peer
	chain := []string{peer.String()}
	entries := strings.Split(strings.Join(h["X-Forwarded-For"], ","), ",")
	for i := len(entries) - 1; i >= 0 && hops > 0; i, hops = i-1, hops-1 {
		addr, err := netip.ParseAddr(strings.TrimSpace(entries[i]))
		if err != nil {
			break
		}
		client = addr.Unmap()
		chain = append([]string{client.String()}, chain...)
	}
	return client, strings.Join(chain, ", ")
}
