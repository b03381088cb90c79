package istioauth_test

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/istioauth"
)

// naive decides as the documentation reads, rule by rule and value by value,
// with regular expressions in place of everything clever. It shares nothing
// with the code under test.
type naive struct {
	root, namespace string
	trustDomains    []string
}

// fact is what a request has.
type fact struct {
	method, host, path, sni           string
	headers                           map[string][]string
	td, ns, sa                        string // of the certificate
	iss, sub                          string
	claims                            map[string]any
	token                             bool
	source, remote, destination, port string
}

func (f *fact) principal() string {
	if f.td == "" {
		return ""
	}
	return f.td + "/ns/" + f.ns + "/sa/" + f.sa
}

type naivePolicy struct {
	name string
	spec istioauth.AuthorizationPolicySpec
	ns   string
}

// decide returns the decision and the policy and rule that made it.
func (n *naive) decide(list []naivePolicy, f *fact) (bool, string) {
	allows := false
	for _, p := range list {
		if p.spec.Action == "DENY" {
			for i, r := range p.spec.Rules {
				if n.rule(&r, p.ns, true, f) {
					return false, p.name + " rule " + strconv.Itoa(i)
				}
			}
		}
		allows = allows || p.spec.Action == "ALLOW"
	}
	if !allows {
		return true, ""
	}
	for _, p := range list {
		if p.spec.Action == "ALLOW" {
			for i, r := range p.spec.Rules {
				if n.rule(&r, p.ns, false, f) {
					return true, p.name + " rule " + strconv.Itoa(i)
				}
			}
		}
	}
	return false, ""
}

// bad says that a value cannot be compiled.
type bad struct{}

// rule evaluates one rule; deny says that bad values are left out, otherwise
// they drop the rule.
func (n *naive) rule(r *istioauth.Rule, ns string, deny bool, f *fact) (matched bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(bad); !ok {
				panic(p)
			}
			matched = false
		}
	}()
	e := &evaluation{n: n, ns: ns, deny: deny, f: f}
	// All is evaluated, so that a bad value is found wherever it is.
	from := len(r.From) == 0
	for _, s := range r.From {
		from = e.source(s.Source) || from
	}
	to := len(r.To) == 0
	for _, o := range r.To {
		to = e.operation(o.Operation) || to
	}
	when := true
	for _, c := range r.When {
		when = e.condition(&c) && when
	}
	return from && to && when
}

type evaluation struct {
	n    *naive
	ns   string
	deny bool
	f    *fact
}

// field evaluates a positive and a negative list.
func (e *evaluation) field(any, none []string, match func(string) bool) bool {
	one := func(list []string) (usable int, hit bool) {
		for _, v := range list {
			func() {
				defer func() {
					if p := recover(); p != nil {
						if _, ok := p.(bad); !ok || !e.deny {
							panic(p)
						}
					}
				}()
				hit = match(v) || hit
				usable++
			}()
		}
		return usable, hit
	}
	usable, hit := one(any)
	_, excluded := one(none)
	return (usable == 0 || hit) && !excluded
}

func (e *evaluation) source(s *istioauth.Source) bool {
	all := true
	for _, ok := range []bool{
		e.field(s.Principals, s.NotPrincipals, e.principal),
		e.field(s.RequestPrincipals, s.NotRequestPrincipals, e.requestPrincipal),
		e.field(s.Namespaces, s.NotNamespaces, e.namespace),
		e.field(s.ServiceAccounts, s.NotServiceAccounts, e.serviceAccount),
		e.field(s.TrustDomains, s.NotTrustDomains, e.trustDomain),
		e.field(s.IPBlocks, s.NotIPBlocks, inBlock(e.f.source)),
		e.field(s.RemoteIPBlocks, s.NotRemoteIPBlocks, inBlock(e.f.remote)),
	} {
		all = all && ok
	}
	return all
}

func (e *evaluation) operation(o *istioauth.Operation) bool {
	all := true
	for _, ok := range []bool{
		e.field(o.Hosts, o.NotHosts, func(v string) bool { return simple(strings.ToLower(v), strings.ToLower(e.f.host)) }),
		e.field(o.Methods, o.NotMethods, func(v string) bool { return simple(v, e.f.method) }),
		e.field(o.Paths, o.NotPaths, func(v string) bool { return pathFits(v, e.f.path) }),
		e.field(o.Ports, o.NotPorts, e.port),
	} {
		all = all && ok
	}
	return all
}

func (e *evaluation) port(v string) bool {
	if n, err := strconv.Atoi(v); err != nil || n < 1 || n > 65535 {
		panic(bad{})
	}
	return v == e.f.port
}

// expressions are those that were compiled before.
var expressions = map[string]*regexp.Regexp{}

func compiled(expr string) *regexp.Regexp {
	if expressions[expr] == nil {
		expressions[expr] = regexp.MustCompile(expr)
	}
	return expressions[expr]
}

// simple is the comparison of every text.
func simple(v, s string) bool {
	quoted := regexp.QuoteMeta
	var expr string
	switch {
	case v == "*":
		expr = `.+`
	case v[0] == '*':
		expr = `.*` + quoted(v[1:])
	case v[len(v)-1] == '*':
		expr = quoted(v[:len(v)-1]) + `.*`
	default:
		expr = quoted(v)
	}
	return s != "" && compiled(`(?s)^(?:`+expr+`)$`).MatchString(s)
}

