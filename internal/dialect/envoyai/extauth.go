package envoyai

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// askTimeout bounds one question unless timeout is written.
const askTimeout = 10 * time.Second

// extAuth reads a server that is asked whether requests may pass.
func (p *place) extAuth(s *extAuth) []ir.Step {
	out := &ir.ExternalAuth{
		Timeout: p.duration("timeout", s.Timeout), FailOpen: s.FailOpen,
		StatusOnError: s.StatusOnError, Context: p.context(s.ContextExtensions),
	}
	if out.Timeout == 0 {
		out.Timeout = askTimeout
	}
	if s.FailOpen {
		p.Warn("failOpen", "write false", "everybody passes while the server cannot be asked")
	}
	if c := s.StatusOnError; c != 0 && (c < 400 || c > 599) {
		p.Fail("statusOnError", "write one of 400 to 599", "%d is no status of a refusal", c)
	}
	if s.BodyToExtAuth != nil {
		if out.BodyBytes = s.BodyToExtAuth.MaxRequestBytes; out.BodyBytes < 1 {
			p.Fail("bodyToExtAuth.maxRequestBytes", "write 1 or more", "%d bytes cannot be sent", out.BodyBytes)
		}
	}
	if s.RecomputeRoute {
		p.Fail("recomputeRoute", "remove it", "choosing a route again after the check is not supported; what the policy would guard is closed")
	}
	p.Ignore("includeRouteMetadata", s.IncludeRouteMetadata)
	switch {
	case (s.GRPC != nil) == (s.HTTP != nil):
		p.Fail("", "write one of grpc and http", "one of grpc or http must be specified, and not both")
	case s.GRPC != nil:
		p.extGRPC(s, out)
	default:
		p.extHTTP(s, out)
	}
	set := &ir.AuthSet{Methods: []ir.AuthMethod{{Name: "extAuth", External: out, Origin: p.Origin("")}}}
	return []ir.Step{{Phase: ir.PhaseAuthenticate, Order: orderExtAuth, AuthSet: set}}
}

func (s *extService) refs() []objectRef {
	if len(s.BackendRefs) == 0 && s.BackendRef != nil {
		return []objectRef{*s.BackendRef}
	}
	return s.BackendRefs
}

func (p *place) extGRPC(s *extAuth, out *ir.ExternalAuth) {
	at := p.in("grpc")
	out.GRPC = &ir.ExternalGRPC{}
	out.GRPC.Upstream, _ = at.server("backendRefs", s.GRPC.refs())
	at.Ignore("backendSettings", s.GRPC.BackendSettings)
	if len(s.HeadersToExtAuth) > 0 {
		p.Warn("headersToExtAuth", "remove it", "a server that is asked over gRPC sees all headers")
	}
}

// always are the headers that such a server is shown in any case.
var always = []string{"authorization"}

func (p *place) extHTTP(s *extAuth, out *ir.ExternalAuth) {
	at := p.in("http")
	h := s.HTTP
	upstream, authority := at.server("backendRefs", h.refs())
	out.HTTP = &ir.ExternalHTTP{Upstream: upstream, RequestHeaders: slices.Clone(always), UpstreamHeaders: h.HeadersToBackend}
	for i, n := range s.HeadersToExtAuth {
		p.headerName(fmt.Sprintf("headersToExtAuth[%d]", i), n)
		if !slices.Contains(always, strings.ToLower(n)) {
			out.HTTP.RequestHeaders = append(out.HTTP.RequestHeaders, n)
		}
	}
	for i, n := range h.HeadersToBackend {
		at.headerName(fmt.Sprintf("headersToBackend[%d]", i), n)
	}
	path := h.PathOverride
	switch {
	case h.Path != "" && h.PathOverride != "":
		at.Fail("pathOverride", "keep one of them", "only one of path or pathOverride can be specified")
	case h.PathOverride == "":
		out.HTTP.AppendPath, path = true, h.Path
	}
	if path != "" && path[0] != '/' {
		path = "/" + path
	}
	u := url.URL{Scheme: "http", Host: authority, Path: path}
	out.HTTP.URL = u.String()
	at.Ignore("backendSettings", h.BackendSettings)
}

// context reads what is sent along as it is.
func (p *place) context(list []contextExtension) map[string]string {
	if len(list) == 0 {
		return nil
	}
	out := map[string]string{}
	for i, c := range list {
		at := p.in("contextExtensions[%d]", i)
		switch {
		case c.Name == "":
			at.Fail("name", "write one", "the extension has no name")
		case (c.Type == "" || c.Type == "Value") && c.Value != nil && c.ValueRef == nil:
			out[c.Name] = *c.Value
		case c.Type == "ValueRef" && c.ValueRef != nil && c.Value == nil:
			out[c.Name] = at.contextRef(c.ValueRef)
		default:
			at.Fail("", "write value, or type: ValueRef with valueRef", "exactly one of value or valueRef must be set with correct type")
		}
	}
	return out
}

// contextRef returns a text of a ConfigMap; a Secret's is not for a
// configuration to hold.
func (p *place) contextRef(r *objectRef) string {
	if r.Kind != nil && *r.Kind == "Secret" {
		p.Fail("valueRef.kind", "let the server know this gateway by its network or its certificate", "a Secret is not supported here")
		return ""
	}
	return p.configMap("valueRef", r, r.DataKey)
}
