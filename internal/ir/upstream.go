package ir

import "time"

// Protocol is what an upstream is spoken to in.
type Protocol string

// The protocols of an upstream.
const (
	// ProtocolHTTP1 is HTTP/1.1: the zero value.
	ProtocolHTTP1 Protocol = ""
	// ProtocolHTTP2 is HTTP/2, over TLS where the upstream has it, otherwise
	// with prior knowledge (h2c).
	ProtocolHTTP2 Protocol = "h2"
)

// Upstream is a place that requests go to: either endpoints of its own, or
// tiers of other upstreams.
type Upstream struct {
	// Name is unique: "gloo.solo.io/Upstream/ns/name", "Service/ns/name:80".
	Name      string     `json:"name"`
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// Discovered, if set, names the list that Endpoints is a copy of, such as
	// the addresses of a Service's pods. They come and go while the upstream
	// stays the same one.
	Discovered string `json:"-"`
	// Tiers, if any, replace Endpoints: the members of the first tier that
	// has a healthy one share the requests; the next is for failover.
	Tiers    [][]TierMember `json:"tiers,omitempty"`
	Protocol Protocol       `json:"protocol,omitempty"`
	// TLS is nil for plain text.
	TLS *ClientTLS `json:"tls,omitempty"`
	// Host is the Host header that requests get; empty: they keep theirs.
	Host string `json:"host,omitempty"`
	// Steps run for each attempt on this upstream, before its credential.
	Steps []Step `json:"steps,omitempty"`
	// LLM adapts requests to the provider's wire API.
	LLM *LLM `json:"llm,omitempty"`
	// Credential is what we show to the provider; it goes to this upstream's
	// endpoints and nowhere else.
	Credential     *Credential   `json:"credential,omitempty"`
	ConnectTimeout time.Duration `json:"connectTimeout,omitempty"` // 0: 5 s
	// IdleTimeout of a pooled connection; 0: 1 h.
	IdleTimeout time.Duration `json:"idleTimeout,omitempty"`
	// MaxConnections and MaxRequests bound what is under way; 0: 1,024.
	// Beyond them the answer is 503.
	MaxConnections int      `json:"maxConnections,omitempty"`
	MaxRequests    int      `json:"maxRequests,omitempty"`
	Outlier        *Outlier `json:"outlier,omitempty"`
	// Closed answers whatever is sent here with an error.
	Closed *Closed `json:"closed,omitempty"`
	Origin Origin  `json:"origin,omitzero"`
}

// TierMember is an upstream in a tier of another, with its share of the tier's
// requests.
type TierMember struct {
	Upstream string `json:"upstream"`
	// Weight 0 counts as 1.
	Weight int `json:"weight,omitempty"`
}

// Endpoint is one address of an upstream.
type Endpoint struct {
	// Host is a DNS name or an IP address.
	Host string `json:"host"`
	Port int    `json:"port"`
	// Weight 0 counts as 1.
	Weight int `json:"weight,omitempty"`
	// SNI overrides ClientTLS.SNI for this endpoint.
	SNI string `json:"sni,omitempty"`
}

// ClientTLS is how an upstream's certificate is verified, and what we show.
// The zero value verifies against the system's roots and the endpoint's name.
type ClientTLS struct {
	// SNI is sent and verified; empty: the request's upstream host name if
	// AutoSNI, otherwise the endpoint's host.
	SNI     string `json:"sni,omitempty"`
	AutoSNI bool   `json:"autoSNI,omitempty"`
	// CAs replace the system's roots, as PEM bundles.
	CAs []Bytes `json:"cas,omitempty"`
	// SubjectAltNames of which the certificate must hold one, in place of the
	// SNI: DNS names, or URIs. A SPIFFE ID must be the only URI of it.
	SubjectAltNames []string `json:"subjectAltNames,omitempty"`
	// Identity shows the gateway's own workload certificate, and verifies the
	// upstream's by the trust bundle that came with it unless CAs says
	// otherwise. SubjectAltNames should say who the upstream must be.
	Identity bool `json:"identity,omitempty"`
	// Certificate we show, if any.
	Certificate *KeyPair `json:"certificate,omitempty"`
	MinVersion  string   `json:"minVersion,omitempty"`
	MaxVersion  string   `json:"maxVersion,omitempty"`
	// CipherSuites are names of crypto/tls.
	CipherSuites []string `json:"cipherSuites,omitempty"`
	// InsecureSkipVerify verifies nothing; a problem is reported beside it.
	InsecureSkipVerify bool   `json:"insecureSkipVerify,omitempty"`
	Origin             Origin `json:"origin,omitzero"`
}

// Outlier leaves a failing endpoint out for a while (passive health).
type Outlier struct {
	// Consecutive failures that eject; 0: 5.
	Consecutive int `json:"consecutive,omitempty"`
	// Ejection is how long, the first time; it grows with each. 0: 30 s.
	Ejection time.Duration `json:"ejection,omitempty"`
	// MaxPercent of the endpoints that may be out at once; 0: 10, but at
	// least one, and never the last.
	MaxPercent int `json:"maxPercent,omitempty"`
}

// LLM adapts a request of a schema to one provider's host of the same schema.
type LLM struct {
	// Schema is the wire API: "openai", "anthropic", "gemini", "bedrock".
	Schema string `json:"schema"`
	// Path is where chat requests go, with its query if it has one. "{model}"
	// in it is the model that is asked for, "{api}" what follows the version
	// segment of the request's path ("embeddings" of /v1/embeddings).
	Path string `json:"path"`
	// StreamPath is where streamed ones go; empty: Path.
	StreamPath string `json:"streamPath,omitempty"`
	// PlatformPaths forwards other known API paths (/v1/models, /v1/files …)
	// from their version segment on, with BasePath before it and the body
	// untouched.
	PlatformPaths bool   `json:"platformPaths,omitempty"`
	BasePath      string `json:"basePath,omitempty"`
	// Model replaces the body's model; empty: the client's.
	Model string `json:"model,omitempty"`
	// ModelDefault says that Model is for requests that name none.
	ModelDefault bool `json:"modelDefault,omitempty"`
	// Stream is asked for where the request does not say; nil: neither.
	Stream *bool `json:"stream,omitempty"`
	// ModelInPath says that the path carries the model and the body does not.
	ModelInPath bool `json:"modelInPath,omitempty"`
	// Headers that the provider wants, such as a version.
	Headers []HeaderValue `json:"headers,omitempty"`
}
