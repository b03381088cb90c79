package gloomesh

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
)

// defaultClockSkew is Envoy's for exp and nbf.
const defaultClockSkew = 60 * time.Second

// jwt asks for a token, before ext auth unless the phase says otherwise, and
// for what it must claim.
func (p *place) jwt(s *jwtPolicy) {
	c := &s.Spec.Config
	at := p.in("config")
	mark := p.Mark()
	step := ir.Step{Phase: ir.PhaseAuthenticate, Order: orderBeforeExtAuth, JWT: &ir.JWT{Missing: c.missing()}}
	if c.Phase != nil && c.Phase.PostAuthz != nil {
		step.Order = orderAfterExtAuth
	}
	if len(c.Providers) == 0 {
		at.Fail("providers", "write providers", "the policy names no provider, so no token could be valid")
	}
	for _, n := range slices.Sorted(maps.Keys(c.Providers)) {
		s := c.Providers[n]
		step.JWT.Providers = append(step.JWT.Providers, at.in("providers."+n).provider(n, &s))
	}
	if c.ClearRouteCache == clearAlways {
		at.Fail("clearRouteCache", "write FALSE", "choosing a route again by claims is not supported; what the policy would guard is closed")
	}
	steps := []ir.Step{step}
	if rules := at.claims(c); rules != nil {
		steps = append(steps, ir.Step{Phase: ir.PhaseAuthorize, ClaimRules: rules})
	}
	p.put("JWTPolicy", s.Spec.applied, steps, p.Since(mark))
}

func (c *jwtConfig) missing() ir.JWTPolicy {
	switch {
	case c.AllowMissingOrFailed || c.ValidationPolicy == allowMissingOrFailed:
		return ir.JWTAllowMissingOrFailed
	case c.ValidationPolicy == allowMissing:
		return ir.JWTAllowMissing
	}
	return ir.JWTRequired
}

func (p *place) provider(name string, s *jwtProvider) ir.JWTProvider {
	out := ir.JWTProvider{
		Name: name, Issuer: s.Issuer, Audiences: s.Audiences, KeepToken: s.KeepToken,
		ClockSkew: defaultClockSkew, Keys: p.keys(s), Origin: p.Origin(""),
	}
	if s.ClockSkewSeconds != nil {
		out.ClockSkew = time.Duration(*s.ClockSkewSeconds) * time.Second
	}
	if s.TokenSource != nil {
		for i, h := range s.TokenSource.Headers {
			p.headerName(fmt.Sprintf("tokenSource.headers[%d].name", i), h.Name)
			out.Headers = append(out.Headers, ir.TokenHeader{Name: h.Name, Prefix: h.Prefix})
		}
		out.QueryParams = s.TokenSource.QueryParams
	}
	for i, c := range s.ClaimsToHeaders {
		here := fmt.Sprintf("claimsToHeaders[%d]", i)
		p.editable(here+".header", c.Header)
		if c.Claim == "" {
			p.Fail(here+".claim", "name the claim", "the claim has no name")
		}
		out.ClaimsToHeader = append(out.ClaimsToHeader, ir.ClaimToHeader{Claim: c.Claim, Header: c.Header, Append: c.Append})
	}
	// An upstream trusts such a header, and a client could write it.
	p.Refuse("outputPayloadToHeader", present(s.OutputPayloadToHeader != ""))
	return out
}

