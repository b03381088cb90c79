package gloo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
)

// defaultClockSkew is Envoy's for exp and nbf.
const defaultClockSkew = 60 * time.Second

func (p *options) jwtStages(field string, s *jwtStages) {
	if s == nil {
		return
	}
	p.jwt("beforeExtAuth", field+".beforeExtAuth", s.BeforeExtAuth)
	p.jwt("afterExtAuth", field+".afterExtAuth", s.AfterExtAuth)
}

// jwt reads the JWT filter of one stage; the deprecated unstaged one is that
// after ext auth.
func (p *options) jwt(stage, field string, s *jwt) {
	if s == nil {
		return
	}
	slot := "jwt." + stage
	if len(s.Providers) == 0 {
		p.close(slot, field, "write providers", "%s names no provider, so no token could be valid", field)
		return
	}
	out := &ir.JWT{Missing: missingPolicy(s)}
	before := p.Mark()
	for _, n := range slices.Sorted(maps.Keys(s.Providers)) {
		at := fmt.Sprintf("%s.providers.%s", field, n)
		out.Providers = append(out.Providers, p.jwtProvider(at, n, s.Providers[n]))
	}
	if p.broken(slot, field, before) {
		return
	}
	order := orderAfterExtAuth
	if stage == "beforeExtAuth" {
		order = orderBeforeExtAuth
	}
	p.slot(slot, field, ir.Step{Phase: ir.PhaseAuthenticate, Order: order, JWT: out})
}

// missingPolicy prefers the deprecated switch, as the product does.
func missingPolicy(s *jwt) ir.JWTPolicy {
	switch {
	case s.AllowMissingOrFailedJWT || s.ValidationPolicy == allowMissingOrFailed:
		return ir.JWTAllowMissingOrFailed
	case s.ValidationPolicy == allowMissing:
		return ir.JWTAllowMissing
	}
	return ir.JWTRequired
}

func (p *options) jwtProvider(at, name string, s jwtProvider) ir.JWTProvider {
	out := ir.JWTProvider{
		Name: name, Issuer: s.Issuer, Audiences: s.Audiences, KeepToken: s.KeepToken,
		ClockSkew: defaultClockSkew, Keys: p.keys(at, s.JWKS), Origin: p.Origin(at),
	}
	if s.ClockSkewSeconds != nil {
		out.ClockSkew = time.Duration(*s.ClockSkewSeconds) * time.Second
	}
	if s.TokenSource != nil {
		for i, h := range s.TokenSource.Headers {
			p.headerName(fmt.Sprintf("%s.tokenSource.headers[%d].header", at, i), h.Header)
			out.Headers = append(out.Headers, ir.TokenHeader{Name: h.Header, Prefix: h.Prefix})
		}
		out.QueryParams = s.TokenSource.QueryParams
	}
	for i, c := range s.ClaimsToHeaders {
		here := fmt.Sprintf("%s.claimsToHeaders[%d]", at, i)
		p.editable(here+".header", c.Header)
		if c.Claim == "" {
			p.Fail(here+".claim", "name the claim", "the claim has no name")
		}
		out.ClaimsToHeader = append(out.ClaimsToHeader, ir.ClaimToHeader{Claim: c.Claim, Header: c.Header, Append: c.Append})
	}
	if s.AttachFailedStatusToMetadata != "" {
		p.Warn(at+".attachFailedStatusToMetadata", "remove it", "attachFailedStatusToMetadata is not supported and has no effect")
	}
	return out
}

// keys reads where a provider's keys come from. Whether a local key parses is
// seen where it is used.
func (p *options) keys(at string, s *jwks) ir.KeySource {
	switch {
	case s == nil || (s.Local == nil) == (s.Remote == nil):
		p.Fail(at+".jwks", "write jwks.local.key or jwks.remote.url", "the provider has no key set, or two")
	case s.Local != nil && strings.TrimSpace(s.Local.Key) == "":
		p.Fail(at+".jwks.local.key", "write the public key (PEM), a JWK or a JWKS", "the key is empty")
	case s.Local != nil && dialect.HoldsPrivateKey(s.Local.Key):
		p.Fail(at+".jwks.local.key", "write the public half of an asymmetric key", "the key is private or symmetric, and a resource is no place for a secret")
	case s.Local != nil:
		return ir.KeySource{Inline: s.Local.Key}
	case s.Remote.URL == "":
		p.Fail(at+".jwks.remote.url", "write the URL of the JWKS", "the key set has no URL")
	default:
		return ir.KeySource{Remote: p.remoteKeys(at+".jwks.remote", s.Remote)}
	}
	return ir.KeySource{}
}

func (p *options) remoteKeys(at string, s *remoteJWKS) *ir.RemoteKeys {
	out := &ir.RemoteKeys{URL: s.URL, Refresh: s.CacheDuration.Duration}
	if s.UpstreamRef == nil {
		return out
	}
	r := s.UpstreamRef.in(p.Object.Namespace)
	if p.t.v.Get(upstreamKind, r.Namespace, r.Name) == nil {
		p.Fail(at+".upstreamRef", p.t.suggest(upstreamKind, r), "no Upstream %q in %s", r.Name, r.Namespace)
	}
	out.Upstream = upstreamName(r)
	return out
}

// jwtSwitch reads what a route says of its virtual host's filter.
func (p *options) jwtSwitch(stage, field string, s *jwtSwitch) {
	switch {
	case s == nil:
	case s.Disable:
		p.slot("jwt."+stage, field)
	default:
		p.Warn(field, "write disable: true, or remove it", "%s says nothing", field)
	}
}

func (p *options) jwtSwitches(s *jwtSwitches) {
	if s != nil {
		p.jwtSwitch("beforeExtAuth", "jwtStaged.beforeExtAuth", s.BeforeExtAuth)
		p.jwtSwitch("afterExtAuth", "jwtStaged.afterExtAuth", s.AfterExtAuth)
	}
}
