package ir

import (
	"time"

	"github.com/postern-gateway/postern/internal/secret"
)

// Listener accepts requests on one port for one host pattern. Listeners of
// several gateways on the same address and port share a socket.
type Listener struct {
	// Name is unique: "gateway-namespace/gateway-name/section".
	Name string `json:"name"`
	// Gateway is "namespace/name" of the Gateway that the listener belongs to.
	Gateway string `json:"gateway,omitempty"`
	// Addresses to listen on; empty means the gateway's default address.
	Addresses []string `json:"addresses,omitempty"`
	Port      int      `json:"port"`
	// Hostname that the listener serves, exact or "*.suffix"; empty: any.
	Hostname string `json:"hostname,omitempty"`
	// TLS is nil for plain HTTP.
	TLS *ServerTLS `json:"tls,omitempty"`
	// Redirect, if set, answers every request of the listener, whatever its
	// routes: the plain side of a listener that is served over TLS alone.
	Redirect *Redirect      `json:"redirect,omitempty"`
	HTTP     HTTPSettings   `json:"http,omitzero"`
	Hosts    []*VirtualHost `json:"hosts,omitempty"`
	// Otherwise takes what no route takes: where callers must prove something
	// before they are told that there is nothing. Nil: 404.
	Otherwise *Route  `json:"otherwise,omitempty"`
	Closed    *Closed `json:"closed,omitempty"`
	Origin    Origin  `json:"origin,omitzero"`
}

// KeyPair names a certificate chain and its private key, both PEM.
type KeyPair struct {
	Certificate secret.Ref `json:"certificate"`
	Key         secret.Ref `json:"key"`
	Origin      Origin     `json:"origin,omitzero"`
}

// Bytes is material that is either inline and not secret (a CA bundle) or at
// a Ref.
type Bytes struct {
	Inline string     `json:"inline,omitempty"`
	Ref    secret.Ref `json:"ref,omitzero"`
}

// HTTPSettings bound what one listener accepts. Zero values are the defaults
// that the field comments give.
type HTTPSettings struct {
	// MaxHeaderBytes bounds a request's head; 0: 64 KiB. Beyond it: 431.
	MaxHeaderBytes int `json:"maxHeaderBytes,omitempty"`
	// MaxHeaders bounds the number of header lines; 0: 100. Beyond it: 431.
	MaxHeaders int `json:"maxHeaders,omitempty"`
	// MaxBodyBytes bounds a request's body; 0: 32 MiB. Beyond it: 413.
	MaxBodyBytes int64 `json:"maxBodyBytes,omitempty"`
	// HeadTimeout bounds the arrival of a request's head; 0: 10 s.
	HeadTimeout time.Duration `json:"headTimeout,omitempty"`
	// RequestTimeout bounds the arrival of the whole request; 0: none.
	RequestTimeout time.Duration `json:"requestTimeout,omitempty"`
	// IdleTimeout closes a connection without requests; 0: 1 h.
	IdleTimeout time.Duration `json:"idleTimeout,omitempty"`
	// StreamIdleTimeout ends an exchange on which nothing moves; 0: 5 min.
	StreamIdleTimeout time.Duration `json:"streamIdleTimeout,omitempty"`
	// MaxStreams bounds concurrent HTTP/2 streams per connection; 0: 100.
	MaxStreams int `json:"maxStreams,omitempty"`
	// TrustedHops is how many X-Forwarded-For entries from the right were
	// written by proxies of ours; 0 trusts none and drops what came.
	TrustedHops int `json:"trustedHops,omitempty"`
	// Via, if set, is appended to the Via header of request and answer.
	Via string `json:"via,omitempty"`
	// ServerName is the Server header of every answer; empty: "envoy", which
	// the products whose resources we read send.
	ServerName string `json:"serverName,omitempty"`
	// AppendForwardedPort adds X-Forwarded-Port.
	AppendForwardedPort bool `json:"appendForwardedPort,omitempty"`
	// KeepRequestID trusts the client's x-request-id; otherwise a new one is
	// made for requests from outside.
	KeepRequestID bool `json:"keepRequestID,omitempty"`
	// PathNormalization says what is made of a request's path.
	PathNormalization PathNormalization `json:"pathNormalization,omitempty"`
	// Steps run for every request of the listener before its route is chosen.
	Steps []Step `json:"steps,omitempty"`
}

// PathNormalization is the form of a path that matching, policies and the
// upstream share. Whatever it leaves alone and programs are known to read
// differently is refused with 400.
type PathNormalization string

// The normalizations.
const (
	// PathStrict resolves dot segments, joins doubled slashes and undoes
	// escapes of unreserved bytes but the dot's; it refuses backslashes and
	// escaped dots, slashes and backslashes: the zero value.
	PathStrict PathNormalization = ""
	// PathNone changes nothing, and refuses every path that another
	// normalization would change.
	PathNone PathNormalization = "none"
	// PathBase takes a backslash for a slash, undoes escapes of unreserved
	// bytes, cuts a fragment off and resolves dot segments (RFC 3986). It
	// refuses doubled slashes and escaped slashes and backslashes.
	PathBase PathNormalization = "base"
	// PathMergeSlashes is PathBase, and joins doubled slashes.
	PathMergeSlashes PathNormalization = "mergeSlashes"
	// PathDecodeSlashes is PathMergeSlashes, and undoes escapes of slashes and
	// backslashes first.
	PathDecodeSlashes PathNormalization = "decodeSlashes"
)

// VirtualHost holds the routes of one host pattern of a listener, in their
// total order.
type VirtualHost struct {
	// Hostname is exact, "*.suffix", "prefix.*" or "*". The most specific one
	// that fits serves a request; its routes are not supplemented by others'.
	Hostname string   `json:"hostname"`
	Routes   []*Route `json:"routes,omitempty"`
	Origin   Origin   `json:"origin,omitzero"`
}

// Closed says that something answers every request with an error of ours,
// because it cannot be served safely.
type Closed struct {
	// Status is the HTTP status; 0: 500.
	Status int `json:"status,omitempty"`
	// Reason goes to the log and the report, not to the client.
	Reason string `json:"reason"`
	Origin Origin `json:"origin,omitzero"`
}
