package gloo

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// hostSettings reads the options of a virtual host.
func (t *translation) hostSettings(o *resource.Object, at string, s *hostOptions) []setting {
	p := t.options(o, at)
	if s == nil {
		return p.faulty()
	}
	p.common(&s.commonOptions, "host", orderHostHeaders)
	if s.JWT != nil && s.JWTStaged != nil {
		p.close("jwt.afterExtAuth", "jwt", "keep one of them", "jwt and jwtStaged exclude each other")
	} else {
		p.jwt("afterExtAuth", "jwt", s.JWT)
		p.jwtStages("jwtStaged", s.JWTStaged)
	}
	p.ignore("corsPolicyMergeSettings", s.CORSPolicyMergeSettings)
	p.ignore("includeAttemptCountInResponse", s.IncludeAttemptCountInResponse)
	p.ignore("includeRequestAttemptCount", s.IncludeRequestAttemptCount)
	p.ignore("stats", s.Stats)
	return p.faulty()
}

// common reads what virtual hosts and routes share. Level names the slot of
// header edits: they run on every level, one of each.
func (p *options) common(s *commonOptions, level string, order int) {
	p.buffer(s.BufferPerRoute)
	p.cors(s.CORS)
	p.extAuth(s.ExtAuth)
	p.headers("headerManipulation."+level, s.HeaderManipulation, order)
	p.rbac(s.RBAC)
	p.retries(s.Retries)
	p.guard("csrf", "csrf", s.CSRF)
	p.guard("dlp", "dlp", s.DLP)
	p.guard("extProc", "extProc", s.ExtProc)
	p.guard("extProcEarly", "extProcEarly", s.ExtProcEarly)
	p.guard("extProcLate", "extProcLate", s.ExtProcLate)
	// These pairs are alternatives of one field, so they share its slot.
	p.guard("ratelimit", "ratelimit", s.RateLimit)
	p.guard("ratelimit", "rateLimitConfigs", s.RateLimitConfigs)
	p.guard("ratelimitEarly", "ratelimitEarly", s.RateLimitEarly)
	p.guard("ratelimitEarly", "rateLimitEarlyConfigs", s.RateLimitEarlyConfigs)
	p.guard("ratelimitRegular", "ratelimitRegular", s.RateLimitRegular)
	p.guard("ratelimitRegular", "rateLimitRegularConfigs", s.RateLimitRegularConfigs)
	p.guard("ratelimitBasic", "ratelimitBasic", s.RateLimitBasic)
	p.transforms(s.StagedTransformations, s.Transformations)
	p.guard("waf", "waf", s.WAF)
	p.ignore("extensions", s.Extensions)
}

// destinationSettings reads the options of a weighted destination.
func (t *translation) destinationSettings(o *resource.Object, at string, s *destinationOptions) []setting {
	p := t.options(o, at)
	p.buffer(s.BufferPerRoute)
	p.extAuth(s.ExtAuth)
	p.headers("headerManipulation.destination", s.HeaderManipulation, 0)
	p.guard("csrf", "csrf", s.CSRF)
	if t := s.StagedTransformations; t != nil && t.Early != nil {
		p.close(transformSlot, transformSlot+".early", "write it on the route", "a destination is chosen too late for early transformations")
	} else {
		p.transforms(s.StagedTransformations, s.Transformations)
	}
	p.ignore("extensions", s.Extensions)
	return p.list
}

func (p *options) buffer(s *bufferPerRoute) {
	const field = "bufferPerRoute"
	switch {
	case s == nil:
	case s.Disabled:
		p.put(field)
	case s.Buffer == nil || s.Buffer.MaxRequestBytes == nil || *s.Buffer.MaxRequestBytes <= 0:
		p.close(field, field, "write buffer.maxRequestBytes, or disabled: true", "bufferPerRoute gives no limit")
	default:
		p.put(field, ir.Step{Phase: ir.PhaseFilter, Buffer: &ir.Buffer{Bytes: *s.Buffer.MaxRequestBytes}})
	}
}

func (p *options) cors(s *cors) {
	if s == nil {
		return
	}
	if s.DisableForRoute {
		p.put("cors")
		return
	}
	c := &ir.CORS{
		AllowOrigins: s.AllowOrigin, AllowOriginRegex: s.AllowOriginRegex, AllowMethods: s.AllowMethods,
		AllowHeaders: s.AllowHeaders, ExposeHeaders: s.ExposeHeaders, AllowCredentials: s.AllowCredentials,
	}
	if s.MaxAge != "" {
		seconds, ok := maxAge(s.MaxAge)
		if !ok {
			p.close("cors", "cors.maxAge", `write seconds, such as "86400"`, "%q is no number of seconds", s.MaxAge)
			return
		}
		c.MaxAgeSeconds = &seconds
	}
	p.put("cors", ir.Step{Phase: ir.PhasePre, CORS: c})
}

// maxAge reads seconds, or a duration.
func maxAge(s string) (int, bool) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return n, true
	}
	d, err := time.ParseDuration(s)
	return int(d / time.Second), err == nil && d >= 0
}

// retries follows Envoy's retry policy; retryOn is its list of conditions.
func (p *options) retries(s *retries) {
	if s == nil {
		return
	}
	r := &ir.Retry{Attempts: s.NumRetries, Origin: p.Origin("retries")}
	known := false
	for _, on := range strings.Split(s.RetryOn, ",") {
		if on = strings.TrimSpace(on); on == "" {
			continue
		}
		if on == "retriable-status-codes" {
			r.Statuses = append(r.Statuses, s.RetriableStatusCodes...)
		} else if !envoy.RetryOn(r, on) {
			p.Warn("retries.retryOn", "remove it", "retry condition %q is not supported and has no effect", on)
			continue
		}
		known = true
	}
	if b := s.RetryBackOff; b != nil {
		r.BackoffBase, r.BackoffMax = b.BaseInterval.Duration, b.MaxInterval.Duration
	}
	if s.PreviousPriorities != nil {
		r.NextTier = 2
		if f := s.PreviousPriorities.UpdateFrequency; f != nil && *f > 0 {
			r.NextTier = *f
		}
	}
	if s.RateLimitedRetryBackOff.set() {
		p.Warn("retries.rateLimitedRetryBackOff", "use retryBackOff", "rateLimitedRetryBackOff is not supported and has no effect")
	}
	var steps []ir.Step
	if known {
		steps = append(steps, ir.Step{Phase: ir.PhaseForward, Order: orderForward, Retry: r})
	} else {
		p.Warn("retries", "write retryOn, such as \"5xx,connect-failure\"", "retries without a condition repeat nothing")
	}
	if s.PerTryTimeout.Duration > 0 {
		steps = append(steps, ir.Step{Phase: ir.PhaseForward, Order: orderForward, Timeouts: &ir.Timeouts{Attempt: s.PerTryTimeout.Duration}})
	}
	p.put("retries", steps...)
}

// fraction turns a percentage into parts of a million.
func fraction(percentage float64) int {
	return int(math.Round(min(max(percentage, 0), 100) * 10_000))
}

// compact returns JSON text without needless space.
func compact(b raw) string {
	var v any
	if json.Unmarshal(b, &v) != nil {
		return string(b)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return string(b)
	}
	return string(out)
}
