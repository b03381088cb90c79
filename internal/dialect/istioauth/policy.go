package istioauth

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

const (
	dryRunAnnotation = "istio.io/dry-run"
	maxRules         = 512
	maxFrom          = 512
)

// actions by their names in AuthorizationPolicy.
func actionOf(name string) (ir.AccessAction, bool) {
	switch name {
	case "", "ALLOW":
		return ir.AccessAllow, true
	case "DENY":
		return ir.AccessDeny, true
	case "AUDIT":
		return ir.AccessAudit, true
	case "CUSTOM":
		return ir.AccessAsk, true
	}
	return "", false
}

// authorization makes the steps of the policies of one workload: one for each
// server that has to be asked, and one for all others.
func authorization(env *Env, objects []*resource.Object) []ir.Step {
	var steps []ir.Step
	own := &ir.Authorization{}
	var origin ir.Origin
	allows := false
	asks := map[string]*ir.Authorization{}
	for _, o := range objects {
		r := &reader{o: o, mesh: &env.Mesh}
		s := &o.Spec.(*AuthorizationPolicy).Spec
		r.scope(&s.Scope)
		p := r.policy(s)
		switch {
		case r.closed != nil && (p.DryRun || p.Action == ir.AccessAudit):
		case r.closed != nil:
			steps = append(steps, closed(env.slot("authorization"), r.closed))
		case p.Action == ir.AccessAsk:
			name := s.provider()
			if a := asks[name]; a != nil {
				a.Policies = append(a.Policies, p)
				continue
			}
			a := &ir.Authorization{Policies: []ir.AccessPolicy{p}, Ask: env.ask(name, p.Origin)}
			if x := env.Mesh.provider(name); x != nil {
				a.Rematch = x.Rematch
			}
			asks[name] = a
			steps = append(steps, ir.Step{
				Phase: ir.PhaseAuthenticate, Order: OrderCustom, Slot: env.slot("authorization.custom"), Origin: p.Origin, Authorization: a,
			})
		default:
			if len(own.Policies) == 0 || p.Action == ir.AccessAllow && !p.DryRun && !allows {
				origin = p.Origin // where nothing matches, the first ALLOW decides
			}
			allows = allows || p.Action == ir.AccessAllow && !p.DryRun
			own.Policies = append(own.Policies, p)
		}
	}
	if len(own.Policies) > 0 {
		steps = append(steps, ir.Step{Phase: ir.PhaseAuthorize, Slot: env.slot("authorization"), Origin: origin, Authorization: own})
	}
	return steps
}

func (s *AuthorizationPolicySpec) provider() string {
	if s.Provider == nil {
		return ""
	}
	return s.Provider.Name
}

// policy reads one policy.
func (r *reader) policy(s *AuthorizationPolicySpec) ir.AccessPolicy {
	p := ir.AccessPolicy{Namespace: r.o.Namespace, Name: r.o.Name, Origin: r.o.Origin("")}
	var ok bool
	if p.Action, ok = actionOf(s.Action); !ok {
		r.fail("spec.action", "write ALLOW, DENY, AUDIT or CUSTOM", "%q is no action", s.Action)
	}
	r.action = p.Action
	p.DryRun = r.dryRun(p.Action)
	r.checkProvider(s)
	faults := r.faults()
	if len(s.Rules) > maxRules {
		r.fail("spec.rules", "split the policy", "there are more than %d rules", maxRules)
	}
	if s.Rules != nil && len(s.Rules) == 0 && p.Action == ir.AccessAllow {
		r.warn("spec.rules", "remove the field, if nothing is to be allowed", "the list is empty, so nothing is allowed")
	}
	for i := range s.Rules {
		at := fmt.Sprintf("spec.rules[%d]", i)
		if rule, ok := r.rule(at, &s.Rules[i], faults[i]); ok {
			rule.Index, rule.Origin = i, r.o.Origin(at)
			p.Rules = append(p.Rules, rule)
		}
	}
	if len(s.Rules) == 0 {
		p.Rules = r.noRules()
	}
	return p
}

