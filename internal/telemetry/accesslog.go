package telemetry

import (
	"io"
	"log/slog"
	"sync"

	"github.com/postern-gateway/postern/internal/dataplane"
)

// AccessLog writes one JSON object for each exchange, on one line:
//
//	time, decision, request_id               when, and by which names to find it
//	client, method, scheme, authority, path, protocol, user_agent
//	listener, route, route_origin            what took it
//	verdict, policy, policy_origin, cause    what was decided, by what, and why
//	passed                                   the policies that let it through
//	subject, issuer, authenticator           who called
//	peer                                     the SPIFFE ID of the client certificate
//	upstream, endpoint, attempts, upstream_status, model
//	status, bytes_in, bytes_out, duration_ms, first_byte_ms, cut
//
// A member that would be empty or zero is left out; time, decision, verdict,
// status and duration_ms never are. An origin reads "kind namespace/name:
// field, file:line". The path comes without its query, since a query may hold
// a token. Long texts are cut, and end in "…".
//
// Whatever a caller, a token or an upstream writes, a line stays one line:
// control characters, and those that turn a terminal's text around, are
// escaped.
type AccessLog struct {
	out   *writer
	lines sync.Pool
}

var _ dataplane.Recorder = (*AccessLog)(nil)

// NewAccessLog returns an AccessLog that writes to w. log hears of writes that
// fail.
//
// Lines are gathered in memory, at most 256 KiB of them, and written at least
// every 100 ms. If w is slower than the requests are, these wait: a gateway
// that must be able to tell who was let in does not let in whom it cannot tell
// of. If w fails, its lines are lost and counted, so that a full disk does not
// stop the traffic.
func NewAccessLog(w io.Writer, log *slog.Logger) *AccessLog {
	return &AccessLog{
		out:   newWriter(w, log),
		lines: sync.Pool{New: func() any { return &line{b: make([]byte, 0, 1<<10)} }},
	}
}

// Record writes the line of r.
func (a *AccessLog) Record(r *dataplane.Record) {
	l := a.lines.Get().(*line)
	l.b = l.b[:0]
	l.record(r)
	a.out.append(l.b)
	a.lines.Put(l)
}

// Lost returns how many lines could not be written.
func (a *AccessLog) Lost() uint64 { return a.out.lost.Load() }

// Close writes what is left, and waits for that. Lines recorded afterwards are
// lost.
func (a *AccessLog) Close() { a.out.close() }

// Bounds of texts that others choose, in bytes.
const (
	longestText  = 256
	longestPath  = 2048
	longestPeer  = 2048
	longestCause = 1024
	mostPassed   = 32
)

func (l *line) record(r *dataplane.Record) {
	l.b = append(l.b, `{"time":"`...)
	l.b = r.Start.UTC().AppendFormat(l.b, "2006-01-02T15:04:05.000000Z")
	l.b = append(l.b, '"')
	l.always("decision", r.Decision)
	l.text("request_id", r.RequestID, longestText)
	l.text("client", r.Client, longestText)
	l.text("method", r.Method, longestText)
	l.text("scheme", r.Scheme, longestText)
	l.text("authority", r.Authority, longestText)
	l.text("path", r.Path, longestPath)
	l.text("protocol", r.Protocol, longestText)
	l.text("user_agent", r.UserAgent, longestText)
	l.text("listener", r.Listener, longestText)
	l.text("route", r.Route, longestText)
	l.origin("route_origin", &r.RouteOrigin)
	l.always("verdict", string(r.Verdict))
	l.text("policy", r.Policy, longestText)
	l.origin("policy_origin", &r.Origin)
	l.text("cause", r.Cause, longestCause)
	l.texts("passed", r.Passed)
	l.text("subject", r.Identity.Subject, longestText)
	l.text("issuer", r.Identity.Issuer, longestText)
	l.text("peer", r.Peer, longestPeer)
	l.text("authenticator", r.Identity.Provider, longestText)
	l.text("upstream", r.Upstream, longestText)
	l.text("endpoint", r.Endpoint, longestText)
	l.number("attempts", int64(r.Attempts))
	l.number("upstream_status", int64(r.UpstreamStatus))
	l.text("model", r.Model, longestText)
	l.key("status")
	l.integer(int64(r.Status))
	l.number("bytes_in", r.BytesIn)
	l.number("bytes_out", r.BytesOut)
	l.key("duration_ms")
	l.milliseconds(r.Duration)
	if r.FirstByte > 0 {
		l.key("first_byte_ms")
		l.milliseconds(r.FirstByte)
	}
	l.text("cut", r.Cut, longestText)
	l.b = append(l.b, '}', '\n')
}
