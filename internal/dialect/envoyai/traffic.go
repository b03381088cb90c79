package envoyai

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	kube "k8s.io/apimachinery/pkg/api/resource"

	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// quantity is a number of bytes, as Kubernetes writes it: 1024, "4Ki".
type quantity int64

// UnmarshalJSON reads b.
func (q *quantity) UnmarshalJSON(b []byte) error {
	var v kube.Quantity
	if err := json.Unmarshal(b, &v); err != nil {
		return errors.New("not a quantity such as 1024 or 4Ki")
	}
	n, ok := v.AsInt64()
	if !ok || n < 0 {
		return errors.New("not a number of bytes")
	}
	*q = quantity(n)
	return nil
}

// backendTraffic reads a BackendTrafficPolicy, field by field. What concerns
// connections and health is put on the upstreams of AIGatewayRoutes by these.
func (p *place) backendTraffic(s *backendTrafficPolicySpec) {
	p.attach(&s.targeting, targetKinds, []field{
		p.build("retry", s.Retry != nil, func(at *place) []ir.Step { return at.retry(s.Retry) }),
		p.build("timeout", s.Timeout != nil, func(at *place) []ir.Step { return at.timeouts(s.Timeout) }),
		p.build("requestBuffer", s.RequestBuffer != nil, func(at *place) []ir.Step {
			if s.RequestBuffer.Limit == nil || *s.RequestBuffer.Limit < 1 {
				at.Fail("limit", "write one such as 4Mi", "the buffer has no limit")
				return nil
			}
			return []ir.Step{{Phase: ir.PhaseFilter, Buffer: &ir.Buffer{Bytes: int64(*s.RequestBuffer.Limit)}}}
		}),
		p.build("httpUpgrade", len(s.HTTPUpgrade) > 0, func(at *place) []ir.Step {
			up := &ir.Upgrade{}
			for i, u := range s.HTTPUpgrade {
				if !reading.IsToken(u.Type) || u.Type == "CONNECT" || bool(u.Connect) {
					at.Fail(fmt.Sprintf("[%d].type", i), "write websocket", "an upgrade to %q is not supported", u.Type)
				}
				up.Protocols = append(up.Protocols, u.Type)
			}
			return []ir.Step{{Phase: ir.PhaseForward, Upgrade: up}}
		}),
		p.unsupported("rateLimit", s.RateLimit, "remove it to serve these routes without it"),
		p.unsupported("admissionControl", s.AdmissionControl, "remove it to serve these routes without it"),
		p.unsupported("bandwidthLimit", s.BandwidthLimit, "remove it to serve these routes without it"),
	})
	p.tuning(&tuning{}, s)
	for _, f := range []struct {
		name  string
		there present
	}{
		{"compression", s.Compression},
		{"compressor", s.Compressor},
		{"connection", s.Connection},
		{"dns", s.DNS},
		{"faultInjection", s.FaultInjection},
		{"http2", s.HTTP2},
		{"proxyProtocol", s.ProxyProtocol},
		{"responseOverride", s.ResponseOverride},
		{"routingType", s.RoutingType},
		{"tcpKeepalive", s.TCPKeepalive},
		{"telemetry", s.Telemetry},
		{"useClientProtocol", s.UseClientProtocol},
	} {
		p.Ignore(f.name, f.there)
	}
}

// Envoy Gateway's defaults of a retry.
const defaultRetries = 2

var defaultTriggers = []string{"connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"}

