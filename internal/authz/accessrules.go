package authz

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// AccessInput is what AccessRules look at.
type AccessInput struct {
	Identities []authn.Identity
	Method     string
	// Path is the client's, normalized, before any rewrite and without query.
	Path   string
	Client netip.Addr
	Header http.Header
	// Model that the request names; empty: it is not known, or with ModelLess
	// the request is for no model.
	Model     string
	ModelLess bool
}

// AccessRules decides by rules in order, of which the first that fits counts,
// in the manner of Envoy Gateway's SecurityPolicy.
//
// A rule may look at the model. Of a request whose model is not known, it fits
// where it refuses, and does not where it allows: not knowing opens nothing.
type AccessRules struct {
	rules        []accessRule
	defaultAllow bool
	models       bool
}

type accessRule struct {
	name    string
	origin  ir.Origin
	allow   bool
	clients []netip.Prefix
	token   *accessToken
	headers []ir.AccessHeader
	methods []string
	path    *accessPath
}

type accessToken struct {
	provider string
	claims   [][]claim // of each claim, its alternatives
	scopes   []string
}

type accessPath struct {
	ir.AccessPath
	regex *regexp.Regexp
}

// NewAccessRules makes cfg ready. An error names the rule and what is wrong in
// it.
func NewAccessRules(cfg *ir.AccessRules) (*AccessRules, error) {
	a := &AccessRules{defaultAllow: cfg.DefaultAllow, rules: make([]accessRule, len(cfg.Rules))}
	for i := range cfg.Rules {
		var err error
		if a.rules[i], err = newAccessRule(&cfg.Rules[i]); err != nil {
			return nil, fmt.Errorf("rule %q: %w", cfg.Rules[i].Name, err)
		}
		a.models = a.models || a.rules[i].readsModel()
	}
	return a, nil
}

func newAccessRule(cfg *ir.AccessRule) (accessRule, error) {
	r := accessRule{name: cfg.Name, origin: cfg.Origin, allow: cfg.Allow, methods: slices.Clone(cfg.Methods)}
	if slices.Contains(cfg.Methods, "") {
		return r, errors.New("an empty method")
	}
	for _, c := range cfg.ClientCIDRs {
		prefix, err := netip.ParsePrefix(c)
		if err != nil {
			return r, fmt.Errorf("%q is no range of addresses", c)
		}
		r.clients = append(r.clients, prefix.Masked())
	}
	for _, h := range cfg.Headers {
		if len(h.Values) == 0 {
			return r, fmt.Errorf("header %q: no values", h.Name)
		}
		if h.Name != "" {
			h.Name = http.CanonicalHeaderKey(h.Name)
		}
		r.headers = append(r.headers, h)
	}
	var err error
	if cfg.Token != nil {
		r.token, err = newAccessToken(cfg.Token)
	}
	if cfg.Path != nil && err == nil {
		r.path, err = newAccessPath(cfg.Path)
	}
	return r, err
}

func newAccessToken(cfg *ir.AccessTokenMatch) (*accessToken, error) {
	t := &accessToken{provider: cfg.Provider, scopes: slices.Clone(cfg.Scopes)}
	if cfg.Provider == "" {
		return nil, errors.New("no provider is named")
	}
	if slices.Contains(cfg.Scopes, "") {
		return nil, errors.New("an empty scope")
	}
	for _, c := range cfg.Claims {
		if len(c.Values) == 0 {
			return nil, fmt.Errorf("claim %q: no values", strings.Join(c.Path, "."))
		}
		var alternatives []claim
		for _, v := range c.Values {
			m := ir.ClaimMatch{Path: c.Path, Value: v}
			if c.List {
				m.Matcher = ir.ClaimListContains
			}
			made, err := newClaim(m)
			if err != nil {
				return nil, err
			}
			alternatives = append(alternatives, made)
		}
		t.claims = append(t.claims, alternatives)
	}
	return t, nil
}

func newAccessPath(cfg *ir.AccessPath) (*accessPath, error) {
	p := &accessPath{AccessPath: *cfg}
	switch cfg.Kind {
	case ir.PathExact, ir.PathPrefix, ir.PathSegments:
		return p, nil
	case ir.PathRegex:
		var err error
		p.regex, err = compileRegex(cfg.Value)
		return p, err
	}
	return nil, fmt.Errorf("a path of kind %q cannot be compared", cfg.Kind)
}

// ReadsModel reports whether a decision may depend on the model.
func (a *AccessRules) ReadsModel() bool { return a.models }

// Decide says whether in is allowed, and if not, why. It allocates only to
// deny.
func (a *AccessRules) Decide(in *AccessInput) Decision {
	for i := range a.rules {
		r := &a.rules[i]
		if r.misfit(in) != fits {
			continue
		}
		if r.allow {
			return Decision{Allowed: true, Rule: r.name, Origin: r.origin}
		}
		return Decision{Rule: r.name, Origin: r.origin, Reason: fmt.Sprintf("rule %q refuses it", r.name)}
	}
	if a.defaultAllow {
		return Decision{Allowed: true, Rule: "by default"}
	}
	return a.Explain(in)
}