// noRules reads a policy without rules: an ALLOW that allows nothing, which is
// a usual thing to write. The other actions mean nothing so, and take every
// request.
func (r *reader) noRules() []ir.PolicyRule {
	switch r.action {
	case ir.AccessDeny:
		r.fault("spec", "write rules: [{}], if everything is to be denied", "a DENY policy needs rules")
	case ir.AccessAsk:
		r.fault("spec", "write rules: [{}], if everything is to be checked", "a CUSTOM policy needs rules")
	case ir.AccessAudit:
		r.warn("spec", "write rules", "an AUDIT policy without rules marks nothing")
		return nil
	default:
		return nil
	}
	return []ir.PolicyRule{{Origin: r.o.Origin("spec")}}
}

func (r *reader) dryRun(action ir.AccessAction) bool {
	value, there := r.o.Annotations[dryRunAnnotation]
	if !there {
		return false
	}
	on, err := strconv.ParseBool(value)
	at := "metadata.annotations[" + dryRunAnnotation + "]"
	switch {
	case err != nil:
		r.warn(at, `write "true" or "false"`, "it is neither true nor false; the policy is enforced")
	case on && action != ir.AccessAllow && action != ir.AccessDeny:
		r.warn(at, "remove it", "only ALLOW and DENY can be tried; the policy is enforced")
		return false
	}
	return on && err == nil
}

// checkProvider holds the provider to the action.
func (r *reader) checkProvider(s *AuthorizationPolicySpec) {
	name := s.provider()
	switch {
	case r.action != ir.AccessAsk && s.Provider != nil:
		r.fail("spec.provider", "write action: CUSTOM, or remove it", "only the action CUSTOM has a provider")
	case r.action == ir.AccessAsk && name == "":
		r.denied("spec.provider", "name an extension provider of the mesh", "a CUSTOM policy needs a provider")
	case r.action == ir.AccessAsk && r.mesh.provider(name) == nil:
		r.denied("spec.provider.name", r.mesh.suggest(name), "the mesh has no extension provider %q", name)
	case r.action == ir.AccessAsk && r.mesh.provider(name).Auth == nil:
		r.denied("spec.provider.name", "see the problem in the mesh's configuration", "the extension provider %q cannot be asked", name)
	}
}

// denied reports a server that cannot be asked.
func (r *reader) denied(field, remedy, format string, args ...any) {
	r.problems = append(r.problems, r.errorf(field, remedy, fmt.Sprintf(format, args...)+"; what the policy matches is denied"))
}

// faults are the rules, by index, in which something could not be decoded. A
// fault elsewhere makes the policy useless.
func (r *reader) faults() map[int]bool {
	out := map[int]bool{}
	for _, f := range r.o.Faults {
		rest, ok := strings.CutPrefix(f.Origin.Field, "spec.rules[")
		number, _, closing := strings.Cut(rest, "]")
		i, err := strconv.Atoi(number)
		if !ok || !closing || err != nil {
			if r.closed == nil {
				r.closed = &ir.Closed{Reason: "a field could not be read: " + f.What, Origin: f.Origin}
			}
			continue
		}
		out[i] = true
	}
	return out
}

// rule reads one rule; false: it is dropped. unread says that a part of it
// could not be decoded: nobody knows what it would match.
func (r *reader) rule(at string, s *Rule, unread bool) (ir.PolicyRule, bool) {
	if unread {
		return ir.PolicyRule{}, r.action != ir.AccessAllow
	}
	r.faulty = false
	out := ir.PolicyRule{}
	if s.From != nil && len(s.From) == 0 {
		r.fault(at+".from", "name a source, or remove the field", "the list is empty")
	}
	if len(s.From) > maxFrom {
		r.fault(at+".from", "split the rule", "there are more than %d sources", maxFrom)
		s = &Rule{To: s.To, When: s.When}
	}
	for i := range s.From {
		out.From = append(out.From, r.source(fmt.Sprintf("%s.from[%d].source", at, i), s.From[i].Source))
	}
	if s.To != nil && len(s.To) == 0 {
		r.fault(at+".to", "name an operation, or remove the field", "the list is empty")
	}
	for i := range s.To {
		out.To = append(out.To, r.operation(fmt.Sprintf("%s.to[%d].operation", at, i), s.To[i].Operation))
	}
	if s.When != nil && len(s.When) == 0 {
		r.fault(at+".when", "write a condition, or remove the field", "the list is empty")
	}
	for i := range s.When {
		out.When = append(out.When, r.condition(fmt.Sprintf("%s.when[%d]", at, i), &s.When[i])...)
	}
	return out, !r.faulty || r.action != ir.AccessAllow
}
