package glooauth

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// clientSecretKey is the data key of a Secret of type extauth.solo.io/oauth.
const clientSecretKey = "client-secret"

// oauth2 reads the validation of access tokens; logins need a browser and a
// session, which are not built.
func (r *reader) oauth2(at string, s *OAuth2) *ir.AccessToken {
	found := s.AccessTokenValidation != nil
	for _, f := range []field{{"oidcAuthorizationCode", s.OIDCAuthorizationCode}, {"oauth2", s.OAuth2}} {
		if f.there {
			found = true
			r.fail(at+"."+f.name, "use accessTokenValidation", "%s, a login by browser, is not supported; what it would guard is closed", f.name)
		}
	}
	if !found {
		r.fail(at, "write accessTokenValidation", "oauth2 says nothing of tokens")
	}
	if s.AccessTokenValidation == nil {
		return nil
	}
	return r.accessToken(at+".accessTokenValidation", s.AccessTokenValidation)
}

func (r *reader) accessToken(at string, s *AccessTokenValidation) *ir.AccessToken {
	out := &ir.AccessToken{UserHeader: r.opts.UserHeader}
	n := 0
	if s.JWT != nil {
		n++
		out.Keys, out.Issuer = r.tokenKeys(at+".jwt", s.JWT), s.JWT.Issuer
	}
	if s.Introspection != nil {
		n++
		out.Introspection = r.introspection(at+".introspection", s.Introspection)
		out.UserClaim = s.Introspection.UserIDAttributeName
	}
	if s.IntrospectionURL != "" {
		n++
		r.url(at+".introspectionUrl", s.IntrospectionURL)
		out.Introspection = &ir.Introspection{URL: s.IntrospectionURL, Timeout: r.opts.Timeout}
	}
	if n != 1 {
		r.fail(at, "write jwt or introspection", "there are %d ways to validate a token, want one", n)
	}
	switch d := s.CacheTimeout; {
	case !d.Set:
	case d.Duration <= 0:
		out.CacheFor = -1
	default:
		out.CacheFor = d.Duration
	}
	if s.RequiredScopes != nil {
		out.Scopes = s.RequiredScopes.Scope
	}
	for i, c := range s.ClaimsToHeaders {
		here := fmt.Sprintf("%s.claimsToHeaders[%d]", at, i)
		r.settable(here+".header", c.Header)
		if c.Claim == "" {
			r.fail(here+".claim", "name the claim", "the claim has no name")
		}
		out.ClaimsToHeaders = append(out.ClaimsToHeaders, ir.ClaimToHeader{Claim: c.Claim, Header: c.Header, Append: c.Append})
	}
	r.refuse(at+".azure", s.Azure)
	r.p.Ignore(at+".userinfoUrl", s.UserinfoURL)
	r.p.Ignore(at+".dynamicMetadataFromClaims", s.DynamicMetadataFromClaims)
	return out
}

// tokenKeys reads the key set of tokens that are JWTs.
func (r *reader) tokenKeys(at string, s *AccessTokenJWT) *ir.KeySource {
	if len(s.Audiences) > 0 {
		r.fail(at+".audiences", "check the audience by a jwt policy", "audiences of access tokens are not supported; what they would guard is closed")
	}
	switch {
	case (s.LocalJWKS == nil) == (s.RemoteJWKS == nil):
		r.fail(at, "write localJwks or remoteJwks", "there is no key set, or two")
	case s.LocalJWKS != nil && strings.TrimSpace(s.LocalJWKS.InlineString) == "":
		r.fail(at+".localJwks.inlineString", "write a JWKS", "the key set is empty")
	case s.LocalJWKS != nil && dialect.HoldsPrivateKey(s.LocalJWKS.InlineString):
		r.fail(at+".localJwks.inlineString", "write the public half of an asymmetric key", "the key is private or symmetric, and a resource is no place for a secret")
	case s.LocalJWKS != nil:
		return &ir.KeySource{Inline: s.LocalJWKS.InlineString}
	default:
		r.url(at+".remoteJwks.url", s.RemoteJWKS.URL)
		return &ir.KeySource{Remote: &ir.RemoteKeys{URL: s.RemoteJWKS.URL, Refresh: s.RemoteJWKS.RefreshInterval.Duration}}
	}
	return nil
}

func (r *reader) introspection(at string, s *Introspection) *ir.Introspection {
	out := &ir.Introspection{URL: s.IntrospectionURL, ClientID: s.ClientID, Timeout: r.opts.Timeout}
	r.url(at+".introspectionUrl", s.IntrospectionURL)
	none := s.DisableClientSecret != nil && *s.DisableClientSecret
	switch {
	case none:
	case s.ClientSecretRef != nil:
		out.ClientSecret = r.secretKey(at+".clientSecretRef", *s.ClientSecretRef, clientSecretKey)
	case s.ClientID != "":
		r.fail(at, "write clientSecretRef, or disableClientSecret: true", "the client has no secret")
	}
	return out
}

// secretKey returns one key of a Secret that must be there.
func (r *reader) secretKey(at string, to Ref, key string) secret.Ref {
	ns := cmp.Or(to.Namespace, r.p.Object.Namespace)
	o, s, missing := secretref.Find(r.v, r.p.Object, ns, to.Name)
	switch {
	case missing != nil:
		r.fail(at, missing.Remedy, "%s", missing.What)
		return secret.Ref{}
	case !s.HasKey(key):
		r.fail(at, "put it into the Secret's data", "secret %s/%s has no key %s", ns, to.Name, key)
	}
	return secretref.Of(o.Key, key)
}

// url reports a text that is no http or https URL. One with a password is
// refused too: a resource is no place for a secret.
func (r *reader) url(at, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		r.fail(at, "write one such as https://auth.example.com/check", "it is no http or https URL")
	case u.User != nil:
		r.fail(at, "take the user out of it", "the URL holds a user or a password, and a resource is no place for a secret")
	}
}
