package gloo

import (
	"cmp"
	"fmt"

	"github.com/postern-gateway/postern/internal/dialect/glooauth"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// authConfig is enterprise.gloo.solo.io/v1 AuthConfig.
type authConfig struct {
	Spec glooauth.Spec `json:"spec"`
}

// authConfig reports what is wrong with an AuthConfig, whether it is used or
// not. What refers to it translates it where it stands, so that only the
// options that use it follow its Secrets.
func (t *translation) authConfig(o *resource.Object, s *glooauth.Spec) {
	t.report.Add(t.authSet(o, s).Problems...)
}

// authSet returns what an AuthConfig asks of callers.
func (t *translation) authSet(o *resource.Object, s *glooauth.Spec) glooauth.Result {
	if r, done := t.auth[o.Key]; done {
		return r
	}
	r := glooauth.Result{}
	opts, problem := t.authOptions()
	switch {
	case len(o.Faults) > 0:
		r.Closed = reading.Unread(o)
	case problem != nil:
		r.Closed = &ir.Closed{Reason: problem.What, Origin: problem.Origin}
	default:
		r = glooauth.Translate(t.v, glooauth.Source{Object: o, At: "spec"}, s, opts)
	}
	if t.auth == nil {
		t.auth = map[resource.Key]glooauth.Result{}
	}
	t.auth[o.Key] = r
	return r
}

// extAuth asks callers who they are, between the two stages of JWT. On a
// weighted destination it is asked beside what the route asks.
func (p *options) extAuth(s *extAuth) {
	const field = "extauth"
	if s == nil {
		return
	}
	n := 0
	for _, set := range []bool{s.Disable, s.ConfigRef != nil, s.CustomAuth.set()} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		p.close(field, field, "write configRef, or disable: true", "extauth says %d things, want one", n)
	case s.Disable:
		p.put(field, p.unasked())
	case s.ConfigRef == nil:
		p.close(field, field+".customAuth", "use configRef with passThroughAuth", "customAuth, a server of your own in the gateway's place, is not supported; what it would guard is closed")
	default:
		p.authRef(field, s.ConfigRef.in(p.Object.Namespace))
	}
}

// unasked takes the place of auth where it is switched off: nobody is asked,
// and yet a client cannot say who it is in auth's words.
func (p *options) unasked() ir.Step {
	opts, _ := p.t.authOptions()
	return ir.Step{Phase: ir.PhaseAuthenticate, Headers: &ir.HeaderEdit{Request: ir.HeaderChanges{
		Sanitize: []string{cmp.Or(opts.UserHeader, glooauth.UserHeader)},
	}}}
}

func (p *options) authRef(field string, r ref) {
	o, spec := resource.Spec[authConfig](p.t.v, authConfigKind, r.Namespace, r.Name)
	if o == nil {
		p.close(field, field+".configRef", p.t.suggest(authConfigKind, r), "no AuthConfig %q in %s", r.Name, r.Namespace)
		return
	}
	result := p.t.authSet(o, &spec.Spec)
	if result.Closed != nil {
		p.close(field, field+".configRef", "correct the AuthConfig", "AuthConfig %v cannot be carried out: %s", r, result.Closed.Reason)
		return
	}
	p.put(field, ir.Step{Phase: ir.PhaseAuthenticate, AuthSet: result.Set})
}

// authServer is what listeners and Settings say of the server that carries
// AuthConfigs out. Here the gateway does so by itself: what is about a server
// that cannot be reached holds for the servers that passThroughAuth asks.
type authServer struct {
	ClearRouteCache   bool `json:"clearRouteCache"`
	ExtAuthzServerRef raw  `json:"extauthzServerRef"`
	FailureModeAllow  bool `json:"failureModeAllow"`
	GRPCService       raw  `json:"grpcService"`
	HTTPService       raw  `json:"httpService"`
	RequestBody       *struct {
		AllowPartialMessage bool  `json:"allowPartialMessage"`
		MaxRequestBytes     int64 `json:"maxRequestBytes"`
		PackAsBytes         bool  `json:"packAsBytes"`
	} `json:"requestBody"`
	RequestTimeout      resource.Duration `json:"requestTimeout"`
	StatPrefix          string            `json:"statPrefix"`
	StatusOnError       int               `json:"statusOnError"`
	TransportAPIVersion raw               `json:"transportApiVersion"`
	UserIDHeader        string            `json:"userIdHeader"`
}

