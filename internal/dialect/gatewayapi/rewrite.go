package gatewayapi

import (
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
)

// pathRewrite translates a path modifier, of a rewrite or a redirect.
func (r *rule) pathRewrite(p *gatewayv1.HTTPPathModifier, at string) *ir.PathRewrite {
	if p == nil {
		return nil
	}
	switch {
	case p.Type == gatewayv1.FullPathHTTPPathModifier && p.ReplaceFullPath != nil && p.ReplacePrefixMatch == nil:
		full := *p.ReplaceFullPath
		if why := badPath(full); why != "" {
			r.bad("UnsupportedValue", at+".replaceFullPath", "write a path that begins with /", "%q %s", full, why)
		}
		return &ir.PathRewrite{Full: &full}
	case p.Type == gatewayv1.PrefixMatchHTTPPathModifier && p.ReplacePrefixMatch != nil && p.ReplaceFullPath == nil:
		prefix := parent.Or(p.ReplacePrefixMatch, "/")
		if why := badPath(prefix); why != "" {
			r.bad("UnsupportedValue", at+".replacePrefixMatch", "write a path that begins with /", "%q %s", prefix, why)
		}
		if !r.prefixed {
			r.bad("IncompatibleFilters", at, "match by PathPrefix, or use ReplaceFullPath", "ReplacePrefixMatch needs matches by PathPrefix alone")
		}
		return &ir.PathRewrite{Segments: &prefix}
	}
	r.bad("UnsupportedValue", at, "use ReplaceFullPath or ReplacePrefixMatch, with the field of that name", "%q and its fields do not agree", p.Type)
	return nil
}

// redirect translates a RequestRedirect filter.
func (r *rule) redirect(f *gatewayv1.HTTPRequestRedirectFilter, at string) *ir.Redirect {
	out := &ir.Redirect{
		Scheme:   parent.Or(f.Scheme, ""),
		Hostname: parent.Or(f.Hostname, ""),
		Path:     r.pathRewrite(f.Path, at+".path"),
		Status:   302,
		Origin:   r.obj.Origin(r.field + at),
	}
	if !slices.Contains([]string{"", "http", "https"}, out.Scheme) {
		r.bad("UnsupportedValue", at+".scheme", "use http or https", "%q is no scheme to redirect to", out.Scheme)
	}
	if out.Hostname != "" && !parent.ValidPrecise(out.Hostname) {
		r.bad("UnsupportedValue", at+".hostname", "write a lower case DNS name", "%q is no hostname", out.Hostname)
	}
	if f.Port != nil {
		out.Port = int(*f.Port)
		if out.Port < 1 || out.Port > 65535 {
			r.bad("UnsupportedValue", at+".port", "use 1 to 65535", "%d is no port", out.Port)
		}
	}
	if f.StatusCode != nil {
		out.Status = *f.StatusCode
		if !slices.Contains([]int{301, 302, 303, 307, 308}, out.Status) {
			r.bad("UnsupportedValue", at+".statusCode", "use 301, 302, 303, 307 or 308", "%d is no status of a redirect", out.Status)
		}
	}
	return out
}

// timing translates the rule's time-outs and retries.
func (r *rule) timing() []ir.Step {
	var out []ir.Step
	step := func(field string, s ir.Step) {
		s.Phase, s.Slot, s.Origin = ir.PhaseForward, Name+"/"+field, r.obj.Origin(r.field+"."+field)
		out = append(out, s)
	}
	if t := r.spec.Timeouts; t != nil {
		request := r.duration(t.Request, ".timeouts.request")
		attempt := r.duration(t.BackendRequest, ".timeouts.backendRequest")
		if request > 0 && attempt > request {
			r.bad("UnsupportedValue", ".timeouts.backendRequest", "shorten it", "an attempt may take longer than the request")
		}
		if request > 0 || attempt > 0 {
			step("timeouts", ir.Step{Timeouts: &ir.Timeouts{Request: request, Attempt: attempt}})
		}
	}
	if retry := r.retry(); retry != nil {
		step("retry", ir.Step{Retry: retry})
	}
	if r.spec.SessionPersistence != nil {
		r.ignore(".sessionPersistence", "sessions are not kept on one endpoint", "remove it")
	}
	return out
}

// retry translates the rule's retries: what is listed, and what the API says
// should be retried always, which is connections that fail.
func (r *rule) retry() *ir.Retry {
	spec := r.spec.Retry
	if spec == nil {
		return nil
	}
	out := &ir.Retry{OnConnect: true, OnReset: true, OnTimeout: true, Attempts: 1, Origin: r.obj.Origin(r.field + ".retry")}
	if spec.Attempts != nil {
		out.Attempts = *spec.Attempts
	}
	if out.Attempts < 0 || out.Attempts > 100 {
		r.bad("UnsupportedValue", ".retry.attempts", "use 0 to 100", "%d attempts are not possible", out.Attempts)
	}
	for _, c := range spec.Codes {
		if c < 400 || c > 599 {
			r.bad("UnsupportedValue", ".retry.codes", "use 400 to 599", "%d is no status to retry", c)
		}
		out.Statuses = append(out.Statuses, int(c))
	}
	out.BackoffBase = r.duration(spec.Backoff, ".retry.backoff")
	if out.Attempts == 0 {
		return nil
	}
	return out
}
