package gloo

import (
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// listenerSettings reads ListenerOptions: all of them are about sockets.
func (t *translation) listenerSettings(o *resource.Object, at string, s *listenerOptions) []setting {
	p := t.options(o, at)
	if s == nil {
		return p.faulty()
	}
	p.guard("proxyProtocol", "proxyProtocol", s.ProxyProtocol)
	p.ignore("accessLoggingService", s.AccessLoggingService)
	p.ignore("connectionBalanceConfig", s.ConnectionBalanceConfig)
	p.ignore("extensions", s.Extensions)
	p.ignore("listenerAccessLoggingService", s.ListenerAccessLoggingService)
	p.ignore("perConnectionBufferLimitBytes", s.PerConnectionBufferLimitBytes)
	p.ignore("socketOptions", s.SocketOptions)
	p.ignore("tcpStats", s.TCPStats)
	return p.faulty()
}

// httpListenerSettings reads HttpListenerOptions.
func (t *translation) httpListenerSettings(o *resource.Object, at string, s *httpListenerOptions) []setting {
	p := t.options(o, at)
	if s == nil {
		return p.faulty()
	}
	if b := s.Buffer; b != nil && b.MaxRequestBytes != nil && *b.MaxRequestBytes > 0 {
		// Routes may override it, so it has their slot.
		p.slot("bufferPerRoute", "buffer", ir.Step{Phase: ir.PhaseFilter, Buffer: &ir.Buffer{Bytes: *b.MaxRequestBytes}})
	}
	p.connectionManager(s.HTTPConnectionManagerSettings)
	p.authServer("extauth", s.ExtAuth)
	for _, g := range []struct {
		field string
		value raw
	}{
		{"connectionLimit", s.ConnectionLimit}, {"csrf", s.CSRF}, {"dlp", s.DLP}, {"extProc", s.ExtProc},
		{"extProcEarly", s.ExtProcEarly}, {"extProcLate", s.ExtProcLate}, {"httpLocalRatelimit", s.HTTPLocalRateLimit},
		{"networkLocalRatelimit", s.NetworkLocalRateLimit}, {"waf", s.WAF}, {"wasm", s.WASM},
	} {
		p.guard(g.field, g.field, g.value)
	}
	for _, g := range []struct {
		field string
		value raw
	}{
		{"caching", s.Caching}, {"disableExtProc", s.DisableExtProc}, {"disableExtProcEarly", s.DisableExtProcEarly},
		{"disableExtProcLate", s.DisableExtProcLate}, {"dynamicForwardProxy", s.DynamicForwardProxy},
		{"extensions", s.Extensions}, {"grpcJsonTranscoder", s.GRPCJSONTranscoder}, {"grpcWeb", s.GRPCWeb}, {"gzip", s.Gzip},
		{"headerValidationSettings", s.HeaderValidationSettings}, {"healthCheck", s.HealthCheck},
		{"leftmostXffAddress", s.LeftmostXFFAddress}, {"proxyLatency", s.ProxyLatency}, {"ratelimitServer", s.RateLimitServer},
		{"router", s.Router}, {"sanitizeClusterHeader", s.SanitizeClusterHeader}, {"statefulSession", s.StatefulSession}, {"tap", s.Tap},
	} {
		p.ignore(g.field, g.value)
	}
	return p.faulty()
}

// managed is the path of the connection manager's fields.
const managed = "httpConnectionManagerSettings."

// connectionManager reads limits and headers. Each field is a slot.
func (p *options) connectionManager(s *connectionManager) {
	if s == nil {
		return
	}
	p.number("maxRequestHeadersKb", s.MaxRequestHeadersKb, func(h *ir.HTTPSettings, n int) { h.MaxHeaderBytes = n * 1024 })
	p.number("maxHeadersCount", s.MaxHeadersCount, func(h *ir.HTTPSettings, n int) { h.MaxHeaders = n })
	p.number("xffNumTrustedHops", s.XFFNumTrustedHops, func(h *ir.HTTPSettings, n int) { h.TrustedHops = n })
	if h2 := s.HTTP2ProtocolOptions; h2 != nil {
		p.number("http2ProtocolOptions.maxConcurrentStreams", h2.MaxConcurrentStreams, func(h *ir.HTTPSettings, n int) { h.MaxStreams = n })
		p.ignore(managed+"http2ProtocolOptions.initialConnectionWindowSize", h2.InitialConnectionWindowSize)
		p.ignore(managed+"http2ProtocolOptions.initialStreamWindowSize", h2.InitialStreamWindowSize)
		p.ignore(managed+"http2ProtocolOptions.overrideStreamErrorOnInvalidHttpMessage", h2.OverrideStreamErrorOnInvalidHTTPMessage)
	}
	p.bound("requestHeadersTimeout", s.RequestHeadersTimeout, ir.HTTPSettings{HeadTimeout: s.RequestHeadersTimeout.Duration})
	p.bound("requestTimeout", s.RequestTimeout, ir.HTTPSettings{RequestTimeout: s.RequestTimeout.Duration})
	p.bound("idleTimeout", s.IdleTimeout, ir.HTTPSettings{IdleTimeout: s.IdleTimeout.Duration})
	p.bound("streamIdleTimeout", s.StreamIdleTimeout, ir.HTTPSettings{StreamIdleTimeout: s.StreamIdleTimeout.Duration})
	if s.MaxStreamDuration.Duration > 0 {
		// Routes may override it, so it has their slot.
		p.slot("maxStreamDuration", managed+"maxStreamDuration", ir.Step{Phase: ir.PhaseForward, Order: orderForward, Timeouts: &ir.Timeouts{Stream: s.MaxStreamDuration.Duration}})
	}
	p.text("via", s.Via, func(h *ir.HTTPSettings, v string) { h.Via = v })
	p.text("serverName", s.ServerName, func(h *ir.HTTPSettings, v string) { h.ServerName = v })
	if s.AppendXForwardedPort != nil && *s.AppendXForwardedPort {
		p.listener("appendXForwardedPort", ir.HTTPSettings{AppendForwardedPort: true})
	}
	if s.PreserveExternalRequestID != nil && *s.PreserveExternalRequestID {
		p.listener("preserveExternalRequestId", ir.HTTPSettings{KeepRequestID: true})
	}
	p.earlyHeaders(s)
	p.unusual(s)
	p.unbuiltManager(s)
}

// listener records a listener's setting in a slot of the field's name.
func (p *options) listener(field string, h ir.HTTPSettings) {
	p.list = append(p.list, setting{slot: name + "/" + field, origin: p.Origin(managed + field), listener: &h})
}

func (p *options) number(field string, n *int, set func(*ir.HTTPSettings, int)) {
	switch {
	case n == nil:
	case *n < 0:
		p.Fail(managed+field, "write a positive number", "%s is negative", field)
	case *n == 0:
	default:
		h := ir.HTTPSettings{}
		set(&h, *n)
		p.listener(field, h)
	}
}

// bound records a time-out. None at all is not offered: every wait is bounded.
func (p *options) bound(field string, d resource.Duration, h ir.HTTPSettings) {
	switch {
	case !d.Set:
	case d.Duration <= 0:
		p.Warn(managed+field, "write a positive time", "%s cannot be switched off; the default holds", field)
	default:
		p.listener(field, h)
	}
}

func (p *options) text(field string, s *string, set func(*ir.HTTPSettings, string)) {
	if s == nil || *s == "" {
		return
	}
	for i := range len(*s) {
		if c := (*s)[i]; c < ' ' || c == 0x7f {
			p.Fail(managed+field, "write it on one line", "the value holds a control character")
			return
		}
	}
	h := ir.HTTPSettings{}
	set(&h, *s)
	p.listener(field, h)
}

// earlyHeaders run before a route is chosen.
func (p *options) earlyHeaders(s *connectionManager) {
	e := s.EarlyHeaderManipulation
	if e == nil {
		return
	}
	const field = "earlyHeaderManipulation"
	before := p.Mark()
	changes := p.changes(managed+field+".", e.HeadersToAdd, e.HeadersToRemove)
	if p.broken(field, managed+field, before) {
		return
	}
	p.listener(field, ir.HTTPSettings{Steps: []ir.Step{{
		Phase: ir.PhasePre, Slot: name + "/" + field, Origin: p.Origin(managed + field), Headers: &ir.HeaderEdit{Request: changes},
	}}})
}

// unusual reports what we do otherwise than is asked for, where that can be
// told from the value.
func (p *options) unusual(s *connectionManager) {
	differs := func(field string, differs bool, what string) {
		if differs {
			p.Warn(managed+field, "remove it", "%s", what)
		}
	}
	is := func(b *bool, v bool) bool { return b != nil && *b == v }
	if s.HeadersWithUnderscoresAction != 0 {
		p.close("headersWithUnderscoresAction", managed+"headersWithUnderscoresAction", "write ALLOW, or remove it", "refusing headers with underscores is not supported; what it would guard is closed")
	}
	differs("forwardClientCertDetails", s.ForwardClientCertDetails != 0, "x-forwarded-client-cert is always removed from requests, and not set")
	differs("generateRequestId", is(s.GenerateRequestID, false), "requests always get an x-request-id")
	differs("mergeSlashes", is(s.MergeSlashes, true), "paths are always normalized in one way")
	differs("normalizePath", is(s.NormalizePath, false), "paths are always normalized")
	differs("serverHeaderTransformation", s.ServerHeaderTransformation != 0, "the Server header is always overwritten")
	differs("skipXffAppend", is(s.SkipXFFAppend, true), "the client's address is always appended to X-Forwarded-For")
	differs("useRemoteAddress", is(s.UseRemoteAddress, false), "the connection's address is always used; see xffNumTrustedHops")
	for _, u := range s.Upgrades {
		if u.Connect.on() || u.ConnectTerminate.on() {
			p.Fail(managed+"upgrades", "remove it", "CONNECT is not supported: it would be a tunnel past every policy")
		}
	}
	if len(s.Upgrades) > 0 {
		u := &ir.Upgrade{}
		for _, one := range s.Upgrades {
			if one.WebSocket.on() {
				u.Protocols = append(u.Protocols, "websocket")
			}
		}
		p.slot("upgrades", managed+"upgrades", ir.Step{Phase: ir.PhaseForward, Order: orderForward, Upgrade: u})
	}
}

func (p *options) unbuiltManager(s *connectionManager) {
	for _, f := range []struct {
		field string
		value raw
	}{
		{"acceptHttp10", s.AcceptHTTP10}, {"allowChunkedLength", s.AllowChunkedLength}, {"codecType", s.CodecType},
		{"defaultHostForHttp10", s.DefaultHostForHTTP10}, {"delayedCloseTimeout", s.DelayedCloseTimeout},
		{"drainTimeout", s.DrainTimeout}, {"enableTrailers", s.EnableTrailers}, {"internalAddressConfig", s.InternalAddressConfig},
		{"maxConnectionDuration", s.MaxConnectionDuration}, {"maxRequestsPerConnection", s.MaxRequestsPerConnection},
		{"pathWithEscapedSlashesAction", s.PathWithEscapedSlashesAction},
		{"preserveCaseHeaderKeyFormat", s.PreserveCaseHeaderKeyFormat}, {"properCaseHeaderKeyFormat", s.ProperCaseHeaderKeyFormat},
		{"proxy100Continue", s.Proxy100Continue}, {"setCurrentClientCertDetails", s.SetCurrentClientCertDetails},
		{"stripAnyHostPort", s.StripAnyHostPort}, {"tracing", s.Tracing}, {"uuidRequestIdConfig", s.UUIDRequestIDConfig},
	} {
		p.ignore(managed+f.field, f.value)
	}
}
