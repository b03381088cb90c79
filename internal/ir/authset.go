package ir

import (
	"time"

	"github.com/postern-gateway/postern/internal/secret"
)

// AuthSet asks callers to satisfy several methods of authentication, joined by
// a boolean expression. An answer is that of the first method that decided.
type AuthSet struct {
	Methods []AuthMethod `json:"methods"`
	// Expr joins the methods' names with &&, ||, ! and parentheses; empty:
	// every one must let the caller pass, in their order.
	Expr string `json:"expr,omitempty"`
}

// AuthMethod is one way to prove who calls. Exactly one pointer is set.
type AuthMethod struct {
	// Name is how Expr refers to it.
	Name     string         `json:"name"`
	APIKey   *APIKey        `json:"apiKey,omitempty"`
	Basic    *BasicAuth     `json:"basic,omitempty"`
	Verified *VerifiedToken `json:"verified,omitempty"`
	Token    *AccessToken   `json:"token,omitempty"`
	External *ExternalAuth  `json:"external,omitempty"`
	Origin   Origin         `json:"origin,omitzero"`
}

// APIKey authenticates by a key in a header, compared with those in Secrets.
type APIKey struct {
	// Headers that may hold the key, in order, then QueryParams, then Cookies;
	// the whole value is the key.
	Headers     []string `json:"headers,omitempty"`
	QueryParams []string `json:"queryParams,omitempty"`
	Cookies     []string `json:"cookies,omitempty"`
	// Entries, of which the oldest serves where two have the same key.
	Entries APIKeyEntries `json:"entries"`
	// Digest says that the Secrets hold digests in hexadecimal in place of
	// keys: "sha256"; empty: they hold the keys.
	Digest string `json:"digest,omitempty"`
	// UserHeader gets the entry's name; empty: none does.
	UserHeader string `json:"userHeader,omitempty"`
	// FromMetadata are headers that an entry's other data become.
	FromMetadata []MetadataHeader `json:"fromMetadata,omitempty"`
}

// MetadataHeader writes a Secret's data key into a request header, which a
// client cannot set itself. The value is treated as secret.
type MetadataHeader struct {
	Header string `json:"header"`
	Key    string `json:"key"`
	// Required refuses entries without the data key.
	Required bool `json:"required,omitempty"`
}

// BasicAuth authenticates by user name and password (RFC 7617).
type BasicAuth struct {
	Realm string      `json:"realm,omitempty"`
	Users []BasicUser `json:"users,omitempty"`
	// File holds further users, one on each line as htpasswd writes them: with
	// {SHA} or $apr1$ hashes. Of two of one name the first counts.
	File secret.Ref `json:"file,omitzero"`
	// UserHeader gets the user's name; empty: none does.
	UserHeader string `json:"userHeader,omitempty"`
	Origin     Origin `json:"origin,omitzero"`
}

// BasicUser is one user with a salted hash of the password.
type BasicUser struct {
	Name string `json:"name"`
	// Algorithm is "apr1" or "sha1".
	Algorithm string     `json:"algorithm"`
	Salt      string     `json:"salt,omitempty"`
	Hash      secret.Ref `json:"hash"`
	Origin    Origin     `json:"origin,omitzero"`
}

// VerifiedToken lets a caller pass whom a JWT step before has proven.
type VerifiedToken struct {
	// UserHeader is where other methods name the caller: it is not set, and
	// what a client sends there goes no further.
	UserHeader string `json:"userHeader,omitempty"`
}

// AccessToken validates an OAuth 2.0 bearer token (RFC 6750). Exactly one of
// Introspection and Keys is set.
type AccessToken struct {
	Introspection *Introspection `json:"introspection,omitempty"`
	// Keys verify a token that is a JWT, of Issuer if that is set.
	Keys   *KeySource `json:"keys,omitempty"`
	Issuer string     `json:"issuer,omitempty"`
	// Audiences of which such a token must be for one; empty: not checked.
	Audiences []string `json:"audiences,omitempty"`
	// Scopes that the token must have, all of them.
	Scopes []string `json:"scopes,omitempty"`
	// UserClaim names the caller; empty: sub.
	UserClaim string `json:"userClaim,omitempty"`
	// UserHeader gets the caller's name; empty: none does.
	UserHeader      string          `json:"userHeader,omitempty"`
	CacheFor        time.Duration   `json:"cacheFor,omitempty"` // 0: 10 min; below 0: not at all
	ClaimsToHeaders []ClaimToHeader `json:"claimsToHeaders,omitempty"`
}

