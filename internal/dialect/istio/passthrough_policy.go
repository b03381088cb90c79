package istio

import (
	"slices"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// protectConnections puts the policies that apply to a door's workload on a
// listener that passes TLS through. As in Istio, what they say of requests
// counts as matched where they deny, and as not matched where they allow; what
// cannot be asked about a connection closes the listener.
func (t *translation) protectConnections(d *door, l *dialect.Listener) {
	mesh, _ := t.mesh()
	for _, s := range istioauth.Translate(t.v, t.authEnv(mesh, d.workload), d.workload.forPolicies()).Steps {
		switch {
		case s.Authorization != nil && !handsOver(s.Authorization):
			s.Authorization = t.ofConnections(d, s.Authorization)
			l.Passthrough.Policies = append(l.Passthrough.Policies, s)
		case s.JWT != nil:
			t.tellOnce(status.Warningf(s.Origin, "port %d of %v passes TLS through, where nobody sees a token: it has no effect there", d.port, d.gateway.Key).
				Fix("end TLS there, or select other workloads"))
		case s.Closed != nil:
			l.Closed = s.Closed
		default:
			t.tellOnce(status.Errorf(s.Origin, "port %d of %v passes TLS through, where nobody can be asked: it is closed", d.port, d.gateway.Key).
				Fix("end TLS there, or select other workloads"))
			l.Closed = &ir.Closed{Reason: "a policy hands the decision over, and TLS is passed through", Origin: s.Origin}
		}
	}
}

func (t *translation) tellOnce(p status.Problem) {
	if !slices.ContainsFunc(t.report.Problems, func(o status.Problem) bool { return o.String() == p.String() }) {
		t.report.Add(p)
	}
}

func handsOver(a *ir.Authorization) bool {
	return slices.ContainsFunc(a.Policies, func(p ir.AccessPolicy) bool { return p.Action == ir.AccessAsk })
}

// ofConnections returns what policies mean for a connection.
func (t *translation) ofConnections(d *door, a *ir.Authorization) *ir.Authorization {
	out := &ir.Authorization{}
	for _, p := range a.Policies {
		denies := p.Action == ir.AccessDeny
		var rules []ir.PolicyRule
		for _, r := range p.Rules {
			if !ofRequests(&r) {
				rules = append(rules, r)
				continue
			}
			effect := "what it says of requests never matches there"
			if denies {
				effect = "what it says of requests counts as matched there"
			}
			t.tellOnce(status.Warningf(r.Origin, "port %d of %v passes TLS through: %s", d.port, d.gateway.Key, effect).
				Fix("write rules on addresses, ports and connection.sni alone, or end TLS there"))
			if narrow, ok := ofConnection(r, denies); ok {
				rules = append(rules, narrow)
			}
		}
		p.Rules = rules
		out.Policies = append(out.Policies, p)
	}
	return out
}

// seenOfConnection are the attributes of a connection. Of the peer's identity
// there is nothing to see, as where no certificate is asked for.
var seenOfConnection = []ir.AccessAttribute{
	ir.PeerID, ir.PeerTrustDomain, ir.PeerNamespace, ir.PeerServiceAccount,
	ir.PeerAddress, ir.ClientAddress, ir.LocalAddress, ir.LocalPort, ir.ServerName,
}

func ofRequest(t ir.AccessTest) bool { return !slices.Contains(seenOfConnection, t.Attribute) }

func conjunctOfRequest(c ir.AccessConjunct) bool { return slices.ContainsFunc(c, ofRequest) }

// ofRequests reports whether a rule looks at requests.
func ofRequests(r *ir.PolicyRule) bool {
	return conjunctOfRequest(r.When) || slices.ContainsFunc(r.From, conjunctOfRequest) || slices.ContainsFunc(r.To, conjunctOfRequest)
}

// ofConnection returns a rule without its tests of requests. If they match,
// they are left out; otherwise what they stand in goes with them, and ok is
// false where nothing is left that could match.
func ofConnection(r ir.PolicyRule, match bool) (out ir.PolicyRule, ok bool) {
	if !match {
		if conjunctOfRequest(r.When) {
			return r, false
		}
		from, to := slices.DeleteFunc(slices.Clone(r.From), conjunctOfRequest), slices.DeleteFunc(slices.Clone(r.To), conjunctOfRequest)
		if len(from) == 0 && len(r.From) > 0 || len(to) == 0 && len(r.To) > 0 {
			return r, false
		}
		r.From, r.To = from, to
		return r, true
	}
	r.When = withoutRequests(r.When)
	r.From, r.To = anyWithoutRequests(r.From), anyWithoutRequests(r.To)
	return r, true
}

func withoutRequests(c ir.AccessConjunct) ir.AccessConjunct {
	return slices.DeleteFunc(slices.Clone(c), ofRequest)
}

// anyWithoutRequests returns alternatives without their tests of requests;
// none where one of them then always holds.
func anyWithoutRequests(list []ir.AccessConjunct) []ir.AccessConjunct {
	var out []ir.AccessConjunct
	for _, c := range list {
		c = withoutRequests(c)
		if len(c) == 0 {
			return nil
		}
		out = append(out, c)
	}
	return out
}
