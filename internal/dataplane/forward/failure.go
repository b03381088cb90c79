package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/dataplane"
)

// failKind is how an attempt failed.
type failKind int

const (
	// failConnect: no connection could be made; 503.
	failConnect failKind = iota
	// failOverflow: too many requests or connections are under way; 503.
	failOverflow
	// failReset: the connection broke before the answer's head; 503.
	failReset
	// failTimeout: the attempt's time-out ended it; 504.
	failTimeout
	// failProtocol: what came is no answer; 502.
	failProtocol
	// failCredential: there is no valid credential for the upstream; 503. It
	// may be another's turn.
	failCredential
	// failFinal: the answer is made already, and no other attempt would help.
	failFinal
)

// failure is an attempt without an answer.
type failure struct {
	kind   failKind
	cause  string
	answer *dataplane.Answer // of failFinal and failCredential
}

// The beginnings of Envoy's texts are kept: people's alerts look for them.
const (
	textReset   = "upstream connect error or disconnect/reset before headers. reset reason: "
	textTimeout = "upstream request timeout"
	textNobody  = "no healthy upstream"
)

// asAnswer returns what the client is told.
func (f *failure) asAnswer() *dataplane.Answer {
	a := &dataplane.Answer{Status: http.StatusServiceUnavailable, Verdict: dataplane.Failed, Cause: f.cause}
	switch f.kind {
	case failFinal, failCredential:
		return f.answer
	case failConnect:
		a.Body = textReset + "connection failure"
	case failOverflow:
		a.Body = textReset + "overflow"
	case failReset:
		a.Body = textReset + "connection termination"
	case failTimeout:
		a.Status, a.Body = http.StatusGatewayTimeout, textTimeout
	case failProtocol:
		a.Status, a.Body = http.StatusBadGateway, textReset+"protocol error"
	}
	return a
}

func noHealthy(cause string) *dataplane.Answer {
	return &dataplane.Answer{Status: http.StatusServiceUnavailable, Body: textNobody, Verdict: dataplane.Failed, Cause: cause}
}

// internalError is a 500 for an outbound head that must not be sent.
func internalError(cause string) *dataplane.Answer {
	return &dataplane.Answer{Status: http.StatusInternalServerError, Body: "the request could not be prepared for the upstream", Verdict: dataplane.Broken, Cause: cause}
}

// noCredential is a request that cannot be given its credential: the caller's
// fault where it had to bring one, 503 where there may be one later, or else
// 500.
func noCredential(err error) *failure {
	var caller *credential.CallerError
	switch {
	case errors.As(err, &caller):
		return final(&dataplane.Answer{Status: caller.Status, Body: caller.Text, Verdict: dataplane.Denied, Cause: "credential: " + caller.Text})
	case !errors.Is(err, credential.ErrUnavailable):
		return final(internalError("credential: " + err.Error()))
	}
	return &failure{kind: failCredential, answer: &dataplane.Answer{
		Status: http.StatusServiceUnavailable, Body: "the gateway has no valid credential for the upstream at the moment",
		Verdict: dataplane.Failed, Cause: "credential: " + err.Error(),
	}}
}

// slowClient answers a client that did not send its body in time.
func slowClient(why error) *dataplane.Answer {
	return &dataplane.Answer{
		Status: http.StatusRequestTimeout, Body: "request timeout", Verdict: dataplane.Invalid,
		Header: http.Header{"Connection": {"close"}}, Cause: "waiting for the request's body: " + why.Error(),
	}
}

// goneStatus is what the record shows for a client that hung up, as nginx
// does; nobody is there to see it.
const goneStatus = 499

func final(a *dataplane.Answer) *failure { return &failure{kind: failFinal, answer: a} }

// cutDrain and cutClient are what a record says of who broke off.
const (
	cutDrain  = "drain"
	cutClient = "client"
)

// gone says why the request's context has ended: the client hung up, or the
// gateway is at the end of its drain.
func (x *exchange) gone() string {
	if errors.Is(context.Cause(x.ctx), dataplane.ErrDrained) {
		return cutDrain
	}
	return cutClient
}

// classify says what an error of an attempt means.
func (x *exchange) classify(ctx context.Context, err error) *failure {
	if why := x.watch.why(); why != nil {
		return final(x.timedOut(why))
	}
	if x.ctx.Err() != nil {
		x.e.Record.Cut = x.gone()
		cause := "the client hung up before the answer"
		if x.e.Record.Cut == cutDrain {
			cause = dataplane.ErrDrained.Error()
		}
		return final(&dataplane.Answer{Status: goneStatus, Verdict: dataplane.Failed, Cause: cause})
	}
	if berr := x.stream.broken(); berr != nil {
		return final(dataplane.BodyAnswer(berr))
	}
	if errors.Is(context.Cause(ctx), errAttemptTime) {
		return &failure{kind: failTimeout, cause: errAttemptTime.Error()}
	}
	var ce *connectError
	switch {
	case errors.Is(err, errOverflow):
		return &failure{kind: failOverflow, cause: err.Error()}
	case errors.As(err, &ce):
		return &failure{kind: failConnect, cause: ce.Error()}
	case isReset(err):
		return &failure{kind: failReset, cause: "the connection ended before the answer's head: " + plain(err)}
	}
	return &failure{kind: failProtocol, cause: "the upstream's answer is malformed: " + plain(err)}
}

// timedOut is the answer to a time-out before the answer's head: the client's
// fault if it was waited for, and not an upstream that does not read.
func (x *exchange) timedOut(why error) *dataplane.Answer {
	if x.watch.waitedForClient() {
		return slowClient(why)
	}
	return &dataplane.Answer{Status: http.StatusGatewayTimeout, Body: textTimeout, Verdict: dataplane.Failed, Cause: why.Error()}
}

// isReset reports whether err is a connection that ended.
func isReset(err error) bool {
	for _, target := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, net.ErrClosed} {
		if errors.Is(err, target) {
			return true
		}
	}
	var ne net.Error
	if errors.As(err, &ne) {
		return true
	}
	s := err.Error() // net/http's HTTP/2 errors have no exported types
	return strings.Contains(s, "stream error") || strings.Contains(s, "GOAWAY") ||
		strings.Contains(s, "connection lost") || strings.Contains(s, "connection error") || strings.Contains(s, "connection force closed")
}

// plain returns the part of an error's text that can hold nothing of what the
// upstream sent: parsers quote it, and it may repeat a credential.
func plain(err error) string {
	s := err.Error()
	var oe *net.OpError
	if errors.As(err, &oe) {
		return s
	}
	if i := strings.IndexAny(s, "\":"); i > 0 {
		s = s[:i]
	}
	return strings.TrimSpace(s)
}
