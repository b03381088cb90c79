package envoyai

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
)

// Orders of what asks callers who they are, as Envoy Gateway has its filters.
const (
	orderExtAuth = iota + 1
	orderAPIKey
	orderBasic
	orderJWT
)

// securityPolicy reads a SecurityPolicy, field by field.
func (p *place) securityPolicy(s *securityPolicySpec) {
	p.attach(&s.targeting, targetKinds, []field{
		p.build("cors", s.CORS != nil, func(at *place) []ir.Step { return at.cors(s.CORS) }),
		p.build("extAuth", s.ExtAuth != nil, func(at *place) []ir.Step { return at.extAuth(s.ExtAuth) }),
		p.build("apiKeyAuth", s.APIKeyAuth != nil, func(at *place) []ir.Step { return at.apiKeyAuth(s.APIKeyAuth) }),
		p.build("basicAuth", s.BasicAuth != nil, func(at *place) []ir.Step { return at.basicAuth(s.BasicAuth) }),
		p.build("jwt", s.JWT != nil, func(at *place) []ir.Step { return at.jwt(s.JWT) }),
		p.build("authorization", s.Authorization != nil, func(at *place) []ir.Step { return at.authorization(s) }),
		p.unsupported("oidc", s.OIDC, "use jwt"),
		p.unsupported("csrf", s.CSRF, "remove it to serve these routes without it"),
	})
}

// unsupported is a field without which what it guards would be open.
func (p *place) unsupported(name string, set present, remedy string) field {
	return p.build(name, bool(set), func(at *place) []ir.Step {
		at.Fail("", remedy, "%s is not supported; what it would guard is closed", name)
		return nil
	})
}

var corsOrigin = regexp.MustCompile(`^(\*|[A-Za-z][A-Za-z0-9+.-]*://(\*|(\*\.)?(([\w-]+\.?)+)?[\w-]+)(:\d{1,5})?)$`)

func (p *place) cors(s *cors) []ir.Step {
	out := &ir.CORS{
		AllowOrigins: s.AllowOrigins, AllowMethods: s.AllowMethods, AllowHeaders: s.AllowHeaders,
		ExposeHeaders: s.ExposeHeaders, AllowCredentials: s.AllowCredentials,
	}
	for i, o := range s.AllowOrigins {
		if !corsOrigin.MatchString(o) {
			p.Fail(fmt.Sprintf("allowOrigins[%d]", i), "write scheme://host:port", "%q is no origin", o)
		}
	}
	if s.MaxAge != nil {
		age := int(p.duration("maxAge", s.MaxAge).Seconds())
		out.MaxAgeSeconds = &age
	}
	return []ir.Step{{Phase: ir.PhasePre, CORS: out}}
}

// apiKeyAuth reads keys of callers. Each data key of a Secret is a client, and
// its value that client's key.
func (p *place) apiKeyAuth(s *apiKeyAuth) []ir.Step {
	out := &ir.APIKey{UserHeader: s.ForwardClientIDHeader}
	if s.ForwardClientIDHeader != "" {
		p.headerName("forwardClientIDHeader", s.ForwardClientIDHeader)
	}
	for i, from := range s.ExtractFrom {
		at := p.in("extractFrom[%d]", i)
		for j, h := range from.Headers {
			at.headerName(fmt.Sprintf("headers[%d]", j), h)
		}
		for j, c := range from.Cookies {
			if !reading.IsToken(c) {
				at.Fail(fmt.Sprintf("cookies[%d]", j), "correct it", "%q is no cookie's name", c)
			}
		}
		out.Headers = append(out.Headers, from.Headers...)
		out.QueryParams = append(out.QueryParams, from.Params...)
		out.Cookies = append(out.Cookies, from.Cookies...)
		n := 0
		for _, list := range [][]string{from.Headers, from.Params, from.Cookies} {
			if len(list) > 0 {
				n++
			}
		}
		if n != 1 {
			at.Fail("", "write one of headers, params and cookies", "exactly one of headers, params, or cookies must be specified")
		}
	}
	if len(s.ExtractFrom) == 0 {
		p.Fail("extractFrom", "name a header", "nothing says where the key is")
	}
	if len(s.CredentialRefs) == 0 {
		p.Fail("credentialRefs", "name a Secret", "nothing says which keys callers have")
	}
	if s.Sanitize != nil && !*s.Sanitize {
		p.Warn("sanitize", "remove it", "a caller's key is never forwarded")
	}
	var entries []ir.APIKeyEntry
	for i := range s.CredentialRefs {
		entries = append(entries, p.clients(fmt.Sprintf("credentialRefs[%d]", i), &s.CredentialRefs[i], entries)...)
	}
	out.Entries = ir.EntriesOf(entries...)
	set := &ir.AuthSet{Methods: []ir.AuthMethod{{Name: "apiKeyAuth", APIKey: out, Origin: p.Origin("")}}}
	return []ir.Step{{Phase: ir.PhaseAuthenticate, Order: orderAPIKey, AuthSet: set}}
}

