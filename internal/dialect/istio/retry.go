package istio

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/ir"
)

// What holds where a route says nothing of retries.
const (
	defaultAttempts = 2
	defaultRetryOn  = "connect-failure,refused-stream,503"
)

// retrying reads timeout and retries. It guards nothing: what of it is not
// supported is reported and left out.
func (p *place) retrying(r *httpRoute) []ir.Step {
	var steps []ir.Step
	add := func(field string, s ir.Step) {
		steps = append(steps, p.step(field, ir.PhaseForward, orderForward, s))
	}
	switch d := r.Timeout; {
	case d.Duration < 0:
		p.Fail("timeout", "write a positive time, or 0s for none", "timeout is negative; the route is closed")
	case d.Duration > 0:
		add("timeout", ir.Step{Timeouts: &ir.Timeouts{Request: d.Duration}})
	}
	s := r.Retries
	if s == nil {
		s = &retries{}
	}
	attempts := defaultAttempts
	if s.Attempts != nil {
		attempts = *s.Attempts
	}
	if s.RetryRemoteLocalities != nil {
		p.Warn("retries.retryRemoteLocalities", "remove it", "retryRemoteLocalities is not supported and has no effect")
	}
	if attempts > 0 {
		retry := &ir.Retry{Attempts: attempts, BackoffBase: s.Backoff.Duration, Origin: p.Origin("retries")}
		p.retryOn(retry, cmp.Or(s.RetryOn, defaultRetryOn))
		add("retries", ir.Step{Retry: retry})
	}
	if s.PerTryTimeout.Duration > 0 {
		add("retries.perTryTimeout", ir.Step{Timeouts: &ir.Timeouts{Attempt: s.PerTryTimeout.Duration}})
	}
	return steps
}

// retryOn reads Envoy's conditions (x-envoy-retry-on, x-envoy-retry-grpc-on);
// a number is a status.
func (p *place) retryOn(r *ir.Retry, list string) {
	for _, on := range strings.Split(list, ",") {
		on = strings.TrimSpace(on)
		code, err := strconv.Atoi(on)
		switch {
		case on == "":
		case err == nil && code >= 400 && code <= 599:
			r.Statuses = append(r.Statuses, code)
		case envoy.RetryOn(r, on):
		case on == "retriable-status-codes": // the numbers beside it
		case envoy.IsGRPCRetry(on):
			p.Warn("retries.retryOn", "remove it", "gRPC retry condition %q is not supported and has no effect", on)
		default:
			p.Warn("retries.retryOn", "remove it", "retry condition %q is not supported and has no effect", on)
		}
	}
}

// mirrors reads where copies of requests go. One that leads nowhere is
// reported and left out.
func (p *place) mirrors(r *httpRoute, sc *scope) []ir.Step {
	var steps []ir.Step
	add := func(at *place, d *destination, share *float64) {
		if d == nil {
			return
		}
		if share != nil && *share <= 0 {
			return
		}
		upstream, problem := p.t.upstream(target{host: hostIn(d.Host, p.Object.Namespace), port: d.port(), subset: d.Subset, workload: sc.workload})
		if problem != nil {
			at.Warn("", problem.remedy, "%s; nothing is mirrored there", problem.what)
			return
		}
		m := &ir.Mirror{Upstream: upstream, HostSuffix: "-shadow"}
		if share != nil && *share < 100 {
			m.Numerator, m.Denominator = int(math.Round(*share*10_000)), 1_000_000
		}
		s := at.step("", ir.PhaseForward, orderForward, ir.Step{Mirror: m})
		s.Slot = name + "/mirror"
		steps = append(steps, s)
	}
	share := (*float64)(nil)
	switch {
	case r.MirrorPercentage != nil:
		share = &r.MirrorPercentage.Value
	case r.MirrorPercent != nil:
		f := float64(*r.MirrorPercent)
		share = &f
	}
	add(p.in("mirror"), r.Mirror, share)
	for i, m := range r.Mirrors {
		share := (*float64)(nil)
		if m.Percentage != nil {
			share = &m.Percentage.Value
		}
		add(p.in(index("mirrors", i)), m.Destination, share)
	}
	return steps
}
