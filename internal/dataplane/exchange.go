package dataplane

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// Stage is one step of a route. It returns nil to go on, and an Answer to end
// the request. The last stage of a route either returns an Answer or has
// written the response itself.
type Stage interface {
	Run(ctx context.Context, e *Exchange) *Answer
}

// StageFunc is a function that is a Stage.
type StageFunc func(ctx context.Context, e *Exchange) *Answer

// Run calls f.
func (f StageFunc) Run(ctx context.Context, e *Exchange) *Answer { return f(ctx, e) }

// As returns what a stage can do besides running, if it can: the stage itself,
// or the one that it stands for.
func As[T any](s Stage) (T, bool) {
	if u, ok := s.(interface{ Unwrap() Stage }); ok {
		s = u.Unwrap()
	}
	t, ok := s.(T)
	return t, ok
}

// Exchange gathers what one request brings and what happens to it. Stages
// read and change it in turn; it belongs to one goroutine at a time.
type Exchange struct {
	// Method, Scheme, Host, Path and RawQuery are the normalized request: what
	// matching and policies look at. They never change, but for SetPath and
	// SetMethod, which normalize anew. Host is lower case,
	// without port and trailing dot; Authority is Host with the port that the
	// client wrote.
	Method, Scheme, Host, Authority, Path, RawQuery string
	// Header is the working copy of the request's headers: hop-by-hop headers
	// and those that a client may not set are gone. Stages edit it, and the
	// upstream's head is written from it.
	Header http.Header
	// Body is the request's body, bounded. Length is its declared length, -1
	// if unknown.
	Body   io.ReadCloser
	Length int64
	// Trailer is where the fields after the body will be, once it has been
	// read to its end; nil if there cannot be any.
	Trailer *http.Header
	// Upgrade is the protocol that the client asks to switch to, lower case.
	Upgrade string

	// Client is the caller's address: the peer's, or what trusted proxies say.
	Client netip.Addr
	// Peer is the address and port of the connection's other end.
	Peer string
	// Local is this end of the connection; the zero value: unknown.
	Local netip.AddrPort
	// TLS is the client's connection state; nil for plain HTTP.
	TLS *tls.ConnectionState
	// PeerID is the SPIFFE ID of the verified client certificate; empty without one.
	PeerID string

	Listener *Listener
	Route    *Route
	// Matched is the path matcher that took the request.
	Matched ir.PathMatch
	// Model is the model that the body names, as far as it was read; see
	// ReadModel.
	Model string

	// Identities are the callers proven so far.
	Identities []authn.Identity

	// Outbound is what the upstream will see in place of the client's.
	Outbound Outbound
	// Caller keeps the credential headers that the client sent, for upstreams
	// whose configuration passes them on.
	Caller http.Header

	// Brought holds what the client sent in headers that are for a credential
	// of its own for an upstream; no stage sees them. It may be nil.
	Brought http.Header

	// Record is written to the access log when the exchange ends.
	Record Record

	// Response writes to the client; the forwarding stage uses it.
	Response http.ResponseWriter
	// Proto is the HTTP major version of the client's request.
	Proto int

	paths     ir.PathNormalization
	trace     *Trace // nil, unless it is rehearsed
	query     url.Values
	collected *[]byte
	came      *[]byte // the body as the client sent it, once it was collected
	scan      bodyScan
	rest      io.Reader // the body as the server reads it; not bounded
	expects   bool      // the client waits for 100 (Continue) before it sends the body
	budget    *Budget
	held      int64
	metadata  []Metadata
	// rematch asks for another match, rematched tells that there was one, and
	// keep are the injected credentials that survive it.
	rematch, rematched bool
	keep               []string
	left               []*Route // those that a rematch went away from
	onEnd              []func()
	onAnswer           []func(status int, h http.Header)
	onReply            []func(status int, h http.Header)
	onRead             func()
}

// Outbound is where rewrites are gathered. Empty fields keep the request's.
type Outbound struct {
	// Path is escaped and begins with a slash.
	Path string
	// RawQuery is used if HasQuery.
	RawQuery string
	HasQuery bool
	Host     string
	// AutoHost takes the DNS name of the endpoint as Host.
	AutoHost bool
	// Secrets are headers whose values are secret, set for each attempt after
	// everything else.
	Secrets []SecretHeader
	// carried are the secret headers; see SetSecretHeader.
	carried []carriedHeader
}

// SecretHeader yields the value of an injected credential header.
type SecretHeader struct {
	Name  string
	Value func() (string, error)
	// Ref is the secret that the value is; nil: it was written or made.
	Ref *secret.Ref
}

// Source says where the value comes from, for people.
func (s *SecretHeader) Source() string {
	if s.Ref == nil {
		return "what a step wrote or made of a credential"
	}
	return s.Ref.String()
}

// Query returns the parsed query. Pairs that do not parse are left out.
func (e *Exchange) Query() url.Values {
	if e.query == nil {
		e.query, _ = url.ParseQuery(e.RawQuery)
	}
	return e.query
}

