package dataplane

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane/match"
)

// ErrDrained is the cause that ends a request's context where the drain limit
// cuts what is under way.
var ErrDrained = errors.New("the gateway ended, and the drain limit was reached")

// Handler serves one socket. Its socket is swapped at a reload; requests
// under way keep what they began with.
type Handler struct {
	socket   atomic.Pointer[Socket]
	recorder Recorder
	log      *slog.Logger
	clock    func() time.Time
	bodies   *Budget
}

// NewHandler returns a Handler that serves nothing until Swap. recorder gets
// every exchange's record; log gets panics.
func NewHandler(recorder Recorder, bodies *Budget, log *slog.Logger, clock func() time.Time) *Handler {
	return &Handler{recorder: recorder, bodies: bodies, log: log, clock: clock}
}

// Swap makes s what new requests meet.
func (h *Handler) Swap(s *Socket) { h.socket.Store(s) }

// Socket returns what new requests meet, or nil.
func (h *Handler) Socket() *Socket { return h.socket.Load() }

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := h.begin(w, r)
	defer h.finish(e)
	if a := h.serve(r.Context(), e, r); a != nil {
		e.write(a)
	}
	for i := len(e.onEnd) - 1; i >= 0; i-- {
		e.onEnd[i]()
	}
}

// begin returns the exchange of a request that has come.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request) *Exchange {
	e := &Exchange{Response: w, Method: r.Method, Length: r.ContentLength, rest: r.Body, expects: r.Header["Expect"] != nil, Proto: r.ProtoMajor, TLS: r.TLS, Peer: r.RemoteAddr}
	e.Record = Record{Start: h.clock(), Decision: newID(), Method: r.Method, Protocol: r.Proto}
	return e
}

