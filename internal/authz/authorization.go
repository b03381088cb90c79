package authz

import (
	"errors"
	"fmt"
	"math"

	"github.com/postern-gateway/postern/internal/ir"
)

// Policies decides by ir.Authorization's policies. An index finds the rules
// that could match a request by what sets them apart, so that a decision takes
// no longer with a thousand policies than with ten; its result is that of
// trying every rule in turn.
type Policies struct {
	audit, deny, allow, ask ruleSet
	// wouldDeny and wouldAllow are the dry-run policies.
	wouldDeny, wouldAllow ruleSet
	// list is everything, in the order of the configuration, for Explain.
	list []policy
}

// policy is one policy with its place in the sets.
type policy struct {
	ref   PolicyRef
	rules []*policyRule
}

// PolicyRef names a policy in decisions.
type PolicyRef struct {
	Namespace, Name string
	Action          ir.AccessAction
	DryRun          bool
	Origin          ir.Origin
}

// RuleRef names a rule in decisions.
type RuleRef struct {
	Policy *PolicyRef
	// Index of the rule as it was written.
	Index  int
	Origin ir.Origin
	// Label is "kind namespace/name rule 0", for logs.
	Label string
}

// Ruling is what policies say of an Input. The zero Ruling denies.
type Ruling struct {
	Allowed bool
	// By is the rule that allowed or denied; nil: none matched, or there is no
	// policy that allows.
	By *RuleRef
	// Audit is the first rule that asks for the request to be marked, or nil.
	Audit *RuleRef
	// DryRun is what the dry-run policies would have decided.
	DryRun DryRuling
}

// DryRuling is what dry-run policies would have decided. The zero value says
// that there are none, or that they have nothing to say.
type DryRuling struct {
	Decided, Allowed bool
	By               *RuleRef
}

// NewPolicies makes cfg ready. An error names the policy, the rule and what is
// wrong in it.
func NewPolicies(cfg *ir.Authorization) (*Policies, error) {
	p := &Policies{list: make([]policy, len(cfg.Policies))}
	asks := 0
	for i := range cfg.Policies {
		c := &cfg.Policies[i]
		ref := PolicyRef{Namespace: c.Namespace, Name: c.Name, Action: c.Action, DryRun: c.DryRun, Origin: c.Origin}
		p.list[i].ref = ref
		set, err := p.set(c)
		if err != nil {
			return nil, fmt.Errorf("policy %s/%s: %w", c.Namespace, c.Name, err)
		}
		if c.Action == ir.AccessAsk {
			asks++
		}
		set.policies++
		for j := range c.Rules {
			r, err := newPolicyRule(&c.Rules[j], &p.list[i].ref)
			if err != nil {
				return nil, fmt.Errorf("policy %s/%s: rule %d: %w", c.Namespace, c.Name, c.Rules[j].Index, err)
			}
			p.list[i].rules = append(p.list[i].rules, r)
			set.rules = append(set.rules, r)
		}
	}
	if asks != 0 && asks != len(cfg.Policies) {
		return nil, errors.New("policies that ask stand beside others")
	}
	for _, set := range []*ruleSet{&p.audit, &p.deny, &p.allow, &p.ask, &p.wouldDeny, &p.wouldAllow} {
		set.index = newIndex(set.rules)
	}
	return p, nil
}

// set returns where a policy's rules belong.
func (p *Policies) set(c *ir.AccessPolicy) (*ruleSet, error) {
	switch {
	case c.DryRun && c.Action == ir.AccessDeny:
		return &p.wouldDeny, nil
	case c.DryRun && c.Action == ir.AccessAllow:
		return &p.wouldAllow, nil
	case c.DryRun:
		return nil, fmt.Errorf("action %q cannot be tried without effect", c.Action)
	case c.Action == ir.AccessAllow:
		return &p.allow, nil
	case c.Action == ir.AccessDeny:
		return &p.deny, nil
	case c.Action == ir.AccessAudit:
		return &p.audit, nil
	case c.Action == ir.AccessAsk:
		return &p.ask, nil
	}
	return nil, fmt.Errorf("unknown action %q", c.Action)
}

// Decide says whether in may pass. It allocates nothing, unless a header that
// a rule looks at came in several lines.
func (p *Policies) Decide(in *Input) Ruling {
	var f facts
	f.of(in)
	var r Ruling
	r.Audit = p.audit.first(&f)
	if p.wouldDeny.policies+p.wouldAllow.policies > 0 {
		r.DryRun.Allowed, r.DryRun.By = decide(&f, &p.wouldDeny, &p.wouldAllow)
		r.DryRun.Decided = r.DryRun.By != nil || p.wouldAllow.policies > 0
	}
	r.Allowed, r.By = decide(&f, &p.deny, &p.allow)
	return r
}

func decide(f *facts, deny, allow *ruleSet) (allowed bool, by *RuleRef) {
	if by = deny.first(f); by != nil {
		return false, by
	}
	if allow.policies == 0 {
		return true, nil
	}
	by = allow.first(f)
	return by != nil, by
}

// Asks returns the first rule by which somebody else has to be asked about in,
// or nil.
func (p *Policies) Asks(in *Input) *RuleRef {
	var f facts
	f.of(in)
	return p.ask.first(&f)
}

// HandsOver reports whether the policies hand decisions over: Asks is to be
// asked then, and not Decide.
func (p *Policies) HandsOver() bool { return p.ask.policies > 0 }

// Allows reports whether there are policies that allow: a request that none of
// them matches is refused.
func (p *Policies) Allows() bool { return p.allow.policies > 0 }

// Explain tells of every rule of every policy whether it matches in, in the
// order of the configuration, and of one that does not, why: the first test
// that fails. A policy without rules is told of once, with a nil rule.
func (p *Policies) Explain(in *Input, visit func(p *PolicyRef, rule *RuleRef, matched bool, why string)) {
	var f facts
	f.of(in)
	for i := range p.list {
		pol := &p.list[i]
		if len(pol.rules) == 0 {
			visit(&pol.ref, nil, false, "the policy has no rules, so it matches nothing")
		}
		for _, r := range pol.rules {
			if r.matches(&f) {
				visit(&pol.ref, &r.ref, true, "")
			} else {
				visit(&pol.ref, &r.ref, false, r.objection(&f))
			}
		}
	}
}

// Objections says in a few words why no policy that allows matches in.
func (p *Policies) Objections(in *Input) string {
	var f facts
	f.of(in)
	text := ""
	for i, r := range p.allow.rules {
		if i == mostReasons {
			return text + fmt.Sprintf("; and %d more", len(p.allow.rules)-i)
		}
		if i > 0 {
			text += "; "
		}
		text += r.ref.Label + ": " + r.objection(&f)
	}
	if text == "" {
		return "no policy that allows has a rule"
	}
	return text
}

// ruleSet is the rules of one action.
type ruleSet struct {
	policies int
	rules    []*policyRule
	index    *index
}

// first returns the first rule that matches, in the order of the
// configuration, or nil.
func (s *ruleSet) first(f *facts) *RuleRef {
	if len(s.rules) == 0 {
		return nil
	}
	at := search{rules: s.rules, facts: f, best: math.MaxInt32}
	s.index.visit(&at)
	if at.best == math.MaxInt32 {
		return nil
	}
	return &s.rules[at.best].ref
}
