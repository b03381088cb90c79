package envoyai

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/service"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

const (
	// clockSkew is Envoy's for exp and nbf.
	clockSkew = 60 * time.Second
	// maxProviders is the CRD's.
	maxProviders = 16
)

func (p *place) jwt(s *jwt) []ir.Step {
	out := &ir.JWT{}
	switch {
	case s.Optional && s.FailOpen:
		p.Fail("failOpen", "keep one of them", "optional and failOpen cannot both be set; failOpen already tolerates a missing JWT")
	case s.FailOpen:
		out.Missing = ir.JWTAllowMissingOrFailed
		p.Warn("failOpen", "remove it", "a request passes whose token does not verify, as nobody")
	case s.Optional:
		out.Missing = ir.JWTAllowMissing
	}
	if n := len(s.Providers); n == 0 || n > maxProviders {
		p.Fail("providers", "write 1 to 16", "there are %d providers", n)
	}
	seen := map[string]bool{}
	for i := range s.Providers {
		at := p.in("providers[%d]", i)
		n := s.Providers[i].Name
		if n == "" || seen[n] {
			at.Fail("name", "give each a name of its own", "the provider has no name, or another's")
		}
		seen[n] = true
		out.Providers = append(out.Providers, at.jwtProvider(&s.Providers[i]))
	}
	return []ir.Step{{Phase: ir.PhaseAuthenticate, Order: orderJWT, JWT: out}}
}

func (p *place) jwtProvider(s *jwtProvider) ir.JWTProvider {
	out := ir.JWTProvider{Name: s.Name, Issuer: s.Issuer, Audiences: s.Audiences, ClockSkew: clockSkew, Keys: p.keys(s), Origin: p.Origin("")}
	if x := s.ExtractFrom; x != nil {
		for i, h := range x.Headers {
			p.headerName(fmt.Sprintf("extractFrom.headers[%d].name", i), h.Name)
			t := ir.TokenHeader{Name: h.Name}
			if h.ValuePrefix != nil {
				t.Prefix = *h.ValuePrefix
			}
			out.Headers = append(out.Headers, t)
		}
		out.QueryParams = x.Params
		out.Cookies = x.Cookies
	}
	for i, c := range s.ClaimToHeaders {
		at := p.in("claimToHeaders[%d]", i)
		at.headerName("header", c.Header)
		if c.Claim == "" || strings.HasPrefix(c.Claim, ".") || strings.HasSuffix(c.Claim, ".") {
			at.Fail("claim", "name the claim", "%q names no claim", c.Claim)
		}
		if isModelHeader(c.Header) {
			at.Fail("header", "write it to another header", "the model is the request's, and no claim takes its place")
		}
		out.ClaimsToHeader = append(out.ClaimsToHeader, ir.ClaimToHeader{Claim: c.Claim, Delimiter: ".", Header: c.Header})
	}
	if s.RecomputeRoute {
		p.Fail("recomputeRoute", "remove it, and decide by authorization", "choosing a route again by claims is not supported; what the policy would guard is closed")
	}
	return out
}

// keys reads where a provider's keys come from.
func (p *place) keys(s *jwtProvider) ir.KeySource {
	switch {
	case (s.RemoteJWKS != nil) == (s.LocalJWKS != nil):
		p.Fail("", "write one of remoteJWKS and localJWKS", "either remoteJWKS or localJWKS must be specified, and not both")
	case s.RemoteJWKS != nil:
		return p.in("remoteJWKS").remoteKeys(s.RemoteJWKS)
	default:
		text := p.in("localJWKS").localKeys(s.LocalJWKS)
		if dialect.HoldsPrivateKey(text) {
			p.Fail("localJWKS", "write the public half of an asymmetric key", "the key is private or symmetric, and a resource is no place for a secret")
			return ir.KeySource{}
		}
		return ir.KeySource{Inline: text}
	}
	return ir.KeySource{}
}

