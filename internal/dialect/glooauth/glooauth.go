// Package glooauth reads the auth-config spec that both Gloo families embed:
// Gloo Gateway in its AuthConfig, Gloo Mesh in its ExtAuthPolicy. It is no
// dialect, and imports none.
//
//	Spec ──Translate──► ir.AuthSet, one method for each config
//	  └ apiKeyAuth ───► Secrets by label, out of every namespace
//
// What the spec can say and we do not have (OPA, LDAP, HMAC, logins by a
// browser, plug-ins, portals) is reported, and closes what it would guard:
// the caller of Translate sees to that.
//
// Sources: enterprise.gloo.solo.io/v1 AuthConfig in solo-io/gloo, and
// security.policy.gloo.solo.io/v2 ExtAuthPolicy in solo-io/solo-apis.
package glooauth

import (
	"cmp"
	"fmt"
	"time"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// UserHeader gets the caller's name unless the configuration names another.
const UserHeader = "x-user-id"

// Source is where a Spec is written.
type Source struct {
	Object *resource.Object
	// At is the path of the Spec in the object: "spec", "spec.config.glooAuth".
	At string
}

// Options are what is set beside the Spec: on the listener in one family, by
// an ExtAuthServer in the other. The zero value is the products' defaults.
type Options struct {
	// UserHeader in place of x-user-id.
	UserHeader string
	// Timeout bounds each question to another server; 0: the method's own
	// bound alone holds.
	Timeout time.Duration
	// StatusOnError is the answer while such a server cannot be asked; 0: 403.
	StatusOnError int
	// BodyBytes of the request that passThroughBody sends; 0: 1 MiB.
	BodyBytes   int64
	PartialBody bool
}

// Result is what became of a Spec. Exactly one of Set and Closed is set.
type Result struct {
	Set *ir.AuthSet
	// Closed says why nobody can be asked as the Spec wants.
	Closed   *ir.Closed
	Problems []status.Problem
}

// Translate turns a Spec into the methods that callers must satisfy. Secrets
// are read through v. An error among the problems that leaves a method in
// doubt closes the whole.
func Translate(v *resource.View, src Source, s *Spec, opts Options) Result {
	if opts.UserHeader == "" {
		opts.UserHeader = UserHeader
	}
	r := &reader{v: v, p: reading.Place{Object: src.Object, At: src.At, Report: &status.Report{}}, opts: opts}
	set := &ir.AuthSet{}
	if len(s.Configs) == 0 {
		r.fail("configs", "write at least one", "there is no config, so nobody could be let in")
	}
	for i := range s.Configs {
		set.Methods = append(set.Methods, r.method(fmt.Sprintf("configs[%d]", i), i, &s.Configs[i]))
	}
	if s.BooleanExpr != nil {
		set.Expr = *s.BooleanExpr
		r.checkExpr(set)
	}
	// failOnRedirect turns redirects to a login into refusals; none is given.
	if r.closed != nil {
		return Result{Closed: r.closed, Problems: r.p.Report.Problems}
	}
	return Result{Set: set, Problems: r.p.Report.Problems}
}

// reader is the work on one Spec.
type reader struct {
	v      *resource.View
	p      reading.Place
	opts   Options
	closed *ir.Closed
}

// fail reports an error that closes the whole Spec; one that does not is r.p's.
func (r *reader) fail(field, remedy, format string, args ...any) {
	mark := r.p.Mark()
	r.p.Fail(field, remedy, format, args...)
	r.closed = cmp.Or(r.closed, r.p.Since(mark))
}

// refuse reports a field that would change who may pass.
func (r *reader) refuse(field string, p present) {
	if p {
		r.fail(field, "remove it", "%s is not supported; what it would guard is closed", reading.Last(field))
	}
}

// method reads one config.
func (r *reader) method(at string, index int, c *Config) ir.AuthMethod {
	m := ir.AuthMethod{Name: fmt.Sprintf("config_%d", index), Origin: r.p.Origin(at)}
	if c.Name != nil && *c.Name != "" {
		m.Name = *c.Name
	}
	if n := c.methods(); n != 1 {
		r.fail(at, "write one method in each config", "the config has %d methods, want one", n)
		return m
	}
	switch {
	case c.APIKeyAuth != nil:
		m.APIKey = r.apiKey(at+".apiKeyAuth", c.APIKeyAuth)
	case c.BasicAuth != nil:
		m.Basic = r.basic(at+".basicAuth", c.BasicAuth)
	case c.JWT != nil:
		m.Verified = &ir.VerifiedToken{UserHeader: r.opts.UserHeader}
	case c.OAuth2 != nil:
		m.Token = r.oauth2(at+".oauth2", c.OAuth2)
	case c.PassThroughAuth != nil:
		m.External = r.passThrough(at+".passThroughAuth", c.PassThroughAuth)
	default:
		for _, f := range c.unbuilt() {
			if f.there {
				r.fail(at+"."+f.name, "use apiKeyAuth, basicAuth, jwt, oauth2.accessTokenValidation or passThroughAuth",
					"%s is not supported; what it would guard is closed", f.name)
			}
		}
	}
	return m
}