// keys reads where a provider's keys come from. Whether a local key parses is
// seen where it is used.
func (p *place) keys(s *jwtProvider) ir.KeySource {
	switch {
	case (s.Local == nil) == (s.Remote == nil):
		p.Fail("", "write local.inline or remote.url", "the provider has no key set, or two")
	case s.Local != nil && bool(s.Local.SecretRef):
		p.Fail("local.secretRef", "write the public key at local.inline: it is no secret", "a key in a Secret is not supported")
	case s.Local != nil && strings.TrimSpace(s.Local.Inline) == "":
		p.Fail("local.inline", "write the public key (PEM), a JWK or a JWKS", "the key is empty")
	case s.Local != nil && dialect.HoldsPrivateKey(s.Local.Inline):
		p.Fail("local.inline", "write the public half of an asymmetric key", "the key is private or symmetric, and a resource is no place for a secret")
	case s.Local != nil:
		return ir.KeySource{Inline: s.Local.Inline}
	case s.Remote.URL == "":
		p.Fail("remote.url", "write the URL of the JWKS", "the key set has no URL")
	default:
		out := &ir.RemoteKeys{URL: s.Remote.URL, Refresh: s.Remote.CacheDuration.Duration, Timeout: s.Remote.Timeout.Duration}
		if d := s.Remote.DestinationRef; d != nil {
			out.Upstream = p.in("remote.destinationRef").backend(d).Upstream
		}
		return ir.KeySource{Remote: out}
	}
	return ir.KeySource{}
}

// maxPrincipals bounds what claims multiply to.
const maxPrincipals = 256

// claims reads what a token must claim: every claim one of its values, and
// every scope. A value is a claim's text or one item of a list of texts; "*"
// in it stands for any text, in a claim that is a text.
func (p *place) claims(c *jwtConfig) *ir.ClaimRules {
	if len(c.Claims)+len(c.RequiredScopes) == 0 {
		return nil
	}
	principals := [][]ir.ClaimMatch{nil}
	for i, one := range c.Claims {
		at := p.in(fmt.Sprintf("claims[%d]", i))
		if len(one.NotValues) > 0 {
			at.Fail("notValues", "list the values that may pass", "notValues is not supported; what the policy would guard is closed")
		}
		if one.Key == "" || len(one.Values)+len(one.NotValues) == 0 {
			at.Fail("", "write key and values", "the claim has no key, or no values")
		}
		principals = times(principals, one.matches())
		if len(principals) > maxPrincipals {
			at.Fail("values", "list fewer, or split the policy by routes", "the claims multiply to more than %d combinations", maxPrincipals)
			return nil
		}
	}
	for i, scope := range c.RequiredScopes {
		if scope == "" || strings.ContainsAny(scope, " \t") {
			p.Fail(fmt.Sprintf("requiredScopes[%d]", i), "write one scope", "%q is no scope", scope)
		}
		q := regexp.QuoteMeta(scope)
		principals = times(principals, []ir.ClaimMatch{{Path: []string{"scope"}, Matcher: ir.ClaimRegex, Value: "(?:.* )?" + q + "(?: .*)?"}})
	}
	rule := ir.ClaimRule{Name: p.Object.Name, Origin: p.Origin("claims")}
	for _, claims := range principals {
		rule.Principals = append(rule.Principals, ir.ClaimPrincipal{Claims: claims})
	}
	return &ir.ClaimRules{Rules: []ir.ClaimRule{rule}}
}

// matches returns the alternatives of one claim.
func (c *claim) matches() []ir.ClaimMatch {
	path := []string{c.Key}
	if c.NestedClaimDelimiter != "" {
		path = strings.Split(c.Key, c.NestedClaimDelimiter)
	}
	var out []ir.ClaimMatch
	for _, v := range c.Values {
		if strings.Contains(v, "*") {
			parts := strings.Split(v, "*")
			for i := range parts {
				parts[i] = regexp.QuoteMeta(parts[i])
			}
			out = append(out, ir.ClaimMatch{Path: path, Matcher: ir.ClaimRegex, Value: "(?s:" + strings.Join(parts, ".*") + ")"})
			continue
		}
		out = append(out, ir.ClaimMatch{Path: path, Value: v}, ir.ClaimMatch{Path: path, Matcher: ir.ClaimListContains, Value: v})
	}
	return out
}

// times returns every list with every one of the alternatives.
func times(lists [][]ir.ClaimMatch, alternatives []ir.ClaimMatch) [][]ir.ClaimMatch {
	var out [][]ir.ClaimMatch
	for _, l := range lists {
		for _, a := range alternatives {
			out = append(out, append(slices.Clip(l), a))
		}
	}
	return out
}
