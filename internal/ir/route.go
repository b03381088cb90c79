package ir

import "time"

// Route says which requests it takes (any of Matches), what they must pass
// (Steps, in order), and what becomes of them (Action).
type Route struct {
	// Name is for people and logs: "HTTPRoute apps/chat/rule-0".
	Name    string  `json:"name"`
	Matches []Match `json:"matches"`
	Steps   []Step  `json:"steps,omitempty"`
	Action  Action  `json:"action"`
	Origin  Origin  `json:"origin,omitzero"`
}

// Action is what a route does with a request. Exactly one field is set.
type Action struct {
	Forward *Forward `json:"forward,omitempty"`
	// Models answers with a list of models. Where several such routes of one
	// host take a request, the answer is of all those that let the caller in.
	Models   *ModelList `json:"models,omitempty"`
	Redirect *Redirect  `json:"redirect,omitempty"`
	Direct   *Direct    `json:"direct,omitempty"`
	Closed   *Closed    `json:"closed,omitempty"`
}

// Match is a conjunction; an empty one takes every request. Order decides
// between matches of one virtual host: the smallest wins.
type Match struct {
	Path    PathMatch     `json:"path,omitzero"`
	Methods []string      `json:"methods,omitempty"`
	Headers []StringMatch `json:"headers,omitempty"`
	Query   []StringMatch `json:"query,omitempty"`
	// Model compares the model that the body names; every one must hold. The
	// body is read only where routes differ in it. Name is not used.
	Model []StringMatch `json:"model,omitempty"`
	Order Order         `json:"order,omitempty"`
}

// Order is compared element by element; where one ends first, it is smaller.
type Order []int64

// Text returns o with a text behind it, by which orders compare as texts do:
// seven bytes to a number, and a zero byte at the end.
func (o Order) Text(text string) Order {
	text += "\x00"
	for len(text) > 0 {
		n := min(7, len(text))
		word := int64(0)
		for i := range 7 {
			word <<= 8
			if i < n {
				word |= int64(text[i])
			}
		}
		o, text = append(o, word), text[n:]
	}
	return o
}

// PathKind is how a PathMatch compares.
type PathKind string

// The kinds of PathMatch.
const (
	// PathAny takes every path: the zero value.
	PathAny PathKind = ""
	// PathExact takes the whole path.
	PathExact PathKind = "exact"
	// PathPrefix takes a raw string prefix: /chat takes /chatter.
	PathPrefix PathKind = "prefix"
	// PathSegments takes a prefix of whole segments: /chat takes /chat and
	// /chat/x, not /chatter (Gateway API's PathPrefix).
	PathSegments PathKind = "segments"
	// PathSuffix takes a raw string suffix.
	PathSuffix PathKind = "suffix"
	// PathRegex takes a full match of an RE2 expression.
	PathRegex PathKind = "regex"
)

// PathMatch compares the normalized path, without the query.
type PathMatch struct {
	Kind       PathKind `json:"kind,omitempty"`
	Value      string   `json:"value,omitempty"`
	IgnoreCase bool     `json:"ignoreCase,omitempty"`
}

// StringMatch compares the value of one header or query parameter.
type StringMatch struct {
	// Name of the header (any case) or query parameter (exact).
	Name string `json:"name"`
	// Exactly one of these; none: the name must be present.
	Exact  *string `json:"exact,omitempty"`
	Prefix *string `json:"prefix,omitempty"`
	Suffix *string `json:"suffix,omitempty"`
	// Regex is a full match of an RE2 expression.
	Regex *string `json:"regex,omitempty"`
	// Invert takes what would not be taken.
	Invert bool `json:"invert,omitempty"`
}

// Redirect answers with a Location. Empty fields keep the request's.
type Redirect struct {
	Scheme   string `json:"scheme,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	// Port 0: the well-known port of Scheme if Scheme is set, otherwise the
	// listener's.
	Port       int          `json:"port,omitempty"`
	Path       *PathRewrite `json:"path,omitempty"`
	StripQuery bool         `json:"stripQuery,omitempty"`
	// Status 0: 302.
	Status int    `json:"status,omitempty"`
	Origin Origin `json:"origin,omitzero"`
}

// Direct answers by itself.
type Direct struct {
	Status      int    `json:"status"`
	Body        string `json:"body,omitempty"`
	ContentType string `json:"contentType,omitempty"`
	Origin      Origin `json:"origin,omitzero"`
}

// ModelList is the answer to GET /v1/models, as OpenAI's API has it.
type ModelList struct {
	Models []ListedModel `json:"models"`
	Origin Origin        `json:"origin,omitzero"`
}

// ListedModel is one model that callers may name.
type ListedModel struct {
	ID      string    `json:"id"`
	OwnedBy string    `json:"ownedBy"`
	Created time.Time `json:"created,omitzero"`
}

// Forward sends a request to one of its backends, chosen by weight.
type Forward struct {
	Backends []Backend `json:"backends"`
	Origin   Origin    `json:"origin,omitzero"`
}

// Backend is a weighted share of a route's requests.
type Backend struct {
	// Upstream names an entry of Config.Upstreams. Empty, or Closed set:
	// this share of the requests is answered with an error.
	Upstream string `json:"upstream,omitempty"`
	Weight   int    `json:"weight"`
	// Steps run after the route's, for requests of this share.
	Steps  []Step  `json:"steps,omitempty"`
	Closed *Closed `json:"closed,omitempty"`
	Origin Origin  `json:"origin,omitzero"`
}

// Timeouts bound an exchange. Of several on one route the shortest of each
// kind holds.
type Timeouts struct {
	// Request bounds the exchange from its first byte to the answer's end; 0:
	// none. An event stream that has begun is bounded by Idle instead.
	Request time.Duration `json:"request,omitempty"`
	// Stream bounds every exchange, event streams too; 0: none.
	Stream time.Duration `json:"stream,omitempty"`
	// Attempt bounds each attempt until its answer's head; 0: none.
	Attempt time.Duration `json:"attempt,omitempty"`
	// Idle overrides the listener's StreamIdleTimeout; 0: does not.
	Idle time.Duration `json:"idle,omitempty"`
}

// Retry says when a failed attempt is repeated. An attempt whose answer has
// begun to reach the client is never repeated.
type Retry struct {
	// Attempts beyond the first; 0: 1.
	Attempts int `json:"attempts,omitempty"`
	// OnConnect repeats when no connection could be made, OnReset when one
	// broke before the answer's head, OnTimeout when Timeouts.Attempt ended it.
	OnConnect bool `json:"onConnect,omitempty"`
	OnReset   bool `json:"onReset,omitempty"`
	OnTimeout bool `json:"onTimeout,omitempty"`
	// On5xx repeats for any status of 500 and above.
	On5xx bool `json:"on5xx,omitempty"`
	// Statuses repeats for these.
	Statuses []int `json:"statuses,omitempty"`
	// BackoffBase and BackoffMax bound the wait between attempts, which is
	// drawn between 0 and base×2ⁿ; 0: 25 ms and 10×base.
	BackoffBase time.Duration `json:"backoffBase,omitempty"`
	BackoffMax  time.Duration `json:"backoffMax,omitempty"`
	// NextTier tries the upstream's next tier after this many attempts in
	// one; 0: as soon as the tier has no healthy member.
	NextTier int    `json:"nextTier,omitempty"`
	Origin   Origin `json:"origin,omitzero"`
}
