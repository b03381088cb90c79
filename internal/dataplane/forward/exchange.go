package forward

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
)

// exchange is one request on its way through the stage.
type exchange struct {
	f       *forwarder
	backend *backend
	e       *dataplane.Exchange
	ctx     context.Context // ends with the client, a time-out, or the exchange
	cancel  context.CancelCauseFunc
	client  *http.ResponseController
	watch   watch

	upgrade string  // what to ask the upstream to switch to
	data    []byte  // the body in memory
	held    int64   // of the budget, by the body as it is before an attempt
	stream  *stream // or as it comes

	tier, inTier int
	tried        []*endpoint
	triedRoom    [4]*endpoint
	allowed      map[string]bool // models, as far as the policies were asked
	skipped      string          // who was left out for its model
	mark         dataplane.Mark
}

func newExchange(ctx context.Context, f *forwarder, b *backend, e *dataplane.Exchange) *exchange {
	x := &exchange{f: f, backend: b, e: e, client: http.NewResponseController(e.Response)}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	x.tried = x.triedRoom[:0]
	x.mark = e.Mark()
	idle := f.settings.idle
	if idle == 0 && e.Listener != nil {
		idle = e.Listener.Limits.StreamIdle
	}
	x.watch.cancel, x.watch.client = x.cancel, x.client
	x.watch.start(&f.settings, idle, f.deps.Clock().Sub(e.Record.Start))
	e.OnRead(x.watch.touch)
	return x
}

// end lets go of everything. Nobody reads from the client afterwards.
func (x *exchange) end() {
	x.watch.stop()
	x.cancel(nil)
	if s := x.stream; s != nil && (s.given || x.watch.reason != nil) {
		if s.part() {
			x.closeAfter()
			_ = x.client.SetReadDeadline(past)
		}
		if s.given {
			<-s.done
		}
	}
	x.e.OnRead(nil)
}

// run makes attempts until one answers, or none is left.
func (x *exchange) run() *dataplane.Answer {
	if a := x.admitUpgrade(); a != nil {
		return a
	}
	if a := x.readBody(); a != nil {
		return a
	}
	x.held = x.e.Held()
	m, ep := x.pick()
	for {
		switch {
		case m == nil:
			return noHealthy(cmp.Or(x.skipped, "the backend has no endpoint"))
		case m.upstream.cfg.Closed != nil:
			return dataplane.ClosedAnswer(m.upstream.cfg.Closed)
		case ep == nil:
			return noHealthy("the upstream has no endpoint")
		}
		at, fail := x.try(m, ep)
		if x.again(at, fail) {
			if m, ep = x.pick(); m != nil { // else this answer is the last
				at.close()
				if x.stream != nil {
					x.stream = newStream(x)
				}
				if x.backOff() {
					continue
				}
				return x.classify(x.ctx, x.ctx.Err()).asAnswer()
			}
		}
		if fail != nil {
			return fail.asAnswer()
		}
		return x.reply(at)
	}
}

// attempt is one request to one endpoint, and its answer.
type attempt struct {
	m      *member
	ep     *endpoint
	header http.Header             // as sent
	secret []string                // the names in header whose values are credentials
	from   map[string]string       // of a rehearsal: where these come from
	cancel context.CancelCauseFunc // nil: the attempt has no time-out of its own
	resp   *http.Response
}

// close ends the attempt. An answer that was not read to its end takes its
// connection with it.
func (at *attempt) close() {
	if at == nil {
		return
	}
	if at.resp != nil {
		_ = at.resp.Body.Close()
	}
	if at.cancel != nil {
		at.cancel(nil)
	}
	at.ep.leave()
}

// try makes one attempt. It returns either an attempt with an answer, which
// is to be closed, or a failure.
func (x *exchange) try(m *member, ep *endpoint) (*attempt, *failure) {
	u := ep.upstream
	x.tried = append(x.tried, ep)
	x.inTier++
	r := &x.e.Record
	r.Upstream, r.Endpoint, r.Attempts = u.cfg.Name, ep.address, len(x.tried)
	if !u.enter() {
		return nil, &failure{kind: failOverflow, cause: "too many requests are under way to the upstream"}
	}
	ep.active.Add(1)
	at := &attempt{m: m, ep: ep}
	ctx := x.ctx
	if x.f.settings.attempt > 0 {
		ctx, at.cancel = context.WithCancelCause(ctx)
	}
	o, fail := x.head(ctx, at)
	switch {
	case fail != nil:
	case x.e.Trace() != nil:
		fail = x.rehearse(at, o)
	default:
		fail = x.send(ctx, at, o)
	}
	if fail != nil {
		at.close()
		return nil, fail
	}
	return at, nil
}

// send sends o and waits for the head of the answer.
func (x *exchange) send(ctx context.Context, at *attempt, o *outgoing) *failure {
	x.watch.attemptBegins(x.f.settings.attempt, at.cancel)
	if o.stream != nil {
		o.stream.given = true
	}
	resp, err := at.ep.transport.roundTrip(ctx, o)
	x.watch.attemptAnswers()
	if err != nil {
		fail := x.classify(ctx, err)
		if fail.kind != failFinal && fail.kind != failOverflow {
			at.ep.fail()
		}
		return fail
	}
	at.resp = resp
	x.e.Record.UpstreamStatus = resp.StatusCode
	x.e.Record.FirstByte = x.f.deps.Clock().Sub(x.e.Record.Start)
	if n := countLines(resp.Header); n > maxReplyHeaders {
		return &failure{kind: failProtocol, cause: "the upstream's answer has too many headers"}
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		at.ep.fail()
	} else {
		at.ep.succeed()
	}
	return nil
}

func countLines(h http.Header) int {
	n := 0
	for _, v := range h {
		n += len(v)
	}
	return n
}

// again reports whether the attempt is to be repeated.
func (x *exchange) again(at *attempt, fail *failure) bool {
	r := x.backend.retry
	if r == nil || x.ctx.Err() != nil || !x.stream.untouched() || x.upgrade != "" && fail == nil {
		return false
	}
	if len(x.tried) > max(r.Attempts, 1) {
		return false
	}
	if fail != nil {
		switch fail.kind {
		case failConnect, failOverflow, failCredential:
			return r.OnConnect && (fail.kind == failConnect || x.hasNextTier())
		case failReset, failProtocol:
			return r.OnReset
		case failTimeout:
			return r.OnTimeout
		}
		return false
	}
	status := at.resp.StatusCode
	if r.On5xx && status >= 500 {
		return true
	}
	for _, s := range r.Statuses {
		if s == status {
			return true
		}
	}
	return false
}

// hasNextTier reports whether the next attempt goes to another tier.
func (x *exchange) hasNextTier() bool {
	r := x.backend.retry
	return r != nil && r.NextTier > 0 && x.inTier >= r.NextTier && x.tier+1 < len(x.backend.tiers)
}

const defaultBackoff = 25 * time.Millisecond

// backOff waits before the next attempt, unless the exchange ends.
func (x *exchange) backOff() bool {
	r := x.backend.retry
	base := orDefault(r.BackoffBase, defaultBackoff)
	most := orDefault(r.BackoffMax, 10*base)
	bound := min(base<<min(len(x.tried)-1, 16), most)
	if bound <= 0 {
		bound = most
	}
	t := time.NewTimer(time.Duration(x.f.deps.Rand() % uint64(bound+1)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-x.ctx.Done():
		return false
	}
}