// Introspection asks an authorization server about a token (RFC 7662).
type Introspection struct {
	URL          string        `json:"url"`
	ClientID     string        `json:"clientID,omitempty"`
	ClientSecret secret.Ref    `json:"clientSecret,omitzero"`
	Timeout      time.Duration `json:"timeout,omitempty"` // 0: 5 s
	Origin       Origin        `json:"origin,omitzero"`
}

// ExternalAuth asks another server whether a request may pass: Envoy's
// ext_authz protocol. Exactly one of HTTP and GRPC is set.
type ExternalAuth struct {
	HTTP *ExternalHTTP `json:"http,omitempty"`
	GRPC *ExternalGRPC `json:"grpc,omitempty"`
	// Timeout of one question; 0: 200 ms.
	Timeout time.Duration `json:"timeout,omitempty"`
	// FailOpen lets requests pass while the server cannot be asked.
	FailOpen bool `json:"failOpen,omitempty"`
	// StatusOnError is the answer while it cannot; 0: 403.
	StatusOnError int `json:"statusOnError,omitempty"`
	// BodyBytes of the request that are sent along; 0: none. A longer body is
	// refused with 413 unless PartialBody. RawBody sends it as bytes where the
	// protocol has text otherwise.
	BodyBytes   int64 `json:"bodyBytes,omitempty"`
	PartialBody bool  `json:"partialBody,omitempty"`
	RawBody     bool  `json:"rawBody,omitempty"`
	// Context is sent along as it is.
	Context map[string]string `json:"context,omitempty"`
	// UserHeader is where the server may name the caller: what a client sends
	// there goes no further.
	UserHeader string `json:"userHeader,omitempty"`
}

// ExternalHTTP is a check over HTTP: any 2xx lets the request pass, any other
// answer below 500 is given to the client. Names of headers, but those that are
// added, may have a "*" at one end.
type ExternalHTTP struct {
	// URL of the server; the request's path and query are appended to its path
	// if AppendPath, and the server is asked under the request's host then.
	URL        string `json:"url"`
	AppendPath bool   `json:"appendPath,omitempty"`
	// Upstream, by name, carries the question; empty: the URL's host is dialled.
	Upstream string `json:"upstream,omitempty"`
	// Method of the question; empty: the request's own.
	Method string `json:"method,omitempty"`
	// RequestHeaders of the client that are sent along, and headers that are
	// added.
	RequestHeaders []string          `json:"requestHeaders,omitempty"`
	AddHeaders     map[string]string `json:"addHeaders,omitempty"`
	// UpstreamHeaders of its answer that the request gets, in place of the
	// client's; UpstreamAppend beside them.
	UpstreamHeaders []string `json:"upstreamHeaders,omitempty"`
	UpstreamAppend  []string `json:"upstreamAppend,omitempty"`
	// ClientHeaders of its refusal that the client gets; empty: all. Location
	// and WWW-Authenticate it gets in any case.
	ClientHeaders []string `json:"clientHeaders,omitempty"`
	// SuccessHeaders of its consent that the client gets with the answer.
	SuccessHeaders []string `json:"successHeaders,omitempty"`
}

// ExternalGRPC is a check over envoy.service.auth.v3.Authorization.
type ExternalGRPC struct {
	// Address is host:port; Upstream, an upstream's name in its place.
	Address  string `json:"address,omitempty"`
	Upstream string `json:"upstream,omitempty"`
	// TLS verifies the server's certificate against Address's host.
	TLS bool `json:"tls,omitempty"`
	// Retries after a failed call.
	Retries int `json:"retries,omitempty"`
}

// Upstreams names the upstreams that carry questions of the set's own.
func (s *AuthSet) Upstreams() []string {
	var out []string
	add := func(name string) {
		if name != "" {
			out = append(out, name)
		}
	}
	for _, m := range s.Methods {
		if m.Token != nil && m.Token.Keys != nil && m.Token.Keys.Remote != nil {
			add(m.Token.Keys.Remote.Upstream)
		}
		if m.External != nil && m.External.HTTP != nil {
			add(m.External.HTTP.Upstream)
		}
		if m.External != nil && m.External.GRPC != nil {
			add(m.External.GRPC.Upstream)
		}
	}
	return out
}
