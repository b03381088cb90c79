package filter

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// NewAuthenticate returns the stage that asks a who calls. slot and origin say
// which policy that is, in the access log.
//
// Its refusals are those of Envoy's jwt_authn filter, word for word: the
// failure's text, and a Bearer challenge (RFC 6750 section 3). An error that
// is no *authn.Failure, or an identity that nothing vouches for, lets nobody
// pass.
func NewAuthenticate(a authn.Authenticator, slot string, origin ir.Origin) dataplane.Stage {
	return &authenticate{authenticator: a, slot: slot, label: label(slot, origin), origin: origin}
}

// label is how a policy is called in the list of those passed.
func label(slot string, origin ir.Origin) string {
	return strings.TrimSpace(slot + " " + origin.Object())
}

type authenticate struct {
	authenticator authn.Authenticator
	slot, label   string
	origin        ir.Origin
}

func (s *authenticate) Run(ctx context.Context, e *dataplane.Exchange) *dataplane.Answer {
	result, err := s.authenticator.Authenticate(ctx, &authn.Request{Method: e.Method, Header: e.Header, Sealed: e, Query: e.Query(), Given: e.Trace().Claims()})
	if err != nil {
		return s.refuse(e, err)
	}
	if !proven(result.Identities) {
		return s.broken(unvouched)
	}
	s.accept(e, &result)
	return nil
}

const unvouched = "the authenticator returned an identity that nothing vouches for"

func proven(list []authn.Identity) bool {
	for i := range list {
		if !list[i].Proven() {
			return false
		}
	}
	return true
}

// accept takes over what was proven. Headers that tell who calls are removed
// first, also those that are then not set. A credential that a step before had
// made, and that is accepted, has done its work.
func (s *authenticate) accept(e *dataplane.Exchange, r *authn.Result) {
	traceAccept(e.Trace(), r)
	e.Consume(r.Consumed)
	for _, l := range r.Consumed {
		if l.Header != "" {
			e.DropSecretHeader(l.Header)
		}
	}
	for _, name := range r.Sanitize {
		e.Sanitize(http.CanonicalHeaderKey(name))
	}
	for _, name := range r.Remove {
		name = http.CanonicalHeaderKey(name)
		e.Withdraw(name)
		e.Sanitize(name)
	}
	write(e, r)
	if len(r.Identities) > 0 {
		if !e.Record.Identity.Proven() {
			e.Record.Identity = r.Identities[0]
		}
		e.Identities = append(e.Identities, r.Identities...)
	}
	e.Record.Passed = append(e.Record.Passed, s.passed(r))
}

// write puts on the headers of a result.
func write(e *dataplane.Exchange, r *authn.Result) {
	for _, h := range r.Set {
		if name := http.CanonicalHeaderKey(h.Name); h.Append {
			e.AddHeader(name, h.Value)
		} else {
			e.SetHeader(name, h.Value)
		}
	}
	for _, h := range r.Secrets {
		e.SetSecretHeader(h.Name, h.Value)
	}
	if len(r.Reply) > 0 {
		e.OnReply(func(_ int, h http.Header) {
			for _, set := range r.Reply {
				if set.Append {
					h.Add(set.Name, set.Value)
				} else {
					h.Set(set.Name, set.Value)
				}
			}
		})
	}
}

// passed is the entry in the list of policies that let a request through.
func (s *authenticate) passed(r *authn.Result) string {
	switch {
	case r.By != "":
		return s.label + ": " + r.By
	case r.Ignored != nil:
		return s.label + " (as nobody: " + r.Ignored.Error() + ")"
	case len(r.Identities) == 0:
		return s.label + " (as nobody)"
	}
	return s.label
}

func (s *authenticate) refuse(e *dataplane.Exchange, err error) *dataplane.Answer {
	var f *authn.Failure
	if !errors.As(err, &f) || f == nil || f.Status < 400 {
		return s.broken("authenticate: " + err.Error())
	}
	a := dataplane.Refuse(f.Status, f.Text, s.slot, s.origin, f.Error())
	a.Header = http.Header{"Www-Authenticate": {challenge(e, f.Missing)}}
	return a
}

// broken answers where it could not be found out who calls.
func (s *authenticate) broken(cause string) *dataplane.Answer {
	return &dataplane.Answer{
		Status: http.StatusInternalServerError, Body: "authentication is not available",
		Verdict: dataplane.Broken, Policy: s.slot, Origin: s.origin, Cause: cause,
	}
}

// longestRealm is where Envoy cuts a request's URI.
const longestRealm = 256

// challenge names the request's URI as realm, without its query, which may
// hold a token. Of a normalized authority and path, no byte ends the quotes.
func challenge(e *dataplane.Exchange, missing bool) string {
	realm := e.Scheme + "://" + e.Authority + e.Path
	realm = realm[:min(len(realm), longestRealm)]
	value := `Bearer realm="` + realm + `"`
	if !missing {
		value += `, error="invalid_token"`
	}
	return value
}

// denied is the body of Envoy's RBAC filter.
const denied = "RBAC: access denied"

// NewAuthorize returns the stage that asks r whether the proven callers may do
// what they ask. slot and origin say which policy that is.
func NewAuthorize(r *authz.Rules, slot string, origin ir.Origin) dataplane.Stage {
	return &authorize{rules: r, slot: slot, label: label(slot, origin), origin: origin}
}

type authorize struct {
	rules       *authz.Rules
	slot, label string
	origin      ir.Origin
}

func (s *authorize) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	in := authz.Input{Identities: e.Identities, Method: e.Method, Path: e.Path}
	d := s.rules.Decide(&in)
	if t := e.Trace(); t != nil {
		traceTried(t, s.rules.Explain(&in))
	}
	if !d.Allowed {
		return dataplane.Refuse(http.StatusForbidden, denied, s.slot, s.origin, d.Reason)
	}
	e.Record.Passed = append(e.Record.Passed, s.label+": "+d.Rule)
	return nil
}
