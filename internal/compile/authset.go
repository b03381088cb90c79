package compile

import (
	"net/http"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/filter"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
)

// sharedSet is a set of authentication methods that all routes with the same
// configuration share, and what is kept for it.
type sharedSet struct {
	*authn.Set
	session *keep.Session
}

// Close ends what the methods have under way, and lets go of what is kept.
func (s *sharedSet) Close() {
	s.Set.Close()
	s.session.Release()
}

// authSet compiles a set of authentication methods.
func (rb *routeBuilder) authSet(s ir.Step) (dataplane.Stage, error) {
	key := rb.key(s.AuthSet, "authset", []any{s.AuthSet})
	a, err := keep.Get(rb.b.session, key, func() (*sharedSet, error) { return rb.newSet(s.AuthSet) })
	if err != nil {
		return nil, err
	}
	rb.sanitize = append(rb.sanitize, a.SanitizeHeaders()...)
	rb.inputs = append(rb.inputs, a.InputHeaders()...)
	return filter.NewAuthenticateSet(a.Set, userHeaders(s.AuthSet), s.Slot, s.Origin), nil
}

// userHeaders are the headers that name the caller to the upstream.
func userHeaders(cfg *ir.AuthSet) []string {
	var out []string
	for _, m := range cfg.Methods {
		name := ""
		switch {
		case m.APIKey != nil:
			name = m.APIKey.UserHeader
		case m.Basic != nil:
			name = m.Basic.UserHeader
		case m.Token != nil:
			name = m.Token.UserHeader
		}
		if name != "" {
			out = append(out, http.CanonicalHeaderKey(name))
		}
	}
	return out
}

func (r *run) newSet(cfg *ir.AuthSet) (*sharedSet, error) {
	session := r.deps.Keep.Begin()
	set, err := authn.NewSet(cfg, authn.Deps{Store: r.deps.Store, Clock: r.deps.Clock, Cache: r.deps.Tokens})
	if err != nil {
		session.Release()
		return nil, err
	}
	return &sharedSet{set, session}, nil
}