func (p *place) retry(s *retry) []ir.Step {
	out := &ir.Retry{Attempts: defaultRetries, NextTier: s.NumAttemptsPerPriority, Origin: p.Origin("")}
	if s.NumRetries != nil {
		out.Attempts = *s.NumRetries
	}
	if out.Attempts < 0 || out.Attempts > 100 || out.NextTier < 0 {
		p.Fail("numRetries", "use 0 to 100", "%d retries are not possible", out.Attempts)
	}
	triggers, statuses := defaultTriggers, []int{503}
	if on := s.RetryOn; on != nil {
		triggers, statuses = on.Triggers, on.HTTPStatusCodes
		if len(statuses) > 0 && len(triggers) == 0 {
			triggers = []string{"retriable-status-codes"}
		}
	}
	for i, t := range triggers {
		p.trigger(fmt.Sprintf("retryOn.triggers[%d]", i), t, statuses, out)
	}
	steps := []ir.Step{{Phase: ir.PhaseForward, Retry: out}}
	if r := s.PerRetry; r != nil {
		if d := p.duration("perRetry.timeout", r.Timeout); d > 0 {
			steps = append(steps, ir.Step{Phase: ir.PhaseForward, Timeouts: &ir.Timeouts{Attempt: d}})
		}
		if b := r.BackOff; b != nil {
			out.BackoffBase = p.duration("perRetry.backOff.baseInterval", b.BaseInterval)
			out.BackoffMax = p.duration("perRetry.backOff.maxInterval", b.MaxInterval)
		}
	}
	if out.Attempts == 0 {
		return slices.DeleteFunc(steps, func(s ir.Step) bool { return s.Retry != nil })
	}
	return steps
}

// trigger reads one of Envoy's conditions. Those of gRPC are read as what they
// mean to HTTP.
func (p *place) trigger(field, t string, statuses []int, out *ir.Retry) {
	switch {
	case t == "retriable-status-codes":
		for _, c := range statuses {
			if c < 100 || c > 599 {
				p.Fail("retryOn.httpStatusCodes", "use 100 to 599", "%d is no status", c)
			}
		}
		out.Statuses = append(out.Statuses, statuses...)
	case envoy.RetryOn(out, t), envoy.IsGRPCRetry(t):
	default:
		p.Fail(field, "remove it", "%q is no condition", t)
	}
}

func (p *place) timeouts(s *trafficTimeout) []ir.Step {
	if s.HTTP == nil {
		return nil
	}
	t := ir.Timeouts{
		Request: p.duration("http.requestTimeout", s.HTTP.RequestTimeout),
		Idle:    p.duration("http.streamIdleTimeout", s.HTTP.StreamIdleTimeout),
		Stream:  p.duration("http.maxStreamDuration", s.HTTP.MaxStreamDuration),
	}
	p.Ignore("http.maxConnectionDuration", s.HTTP.MaxConnectionDuration)
	if t == (ir.Timeouts{}) {
		return nil
	}
	return []ir.Step{{Phase: ir.PhaseForward, Timeouts: &t}}
}

// tuning is what policies ask of an upstream: of each field the narrowest
// policy's.
type tuning struct {
	outlier                     *ir.Outlier
	connect, idle               time.Duration
	maxConnections, maxRequests int
}

func (t *tuning) isZero() bool { return *t == tuning{} }

func (t *tuning) apply(u *ir.Upstream) {
	u.Outlier, u.ConnectTimeout, u.IdleTimeout = t.outlier, t.connect, t.idle
	u.MaxConnections, u.MaxRequests = t.maxConnections, t.maxRequests
}

// tuning reads what concerns upstreams into t, where it is not set yet.
func (p *place) tuning(t *tuning, s *backendTrafficPolicySpec) {
	if h := s.HealthCheck; h != nil {
		p.Ignore("healthCheck.active", h.Active)
		p.Ignore("healthCheck.panicThreshold", h.PanicThreshold)
		if h.Passive != nil && t.outlier == nil {
			t.outlier = p.in("healthCheck.passive").outlier(h.Passive)
		}
	}
	if c := s.CircuitBreaker; c != nil {
		at := p.in("circuitBreaker")
		at.limit("maxConnections", c.MaxConnections, &t.maxConnections)
		at.limit("maxParallelRequests", c.MaxParallelRequests, &t.maxRequests)
		for _, f := range []struct {
			name  string
			there present
		}{
			{"maxParallelRetries", c.MaxParallelRetries},
			{"maxPendingRequests", c.MaxPendingRequests},
			{"maxRequestsPerConnection", c.MaxRequestsPerConnection},
			{"perEndpoint", c.PerEndpoint},
			{"retryBudget", c.RetryBudget},
		} {
			at.Ignore(f.name, f.there)
		}
	}
	if s.Timeout != nil && s.Timeout.TCP != nil && t.connect == 0 {
		t.connect = p.duration("timeout.tcp.connectTimeout", s.Timeout.TCP.ConnectTimeout)
	}
	if s.Timeout != nil && s.Timeout.HTTP != nil && t.idle == 0 {
		t.idle = p.duration("timeout.http.connectionIdleTimeout", s.Timeout.HTTP.ConnectionIdleTimeout)
	}
	if l := s.LoadBalancer; l != nil {
		if !slices.Contains([]string{"RoundRobin", "Random", "LeastRequest"}, l.Type) {
			p.Warn("loadBalancer.type", "write LeastRequest", "%s is not supported: endpoints are chosen as for LeastRequest", l.Type)
		}
		p.Ignore("loadBalancer.slowStart", l.SlowStart)
		p.Ignore("loadBalancer.zoneAware", l.ZoneAware)
		p.Ignore("loadBalancer.endpointOverride", l.EndpointOverride)
	}
}

