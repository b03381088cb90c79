package compile

import (
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/filter"
	"github.com/postern-gateway/postern/internal/ir"
)

// authorization compiles policies. Routes that share the configuration share
// what is made of it: the index of a thousand policies takes its time.
func (rb *routeBuilder) authorization(s ir.Step) (dataplane.Stage, error) {
	p := rb.policies[s.Authorization]
	if p == nil {
		var err error
		if p, err = authz.NewPolicies(s.Authorization); err != nil {
			return nil, err
		}
		rb.policies[s.Authorization] = p
	}
	if !p.HandsOver() {
		return filter.NewAuthorization(p, s.Slot, s.Origin), nil
	}
	if s.Authorization.Ask == nil {
		return filter.NewAuthorizationAsk(p, nil, false, s.Slot), nil
	}
	ask, err := rb.authSet(ir.Step{AuthSet: s.Authorization.Ask, Slot: s.Slot, Origin: s.Origin})
	if err != nil {
		return nil, err
	}
	return filter.NewAuthorizationAsk(p, ask, s.Authorization.Rematch, s.Slot), nil
}
