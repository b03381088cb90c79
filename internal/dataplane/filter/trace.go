package filter

import (
	"errors"
	"strconv"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
)

// traceAccept tells a rehearsal by what a caller passed. Without a trace it
// does nothing.
func traceAccept(t *dataplane.Trace, r *authn.Result) {
	if t == nil {
		return
	}
	switch {
	case r.Ignored != nil:
		t.Note("passes as nobody: " + r.Ignored.Error())
	case len(r.Identities) == 0 && r.By == "":
		t.Note("passes as nobody: there is no credential")
	}
	if r.By != "" {
		t.Note("passed by " + r.By)
	}
	if r.Ignored != nil && errors.Is(r.Ignored, authn.ErrUnasked) {
		t.Doubtful()
	}
}

// traceTried tells a rehearsal of every rule that was looked at.
func traceTried(t *dataplane.Trace, d authz.Decision) {
	for _, tried := range d.Tried {
		t.Rule(dataplane.TracedRule{
			Rule: tried.Rule, Origin: tried.Origin, Matched: tried.Matched, Decides: tried.Matched, Why: tried.Reason,
		})
	}
}

// tracePolicies tells a rehearsal of every rule of every policy, of which by
// decided; nil: none did.
func tracePolicies(t *dataplane.Trace, p *authz.Policies, in *authz.Input, by *authz.RuleRef) {
	if t == nil {
		return
	}
	p.Explain(in, func(policy *authz.PolicyRef, rule *authz.RuleRef, matched bool, why string) {
		r := dataplane.TracedRule{Policy: policy.Namespace + "/" + policy.Name, Origin: policy.Origin, Matched: matched, Decides: matched && rule != nil && rule == by, Why: why}
		if rule != nil {
			r.Rule, r.Origin = strconv.Itoa(rule.Index), rule.Origin
		}
		t.Rule(r)
	})
}
