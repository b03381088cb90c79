package ir

import "github.com/postern-gateway/postern/internal/secret"

// Phase is a place in the request path; phases run in this order, and steps
// of one phase by their Order, then as listed.
type Phase int

// The phases between match and forward.
const (
	PhasePre          Phase = iota + 1 // before anyone is asked who they are: CORS
	PhaseAuthenticate                  // who calls
	PhaseAuthorize                     // may they
	PhaseLimit                         // how much
	PhaseFilter                        // changes to request and answer
	PhaseForward                       // rewrites just before the upstream is called
)

// Step is one thing that a request passes on its way. Exactly one of the
// pointers after Slot is set.
type Step struct {
	Phase Phase `json:"phase"`
	Order int   `json:"order,omitempty"`
	// Slot names what put it there, such as "gloo/rbac"; for people.
	Slot   string `json:"slot,omitempty"`
	Origin Origin `json:"origin,omitzero"`

	JWT           *JWT           `json:"jwt,omitempty"`
	AuthSet       *AuthSet       `json:"authSet,omitempty"`
	ClaimRules    *ClaimRules    `json:"claimRules,omitempty"`
	Authorization *Authorization `json:"authorization,omitempty"`
	AccessRules   *AccessRules   `json:"accessRules,omitempty"`
	Transform     *Transform     `json:"transform,omitempty"`
	CORS          *CORS          `json:"cors,omitempty"`
	Headers       *HeaderEdit    `json:"headers,omitempty"`
	Path          *PathRewrite   `json:"path,omitempty"`
	Host          *HostRewrite   `json:"host,omitempty"`
	Mirror        *Mirror        `json:"mirror,omitempty"`
	BodyLimit     *BodyLimit     `json:"bodyLimit,omitempty"`
	Buffer        *Buffer        `json:"buffer,omitempty"`
	Timeouts      *Timeouts      `json:"timeouts,omitempty"`
	Retry         *Retry         `json:"retry,omitempty"`
	Upgrade       *Upgrade       `json:"upgrade,omitempty"`
	LLM           *LLMOptions    `json:"llm,omitempty"`
	BodyEdit      *BodyEdit      `json:"bodyEdit,omitempty"`
	// Direct answers at this step.
	Direct *Direct `json:"direct,omitempty"`
	// Closed ends the request at this step.
	Closed *Closed `json:"closed,omitempty"`
}

// HeaderEdit changes the headers of the request, the answer, or both. Within
// one edit removals come first.
type HeaderEdit struct {
	Request  HeaderChanges `json:"request,omitzero"`
	Response HeaderChanges `json:"response,omitzero"`
}

// HeaderChanges is what is done to one side's headers.
type HeaderChanges struct {
	// Sanitize names headers that a client may not send: what it sent is
	// removed before the first step. For requests alone.
	Sanitize []string      `json:"sanitize,omitempty"`
	Remove   []string      `json:"remove,omitempty"`
	Set      []HeaderValue `json:"set,omitempty"`
	// Add appends, keeping what is there.
	Add []HeaderValue `json:"add,omitempty"`
}

// HeaderValue is one header to write. One of Value, Format and Secret is used.
type HeaderValue struct {
	Name string `json:"name,omitempty"`
	// Value is literal.
	Value string `json:"value,omitempty"`
	// Format is a text with Envoy's %COMMAND% operators.
	Format string `json:"format,omitempty"`
	// Secret is a header whose value is secret: an injected credential. It
	// replaces every value of its header, and the client's other credential
	// headers are dropped with it.
	Secret secret.Ref `json:"secret,omitzero"`
	Origin Origin     `json:"origin,omitzero"`
}

// PathRewrite changes the path that the upstream sees; the query stays.
// Exactly one field is set.
type PathRewrite struct {
	// Full replaces the whole path.
	Full *string `json:"full,omitempty"`
	// Prefix replaces what the match's path took, as a raw string: the
	// matched prefix, or the whole path of an exact match.
	Prefix *string `json:"prefix,omitempty"`
	// Segments replaces the matched prefix segment by segment (Gateway API's
	// ReplacePrefixMatch): /a → / turns /a/b into /b, and /a into /.
	Segments *string `json:"segments,omitempty"`
	// Regex replaces each match of Pattern.
	Regex *RegexRewrite `json:"regex,omitempty"`
}

// RegexRewrite replaces every match of an RE2 expression; Substitution may
// hold \1 to \9.
type RegexRewrite struct {
	Pattern      string `json:"pattern"`
	Substitution string `json:"substitution"`
}

// HostRewrite changes the Host that the upstream sees. Exactly one is set.
type HostRewrite struct {
	Literal string `json:"literal,omitempty"`
	// Auto takes the DNS name of the chosen endpoint.
	Auto bool `json:"auto,omitempty"`
	// FromHeader takes the value of a request header, if there is one.
	FromHeader string `json:"fromHeader,omitempty"`
	// FromPath applies to the path (without query) and takes what comes out.
	FromPath *RegexRewrite `json:"fromPath,omitempty"`
	// AppendForwarded sets X-Forwarded-Host to the host that came.
	AppendForwarded bool `json:"appendForwarded,omitempty"`
}

// CORS answers preflights and marks answers. See fetch.spec.whatwg.org.
type CORS struct {
	// AllowOrigins are exact, "*", or hold one "*" wildcard.
	AllowOrigins []string `json:"allowOrigins,omitempty"`
	// AllowOriginRegex are full matches of RE2 expressions.
	AllowOriginRegex []string `json:"allowOriginRegex,omitempty"`
	AllowMethods     []string `json:"allowMethods,omitempty"`
	AllowHeaders     []string `json:"allowHeaders,omitempty"`
	ExposeHeaders    []string `json:"exposeHeaders,omitempty"`
	AllowCredentials bool     `json:"allowCredentials,omitempty"`
	// MaxAgeSeconds of a preflight; nil: the header is not sent.
	MaxAgeSeconds *int `json:"maxAgeSeconds,omitempty"`
	// AnswerOthers answers a preflight of an origin that is not allowed, too,
	// allowing nothing; otherwise the upstream gets it.
	AnswerOthers bool `json:"answerOthers,omitempty"`
}

// Mirror sends a copy of the request elsewhere and drops the answer. No
// credential of the caller or the route travels with it.
type Mirror struct {
	Upstream string `json:"upstream"`
	// Numerator of Denominator requests are copied; both 0: all.
	Numerator   int `json:"numerator,omitempty"`
	Denominator int `json:"denominator,omitempty"`
	// HostSuffix is appended to the host of the copy.
	HostSuffix string `json:"hostSuffix,omitempty"`
}

// Upgrade lists the protocols that a connection may be upgraded to. Without
// one, "websocket" is.
type Upgrade struct {
	Protocols []string `json:"protocols,omitempty"`
}

// BodyEdit changes members of a JSON request body, those of the top level.
// Removals come first.
type BodyEdit struct {
	Remove []string     `json:"remove,omitempty"`
	Set    []BodyMember `json:"set,omitempty"`
}

// BodyMember is one member to write.
type BodyMember struct {
	Name string `json:"name"`
	// Value is JSON.
	Value string `json:"value"`
}

// BodyLimit bounds the request body further than the listener does.
type BodyLimit struct {
	Bytes int64 `json:"bytes"`
}

// Buffer collects the whole request body before it is forwarded.
type Buffer struct {
	Bytes int64 `json:"bytes"`
}
