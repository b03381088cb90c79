package filter

import (
	"context"
	"net/http"

	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// NewAccessRules returns the stage that asks r whether a request may pass. slot
// and origin say which policy that is. What is refused gets the answer of
// Envoy's RBAC filter.
func NewAccessRules(r *authz.AccessRules, slot string, origin ir.Origin) dataplane.Stage {
	return &accessRules{rules: r, slot: slot, label: label(slot, origin), origin: origin}
}

type accessRules struct {
	rules       *authz.AccessRules
	slot, label string
	origin      ir.Origin
}

func (s *accessRules) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	if s.rules.ReadsModel() {
		if _, _, a := e.ReadModel(); a != nil {
			return a
		}
	}
	d := s.decide(e, e.Model)
	if t := e.Trace(); t != nil {
		traceTried(t, s.rules.Explain(s.input(e, e.Model)))
	}
	if !d.Allowed {
		return dataplane.Refuse(http.StatusForbidden, denied, s.slot, s.origin, d.Reason)
	}
	e.Record.Passed = append(e.Record.Passed, s.label+": "+d.Rule)
	return nil
}

// ReadsModel reports whether a decision may depend on the model.
func (s *accessRules) ReadsModel() bool { return s.rules.ReadsModel() }

// AllowsModel reports whether the request would pass if it named another model,
// as it does when it is sent elsewhere after a failure.
func (s *accessRules) AllowsModel(e *dataplane.Exchange, model string) bool {
	return !s.rules.ReadsModel() || s.decide(e, model).Allowed
}

func (s *accessRules) decide(e *dataplane.Exchange, model string) authz.Decision {
	return s.rules.Decide(s.input(e, model))
}

func (s *accessRules) input(e *dataplane.Exchange, model string) *authz.AccessInput {
	return &authz.AccessInput{
		Identities: e.Identities, Method: e.Method, Path: e.Path, Client: e.Client, Header: e.Header, Model: model,
		ModelLess: e.Method == http.MethodGet || e.Method == http.MethodHead || e.Method == http.MethodOptions,
	}
}
