package filter

import (
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// ConnectionPolicies asks policies whether a connection may be carried whose
// TLS is not ended here: by its two ends and the server name, and nothing else.
type ConnectionPolicies struct{ authorization }

// NewConnectionPolicies returns them; slot and origin are as
// NewAuthorization's. Policies that hand over are for requests alone.
func NewConnectionPolicies(p *authz.Policies, slot string, origin ir.Origin) *ConnectionPolicies {
	return &ConnectionPolicies{authorization{policies: p, slot: slot, origin: origin}}
}

// Admit reports whether c may be carried, and notes in its record who decided.
func (s *ConnectionPolicies) Admit(c *dataplane.Connection) bool {
	peer := c.Peer().Addr()
	in := authz.Input{PeerAddress: peer, Client: peer, Local: c.Local(), ServerName: c.ServerName}
	done := c.Trace().Step("authorization", s.slot, s.origin)
	a := s.decide(&in, &c.Record, c.Trace())
	done(a)
	if a == nil {
		return true
	}
	r := &c.Record
	r.Verdict, r.Policy, r.Origin, r.Cause = a.Verdict, a.Policy, a.Origin, a.Cause
	return false
}
