package istioauth

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

const (
	// clockSkew is Envoy's for exp and nbf.
	clockSkew       = 60 * time.Second
	maxJWTRules     = 4096
	maxSpaced       = 64
	leastKeyTimeout = time.Millisecond
)

// alwaysSpaced are claims whose text is a list in any case.
var alwaysSpaced = [...]string{"scope", "permission"}

// authentication makes the step of the RequestAuthentications of one workload:
// the rules of all of them, one after the other.
func authentication(env *Env, objects []*resource.Object) []ir.Step {
	var steps []ir.Step
	out := &ir.JWT{Missing: ir.JWTAllowMissing, Combine: ir.JWTFirst, SkipPreflight: true}
	var origin ir.Origin
	for _, o := range objects {
		r := &reader{o: o, mesh: &env.Mesh}
		s := &o.Spec.(*RequestAuthentication).Spec
		r.scope(&s.Scope)
		providers, required := r.tokens(s)
		if r.closed != nil {
			steps = append(steps, closed(env.slot("jwt"), r.closed))
			continue
		}
		if len(out.Providers) == 0 {
			origin = o.Origin("spec.jwtRules")
		}
		if required {
			out.Missing = ir.JWTRequired
		}
		out.Providers = append(out.Providers, providers...)
	}
	if len(out.Providers) > 0 {
		steps = append(steps, ir.Step{Phase: ir.PhaseAuthenticate, Order: OrderJWT, Slot: env.slot("jwt"), Origin: origin, JWT: out})
	}
	return steps
}

// tokens reads one RequestAuthentication, and whether it wants a token of
// every request.
func (r *reader) tokens(s *RequestAuthenticationSpec) (out []ir.JWTProvider, required bool) {
	for _, f := range r.o.Faults {
		if r.closed == nil {
			r.closed = &ir.Closed{Reason: "a field could not be read: " + f.What, Origin: f.Origin}
		}
	}
	if len(s.JWTRules) == 0 {
		r.warn("spec", "write jwtRules", "there are no rules, so no token is looked at")
	}
	if len(s.JWTRules) > maxJWTRules {
		r.fail("spec.jwtRules", "split the object", "there are more than %d rules", maxJWTRules)
		return nil, false
	}
	for i := range s.JWTRules {
		at := fmt.Sprintf("spec.jwtRules[%d]", i)
		out = append(out, r.jwtRule(at, i, &s.JWTRules[i]))
		required = required || s.JWTRules[i].Presence == "REQUIRED"
	}
	return out, required
}

func (r *reader) jwtRule(at string, index int, s *JWTRule) ir.JWTProvider {
	p := ir.JWTProvider{
		Name:   fmt.Sprintf("%s/%s[%d]", r.o.Namespace, r.o.Name, index),
		Issuer: s.Issuer, Audiences: s.Audiences, KeepToken: s.ForwardOriginalToken,
		QueryParams: s.FromParams, Cookies: s.FromCookies, ClockSkew: clockSkew, Origin: r.o.Origin(at),
	}
	p.Keys = r.keys(at, s)
	for i, h := range s.FromHeaders {
		r.header(fmt.Sprintf("%s.fromHeaders[%d].name", at, i), h.Name)
		p.Headers = append(p.Headers, ir.TokenHeader{Name: h.Name, Prefix: h.Prefix})
	}
	for _, list := range []struct {
		name  string
		texts []string
	}{{"audiences", s.Audiences}, {"fromParams", s.FromParams}, {"fromCookies", s.FromCookies}, {"spaceDelimitedClaims", s.SpaceDelimitedClaims}} {
		if slices.Contains(list.texts, "") {
			r.fail(at+"."+list.name, "write a value", "a value is empty")
		}
	}
	for i, name := range s.FromCookies {
		r.header(fmt.Sprintf("%s.fromCookies[%d]", at, i), name)
	}
	r.outputs(at, s, &p)
	if len(s.SpaceDelimitedClaims) > maxSpaced {
		r.fail(at+".spaceDelimitedClaims", "list fewer", "there are more than %d", maxSpaced)
	}
	p.SpaceDelimited = unique(append(alwaysSpaced[:len(alwaysSpaced):len(alwaysSpaced)], s.SpaceDelimitedClaims...))
	switch s.Presence {
	case "", "OPTIONAL", "REQUIRED":
	default:
		r.fail(at+".presence", "write OPTIONAL or REQUIRED", "%q is neither", s.Presence)
	}
	return p
}

