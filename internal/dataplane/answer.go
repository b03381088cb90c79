package dataplane

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// Answer is a response that the gateway makes itself: a refusal, an error, a
// redirect. The client sees Status, Header and Body; Cause and Origin go to
// the access log alone.
type Answer struct {
	Status int
	// Header may be nil. Content-Type is text/plain where there is a body and
	// no other is set.
	Header http.Header
	Body   string
	// Verdict says what kind of answer it is.
	Verdict Verdict
	// Policy names what decided, such as "gloo/rbac viewer", and Origin where
	// it was written.
	Policy string
	Origin ir.Origin
	// Cause is for the log. It never holds a credential.
	Cause string
}

// Verdict classifies the end of an exchange.
type Verdict string

// The verdicts.
const (
	// Allowed: the request was let through to where the route leads.
	Allowed Verdict = "allow"
	// Denied: a policy refused it.
	Denied Verdict = "deny"
	// Invalid: the request itself was bad.
	Invalid Verdict = "invalid"
	// NoRoute: nothing takes it.
	NoRoute Verdict = "no-route"
	// Broken: it met configuration that is closed because it is broken.
	Broken Verdict = "closed"
	// Failed: the upstream did not answer as it should.
	Failed Verdict = "failed"
)

// Refuse returns an Answer of a policy.
func Refuse(status int, body, policy string, origin ir.Origin, cause string) *Answer {
	return &Answer{Status: status, Body: body, Verdict: Denied, Policy: policy, Origin: origin, Cause: cause}
}

// BadRequest returns a 400 for a request that is malformed or ambiguous.
func BadRequest(cause string) *Answer {
	return &Answer{Status: http.StatusBadRequest, Body: "bad request: " + cause, Verdict: Invalid, Cause: cause}
}

// ClosedAnswer answers for configuration that is broken.
func ClosedAnswer(c *ir.Closed) *Answer {
	status := c.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	return &Answer{Status: status, Body: "this route is closed because its configuration is broken", Verdict: Broken, Origin: c.Origin, Cause: c.Reason}
}

// Closed returns the stage that ends every request with ClosedAnswer(c).
func Closed(c *ir.Closed) Stage { return closedStage{c} }

type closedStage struct{ c *ir.Closed }

func (s closedStage) Run(_ context.Context, _ *Exchange) *Answer { return ClosedAnswer(s.c) }

// write sends a to the client and enters it in the record. Every answer of
// the gateway's own carries its decision id.
func (e *Exchange) write(a *Answer) {
	h := e.Response.Header()
	told := a
	a = e.forGRPC(a)
	for k, v := range a.Header {
		h[k] = v
	}
	if a.Body != "" && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/plain")
	}
	h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	h.Set("X-Postern-Decision", e.Record.Decision)
	e.FinishHeader(a.Status, h, a.Verdict == Allowed)
	e.Record.decide(told)
	e.Record.Status = a.Status
	skip := e.dismissBody()
	e.Response.WriteHeader(a.Status)
	if e.Method != http.MethodHead {
		n, _ := io.WriteString(e.Response, a.Body)
		e.Record.BytesOut = int64(n)
	}
	if skip {
		e.skipBody()
	}
}

// What is left of a request's body when it is answered without: bodyLeft is
// how long it may take to come, and mostLeft how much is worth waiting for.
const (
	bodyLeft = 5 * time.Second
	mostLeft = 64 << 10
)

// dismissBody, before the head is written, sees to it that an answer which
// does not need the request's body does not wait for it: net/http's HTTP/1
// server would first read up to 256 KiB of what is left, for as long as the
// client likes. It reports whether skipBody is to follow.
func (e *Exchange) dismissBody() bool {
	if e.Proto != 1 || e.Length == 0 || e.collected != nil || e.rest == nil {
		return false
	}
	h := e.Response.Header()
	closes := h.Get("Connection") == "close"
	if e.Length < 0 || e.Length > mostLeft || e.expects {
		closes = true
		h.Set("Connection", "close")
	}
	c := http.NewResponseController(e.Response)
	_ = c.EnableFullDuplex()
	_ = c.SetReadDeadline(time.Now().Add(bodyLeft))
	return !closes
}

// skipBody reads what is left, so that the connection can serve the next
// request. If that does not come in time, the connection ends: net/http would
// take what comes later for a request (a pause-based desync).
func (e *Exchange) skipBody() {
	if http.NewResponseController(e.Response).Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	if _, err := io.Copy(io.Discard, e.rest); err != nil {
		panic(http.ErrAbortHandler)
	}
}
