package gloo

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// routeSettings reads the options of a route.
func (t *translation) routeSettings(o *resource.Object, at string, s *routeOptions) []setting {
	p := t.options(o, at)
	if s == nil {
		return p.faulty()
	}
	p.common(&s.commonOptions, "route", orderRouteHeaders)
	p.routeJWT(s)
	p.pathRewrite(s)
	p.hostRewrite(s)
	p.timeouts(s)
	p.shadowing(s.Shadowing)
	p.upgrades(s.Upgrades)
	p.faultInjection(s.Faults)
	p.ai(s.AI)
	p.ignore("envoyMetadata", s.EnvoyMetadata)
	p.ignore("lbHash", s.LBHash)
	p.ignore("tracing", s.Tracing)
	return p.faulty()
}

func (p *options) routeJWT(s *routeOptions) {
	n := 0
	for _, set := range []bool{s.JWT != nil, s.JWTStaged != nil, s.JWTProvidersStaged != nil} {
		if set {
			n++
		}
	}
	if n > 1 {
		p.close("jwt.afterExtAuth", "jwt", "keep one of them", "jwt, jwtStaged and jwtProvidersStaged exclude each other")
		return
	}
	p.jwtSwitch("afterExtAuth", "jwt", s.JWT)
	p.jwtSwitches(s.JWTStaged)
	p.jwtStages("jwtProvidersStaged", s.JWTProvidersStaged)
}

func (p *options) pathRewrite(s *routeOptions) {
	if s.PrefixRewrite != nil && s.RegexRewrite != nil {
		p.close("prefixRewrite", "prefixRewrite", "keep one of them", "prefixRewrite and regexRewrite exclude each other")
		return
	}
	step := ir.Step{Phase: ir.PhaseForward, Order: orderPathRewrite}
	if s.PrefixRewrite != nil && strings.ContainsFunc(*s.PrefixRewrite, notPath) {
		p.close("prefixRewrite", "prefixRewrite", "write a path without query", "%q is no path", *s.PrefixRewrite)
		return
	}
	if s.PrefixRewrite != nil {
		step.Path = &ir.PathRewrite{Prefix: s.PrefixRewrite}
		p.put("prefixRewrite", step)
	}
	if s.RegexRewrite != nil {
		step.Path = &ir.PathRewrite{Regex: regex(s.RegexRewrite)}
		p.put("regexRewrite", step)
	}
}

// notPath and notHost tell what would break out of a request line or a header.
func notPath(c rune) bool { return c <= ' ' || c == 0x7f || c == '?' || c == '#' }

func notHost(c rune) bool { return notPath(c) || c == '/' || c == '@' }

func regex(s *regexRewrite) *ir.RegexRewrite {
	return &ir.RegexRewrite{Pattern: s.Pattern.Regex, Substitution: s.Substitution}
}

// hostRewrite reads the alternatives of one field; they share its slot.
func (p *options) hostRewrite(s *routeOptions) {
	const slot = "hostRewrite"
	var found []string
	h := &ir.HostRewrite{AppendForwarded: s.AppendXForwardedHost != nil && *s.AppendXForwardedHost}
	if s.HostRewrite != nil {
		found, h.Literal = append(found, "hostRewrite"), *s.HostRewrite
	}
	if s.AutoHostRewrite != nil {
		found, h.Auto = append(found, "autoHostRewrite"), *s.AutoHostRewrite
	}
	if s.HostRewriteHeader != nil {
		found, h.FromHeader = append(found, "hostRewriteHeader"), *s.HostRewriteHeader
	}
	if s.HostRewritePathRegex != nil {
		found, h.FromPath = append(found, "hostRewritePathRegex"), regex(s.HostRewritePathRegex)
	}
	switch {
	case len(found) > 1:
		p.close(slot, found[1], "keep one of them", "%s exclude each other", strings.Join(found, ", "))
	case len(found) == 1 && *h == (ir.HostRewrite{AppendForwarded: h.AppendForwarded}): // autoHostRewrite: false
		p.slot(slot, found[0])
	case strings.ContainsFunc(h.Literal, notHost):
		p.close(slot, found[0], "write a host name", "%q is no host", h.Literal)
	case len(found) == 1:
		p.slot(slot, found[0], ir.Step{Phase: ir.PhaseForward, Order: orderHostRewrite, Host: h})
	}
	if h.AppendForwarded && len(found) == 0 {
		p.Warn("appendXForwardedHost", "write it beside the rewrite", "appendXForwardedHost has no effect without a rewrite of the host beside it")
	}
}