func (p *place) remoteKeys(s *remoteJWKS) ir.KeySource {
	out := &ir.RemoteKeys{URL: s.URI, Refresh: p.duration("cacheDuration", s.CacheDuration)}
	if u, err := url.Parse(s.URI); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		p.Fail("uri", "write an https URL", "%q is no URL", s.URI)
	}
	p.Refuse("backendRef", s.BackendRef)
	if len(s.BackendRefs) > 0 {
		out.Upstream, _ = p.server("backendRefs", s.BackendRefs)
	}
	p.Ignore("backendSettings", s.BackendSettings)
	p.Ignore("failedRefetchDuration", s.FailedRefetchDuration)
	return ir.KeySource{Remote: out}
}

// localKeys returns a key set that is written here, or in a ConfigMap: under
// jwks, or under its only key.
func (p *place) localKeys(s *localJWKS) string {
	switch {
	case (s.Type == "" || s.Type == "Inline") && s.Inline != "" && s.ValueRef == nil:
		return s.Inline
	case s.Type != "ValueRef" || s.ValueRef == nil || s.Inline != "":
		p.Fail("", "write inline, or type: ValueRef with valueRef", "exactly one of inline or valueRef must be set with correct type")
		return ""
	}
	return p.configMap("valueRef", s.ValueRef, "jwks")
}

// configMap returns a text of a ConfigMap: under a key, or under its first.
func (p *place) configMap(field string, r *objectRef, want string) string {
	key := r.key(p.Object.Namespace, "ConfigMap")
	if key.GroupKind != resource.ConfigMapKind {
		p.Fail(field, "name a ConfigMap", "a %v cannot be used here", key.GroupKind)
		return ""
	}
	o, cm := resource.Spec[resource.ConfigMap](p.t.v, key.GroupKind, p.Object.Namespace, key.Name)
	switch {
	case o == nil:
		p.unresolved(field, p.suggest(key), "no ConfigMap %q in %s", key.Name, key.Namespace)
		return ""
	case len(o.Faults) > 0 || len(cm.Data) == 0:
		p.Fail(field, "write it there, under "+want, "%v holds nothing, or could not be read", key)
		return ""
	}
	if text, ok := cm.Data[want]; ok {
		return text
	}
	return cm.Data[slices.Sorted(maps.Keys(cm.Data))[0]]
}

// server returns the upstream that leads to a server of the policy's, and the
// authority that it is asked under.
func (p *place) server(field string, refs []objectRef) (upstream, authority string) {
	if len(refs) != 1 {
		p.Fail(field, "name one", "%d servers are named, and one is asked", len(refs))
		return "", ""
	}
	field = fmt.Sprintf("%s[0]", field)
	key := refs[0].key(p.Object.Namespace, "Service")
	switch {
	case !p.granted(field, key):
		return "", ""
	case key.GroupKind == backendKind:
		o, b := resource.Spec[egBackend](p.t.v, key.GroupKind, key.Namespace, key.Name)
		if o == nil {
			p.unresolved(field, p.suggest(key), "no Backend %q in %s", key.Name, key.Namespace)
			return "", ""
		}
		authority = key.Name + "." + key.Namespace
		if e := p.quiet(o).endpoints(&b.Spec).Endpoints; len(e) > 0 && !isIP(e[0].Host) {
			authority = e[0].Host
		}
		return upstreamName(key), authority
	case key.GroupKind != resource.ServiceKind || refs[0].Port == nil:
		p.Fail(field, "name a Backend, or a Service with its port", "the reference is to no server")
		return "", ""
	}
	u := p.serviceUpstream(field, service.Ref{Namespace: key.Namespace, Name: key.Name, Port: *refs[0].Port})
	if u == nil {
		return "", ""
	}
	p.t.f.Upstreams = append(p.t.f.Upstreams, u)
	return u.Name, fmt.Sprintf("%s.%s:%d", key.Name, key.Namespace, *refs[0].Port)
}
