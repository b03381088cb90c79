package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// Rules decides by the claims of a verified token, in the manner of Gloo's
// RBAC: one rule suffices; in it one principal suffices, and path and method
// must fit; all claims of a principal must match in one identity. Without
// rules everybody is refused, and so is a request that proved nothing.
type Rules struct{ rules []rule }

type rule struct {
	name       string
	origin     ir.Origin
	principals []principal
	pathPrefix string
	methods    []string
}

type principal struct {
	provider string // empty: any
	claims   []claim
}

// NewRules makes cfg ready. An error names the rule and what is wrong in it;
// a principal that asks for nothing is wrong, as it would admit everybody.
func NewRules(cfg *ir.ClaimRules) (*Rules, error) {
	r := &Rules{rules: make([]rule, len(cfg.Rules))}
	for i := range cfg.Rules {
		var err error
		if r.rules[i], err = newRule(&cfg.Rules[i]); err != nil {
			return nil, fmt.Errorf("rule %q: %w", cfg.Rules[i].Name, err)
		}
	}
	return r, nil
}

func newRule(cfg *ir.ClaimRule) (rule, error) {
	r := rule{name: cfg.Name, origin: cfg.Origin, pathPrefix: cfg.PathPrefix, methods: slices.Clone(cfg.Methods)}
	if len(cfg.Principals) == 0 {
		return rule{}, errors.New("no principals")
	}
	if slices.Contains(cfg.Methods, "") {
		return rule{}, errors.New("an empty method")
	}
	for i, p := range cfg.Principals {
		if len(p.Claims) == 0 {
			return rule{}, fmt.Errorf("principals[%d]: no claims", i)
		}
		made := principal{provider: p.Provider}
		for j, c := range p.Claims {
			m, err := newClaim(c)
			if err != nil {
				return rule{}, fmt.Errorf("principals[%d].claims[%d]: %w", i, j, err)
			}
			made.claims = append(made.claims, m)
		}
		r.principals = append(r.principals, made)
	}
	return r, nil
}

// Decide says whether in is allowed, and if not, why. It allocates only to
// deny.
func (r *Rules) Decide(in *Input) Decision {
	for i := range r.rules {
		if rule := &r.rules[i]; rule.allows(in) {
			return Decision{Allowed: true, Rule: rule.name, Origin: rule.origin}
		}
	}
	return r.Explain(in)
}

// Explain decides as Decide does, and lists the rules that were tried also
// when it allows.
func (r *Rules) Explain(in *Input) Decision {
	var d Decision
	for i := range r.rules {
		rule := &r.rules[i]
		result := RuleResult{Rule: rule.name, Origin: rule.origin, Matched: rule.allows(in)}
		if result.Matched {
			d = Decision{Allowed: true, Rule: rule.name, Origin: rule.origin, Tried: append(d.Tried, result)}
			return d
		}
		result.Reason = rule.objection(in)
		d.Tried = append(d.Tried, result)
	}
	d.Reason = summary(in, d.Tried)
	return d
}

// mostReasons bounds what one denial writes into the log.
const mostReasons = 4

func summary(in *Input, tried []RuleResult) string {
	switch {
	case len(tried) == 0:
		return "there are no rules, so nobody is allowed"
	case !slices.ContainsFunc(in.Identities, func(id authn.Identity) bool { return id.Proven() }):
		return "nobody is authenticated"
	}
	var b strings.Builder
	for i, t := range tried {
		if i == mostReasons {
			fmt.Fprintf(&b, "; and %d more", len(tried)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "rule %q: %s", t.Rule, t.Reason)
	}
	return b.String()
}

func (r *rule) allows(in *Input) bool {
	if !r.fits(in) {
		return false
	}
	for i := range r.principals {
		for j := range in.Identities {
			if r.principals[i].is(&in.Identities[j]) {
				return true
			}
		}
	}
	return false
}

func (r *rule) fits(in *Input) bool {
	return strings.HasPrefix(in.Path, r.pathPrefix) &&
		(len(r.methods) == 0 || slices.Contains(r.methods, in.Method))
}

func (p *principal) is(id *authn.Identity) bool {
	if !p.mayBe(id) {
		return false
	}
	for i := range p.claims {
		if !p.claims[i].matches(id.Claims) {
			return false
		}
	}
	return true
}

// mayBe says whether id's claims may be looked at: those of a verified JWT, as
// in Envoy, where RBAC sees what the jwt_authn filter published alone; of the
// zero Identity never.
func (p *principal) mayBe(id *authn.Identity) bool {
	return id.Proven() && id.Method == authn.MethodJWT && (p.provider == "" || p.provider == id.Provider)
}

// objection says why r does not allow in.
func (r *rule) objection(in *Input) string {
	if !strings.HasPrefix(in.Path, r.pathPrefix) {
		return fmt.Sprintf("path does not begin with %q", r.pathPrefix)
	}
	if !r.fits(in) {
		return fmt.Sprintf("method is not %s", strings.Join(r.methods, " or "))
	}
	var why []string
	for i := range r.principals {
		if len(why) == mostReasons {
			why = append(why, "and more")
			break
		}
		if o := r.principals[i].objection(in.Identities); !slices.Contains(why, o) {
			why = append(why, o)
		}
	}
	return strings.Join(why, ", ")
}

func (p *principal) objection(ids []authn.Identity) string {
	why := "no identity"
	if p.provider != "" {
		why = fmt.Sprintf("no identity from provider %q", p.provider)
	}
	for i := range ids {
		if !p.mayBe(&ids[i]) {
			continue
		}
		for j := range p.claims {
			if !p.claims[j].matches(ids[i].Claims) {
				why = p.claims[j].objection(ids[i].Claims)
				break
			}
		}
	}
	return why
}
