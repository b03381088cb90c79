package ir

import (
	"fmt"
	"strings"
	"testing"
)

func setOf(expr string, names ...string) *AuthSet {
	s := &AuthSet{Expr: expr}
	for _, n := range names {
		s.Methods = append(s.Methods, AuthMethod{Name: n, Verified: &VerifiedToken{}})
	}
	return s
}

func write(x AuthExpr) string {
	many := func(op string, list []AuthExpr) string {
		var parts []string
		for _, o := range list {
			parts = append(parts, write(o))
		}
		return "(" + strings.Join(parts, op) + ")"
	}
	switch {
	case x.Method > 0:
		return string(rune('a' + x.Method - 1))
	case x.Not != nil:
		return "!" + write(*x.Not)
	case len(x.Or) > 0:
		return many("|", x.Or)
	}
	return many("&", x.And)
}

func TestAuthExprParses(t *testing.T) {
	for expr, want := range map[string]string{
		"":                "(a&b&c)",
		"  ":              "(a&b&c)",
		"a":               "a",
		"a||b":            "(a|b)",
		"a || b && c":     "(a|(b&c))",
		"(a || b) && c":   "((a|b)&c)",
		"!a && !(b||c)":   "(!a&!(b|c))",
		"!!a":             "!!a",
		"((a))":           "a",
		"a&&b&&c\n||\tb":  "((a&b&c)|b)",
		"x.y/z-1:2_ || a": "",
		"a || ns.my-key":  "",
		"a &&":            "",
		"a b":             "",
		"a & b":           "",
		"a | b":           "",
		"(a":              "",
		"a)":              "",
		"()":              "",
		"!":               "",
		"&& a":            "",
		"A":               "",
		"a == b":          "",
		"a;b":             "",
		"a || \"b\"":      "",
		strings.Repeat("(", 40) + "a" + strings.Repeat(")", 40): "",
		strings.Repeat("!", 40) + "a":                           "",
		"a" + strings.Repeat(" || a", 2000):                     "",
	} {
		x, err := setOf(expr, "a", "b", "c").Tree()
		if want == "" {
			if err == nil {
				t.Errorf("%.60q is taken for %s", expr, write(x))
			}
			continue
		}
		if err != nil || write(x) != want {
			t.Errorf("%q: %s, %v; want %s", expr, write(x), err, want)
		}
	}
	if _, err := setOf("x.y/z-1:2_", "x.y/z-1:2_").Tree(); err != nil {
		t.Error(err)
	}
}

func TestAuthExprErrorsTellWhere(t *testing.T) {
	for expr, want := range map[string]string{
		"a || (b":  "it ends at byte 8",
		"a b":      `"b" at byte 3`,
		"a && who": `no method is called "who", at byte 6`,
		"a & b":    `"&" at byte 3`,
	} {
		if _, err := setOf(expr, "a", "b").Tree(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", expr, err, want)
		}
	}
}

func FuzzAuthExpr(f *testing.F) {
	for _, s := range []string{"a", "a&&b||!c", "(a||(b))", "!(!a)", "a ||", "\x00", "a.b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		x, err := setOf(expr, "a", "b", "c").Tree()
		if err != nil {
			return
		}
		text := strings.NewReplacer("|", "||", "&", "&&").Replace(write(x))
		again, err := setOf(text, "a", "b", "c").Tree()
		if err != nil {
			t.Fatalf("%q → %q: %v", expr, text, err)
		}
		for n := range 8 {
			passes := func(i int) bool { return n>>i&1 == 1 }
			if x.Holds(passes) != again.Holds(passes) {
				t.Fatalf("%q and %q differ", expr, text)
			}
		}
	})
}

func TestAsksKnowsAuthSets(t *testing.T) {
	set := func(expr string) *AuthSet {
		return &AuthSet{Expr: expr, Methods: []AuthMethod{
			{Name: "k", APIKey: &APIKey{}}, {Name: "b", Basic: &BasicAuth{}}, {Name: "j", Verified: &VerifiedToken{}},
			{Name: "t", Token: &AccessToken{}}, {Name: "x", External: &ExternalAuth{}}, {Name: "open", External: &ExternalAuth{FailOpen: true}},
		}}
	}
	for expr, want := range map[string]string{
		"k":           "[API key]",
		"k && b":      "[API key and user and password]",
		"k || t":      "[API key or access token]",
		"(k||j) && x": "[(API key or verified token) and external check]",
		"!k":          "[]",
		"k || !b":     "[]",
		"k && !b":     "[API key and not user and password]",
		"open":        "[]",
		"open && k":   "[external check and API key]",
		"open || k":   "[]",
	} {
		r := &Route{Steps: []Step{{AuthSet: set(expr)}}}
		if got := fmt.Sprint(r.Asks()); got != want {
			t.Errorf("%s: asks %s, want %s", expr, got, want)
		}
	}
	if got := (&Route{Steps: []Step{{AuthSet: set("who")}}}).Asks(); len(got) != 0 {
		t.Errorf("a set that does not parse asks %q", got)
	}
}
