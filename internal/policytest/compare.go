package policytest

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/explain"
	"github.com/postern-gateway/postern/internal/resource"
)

// compare says in what an explanation differs from what is expected, and
// returns it in the form of an expectation.
func compare(want *Expect, x *explain.Explanation) (*Expect, []string) {
	c := &comparison{}
	got := &Expect{Decision: string(x.Decision), Status: statusOf(x)}
	c.same("decision", want.Decision, got.Decision)
	if want.Status != 0 && want.Status != got.Status {
		c.differ("status", strconv.Itoa(want.Status), strconv.Itoa(got.Status))
	}
	if d := x.Decided; d != nil {
		got.Policy = d.Policy
		if d.Rule != "" || d.Index >= 0 {
			got.Rule = ruleOf(d, want.Rule)
		}
	}
	c.same("policy", want.Policy, got.Policy)
	c.rule(want.Rule, got.Rule, x.Decided)
	if len(x.Identities) > 0 {
		got.Identity = c.identity(want.Identity, x.Identities)
	} else if want.Identity != nil {
		c.differ("identity", want.Identity.text(), "nobody")
	}
	if x.Upstream != nil {
		got.Upstream = c.upstream(want.Upstream, x.Upstream)
	} else if want.Upstream != nil {
		c.differ("upstream", "a request to it", "none")
	}
	return got, c.differs
}

// statusOf is what the client gets: of a request that is sent on, what a well
// upstream answers.
func statusOf(x *explain.Explanation) int {
	if x.Status == 0 && x.Decision == explain.Allow {
		return http.StatusOK
	}
	return x.Status
}

type comparison struct{ differs []string }

func (c *comparison) differ(what, want, got string) {
	if got == "" {
		got = "none"
	}
	c.differs = append(c.differs, fmt.Sprintf("%s: expected %s, got %s", what, want, got))
}

// same compares texts; an empty one is not asked for.
func (c *comparison) same(what, want, got string) {
	if want != "" && want != got {
		c.differ(what, want, got)
	}
}

// ruleOf is the rule that decided, by name where the test names rules.
func ruleOf(d *explain.Decided, want *Rule) *Rule {
	byName := d.Index < 0 || want != nil && want.String != ""
	if n, err := strconv.Atoi(d.Rule); err == nil {
		return &Rule{resource.IntOrString{Int: n}}
	}
	if byName && d.Rule != "" {
		return &Rule{resource.IntOrString{String: d.Rule}}
	}
	return &Rule{resource.IntOrString{Int: d.Index}}
}

func (c *comparison) rule(want, got *Rule, d *explain.Decided) {
	switch {
	case want == nil:
	case got == nil:
		c.differ("rule", want.text(), "none")
	case *want != *got:
		c.differ("rule", want.text(), strings.TrimSpace(got.text()+" "+ruleName(d)))
	}
}

func (r *Rule) text() string {
	if r.String != "" {
		return r.String
	}
	return strconv.Itoa(r.Int)
}

// ruleName is the rule's name beside its number.
func ruleName(d *explain.Decided) string {
	if _, err := strconv.Atoi(d.Rule); d.Rule == "" || err == nil {
		return ""
	}
	return "(" + d.Rule + ")"
}

// identity finds the caller that is expected among those proven.
func (c *comparison) identity(want *Identity, list []explain.Identity) *Identity {
	var first *Identity
	for i := range list {
		id := &list[i]
		got := &Identity{Subject: id.Subject, Issuer: id.Issuer, Namespace: id.Namespace, Method: id.Method, Provider: id.Provider}
		if first == nil {
			first = got
		}
		if want == nil || want.fits(got) {
			return got
		}
	}
	c.differ("identity", want.text(), first.text())
	return first
}

func (id *Identity) fits(got *Identity) bool {
	for _, p := range [][2]string{
		{id.Subject, got.Subject}, {id.Issuer, got.Issuer}, {id.Namespace, got.Namespace}, {id.Method, got.Method}, {id.Provider, got.Provider},
	} {
		if p[0] != "" && p[0] != p[1] {
			return false
		}
	}
	return true
}

func (id *Identity) text() string {
	var parts []string
	for _, p := range [][2]string{{"subject", id.Subject}, {"issuer", id.Issuer}, {"namespace", id.Namespace}, {"method", id.Method}, {"provider", id.Provider}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	if len(parts) == 0 {
		return "somebody"
	}
	return strings.Join(parts, ", ")
}

// The words for headers whose value is not compared.
const (
	headerPresent = "present"
	headerAbsent  = "absent"
)

func (c *comparison) upstream(want *Upstream, u *explain.Upstream) *Upstream {
	got := &Upstream{Method: u.Method, URL: u.URL, Host: u.Host, Name: u.Name}
	if want == nil {
		return got
	}
	c.same("upstream method", want.Method, u.Method)
	if want.URL != "" && bareURL(want.URL) != bareURL(u.URL) {
		c.differ("upstream URL", want.URL, u.URL)
	}
	c.same("upstream host", want.Host, u.Host)
	c.same("upstream", want.Name, u.Name)
	if len(want.Headers) > 0 {
		got.Headers = map[string]string{}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Headers)) {
		value, secret := headerOf(u, name)
		got.Headers[name] = value
		switch expected := want.Headers[name]; {
		case expected == headerPresent && value != headerAbsent:
			got.Headers[name] = headerPresent
		case expected == value:
		case secret && expected != headerAbsent:
			c.differs = append(c.differs, fmt.Sprintf("upstream header %s: it is a credential, of which only present or absent can be expected", name))
		default:
			c.differ("upstream header "+name, expected, value)
		}
	}
	return got
}

// headerOf is a header of what would be sent: its value, "absent", or
// "present" for a credential.
func headerOf(u *explain.Upstream, name string) (value string, secret bool) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	if name == "Host" {
		return u.Host, false
	}
	if _, ok := u.Credentials[name]; ok {
		return headerPresent, true
	}
	values, ok := u.Headers[name]
	if !ok {
		return headerAbsent, false
	}
	return strings.Join(values, ", "), false
}

// bareURL is a URL without the port that its scheme has anyway, and without an
// empty path.
func bareURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	if host, port, err := net.SplitHostPort(u.Host); err == nil && (u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80") {
		u.Host = host
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String()
}
