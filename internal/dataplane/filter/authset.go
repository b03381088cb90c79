package filter

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// NewAuthenticateSet returns the stage that asks s who calls. slot and origin
// say which policy that is, in the access log. hide names headers, canonical,
// that no answer of the route shows: those that tell the upstream who calls.
//
// A refusal is answered as the method that refused has it, to the byte; an
// error that is no refusal, or an identity that nothing vouches for, lets
// nobody pass.
func NewAuthenticateSet(s *authn.Set, hide []string, slot string, origin ir.Origin) dataplane.Stage {
	a := &authenticateSet{set: s, authenticate: authenticate{slot: slot, label: label(slot, origin), origin: origin}}
	if len(hide) > 0 {
		a.hide = func(_ int, h http.Header) {
			for _, name := range hide {
				delete(h, name)
			}
		}
	}
	return a
}

type authenticateSet struct {
	authenticate
	set  *authn.Set
	hide func(status int, h http.Header)
}

// Problems tells which secrets of the methods cannot be used now.
func (s *authenticateSet) Problems() []status.Problem { return s.set.Problems() }

// Made is the set, which other stages may share.
func (s *authenticateSet) Made() any { return s.set }

func (s *authenticateSet) Run(ctx context.Context, e *dataplane.Exchange) *dataplane.Answer {
	r := &authn.Request{Header: e.Header, Sealed: e, Query: e.Query(), Proven: e.Identities, Given: e.Trace().Claims()}
	var unread *dataplane.Answer
	if s.set.Calls() {
		r.Call = newCall(ctx, e, &unread)
	}
	result, err := s.set.Authenticate(ctx, r)
	switch {
	case unread != nil:
		return unread
	case err != nil:
		return s.refuse(err)
	}
	if !proven(result.Identities) {
		return s.broken(unvouched)
	}
	seal(&result)
	s.accept(e, &result)
	if s.hide != nil {
		e.OnReply(s.hide)
	}
	return nil
}

func (s *authenticateSet) refuse(err error) *dataplane.Answer {
	var f *authn.Failure
	if !errors.As(err, &f) || f == nil || f.Status < 200 || f.Status > 599 {
		return s.broken("authenticate: " + err.Error())
	}
	a := dataplane.Refuse(f.Status, f.Text, s.slot, s.origin, f.Error())
	a.Header = f.Header
	if f.Unavailable {
		a.Verdict = dataplane.Failed
	}
	return a
}

// newCall is what an external server may be told of e. If the body cannot be
// read, unread is the answer.
func newCall(ctx context.Context, e *dataplane.Exchange, unread **dataplane.Answer) *authn.Call {
	c := &authn.Call{
		ID: e.Record.RequestID, Time: e.Record.Start, Method: e.Method, Scheme: e.Scheme, Host: e.Authority,
		Path: e.Path, RawQuery: e.RawQuery, Protocol: protocol(e.Record.Protocol), Length: e.Length,
	}
	in := input{ctx: ctx, e: e}
	c.Destination, _ = netip.ParseAddrPort(local(&in))
	c.Source, _ = netip.ParseAddrPort(e.Peer)
	if e.Client.IsValid() && c.Source.Addr().Unmap() != e.Client {
		c.Source = netip.AddrPortFrom(e.Client, 0)
	}
	if e.TLS != nil {
		c.Principal, c.ServerName = peerURIs(e.TLS), e.TLS.ServerName
	}
	c.ReadBody = func(most int64) ([]byte, bool, error) {
		data, whole, a := e.Peek(most)
		if a != nil {
			*unread = a
			return nil, false, errUnread
		}
		return data, whole, nil
	}
	return c
}

var errUnread = errors.New("the request body could not be read")

// seal makes secret what a method writes into a well-known credential header:
// a token that an external server gives out, for instance.
func seal(r *authn.Result) {
	isIt := func(h authn.HeaderSet) bool {
		return dataplane.IsCredentialHeader(http.CanonicalHeaderKey(h.Name))
	}
	if !slices.ContainsFunc(r.Set, isIt) {
		return
	}
	var open []authn.HeaderSet
	secrets := slices.Clip(r.Secrets)
	for _, h := range r.Set {
		if isIt(h) {
			secrets = append(secrets, authn.SecretHeaderSet{Name: h.Name, Value: secret.NewValue([]byte(h.Value))})
		} else {
			open = append(open, h)
		}
	}
	r.Set, r.Secrets = open, secrets
}