// finish records the exchange, and turns a panic into a closed connection.
// http.ErrAbortHandler is how the forwarder cuts an answer short.
func (h *Handler) finish(e *Exchange) {
	p := recover()
	e.release()
	if p != nil && p != http.ErrAbortHandler {
		h.log.Error("panic while serving", "decision", e.Record.Decision, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		e.Record.Cause, e.Record.Verdict = "panic", Failed
		p = http.ErrAbortHandler
	}
	e.Record.Duration = h.clock().Sub(e.Record.Start)
	h.recorder.Record(&e.Record)
	if p != nil {
		panic(p)
	}
}

// serve takes a request from its head to the last stage of its route.
func (h *Handler) serve(ctx context.Context, e *Exchange, r *http.Request) *Answer {
	socket := h.socket.Load()
	if socket == nil {
		return &Answer{Status: http.StatusServiceUnavailable, Body: "no configuration is served here", Verdict: NoRoute, Cause: "socket has no snapshot"}
	}
	e.Local = localAddr(ctx)
	if e.trace == nil && socket.Port != 0 && e.Local.IsValid() { // policies name the listener's port, wherever it is bound
		e.Local = netip.AddrPortFrom(e.Local.Addr(), uint16(socket.Port))
	}
	if err := e.normalize(r, socket); err != nil {
		return BadRequest(err.Error())
	}
	if a := e.enter(socket, r); a != nil {
		return a
	}
	e.Body, e.Length = h.bound(e, r)
	if a := run(ctx, e, e.Listener.Stages); a != nil {
		return a
	}
	stages, a := e.route(ctx)
	if a != nil {
		return a
	}
	return run(ctx, e, stages)
}

// run passes stages in turn; those of a route to its end, or to where another
// match is asked for.
func run(ctx context.Context, e *Exchange, stages []Stage) *Answer {
	for i, s := range stages {
		if a := s.Run(ctx, e); a != nil {
			return a
		}
		if e.rematch {
			return e.leave(ctx, len(e.Route.Stages)-len(stages)+i)
		}
	}
	return nil
}

// normalize fills in what matching and policies look at. The listener that the
// host leads to says in which form they see the path.
func (e *Exchange) normalize(r *http.Request, socket *Socket) error {
	if r.Method == http.MethodConnect {
		return errConnect
	}
	if r.ProtoMajor > 1 && !isToken(r.Method) { // net/http looks over HTTP/1.1 alone
		return errMethod
	}
	if hosts := r.Header["Host"]; len(hosts) > 1 || len(hosts) == 1 && hosts[0] != r.Host {
		return errHostTwice
	}
	raw, query, err := splitTarget(r)
	if err != nil {
		return err
	}
	if e.Host, e.Authority, err = normalizeHost(r.Host); err != nil {
		return err
	}
	if l, ok := socket.Hosts.Find(e.Host); ok {
		e.paths = l.Paths
	}
	if e.Path, err = NormalizePathAs(e.paths, raw); err != nil {
		return err
	}
	if err := checkQuery(query); err != nil {
		return err
	}
	e.RawQuery = query
	e.Scheme = "http"
	if r.TLS != nil {
		e.Scheme = "https"
	}
	e.Upgrade = upgradeOf(r.Header)
	if e.Header, err = cleanHeader(r.Header); err != nil {
		return err
	}
	e.Record.Scheme, e.Record.Authority, e.Record.Path = e.Scheme, e.Authority, e.Path
	e.Record.UserAgent = e.Header.Get("User-Agent")
	return nil
}

// enter finds the listener, and sets what the upstream is told of the client.
func (e *Exchange) enter(s *Socket, r *http.Request) *Answer {
	l, ok := s.Hosts.Find(e.Host)
	if !ok {
		return notFound("no listener of this port serves the host")
	}
	if s.TLS != nil && r.TLS == nil { // connected before TLS was switched on
		return &Answer{
			Status: http.StatusMisdirectedRequest, Body: "this port is served over TLS", Verdict: Invalid,
			Header: http.Header{"Connection": {"close"}}, Cause: "the connection was made without TLS",
		}
	}
	if misdirected(s, l, r.TLS) {
		return &Answer{Status: http.StatusMisdirectedRequest, Verdict: Invalid, Cause: "the host belongs to another listener than the TLS server name"}
	}
	e.Listener = l
	e.Record.Listener = l.Name
	peer := peerAddr(r.RemoteAddr)
	client, xff := forwardedFor(e.Header, peer, l.TrustedHops)
	e.Client = e.trace.client(client)
	e.Record.Client = e.Client.String()
	e.Header.Set("X-Forwarded-For", xff)
	e.Header.Set("X-Forwarded-Proto", e.Scheme)
	if l.ForwardedPort {
		e.Header.Set("X-Forwarded-Port", strconv.Itoa(s.Port))
	}
	if l.Via != "" {
		e.Header.Add("Via", l.Via)
	}
	e.Record.RequestID = e.Header.Get("X-Request-Id")
	if !l.KeepRequestID || !isToken(e.Record.RequestID) {
		e.Record.RequestID = newUUID()
	}
	e.Header.Set("X-Request-Id", e.Record.RequestID)
	if a := e.admitted(l, r); a != nil {
		return a
	}
	if tooMany(e.Header, l.Limits.Headers) {
		return &Answer{Status: http.StatusRequestHeaderFieldsTooLarge, Body: "too many headers", Verdict: Invalid, Cause: "too many headers"}
	}
	if l.Closed != nil {
		return ClosedAnswer(l.Closed)
	}
	e.Caller = callerCredentials(e.Header)
	return nil
}

// misdirected reports whether the request's host belongs to another listener
// than the one whose certificate and client rules the connection was made
// under (RFC 9110 15.5.20).
func misdirected(s *Socket, l *Listener, state *tls.ConnectionState) bool {
	if state == nil {
		return false
	}
	bySNI, ok := s.Hosts.Find(CanonicalServerName(state.ServerName))
	return !ok || bySNI != l
}

// route finds the exchange's route, and returns those of its stages that are
// left to run.
func (e *Exchange) route(ctx context.Context) ([]Stage, *Answer) {
	e.trace.meet(e)
	router := e.router()
	if router == nil {
		return e.otherwise()
	}
	req := e.MatchRequest()
	if g, ok := router.Group(req); ok {
		return e.choose(ctx, router, &g)
	}
	hit, ok := router.Find(req)
	if !ok {
		return e.otherwise()
	}
	return e.settle(ctx, router, hit)
}

// otherwise takes the listener's route for what no other takes, if it has one.
func (e *Exchange) otherwise() ([]Stage, *Answer) {
	if e.Listener.Otherwise == nil {
		return nil, notFound("no route matches the host and the rest of the head")
	}
	e.take(match.Hit[*Route]{Value: e.Listener.Otherwise})
	return e.Route.Stages, nil
}

// router returns the routes of the exchange's host, or nil.
func (e *Exchange) router() *match.Router[*Route] {
	vh, ok := e.Listener.Hosts.Find(e.Host)
	if !ok {
		return nil
	}
	return vh.Router
}

// settle takes a route that was found.
func (e *Exchange) settle(ctx context.Context, router *match.Router[*Route], hit match.Hit[*Route]) ([]Stage, *Answer) {
	if hit.Value.Lists {
		return nil, e.list(ctx, router)
	}
	e.take(hit)
	return e.Route.Stages, nil
}

// take makes a route the exchange's. What a client sent in headers that the
// route's own authentication sets is removed.
func (e *Exchange) take(hit match.Hit[*Route]) {
	e.Route, e.Matched = hit.Value, hit.Path
	e.Record.Route, e.Record.RouteOrigin = e.Route.Name, e.Route.Origin
	for _, name := range e.Route.Brought {
		if v, ok := e.Header[name]; ok {
			if e.Brought == nil {
				e.Brought = http.Header{}
			}
			e.Brought[name] = v
			delete(e.Header, name)
		}
	}
	for _, name := range e.Route.Sanitize {
		e.Sanitize(name)
		e.Withdraw(name)
	}
}

// notFound is the 404 for what nothing takes; its body is empty, as Envoy's.
func notFound(cause string) *Answer {
	return &Answer{Status: http.StatusNotFound, Verdict: NoRoute, Cause: cause}
}

func tooMany(h http.Header, limit int) bool {
	n := 0
	for _, v := range h {
		n += len(v)
	}
	return n > limit
}

// callerCredentials keeps what the client sent in the well-known credential
// headers.
func callerCredentials(h http.Header) http.Header {
	var out http.Header
	for name, v := range h {
		if IsCredentialHeader(name) {
			if out == nil {
				out = http.Header{}
			}
			out[name] = v
		}
	}
	return out
}

// isToken reports whether a client's request id can be believed to be one.
func isToken(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !isUnreserved(s[i]) {
			return false
		}
	}
	return true
}

// newID returns 16 random hex digits.
func newID() string {
	var b [8]byte
	fill(b[:])
	return hex.EncodeToString(b[:])
}

// newUUID returns a random UUID (RFC 9562 5.4).
func newUUID() string {
	var b [16]byte
	fill(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func fill(b []byte) {
	for i := 0; i < len(b); i += 8 {
		n := rand.Uint64()
		for j := range 8 {
			b[i+j] = byte(n >> (8 * j))
		}
	}
}
