package gloomesh

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/ir"
)

// defaultRetryOn is Istio's, where retryOn is not written.
const defaultRetryOn = "connect-failure,refused-stream,503"

// retryTimeout bounds requests and repeats attempts. It guards nothing: what
// of it is not supported is reported and left out.
func (p *place) retryTimeout(s *retryTimeoutPolicy) {
	c := &s.Spec.Config
	var steps []ir.Step
	add := func(step ir.Step) {
		step.Phase, step.Order = ir.PhaseForward, orderForward
		steps = append(steps, step)
	}
	mark := p.Mark()
	switch d := c.RequestTimeout; {
	case d.Duration < 0:
		p.Fail("config.requestTimeout", "write a positive time, or 0s for none", "requestTimeout is negative")
	case d.Duration > 0:
		add(ir.Step{Timeouts: &ir.Timeouts{Request: d.Duration}})
	}
	if r := c.Retries; r != nil {
		attempts := 2
		if r.Attempts != nil {
			attempts = *r.Attempts
		}
		p.Ignore("config.retries.retryRemoteLocalities", r.RetryRemoteLocalities)
		retry := &ir.Retry{Attempts: attempts, Origin: p.Origin("config.retries")}
		p.retryOn(retry, cmp.Or(r.RetryOn, defaultRetryOn))
		if attempts > 0 {
			add(ir.Step{Retry: retry})
		}
		if r.PerTryTimeout.Duration > 0 {
			add(ir.Step{Timeouts: &ir.Timeouts{Attempt: r.PerTryTimeout.Duration}})
		}
	}
	sel := selection{routes: s.Spec.ApplyToRoutes}
	targets := p.selected(sel)
	p.bound(targets, sel, false)
	p.attach("RetryTimeoutPolicy", targets, steps, p.Since(mark))
}

// retryOn reads Envoy's conditions (x-envoy-retry-on); a number is a status.
func (p *place) retryOn(r *ir.Retry, list string) {
	for _, on := range strings.Split(list, ",") {
		on = strings.TrimSpace(on)
		status, err := strconv.Atoi(on)
		switch {
		case on == "":
		case err == nil && status >= 400 && status <= 599:
			r.Statuses = append(r.Statuses, status)
		case envoy.RetryOn(r, on):
		default:
			p.Warn("config.retries.retryOn", "remove it", "retry condition %q is not supported and has no effect", on)
		}
	}
}