// outputs reads what upstreams are told of a token.
func (r *reader) outputs(at string, s *JWTRule, p *ir.JWTProvider) {
	if h := s.OutputPayloadToHeader; h != "" {
		r.settable(at+".outputPayloadToHeader", h)
		p.PayloadHeader = h
	}
	for i, c := range s.OutputClaimToHeaders {
		here := fmt.Sprintf("%s.outputClaimToHeaders[%d]", at, i)
		r.settable(here+".header", c.Header)
		if c.Claim == "" {
			r.fail(here+".claim", "name the claim", "the claim has no name")
		}
		p.ClaimsToHeader = append(p.ClaimsToHeader, ir.ClaimToHeader{Claim: c.Claim, Delimiter: ".", Header: c.Header})
	}
}

// keys reads where the keys of an issuer are.
func (r *reader) keys(at string, s *JWTRule) ir.KeySource {
	uri, where := s.JWKSURI, at+".jwksUri"
	if uri == "" {
		uri, where = s.OldJWKSURI, at+".jwks_uri"
	}
	n := 0
	for _, text := range []string{s.JWKSURI, s.OldJWKSURI, s.JWKS} {
		if text != "" {
			n++
		}
	}
	switch {
	case n > 1:
		r.fail(at, "keep one of jwksUri and jwks", "there are two places of keys")
	case s.Issuer == "" && uri == "":
		r.fail(at, "write the issuer", "there is no issuer")
	case s.JWKS != "" && dialect.HoldsPrivateKey(s.JWKS):
		r.fail(at+".jwks", "write the public half of an asymmetric key", "a key is private or symmetric, and a resource is no place for a secret")
	case s.JWKS != "":
		return ir.KeySource{Inline: s.JWKS}
	case uri != "":
		r.url(where, uri)
		return ir.KeySource{Remote: &ir.RemoteKeys{URL: uri, Timeout: r.keyTimeout(at, s)}}
	default:
		r.url(at+".issuer", s.Issuer)
		return ir.KeySource{Remote: &ir.RemoteKeys{URL: s.Issuer, Discover: true, Timeout: r.keyTimeout(at, s)}}
	}
	return ir.KeySource{}
}

func (r *reader) keyTimeout(at string, s *JWTRule) time.Duration {
	if s.Timeout.Set && s.Timeout.Duration < leastKeyTimeout {
		r.fail(at+".timeout", "write 5s, for instance", "it is shorter than a millisecond")
	}
	return s.Timeout.Duration
}

// url reports what is no http or https URL. One with a password is refused
// too: a resource is no place for a secret.
func (r *reader) url(at, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		r.fail(at, "write jwks, or jwksUri such as https://issuer.example.com/jwks.json", "there are no keys: it is no http or https URL")
	case u.User != nil:
		r.fail(at, "take the user out of it", "the URL holds a user or a password, and a resource is no place for a secret")
	}
}

// isFraming reports whether a header cannot be set by authentication: it belongs
// to the connection, or decides where the request goes.
func isFraming(name string) bool { return reading.IsFraming(name) || strings.EqualFold(name, "expect") }

// settable reports a name that is no header that authentication may set.
func (r *reader) settable(at, name string) {
	if isFraming(name) {
		r.fail(at, "name another header", "header %q cannot be set", name)
		return
	}
	r.header(at, name)
}

func (r *reader) header(at, name string) {
	if !isHeader(name) || strings.HasPrefix(name, ":") {
		r.fail(at, "write a name of letters, digits and '-'", "%q is no such name", name)
	}
}