func (e *evaluation) principal(v string) bool {
	parts := strings.Split(v, "/")
	candidates := []string{v}
	if len(parts) == 5 && parts[0] != "*" {
		local := parts[0] == "cluster.local"
		for _, td := range e.n.trustDomains {
			local = local || td == parts[0] || strings.HasPrefix(parts[0], "*") && strings.HasSuffix(td, parts[0][1:])
		}
		if local {
			candidates = nil
			for _, td := range e.n.trustDomains {
				if strings.HasPrefix(parts[0], "*") && strings.HasSuffix(td, parts[0][1:]) {
					candidates = append(candidates, v)
				} else {
					candidates = append(candidates, strings.Join(append([]string{td}, parts[1:]...), "/"))
				}
			}
		}
	}
	return slices.ContainsFunc(candidates, func(c string) bool { return simple(c, e.f.principal()) })
}

func (e *evaluation) trustDomain(v string) bool {
	if slices.Contains(e.n.trustDomains, v) {
		return slices.Contains(e.n.trustDomains, e.f.td)
	}
	return simple(v, e.f.td)
}

func (e *evaluation) namespace(v string) bool {
	expr := strings.ReplaceAll(regexp.QuoteMeta(v), `\*`, `.*`)
	return e.f.ns != "" && compiled(`^(?:`+expr+`)$`).MatchString(e.f.ns)
}

func (e *evaluation) serviceAccount(v string) bool {
	if strings.Contains(v, "*") {
		panic(bad{})
	}
	if !strings.Contains(v, "/") {
		v = e.ns + "/" + v
	}
	return e.f.td != "" && v == e.f.ns+"/"+e.f.sa
}

func (e *evaluation) requestPrincipal(v string) bool {
	iss, sub := e.f.iss, e.f.sub
	if iss == "" || sub == "" {
		return false
	}
	i := strings.LastIndex(v, "/")
	switch {
	case v == "*":
		return true
	case v[0] == '*' && i < 0:
		return strings.HasSuffix(sub, v[1:])
	case strings.HasPrefix(v, "*/"):
		return sub == v[i+1:] && strings.HasSuffix(iss, v[1:max(i, 1)])
	case v[0] == '*':
		return strings.HasSuffix(iss, v[1:i]) && sub == v[i+1:]
	case i < 0:
		return strings.HasPrefix(iss, strings.TrimSuffix(v, "*"))
	case strings.HasSuffix(v, "/*"):
		return iss == v[:i]
	case strings.HasSuffix(v, "*"):
		return iss == v[:i] && strings.HasPrefix(sub, v[i+1:len(v)-1])
	}
	return iss == v[:i] && sub == v[i+1:]
}

func inBlock(address string) func(string) bool {
	return func(v string) bool {
		if !strings.Contains(v, "/") {
			if _, err := netip.ParseAddr(v); err != nil {
				panic(bad{})
			}
			return address == v
		}
		p, err := netip.ParsePrefix(v)
		if err != nil {
			panic(bad{})
		}
		return p.Contains(netip.MustParseAddr(address))
	}
}

func pathFits(v, path string) bool {
	if !strings.Contains(v, "{") {
		return simple(v, path)
	}
	const segment = `[A-Za-z0-9\-._~%!$&'()+,;:@=]`
	expr := regexp.QuoteMeta(v)
	expr = strings.ReplaceAll(expr, `\{\*\*\}`, strings.TrimSuffix(segment, "]")+`/]*`)
	expr = strings.ReplaceAll(expr, `\{\*\}`, segment+`+`)
	return compiled(`^` + expr + `$`).MatchString(path)
}

func (e *evaluation) condition(c *istioauth.Condition) bool {
	f := e.f
	text := func(s string) func(string) bool { return func(v string) bool { return simple(v, s) } }
	switch c.Key {
	case "source.ip":
		return e.field(c.Values, c.NotValues, inBlock(f.source))
	case "remote.ip":
		return e.field(c.Values, c.NotValues, inBlock(f.remote))
	case "destination.ip":
		return e.field(c.Values, c.NotValues, inBlock(f.destination))
	case "destination.port":
		return e.field(c.Values, c.NotValues, e.port)
	case "source.namespace":
		return e.field(c.Values, c.NotValues, e.namespace)
	case "source.principal":
		return e.field(c.Values, c.NotValues, e.principal)
	case "source.serviceAccount":
		return e.field(c.Values, c.NotValues, e.serviceAccount)
	case "source.trustDomain":
		return e.field(c.Values, c.NotValues, e.trustDomain)
	case "request.auth.principal":
		return e.field(c.Values, c.NotValues, e.requestPrincipal)
	case "connection.sni":
		return e.field(c.Values, c.NotValues, text(f.sni))
	case "request.auth.audiences":
		return e.field(c.Values, c.NotValues, inClaim(f.claims["aud"]))
	case "request.auth.presenter":
		return e.field(c.Values, c.NotValues, inClaim(f.claims["azp"]))
	case "request.auth.claims[groups]":
		return e.field(c.Values, c.NotValues, inClaim(f.claims["groups"]))
	case "request.auth.claims[org][unit]":
		org, _ := f.claims["org"].(map[string]any)
		return e.field(c.Values, c.NotValues, inClaim(org["unit"]))
	case "request.headers[X-A]", "request.headers[x-b]":
		return e.field(c.Values, c.NotValues, text(strings.Join(f.headers[strings.ToUpper(c.Key[16:len(c.Key)-1])], ",")))
	}
	if !e.deny {
		panic(bad{})
	}
	return true // left out
}

func inClaim(claim any) func(string) bool {
	return func(v string) bool {
		switch c := claim.(type) {
		case string:
			return simple(v, c)
		case []any:
			return slices.ContainsFunc(c, func(x any) bool { s, ok := x.(string); return ok && simple(v, s) })
		}
		return false
	}
}