// Explain decides as Decide does, and lists the rules that were tried.
func (a *AccessRules) Explain(in *AccessInput) Decision {
	var d Decision
	for i := range a.rules {
		r := &a.rules[i]
		why := r.misfit(in)
		d.Tried = append(d.Tried, RuleResult{Rule: r.name, Origin: r.origin, Matched: why == fits, Reason: r.objection(why, in)})
		if why != fits {
			continue
		}
		d.Allowed, d.Rule, d.Origin = r.allow, r.name, r.origin
		if !r.allow {
			d.Reason = fmt.Sprintf("rule %q refuses it", r.name)
		}
		return d
	}
	if a.defaultAllow {
		d.Allowed, d.Rule = true, "by default"
		return d
	}
	d.Reason = "no rule fits"
	for i, t := range d.Tried {
		if i == mostReasons {
			d.Reason += fmt.Sprintf("; and %d more", len(d.Tried)-i)
			break
		}
		d.Reason += fmt.Sprintf("; rule %q: %s", t.Rule, t.Reason)
	}
	return d
}

// misfit is the condition of a rule that does not hold.
type misfit int

const (
	fits misfit = iota
	otherMethod
	otherPath
	otherClient
	otherHeader
	otherModel
	otherToken
)

// misfit returns the first condition that does not hold; fits: all do.
func (r *accessRule) misfit(in *AccessInput) misfit {
	switch {
	case len(r.methods) > 0 && !slices.Contains(r.methods, in.Method):
		return otherMethod
	case r.path != nil && !r.path.fits(in.Path):
		return otherPath
	case len(r.clients) > 0 && !r.holds(in.Client):
		return otherClient
	}
	for i := range r.headers {
		if why := r.header(&r.headers[i], in); why != fits {
			return why
		}
	}
	if r.token != nil && !r.token.holds(in.Identities) {
		return otherToken
	}
	return fits
}

// holds reports whether one of the rule's ranges has the address.
func (r *accessRule) holds(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return addr.IsValid() && slices.ContainsFunc(r.clients, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// header compares a header, or the model, of which not to know is to fit what
// refuses.
func (r *accessRule) header(h *ir.AccessHeader, in *AccessInput) misfit {
	switch {
	case h.Name == "" && in.Model == "":
		if r.allow || in.ModelLess {
			return otherModel
		}
	case h.Name == "":
		if !slices.Contains(h.Values, in.Model) {
			return otherModel
		}
	default:
		// Of several values Envoy makes one text.
		if list := in.Header[h.Name]; len(list) == 0 || !slices.Contains(h.Values, strings.Join(list, ",")) {
			return otherHeader
		}
	}
	return fits
}

func (r *accessRule) readsModel() bool {
	return slices.ContainsFunc(r.headers, func(h ir.AccessHeader) bool { return h.Name == "" })
}

func (p *accessPath) fits(path string) bool {
	var is bool
	switch p.Kind {
	case ir.PathExact:
		is = path == p.Value
	case ir.PathPrefix:
		is = strings.HasPrefix(path, p.Value)
	case ir.PathSegments:
		rest, ok := strings.CutPrefix(path, strings.TrimSuffix(p.Value, "/"))
		is = ok && (rest == "" || rest[0] == '/')
	case ir.PathRegex:
		is = p.regex.MatchString(path)
	}
	return is != p.Invert
}

// holds reports whether one of the proven callers has it all.
func (t *accessToken) holds(ids []authn.Identity) bool {
	for i := range ids {
		if id := &ids[i]; id.Proven() && id.Method == authn.MethodJWT && id.Provider == t.provider && t.claimed(id.Claims) {
			return true
		}
	}
	return false
}

func (t *accessToken) claimed(claims map[string]any) bool {
	for _, alternatives := range t.claims {
		if !slices.ContainsFunc(alternatives, func(c claim) bool { return c.matches(claims) }) {
			return false
		}
	}
	for _, s := range t.scopes {
		if !hasScope(claims["scope"], s) {
			return false
		}
	}
	return true
}

// hasScope looks for a word in a scope claim (RFC 8693 4.2), or in a list.
func hasScope(claim any, scope string) bool {
	switch v := claim.(type) {
	case string:
		for word := range strings.SplitSeq(v, " ") {
			if word == scope {
				return true
			}
		}
	case []any:
		return contains(v, scope)
	}
	return false
}

// objection puts a misfit into words, without a value of a claim or a header.
func (r *accessRule) objection(why misfit, in *AccessInput) string {
	switch why {
	case otherMethod:
		return "method is not " + strings.Join(r.methods, " or ")
	case otherPath:
		return fmt.Sprintf("path does not fit %q", r.path.Value)
	case otherClient:
		return "the caller's address is in none of its ranges"
	case otherHeader:
		return "a header is not one of its values"
	case otherModel:
		if in.Model == "" {
			return "the model is not known"
		}
		return "the model is not one of its values"
	case otherToken:
		return fmt.Sprintf("no token of provider %q has its claims and scopes", r.token.provider)
	}
	return ""
}