// OutPath returns the path that the upstream gets.
func (e *Exchange) OutPath() string {
	if e.Outbound.Path != "" {
		return e.Outbound.Path
	}
	return e.Path
}

// OutQuery returns the raw query that the upstream gets.
func (e *Exchange) OutQuery() string {
	if e.Outbound.HasQuery {
		return e.Outbound.RawQuery
	}
	return e.RawQuery
}

// OnAnswer registers a change to the headers of whatever answer the client
// gets, the gateway's own included.
func (e *Exchange) OnAnswer(f func(status int, h http.Header)) { e.onAnswer = append(e.onAnswer, f) }

// OnReply registers a change to the headers of an answer that a route gives:
// an upstream's, a redirect, a direct response; not of a refusal.
func (e *Exchange) OnReply(f func(status int, h http.Header)) { e.onReply = append(e.onReply, f) }

// OnEnd registers what is done when the answer has been written to Response
// to its end, unless it broke off. The last registered comes first.
func (e *Exchange) OnEnd(f func()) { e.onEnd = append(e.onEnd, f) }

// OnRead registers what is told whenever something of the body has been read
// from the client; nil: nobody is.
func (e *Exchange) OnRead(f func()) { e.onRead = f }

// Mark is what an attempt upstream may change of an Exchange and the next one
// must not find: the outbound rewrites, which of the caller's credentials are
// left out, and changes to the answer's headers.
type Mark struct {
	outbound          Outbound
	consumed, cookies []string
	onAnswer, onReply int
}

// Outbound returns the marked rewrites.
func (m *Mark) Outbound() Outbound { return m.outbound }

// Mark returns the present state, for Rewind.
func (e *Exchange) Mark() Mark {
	m := Mark{outbound: e.Outbound, onAnswer: len(e.onAnswer), onReply: len(e.onReply)}
	m.outbound.Secrets, m.outbound.carried = slices.Clip(m.outbound.Secrets), slices.Clip(m.outbound.carried)
	m.consumed, m.cookies = slices.Clip(e.Record.consumedHeaders), slices.Clip(e.Record.consumedCookies)
	return m
}

// Rewind goes back to m.
func (e *Exchange) Rewind(m Mark) {
	e.Outbound, e.Record.consumedHeaders, e.Record.consumedCookies = m.outbound, m.consumed, m.cookies
	e.onAnswer, e.onReply = e.onAnswer[:m.onAnswer], e.onReply[:m.onReply]
}

// FinishHeader applies what OnAnswer, and for a route's own answer OnReply,
// registered, and puts the gateway's own headers on. It is called once,
// before the head is written.
func (e *Exchange) FinishHeader(status int, h http.Header, reply bool) {
	if reply {
		for _, f := range e.onReply {
			f(status, h)
		}
	}
	for _, f := range e.onAnswer {
		f(status, h)
	}
	if e.Listener != nil {
		h.Set("X-Request-Id", e.Record.RequestID)
		h.Set("Server", e.Listener.ServerName)
		if e.Listener.Via != "" {
			h.Add("Via", e.Listener.Via)
		}
	}
}

// MatchRequest is what matchers look at.
func (e *Exchange) MatchRequest() *match.Request {
	r := &match.Request{Method: e.Method, Path: e.Path, Host: e.Host, Header: e.Header, Query: e.Query()}
	if e.modelKnown() {
		r.Model, r.HasModel = e.Model, e.scan.named
	}
	return r
}

// consume marks an accepted credential: filters can read it, no upstream
// sees it.
func (e *Exchange) consume(where []authn.Location) {
	for _, l := range where {
		if l.Header != "" {
			e.Record.consumedHeaders = append(e.Record.consumedHeaders, http.CanonicalHeaderKey(l.Header))
		}
		if l.Cookie != "" {
			e.Record.consumedCookies = append(e.Record.consumedCookies, l.Cookie)
		}
		if l.Query != "" {
			e.Outbound.RawQuery = cutQuery(e.OutQuery(), l.Query)
			e.Outbound.HasQuery = true
		}
	}
}

// DropConsumed removes the accepted credentials from h, the head of an
// attempt. Of the well-known credential headers it removes what the client
// sent, and leaves what a stage has put in its place.
func (e *Exchange) DropConsumed(h http.Header) {
	for _, name := range e.Record.consumedCookies {
		cutCookie(h, name)
	}
	for _, name := range e.Record.consumedHeaders {
		sent, known := e.Caller[name]
		left := h[name]
		if known {
			left = slices.DeleteFunc(slices.Clone(left), func(v string) bool { return slices.Contains(sent, v) })
		}
		if known && len(left) > 0 {
			h[name] = left
		} else {
			delete(h, name)
		}
	}
}

// Consumed reports whether the caller's credential in a header was accepted
// and is not to be forwarded.
func (e *Exchange) Consumed(header string) bool {
	return slices.Contains(e.Record.consumedHeaders, http.CanonicalHeaderKey(header))
}