func (p *options) timeouts(s *routeOptions) {
	p.timeout("timeout", s.Timeout, &ir.Timeouts{Request: s.Timeout.Duration})
	p.timeout("idleTimeout", s.IdleTimeout, &ir.Timeouts{Idle: s.IdleTimeout.Duration})
	if m := s.MaxStreamDuration; m != nil {
		p.timeout("maxStreamDuration", m.MaxStreamDuration, &ir.Timeouts{Stream: m.MaxStreamDuration.Duration})
		p.ignore("maxStreamDuration.grpcTimeoutHeaderMax", m.GRPCTimeoutHeaderMax)
		p.ignore("maxStreamDuration.grpcTimeoutHeaderOffset", m.GRPCTimeoutHeaderOffset)
	}
}

// timeout records a bound; one of no time says that there is none.
func (p *options) timeout(field string, d resource.Duration, t *ir.Timeouts) {
	switch {
	case !d.Set:
	case d.Duration < 0:
		p.close(field, field, "write a positive time, or 0s for none", "%s is negative", field)
	case d.Duration == 0:
		p.put(field)
	default:
		p.put(field, ir.Step{Phase: ir.PhaseForward, Order: orderForward, Timeouts: t})
	}
}

// shadowing sends copies elsewhere. A copy that cannot be sent closes nothing.
func (p *options) shadowing(s *shadowing) {
	const field = "shadowing"
	if s == nil {
		return
	}
	if s.Upstream == nil {
		p.Fail(field+".upstream", "name an Upstream", "shadowing names no upstream; nothing is copied")
		return
	}
	r := s.Upstream.in(p.Object.Namespace)
	if p.t.v.Get(upstreamKind, r.Namespace, r.Name) == nil {
		p.Fail(field+".upstream", p.t.suggest(upstreamKind, r), "no Upstream %q in %s; nothing is copied", r.Name, r.Namespace)
		return
	}
	if s.HostRewriteLiteral != "" {
		p.Warn(field+".hostRewriteLiteral", "remove it", "shadowing.hostRewriteLiteral is not supported and has no effect")
	}
	n := fraction(s.Percentage)
	if n == 0 {
		p.put(field)
		return
	}
	m := &ir.Mirror{Upstream: upstreamName(r), Numerator: n, Denominator: 1_000_000}
	if !s.DisableShadowHostSuffixAppend {
		m.HostSuffix = "-shadow"
	}
	p.put(field, ir.Step{Phase: ir.PhaseForward, Order: orderForward, Mirror: m})
}

// upgrades lists what a connection may become. CONNECT is refused always.
func (p *options) upgrades(list []upgrade) {
	if len(list) == 0 {
		return
	}
	u := &ir.Upgrade{}
	for i, s := range list {
		if s.Connect.on() || s.ConnectTerminate.on() {
			p.Fail(fmt.Sprintf("upgrades[%d]", i), "remove it", "CONNECT is not supported: it would be a tunnel past every policy")
		}
		if s.WebSocket.on() {
			u.Protocols = append(u.Protocols, "websocket")
		}
	}
	p.put("upgrades", ir.Step{Phase: ir.PhaseForward, Order: orderForward, Upgrade: u})
}

// faultInjection honours the one form that shuts a route; the others are for
// tests of the product's own kind.
func (p *options) faultInjection(s *faults) {
	if s == nil {
		return
	}
	if s.Abort != nil && s.Abort.Percentage >= 100 {
		origin := p.Origin("faults.abort")
		p.put("faults", ir.Step{Phase: ir.PhasePre, Closed: &ir.Closed{Status: s.Abort.HTTPStatus, Reason: "faults.abort answers every request", Origin: origin}})
		return
	}
	p.Warn("faults", "remove it", "fault injection is not supported and has no effect")
}

// suggest returns a remedy for the name of an object that is not there.
func (t *translation) suggest(gk resource.GroupKind, r ref) string {
	return reading.Suggest(t.v, gk, r.Namespace, r.Name)
}
