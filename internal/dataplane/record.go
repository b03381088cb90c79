package dataplane

import (
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// Record is what the access log tells of one exchange: who, what, which route
// and policy, where to, and how it ended. It never holds a credential.
type Record struct {
	// Decision names this exchange; the gateway's own answers carry it.
	Decision  string
	RequestID string
	Start     time.Time
	Duration  time.Duration

	Client, Method, Scheme, Authority, Path, Protocol, UserAgent string

	Listener string
	Route    string
	// RouteOrigin and Origin tell where the route, and what decided, were
	// written.
	RouteOrigin, Origin ir.Origin

	Verdict Verdict
	// Policy is what decided; Passed are the policies that let it through.
	Policy string
	Passed []string
	// Cause explains a verdict other than Allowed.
	Cause    string
	Identity authn.Identity
	// Peer is the SPIFFE ID of the verified client certificate.
	Peer string

	Upstream string
	Endpoint string
	Attempts int
	// Model is the LLM model asked for, where the gateway looked.
	Model string
	// UpstreamStatus is the upstream's own; Status what the client got.
	UpstreamStatus, Status int
	BytesIn, BytesOut      int64
	// FirstByte is the time from the start to the upstream's head.
	FirstByte time.Duration
	// Cut says that the client or the upstream broke off the answer.
	Cut string

	consumedHeaders, consumedCookies []string
}

func (r *Record) decide(a *Answer) {
	r.Status, r.Verdict, r.Policy, r.Origin, r.Cause = a.Status, a.Verdict, a.Policy, a.Origin, a.Cause
}

// Recorder receives the record of each exchange when it ends. The record must
// not be kept.
type Recorder interface {
	Record(r *Record)
}