func (p *place) limit(field string, n *int, out *int) {
	if n == nil || *out != 0 {
		return
	}
	if *n < 1 || *n > math.MaxInt32 {
		p.Fail(field, "write 1 or more", "%d is no limit", *n)
		return
	}
	*out = *n
}

func (p *place) outlier(s *passive) *ir.Outlier {
	out := &ir.Outlier{Ejection: p.duration("baseEjectionTime", s.BaseEjectionTime)}
	for _, n := range []*int{s.ConsecutiveGatewayErrors, s.Consecutive5XXErrors} {
		if n != nil && *n > 0 && (out.Consecutive == 0 || *n < out.Consecutive) {
			out.Consecutive = *n
		}
	}
	if s.MaxEjectionPercent != nil {
		if out.MaxPercent = *s.MaxEjectionPercent; out.MaxPercent < 0 || out.MaxPercent > 100 {
			p.Fail("maxEjectionPercent", "use 0 to 100", "%d is no percentage", out.MaxPercent)
		}
	}
	p.Ignore("failurePercentageThreshold", s.FailurePercentageThreshold)
	p.Ignore("splitExternalLocalOriginErrors", s.SplitExternalLocalOriginErrors)
	return out
}

// upstreamTuning returns what policies for the route and its Gateways ask of
// its upstreams: the narrowest policy's that holds, or more where that is
// merged.
func (r *routeWork) upstreamTuning() tuning {
	var t tuning
	for _, level := range r.levels() {
		for _, o := range r.t.v.In(backendTrafficPolicyKind, level.Namespace) {
			s := &o.Spec.(*backendTrafficPolicy).Spec
			q := r.quiet(o)
			if !slices.Contains(q.wholes(s), level) {
				continue
			}
			q.tuning(&t, s)
			if s.MergeType == "" {
				return t
			}
		}
	}
	return t
}

// wholes lists the targets of a policy that are no sections.
func (p *place) wholes(s *backendTrafficPolicySpec) []resource.Key {
	var out []resource.Key
	for _, t := range p.targets(&s.targeting, targetKinds) {
		if t.Section == "" {
			out = append(out, resource.Key{GroupKind: t.GroupKind, Namespace: t.Namespace, Name: t.Name})
		}
	}
	return out
}

// levels are the route, as an HTTPRoute, and its Gateways, ListenerSets before
// theirs.
func (r *routeWork) levels() []resource.Key {
	out := []resource.Key{{GroupKind: parent.HTTPRouteKind, Namespace: r.Object.Namespace, Name: r.Object.Name}}
	for _, ref := range r.form.parents {
		key := resource.Key{GroupKind: parent.GatewayKind, Namespace: parent.Or(ref.Namespace, r.Object.Namespace), Name: string(ref.Name)}
		if parent.Or(ref.Kind, gatewayKindName) == listenerSetKindName {
			key.GroupKind = parent.ListenerSetKind
			out = append(out, key)
			set := r.t.v.Get(key.GroupKind, key.Namespace, key.Name)
			if set == nil {
				continue
			}
			gw := parent.SetOf(r.t.v, set).Gateway
			if gw == nil {
				continue
			}
			key = gw.Key
		}
		out = append(out, key)
	}
	return out
}
