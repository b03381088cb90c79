package gloo

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// claimMatchers in the order of the enum.
var claimMatchers = []ir.ClaimMatcher{ir.ClaimExact, ir.ClaimBoolean, ir.ClaimListContains, ir.ClaimRegex}

// rbac allows by what the verified token claims. Without policies nobody is
// allowed, as in Envoy's filter.
func (p *options) rbac(s *rbac) {
	const field = "rbac"
	if s == nil {
		return
	}
	if s.Disable {
		p.put(field)
		return
	}
	if len(s.Policies) == 0 {
		p.Warn(field, "write policies, or disable: true", "rbac without policies refuses everybody")
	}
	before := p.Mark()
	rules := &ir.ClaimRules{}
	for _, n := range slices.Sorted(maps.Keys(s.Policies)) {
		rules.Rules = append(rules.Rules, p.rbacPolicy(field+".policies."+n, n, s.Policies[n]))
	}
	if p.broken(field, field, before) {
		return
	}
	p.put(field, ir.Step{Phase: ir.PhaseAuthorize, ClaimRules: rules})
}

func (p *options) rbacPolicy(at, name string, s rbacPolicy) ir.ClaimRule {
	rule := ir.ClaimRule{
		Name: name, PathPrefix: s.Permissions.PathPrefix, Methods: s.Permissions.Methods, Origin: p.Origin(at),
	}
	if len(s.Principals) == 0 {
		p.Fail(at+".principals", "write who is allowed", "the policy names no principal")
	}
	for i, pr := range s.Principals {
		here := fmt.Sprintf("%s.principals[%d]", at, i)
		if pr.JWTPrincipal == nil || len(pr.JWTPrincipal.Claims) == 0 {
			p.Fail(here, "write jwtPrincipal.claims", "the principal names no claim")
			continue
		}
		rule.Principals = append(rule.Principals, p.principal(here+".jwtPrincipal", pr.JWTPrincipal, s.NestedClaimDelimiter))
	}
	return rule
}

func (p *options) principal(at string, s *jwtPrincipal, delimiter string) ir.ClaimPrincipal {
	out := ir.ClaimPrincipal{Provider: s.Provider}
	for _, claim := range slices.Sorted(maps.Keys(s.Claims)) {
		m := ir.ClaimMatch{Path: []string{claim}, Matcher: claimMatchers[s.Matcher], Value: s.Claims[claim]}
		if delimiter != "" {
			m.Path = strings.Split(claim, delimiter)
		}
		if slices.Contains(m.Path, "") {
			p.Fail(at+".claims", "name every claim on the way", "%q is no claim", claim)
		}
		if m.Matcher == ir.ClaimBoolean && m.Value != "true" && m.Value != "false" {
			p.Fail(at+".claims."+claim, `write "true" or "false"`, "%q is no boolean", m.Value)
		}
		out.Claims = append(out.Claims, m)
	}
	return out
}
