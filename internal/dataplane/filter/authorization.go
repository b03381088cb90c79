package filter

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// NewAuthorization returns the stage that asks policies whether a request may
// pass. slot and origin say in the access log what put it there, where no
// single policy decided.
//
// A refusal is that of Envoy's RBAC filter, to the byte; its detail, which
// names the rule, goes to the log.
func NewAuthorization(p *authz.Policies, slot string, origin ir.Origin) dataplane.Stage {
	return &authorization{policies: p, slot: slot, origin: origin}
}

type authorization struct {
	policies *authz.Policies
	slot     string
	origin   ir.Origin
}

// AuthorizationInput is what policies look at in an exchange.
func AuthorizationInput(e *dataplane.Exchange) authz.Input {
	in := authz.Input{
		Identities: e.Identities, Method: e.Method, Path: e.Path,
		Scheme: e.Scheme, RawQuery: e.RawQuery, Authority: e.Authority, Header: e.Header,
		PeerID: e.PeerID, Client: e.Client, Local: e.Local,
	}
	if peer, err := netip.ParseAddrPort(e.Peer); err == nil {
		in.PeerAddress = peer.Addr().Unmap()
	}
	if e.TLS != nil {
		in.ServerName = e.TLS.ServerName
	}
	return in
}

func (s *authorization) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	in := AuthorizationInput(e)
	r := s.policies.Decide(&in)
	tracePolicies(e.Trace(), s.policies, &in, r.By)
	if r.Audit != nil {
		e.Record.Passed = append(e.Record.Passed, "audit: "+r.Audit.Label)
	}
	if r.DryRun.Decided {
		e.Record.Passed = append(e.Record.Passed, dryRun(&r.DryRun))
	}
	switch {
	case !r.Allowed && r.By != nil:
		return refused(s.slot, r.By, r.By.Label+" denies")
	case !r.Allowed:
		cause := detail(nil) + ": " + s.policies.Objections(&in)
		return dataplane.Refuse(http.StatusForbidden, denied, s.slot, s.origin, cause)
	case r.By != nil:
		e.Record.Passed = append(e.Record.Passed, r.By.Label)
	}
	return nil
}

// refused is the answer where a rule of a policy decided.
func refused(slot string, by *authz.RuleRef, why string) *dataplane.Answer {
	policy := strings.TrimSpace(slot + " " + by.Policy.Namespace + "/" + by.Policy.Name)
	return dataplane.Refuse(http.StatusForbidden, denied, policy, by.Origin, detail(by)+": "+why)
}

// detail is Envoy's response code detail, as Istio names its policies in it.
func detail(by *authz.RuleRef) string {
	if by == nil {
		return "rbac_access_denied_matched_policy[none]"
	}
	return fmt.Sprintf("rbac_access_denied_matched_policy[ns[%s]-policy[%s]-rule[%d]]", by.Policy.Namespace, by.Policy.Name, by.Index)
}

func dryRun(r *authz.DryRuling) string {
	text := "dry run: would be denied"
	if r.Allowed {
		text = "dry run: would be allowed"
	}
	if r.By != nil {
		return text + " by " + r.By.Label
	}
	return text
}

// NewAuthorizationAsk returns the stage that passes those requests on to ask
// which a rule of p matches. A nil ask refuses them. rematch chooses the route
// again where ask let a request pass.
func NewAuthorizationAsk(p *authz.Policies, ask dataplane.Stage, rematch bool, slot string) dataplane.Stage {
	return &authorizationAsk{policies: p, ask: ask, rematch: rematch, slot: slot}
}

type authorizationAsk struct {
	policies *authz.Policies
	ask      dataplane.Stage
	rematch  bool
	slot     string
}

func (s *authorizationAsk) Run(ctx context.Context, e *dataplane.Exchange) *dataplane.Answer {
	in := AuthorizationInput(e)
	by := s.policies.Asks(&in)
	tracePolicies(e.Trace(), s.policies, &in, by)
	switch {
	case by == nil:
		return nil
	case s.ask == nil:
		return refused(s.slot, by, by.Label+" hands the decision to a server that is not known")
	}
	a := s.ask.Run(ctx, e)
	if a != nil {
		a.Policy = strings.TrimSpace(s.slot + " " + by.Policy.Namespace + "/" + by.Policy.Name)
		a.Origin = by.Origin
	} else if s.rematch {
		e.Rematch()
	}
	return a
}