// authServer reports what is said of a server and has no effect here.
// FailureModeAllow has none either: there is no server that could fail, and
// passThroughAuth has a failureModeAllow of its own.
func (p *options) authServer(field string, s *authServer) {
	if s == nil {
		return
	}
	p.ignore(field+".grpcService", s.GRPCService)
	p.ignore(field+".httpService", s.HTTPService)
	if s.ClearRouteCache {
		p.Warn(field+".clearRouteCache", "remove it", "clearRouteCache after ext auth is not supported and has no effect")
	}
	if h := s.UserIDHeader; h != "" {
		p.editable(field+".userIdHeader", h)
	}
	if c := s.StatusOnError; c != 0 && (c < 400 || c > 599) {
		p.Fail(field+".statusOnError", "write one of 400 to 599", "%d is no status of a refusal", c)
	}
}

// authServers returns every object that says something of ext auth's server.
func (t *translation) authServers(each func(*resource.Object, string, *authServer)) {
	add := func(o *resource.Object, at string, s *authServer) {
		if s != nil {
			each(o, at, s)
		}
	}
	for _, o := range t.v.All(httpListenerOptionKind) {
		if opts := o.Spec.(*httpListenerOption).Spec.Options; opts != nil {
			add(o, "spec.options.extauth", opts.ExtAuth)
		}
	}
	for _, o := range t.v.All(gatewayKind) {
		if h := o.Spec.(*gateway).Spec.HTTPGateway; h != nil && h.Options != nil {
			add(o, "spec.httpGateway.options.extauth", h.Options.ExtAuth)
		}
	}
	for _, o := range t.v.All(settingsKind) {
		add(o, "spec.extauth", o.Spec.(*settings).Spec.ExtAuth)
	}
}

// authOptions gathers what is said of the server. One name for the header
// with the caller's name must hold everywhere: an upstream that trusts one
// must never get it from a client. Of the rest, what is said first holds.
func (t *translation) authOptions() (glooauth.Options, *status.Problem) {
	var opts glooauth.Options
	var problem *status.Problem
	t.authServers(func(o *resource.Object, at string, s *authServer) {
		if h := s.UserIDHeader; h != "" && opts.UserHeader != "" && h != opts.UserHeader {
			p := status.Errorf(o.Origin(at+".userIdHeader"), "two names for the header with the caller's name: %s and %s", opts.UserHeader, h)
			problem = &p
		}
		if h := s.UserIDHeader; h != "" && !reading.IsToken(h) {
			p := status.Errorf(o.Origin(at+".userIdHeader"), "%q is no header name", h)
			problem = &p
		}
		opts.UserHeader = cmp.Or(opts.UserHeader, s.UserIDHeader)
		opts.Timeout = cmp.Or(opts.Timeout, s.RequestTimeout.Duration)
		if s.StatusOnError >= 400 && s.StatusOnError <= 599 {
			opts.StatusOnError = cmp.Or(opts.StatusOnError, s.StatusOnError)
		}
		if b := s.RequestBody; b != nil && opts.BodyBytes == 0 && b.MaxRequestBytes > 0 {
			opts.BodyBytes, opts.PartialBody = b.MaxRequestBytes, b.AllowPartialMessage
		}
		if len(o.Faults) > 0 {
			p := status.Errorf(o.Origin(""), "%s", fmt.Sprintf("%v has fields that could not be read", o.Key))
			problem = &p
		}
	})
	return opts, problem
}
