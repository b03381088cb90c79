package authz

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// policyRule is an ir.PolicyRule made ready.
type policyRule struct {
	ref      RuleRef
	from, to []conjunct
	when     conjunct
}

type conjunct []policyTest

// policyTest is an ir.AccessTest made ready.
type policyTest struct {
	attribute ir.AccessAttribute
	key       []string
	any, none valueSet
}

func newPolicyRule(cfg *ir.PolicyRule, p *PolicyRef) (*policyRule, error) {
	r := &policyRule{ref: RuleRef{
		Policy: p, Index: cfg.Index, Origin: cfg.Origin,
		Label: strings.TrimSpace(fmt.Sprintf("%s %s/%s rule %d", p.Origin.Kind, p.Namespace, p.Name, cfg.Index)),
	}}
	var err error
	if r.from, err = conjuncts(cfg.From); err != nil {
		return nil, err
	}
	if r.to, err = conjuncts(cfg.To); err != nil {
		return nil, err
	}
	r.when, err = newConjunct(cfg.When)
	return r, err
}

func conjuncts(cfg []ir.AccessConjunct) ([]conjunct, error) {
	out := make([]conjunct, len(cfg))
	for i := range cfg {
		var err error
		if out[i], err = newConjunct(cfg[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func newConjunct(cfg ir.AccessConjunct) (conjunct, error) {
	out := make(conjunct, len(cfg))
	for i := range cfg {
		var err error
		if out[i], err = newPolicyTest(&cfg[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", cfg[i].Attribute, err)
		}
	}
	return out, nil
}

func newPolicyTest(cfg *ir.AccessTest) (policyTest, error) {
	t := policyTest{attribute: cfg.Attribute, key: slices.Clone(cfg.Key)}
	switch t.attribute {
	case ir.RequestHeader:
		if len(t.key) != 1 || t.key[0] == "" {
			return t, errors.New("wants the name of one header")
		}
		t.key[0] = headerKey(t.key[0])
	case ir.TokenClaim:
		if len(t.key) == 0 || slices.Contains(t.key, "") {
			return t, errors.New("wants the path of a claim")
		}
	default:
		if len(t.key) > 0 {
			return t, errors.New("takes no key")
		}
		if !known(t.attribute) {
			return t, errors.New("is no attribute")
		}
	}
	if len(cfg.Any)+len(cfg.None) == 0 {
		return t, errors.New("has no values")
	}
	var err error
	if t.any, err = newValueSet(t.attribute, cfg.Any); err != nil {
		return t, err
	}
	t.none, err = newValueSet(t.attribute, cfg.None)
	return t, err
}

func known(a ir.AccessAttribute) bool {
	switch a {
	case ir.PeerID, ir.PeerTrustDomain, ir.PeerNamespace, ir.PeerServiceAccount, ir.PeerAddress, ir.ClientAddress,
		ir.LocalAddress, ir.LocalPort, ir.ServerName, ir.TokenPrincipal, ir.RequestHost, ir.RequestMethod, ir.RequestPath:
		return true
	}
	return false
}

// headerKey returns the canonical name of a header, and of a pseudo header of
// HTTP/2 its own.
func headerKey(name string) string {
	switch lower := strings.ToLower(name); {
	case lower == "host":
		return ":authority"
	case strings.HasPrefix(lower, ":"):
		return lower
	}
	return http.CanonicalHeaderKey(name)
}

func (r *policyRule) matches(f *facts) bool {
	return matchesOne(r.from, f) && matchesOne(r.to, f) && r.when.matches(f)
}

// matchesOne reports whether one of list holds; an empty list does.
func matchesOne(list []conjunct, f *facts) bool {
	for i := range list {
		if list[i].matches(f) {
			return true
		}
	}
	return len(list) == 0
}

func (c conjunct) matches(f *facts) bool {
	for i := range c {
		if !c[i].matches(f) {
			return false
		}
	}
	return true
}

func (t *policyTest) matches(f *facts) bool {
	return (t.any.empty() || t.finds(&t.any, f)) && (t.none.empty() || !t.finds(&t.none, f))
}

// finds reports whether one of s matches the attribute.
func (t *policyTest) finds(s *valueSet, f *facts) bool {
	switch t.attribute {
	case ir.PeerAddress:
		return s.contains(f.in.PeerAddress)
	case ir.ClientAddress:
		return s.contains(f.in.Client)
	case ir.LocalAddress:
		return s.contains(f.in.Local.Addr())
	case ir.LocalPort:
		return s.hasPort(f.in.Local.Port())
	case ir.TokenPrincipal:
		return f.issuer != "" && f.subject != "" && s.hasPair(f.issuer, f.subject)
	case ir.PeerServiceAccount:
		return f.account != "" && s.hasPair(f.namespace, f.account)
	case ir.TokenClaim:
		return f.token != nil && s.hasClaim(authn.LookUp(f.token.Claims, t.key))
	}
	return s.has(f.text(t.attribute, t.key))
}

// objection says why r does not match.
func (r *policyRule) objection(f *facts) string {
	for _, part := range []struct {
		name string
		list []conjunct
	}{{"from", r.from}, {"to", r.to}} {
		if matchesOne(part.list, f) {
			continue
		}
		why := ""
		for i := range part.list {
			if i == mostReasons {
				return why + ", and more"
			}
			if i > 0 {
				why += ", "
			}
			why += part.list[i].objection(f)
		}
		return why
	}
	return r.when.objection(f)
}

func (c conjunct) objection(f *facts) string {
	for i := range c {
		if t := &c[i]; !t.matches(f) {
			return t.objection(f)
		}
	}
	return ""
}

// objection says why t fails. It quotes the configuration, and of the request
// nothing but what is no secret by its nature.
func (t *policyTest) objection(f *facts) string {
	name := string(t.attribute)
	if len(t.key) > 0 {
		name += "[" + strings.Join(t.key, "][") + "]"
	}
	if !t.any.empty() && !t.finds(&t.any, f) {
		return name + t.is(f) + " is not " + t.any.String()
	}
	return name + t.is(f) + " is " + t.none.String()
}

// is tells what the attribute holds, where that may be told.
func (t *policyTest) is(f *facts) string {
	value := ""
	switch t.attribute {
	case ir.RequestHeader, ir.TokenClaim:
		return ""
	case ir.TokenPrincipal:
		if f.issuer != "" && f.subject != "" {
			value = f.issuer + "/" + f.subject
		}
	case ir.PeerServiceAccount:
		if f.account != "" {
			value = f.namespace + "/" + f.account
		}
	case ir.PeerAddress:
		value = addressText(f.in.PeerAddress)
	case ir.ClientAddress:
		value = addressText(f.in.Client)
	case ir.LocalAddress:
		value = addressText(f.in.Local.Addr())
	case ir.LocalPort:
		value = strconv.Itoa(int(f.in.Local.Port()))
	default:
		value = f.text(t.attribute, t.key)
	}
	if value == "" {
		return " (absent)"
	}
	return fmt.Sprintf(" %q", value)
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