// htpasswdData is the data key of a file of users.
const htpasswdData = ".htpasswd"

// basicAuth reads user names and passwords of callers.
func (p *place) basicAuth(s *basicAuth) []ir.Step {
	if s.ForwardUsernameHeader != "" {
		p.headerName("forwardUsernameHeader", s.ForwardUsernameHeader)
	}
	basic := &ir.BasicAuth{
		Realm: basicRealm, File: p.secretKey("users", s.Users, htpasswdData),
		UserHeader: s.ForwardUsernameHeader, Origin: p.Origin("users"),
	}
	set := &ir.AuthSet{Methods: []ir.AuthMethod{{Name: "basicAuth", Basic: basic, Origin: p.Origin("")}}}
	return []ir.Step{{Phase: ir.PhaseAuthenticate, Order: orderBasic, AuthSet: set}}
}

// basicRealm is what callers without a password are told.
const basicRealm = "postern"

// clients returns the clients in a Secret; of two of one name the first holds.
func (p *place) clients(field string, r *objectRef, known []ir.APIKeyEntry) []ir.APIKeyEntry {
	o, data := p.secret(field, r)
	if o == nil {
		return nil
	}
	var out []ir.APIKeyEntry
	for _, client := range data.Keys {
		if slices.ContainsFunc(known, func(e ir.APIKeyEntry) bool { return e.Name == client }) {
			p.Warn(field, "give each client one key", "client %q has a key in an earlier Secret, which holds", client)
			continue
		}
		out = append(out, ir.APIKeyEntry{Namespace: o.Namespace, Name: client, Key: secretref.Of(o.Key, client), Origin: o.Origin("")})
	}
	return out
}

// authorization reads rules, of which the first that fits decides.
func (p *place) authorization(s *securityPolicySpec) []ir.Step {
	a := s.Authorization
	out := &ir.AccessRules{}
	switch a.DefaultAction {
	case "", "Deny":
	case "Allow":
		out.DefaultAllow = true
	default:
		p.Fail("defaultAction", "write Allow or Deny", "%q is no action", a.DefaultAction)
	}
	for i := range a.Rules {
		out.Rules = append(out.Rules, p.in("rules[%d]", i).accessRule(&a.Rules[i], s.JWT, i))
	}
	return []ir.Step{{Phase: ir.PhaseAuthorize, AccessRules: out}}
}

