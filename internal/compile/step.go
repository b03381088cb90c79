package compile

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/filter"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/dataplane/transform"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/status"
)

// stepError is a step that cannot be built, with where it was written.
type stepError struct {
	origin ir.Origin
	err    error
}

func (e *stepError) Error() string { return e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// checker is a stage that is made of secret bytes, and can tell whether they
// can be used now.
type checker interface{ Check() error }

// troubled is a stage that is made of many secrets, of which some may be at
// fault while the others serve.
type troubled interface {
	Problems() []status.Problem
	// Made is what the stage shares with others that have the same Problems.
	Made() any
}

// sanitizer is a stage that writes headers which say who calls, so that a
// client's own must go.
type sanitizer interface{ Sanitize() []string }

// steps compiles steps into stages. What configures the forwarding stage is
// gathered in settings instead.
func (rb *routeBuilder) steps(steps []ir.Step) ([]dataplane.Stage, error) {
	var out []dataplane.Stage
	for i, s := range steps {
		if rb.gather(s) {
			continue
		}
		stage, err := rb.stage(s, rb)
		if err != nil {
			return nil, &stepError{s.Origin, err}
		}
		if c, ok := stage.(checker); ok {
			rb.b.checks = append(rb.b.checks, check{origin: s.Origin, err: c.Check})
		}
		if c, ok := stage.(troubled); ok {
			rb.b.checks = append(rb.b.checks, check{origin: s.Origin, problems: c.Problems, made: c.Made()})
		}
		if c, ok := stage.(sanitizer); ok {
			rb.sanitize = append(rb.sanitize, c.Sanitize()...)
		}
		out = append(out, rb.traced(stage, &steps[i]))
		rb.guards = append(rb.guards, isGuard(s))
		rb.enter(s, len(out))
	}
	return out, nil
}

// isGuard reports whether a step asks who calls, what they may or how much: a
// request that goes over to another route must pass it all the same.
func isGuard(s ir.Step) bool {
	switch {
	case s.Closed != nil:
		return true
	case s.Transform != nil, s.Headers != nil, s.CORS != nil, s.Path != nil, s.Host != nil, s.Mirror != nil, s.BodyEdit != nil:
		return false
	}
	return s.Phase >= ir.PhaseAuthenticate && s.Phase <= ir.PhaseLimit
}

// gathers reports whether all that a step does is to say something of
// forwarding.
func gathers(s ir.Step) bool {
	return s.Timeouts != nil || s.Retry != nil || s.Upgrade != nil || s.LLM != nil
}

// gather takes what a step says of forwarding, and reports whether that is
// all that the step does.
func (rb *routeBuilder) gather(s ir.Step) bool {
	switch {
	case s.Timeouts != nil:
		rb.settings.Timeouts = append(rb.settings.Timeouts, *s.Timeouts)
	case s.Retry != nil:
		if rb.settings.Retry == nil { // the narrowest comes first
			rb.settings.Retry = s.Retry
		}
	case s.Upgrade != nil:
		rb.settings.Upgrade = s.Upgrade
	case s.LLM != nil:
		rb.settings.LLM = append(rb.settings.LLM, s.LLM)
	}
	return gathers(s)
}

// stage compiles one step. rb is nil for a listener's steps, which cannot
// authenticate or mirror.
func (r *run) stage(s ir.Step, rb *routeBuilder) (dataplane.Stage, error) {
	switch {
	case s.Closed != nil:
		return dataplane.Closed(s.Closed), nil
	case s.Direct != nil:
		return filter.NewDirect(s.Direct)
	case s.Headers != nil:
		return filter.NewHeaders(s.Headers, r.deps.Store, s.Origin)
	case s.CORS != nil:
		return filter.NewCORS(s.CORS)
	case s.Path != nil:
		return filter.NewPath(s.Path)
	case s.Host != nil:
		return filter.NewHost(s.Host)
	case s.Transform != nil:
		return transform.New(s.Transform, s.Slot, s.Origin)
	case s.BodyLimit != nil:
		return filter.NewBodyLimit(s.BodyLimit)
	case s.Buffer != nil:
		return filter.NewBuffer(s.Buffer)
	case s.BodyEdit != nil:
		return filter.NewBodyEdit(s.BodyEdit)
	case s.ClaimRules != nil:
		rules, err := authz.NewRules(s.ClaimRules)
		if err != nil {
			return nil, err
		}
		return filter.NewAuthorize(rules, s.Slot, s.Origin), nil
	case s.AccessRules != nil:
		rules, err := authz.NewAccessRules(s.AccessRules)
		if err != nil {
			return nil, err
		}
		return filter.NewAccessRules(rules, s.Slot, s.Origin), nil
	case rb == nil:
		return nil, fmt.Errorf("this kind of step cannot stand on a listener")
	case s.JWT != nil:
		return rb.jwt(s)
	case s.AuthSet != nil:
		return rb.authSet(s)
	case s.Authorization != nil:
		return rb.authorization(s)
	case s.Mirror != nil:
		return rb.mirror(s)
	}
	return nil, fmt.Errorf("step of no known kind")
}

// sharedJWT is an authenticator that all routes with the same configuration
// share, and what is kept for it.
type sharedJWT struct {
	*authn.JWT
	session *keep.Session
}

// Close lets go of the key sets.
func (s *sharedJWT) Close() { s.session.Release() }

// jwt compiles an authenticator.
func (rb *routeBuilder) jwt(s ir.Step) (dataplane.Stage, error) {
	used := remoteUpstreams(rb.config, s.JWT)
	a, err := keep.Get(rb.b.session, rb.key(s.JWT, "jwt", []any{s.JWT, used}), func() (*sharedJWT, error) {
		return rb.newJWT(s.JWT)
	})
	if err != nil {
		return nil, err
	}
	rb.sanitize = append(rb.sanitize, a.SanitizeHeaders()...)
	rb.inputs = append(rb.inputs, a.InputHeaders()...)
	return filter.NewAuthenticate(a.JWT, s.Slot, s.Origin), nil
}

// remoteUpstreams returns the upstreams that carry the fetches of key sets.
func remoteUpstreams(c *ir.Config, j *ir.JWT) []*ir.Upstream {
	var out []*ir.Upstream
	for _, p := range j.Providers {
		if p.Keys.Remote != nil && p.Keys.Remote.Upstream != "" {
			out = append(out, lasting(c.Upstreams[p.Keys.Remote.Upstream]))
		}
	}
	return out
}

func (r *run) newJWT(cfg *ir.JWT) (*sharedJWT, error) {
	session := r.deps.Keep.Begin()
	var keyErr error
	a, err := authn.NewJWT(cfg, authn.Deps{
		Clock: r.deps.Clock, Cache: r.deps.Tokens,
		Keys: func(remote ir.RemoteKeys) *authn.RemoteKeys {
			keys, err := r.remoteKeys(session, remote)
			if err != nil {
				keyErr = err
				return authn.FixedKeys(nil)
			}
			return keys
		},
	})
	if err = errors.Join(err, keyErr); err != nil {
		session.Release()
		return nil, err
	}
	return &sharedJWT{a, session}, nil
}

// remoteKeys returns the kept fetcher of a key set.
func (r *run) remoteKeys(session *keep.Session, cfg ir.RemoteKeys) (*authn.RemoteKeys, error) {
	if r.deps.KeyClient == nil {
		return authn.OfflineKeys(cfg.URL, r.deps.JWKS[cfg.URL]), nil
	}
	client, key := r.deps.KeyClient, keep.Key("jwks", cfg)
	if cfg.Upstream != "" {
		u := r.config.Upstreams[cfg.Upstream]
		if u == nil || u.Closed != nil {
			return nil, fmt.Errorf("key set %q: upstream %s cannot be used", cfg.URL, cfg.Upstream)
		}
		pool, err := r.pool(session, u)
		if err != nil {
			return nil, err
		}
		client, key = pool, keep.Key("jwks", []any{cfg, lasting(u)})
	}
	return keep.Get(session, key, func() (*authn.RemoteKeys, error) {
		return authn.NewRemoteKeys(cfg, client, r.deps.Clock)
	})
}

// mirror compiles a copy of the requests to another upstream. One that is not
// there is reported by Merge; the route goes on without it.
func (rb *routeBuilder) mirror(s ir.Step) (dataplane.Stage, error) {
	u := rb.config.Upstreams[s.Mirror.Upstream]
	if u == nil || u.Closed != nil {
		return dataplane.StageFunc(func(context.Context, *dataplane.Exchange) *dataplane.Answer { return nil }), nil
	}
	pool, err := rb.upstream(u)
	if err != nil {
		return nil, err
	}
	return forward.NewMirror(s.Mirror, pool, rb.deps.Forward)
}