func (p *place) accessRule(s *accessRule, j *jwt, index int) ir.AccessRule {
	out := ir.AccessRule{Name: s.Name, Allow: s.Action == "Allow", Origin: p.Origin("")}
	if out.Name == "" {
		out.Name = fmt.Sprintf("rule-%d", index)
	}
	if s.Action != "Allow" && s.Action != "Deny" {
		p.Fail("action", "write Allow or Deny", "%q is no action", s.Action)
	}
	if s.CEL != "" {
		p.Fail("cel", "write principal", "cel is not supported; what the policy would guard is closed")
	}
	if s.Principal == nil && s.CEL == "" {
		p.Fail("principal", "write one", "at least one of principal or cel must be specified")
	}
	if s.Principal != nil {
		p.in("principal").principal(s.Principal, j, &out)
	}
	if o := s.Operation; o != nil {
		out.Methods = o.Methods
		if len(o.Methods) == 0 && o.Path == nil {
			p.Fail("operation", "write methods", "at least one of methods or path must be specified")
		}
		if o.Path != nil {
			value := "/"
			if o.Path.Value != nil {
				value = *o.Path.Value
			}
			out.Path = &ir.AccessPath{PathMatch: p.in("operation.path").accessPath(o.Path.Type, value), Invert: o.Path.Invert}
		}
	}
	return out
}

func (p *place) accessPath(kind, value string) ir.PathMatch {
	switch kind {
	case "Exact":
		return ir.PathMatch{Kind: ir.PathExact, Value: value}
	case "", "PathPrefix":
		return ir.PathMatch{Kind: ir.PathSegments, Value: value}
	case "RegularExpression":
		if _, err := regexp.Compile(value); err != nil {
			p.Fail("value", "write it in the syntax of RE2", "the expression is not valid")
		}
		return ir.PathMatch{Kind: ir.PathRegex, Value: value}
	}
	p.Fail("type", "write Exact, PathPrefix or RegularExpression", "%q is no kind of match", kind)
	return ir.PathMatch{}
}

// principal reads who a rule is for; all of it must hold.
func (p *place) principal(s *principal, j *jwt, out *ir.AccessRule) {
	if len(s.ClientCIDRs)+len(s.Headers) == 0 && s.JWT == nil && !bool(s.ClientIPGeoLocations) {
		p.Fail("", "write clientCIDRs, headers or jwt", "the principal asks for nothing")
	}
	p.Refuse("clientIPGeoLocations", s.ClientIPGeoLocations)
	for i, c := range s.ClientCIDRs {
		if _, err := netip.ParsePrefix(c); err != nil {
			p.Fail(fmt.Sprintf("clientCIDRs[%d]", i), "write one such as 10.0.0.0/8", "%q is no range of addresses", c)
		}
	}
	out.ClientCIDRs = s.ClientCIDRs
	for i, h := range s.Headers {
		at := p.in("headers[%d]", i)
		at.headerName("name", h.Name)
		if len(h.Values) == 0 {
			at.Fail("values", "write one", "the header has no values")
		}
		m := ir.AccessHeader{Name: h.Name, Values: h.Values}
		if isModelHeader(h.Name) {
			m.Name = ""
		}
		out.Headers = append(out.Headers, m)
	}
	if s.JWT == nil {
		return
	}
	at := p.in("jwt")
	if j == nil || !slices.ContainsFunc(j.Providers, func(o jwtProvider) bool { return o.Name == s.JWT.Provider }) {
		at.Fail("provider", "name one of jwt.providers", "the policy has no provider %q", s.JWT.Provider)
	}
	if len(s.JWT.Claims)+len(s.JWT.Scopes) == 0 {
		at.Fail("", "write claims", "at least one of claims or scopes must be specified")
	}
	out.Token = &ir.AccessTokenMatch{Provider: s.JWT.Provider, Scopes: s.JWT.Scopes}
	if slices.Contains(s.JWT.Scopes, "") {
		at.Fail("scopes", "remove it", "a scope is empty")
	}
	for i, c := range s.JWT.Claims {
		at := at.in("claims[%d]", i)
		if c.ValueType != "" && c.ValueType != "String" && c.ValueType != "StringArray" {
			at.Fail("valueType", "write String or StringArray", "%q is no type of a claim", c.ValueType)
		}
		m := ir.AccessClaim{Path: strings.Split(c.Name, "."), List: c.ValueType == "StringArray", Values: c.Values}
		if slices.Contains(m.Path, "") || len(c.Values) == 0 {
			at.Fail("", "write name and values", "the claim has no name, or no values")
		}
		out.Token.Claims = append(out.Token.Claims, m)
	}
}
