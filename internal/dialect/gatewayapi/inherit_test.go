package gatewayapi

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// TestBelowStaysBelow holds that no child, whatever its path match and whether
// it continues the parent's prefix, takes a path that its parent does not.
func TestBelowStaysBelow(t *testing.T) {
	paths := []string{"/", "/a", "/a/", "/ab", "/a/b", "/a/b/", "/a/b/c", "/a/bc", "/b", "/b/a", "/a.b", "/axb/c", "/x/a", "/x/a/b"}
	exprs := []string{"", "/", "/a", "/a/.*", "/a.*", "/a(/.*)?", "/a/b|/b", "/a|/b", ".*", "(?i)/A/B", "^/a/b", "/a/b$", "(", "/b(", `/a\Q/b`, `\Q/b`, "(/.*)?", "x", "/b.*", "/b)|(/b", "/a/[b-c]", "/a/b?"}
	var own []ir.PathMatch
	for _, p := range paths {
		for _, k := range []ir.PathKind{ir.PathExact, ir.PathSegments, ir.PathPrefix} {
			own = append(own, ir.PathMatch{Kind: k, Value: strings.TrimSuffix(p, "/") + map[bool]string{true: "/"}[p == "/" || k == ir.PathExact && strings.HasSuffix(p, "/")]})
		}
	}
	for _, e := range exprs {
		own = append(own, ir.PathMatch{Kind: ir.PathRegex, Value: e})
	}
	fit := 0
	for _, prefix := range []string{"/", "/a", "/a/b", "/a.b"} {
		above := ir.Match{Path: ir.PathMatch{Kind: ir.PathSegments, Value: prefix}}
		for _, o := range own {
			for _, relative := range []bool{false, true} {
				m, why := below(above, ir.Match{Path: o}, relative)
				if why != "" {
					continue
				}
				fit++
				for _, p := range append(paths, "/a/a/b", "/a/b/b", "/abc", "/a.b/b", "/axb") {
					if takes(m.Path, p) && !takes(above.Path, p) {
						t.Errorf("%+v below %s (relative: %v) became %+v, which takes %s", o, prefix, relative, m.Path, p)
					}
				}
			}
		}
	}
	if fit < 100 {
		t.Errorf("only %d fit", fit)
	}
}

// takes is the plainest matcher of paths there is. An expression that cannot be
// compared with a whole path takes nothing: compile closes it.
func takes(m ir.PathMatch, path string) bool {
	switch m.Kind {
	case ir.PathExact:
		return path == m.Value
	case ir.PathPrefix:
		return strings.HasPrefix(path, m.Value)
	case ir.PathSegments:
		return m.Value == "/" || path == m.Value || strings.HasPrefix(path, m.Value+"/")
	}
	re, err := regexp.Compile(`\A(?:` + m.Value + `)\z`)
	return err == nil && re.MatchString(path)
}

// TestReplacePrefix holds that a delegating rule's rewrite says of longer
// matches what ReplacePrefixMatch says of its own.
func TestReplacePrefix(t *testing.T) {
	for _, tc := range []struct{ prefixes, with, path, want string }{
		{"/a", "/x", "/a", "/x"},
		{"/a", "/x", "/a/", "/x/"},
		{"/a", "/x/", "/a/b", "/x/b"},
		{"/a", "/", "/a", "/"},
		{"/a", "/", "/a/", "/"},
		{"/a", "/", "/a/b", "/b"},
		{"/a", "/", "/a/a/b", "/a/b"},
		{"/", "/x", "/a", "/x/a"},
		{"/", "/", "/a/b", "/a/b"},
		{"/a /a/b", "/x", "/a/b/c", "/x/c"},
		{"/a /a/b", "/x", "/a/c", "/x/c"},
		{"/a.b", "/x", "/a.b/c", "/x/c"},
	} {
		var matches []ir.Match
		for _, p := range strings.Fields(tc.prefixes) {
			matches = append(matches, ir.Match{Path: ir.PathMatch{Kind: ir.PathSegments, Value: p}})
		}
		r := replacePrefix(matches, tc.with)
		if got := regexp.MustCompile(r.Pattern).ReplaceAllString(tc.path, r.Substitution); got != tc.want {
			t.Errorf("%s with %s: %s became %s, want %s", tc.prefixes, tc.with, tc.path, got, tc.want)
		}
	}
}

// hand returns an HTTPRoute that hands "/" to others.
func hand(name, parents string, to ...string) string {
	var refs []string
	for _, c := range to {
		refs = append(refs, fmt.Sprintf("{group: gateway.networking.k8s.io, kind: HTTPRoute, name: %s}", c))
	}
	return fmt.Sprintf("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: %s}, spec: {parentRefs: [%s], rules: [{backendRefs: [%s]}]}}\n---\n",
		name, parents, strings.Join(refs, ", "))
}

// TestDelegationIsBounded holds that neither a long chain nor a wide lattice of
// routes, which multiplies at each level, is followed to its end, and that what
// is not followed is closed and told.
func TestDelegationIsBounded(t *testing.T) {
	var chain, lattice strings.Builder
	chain.WriteString(hand("r", "{name: gw}", "c0"))
	lattice.WriteString(hand("r", "{name: gw}", "l0x0"))
	for i := range 40 {
		chain.WriteString(hand(fmt.Sprint("c", i), "", fmt.Sprint("c", i+1)))
	}
	for level := range 12 {
		for i := range 10 {
			var next []string
			for j := range 10 {
				next = append(next, fmt.Sprintf("l%dx%d", level+1, j))
			}
			lattice.WriteString(hand(fmt.Sprintf("l%dx%d", level, i), "", next...))
		}
	}
	for _, tc := range []struct{ name, text, want string }{
		{"chain", chain.String(), "below one another"},
		{"lattice", lattice.String(), "leads to more than"},
	} {
		res := resource.NewDecoder(knownKinds(), resource.Options{}).Decode("in.yaml", []byte(tc.text))
		gw := resource.NewDecoder(knownKinds(), resource.Options{}).Decode("gw.yaml", []byte(
			`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: gw}, spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP}]}}`))
		v := resource.NewView(resource.NewSet(append(res.Objects, gw.Objects...), knownKinds()))
		root := resource.Key{GroupKind: res.Objects[0].GroupKind, Namespace: res.Objects[0].Namespace, Name: "r"}
		f, report := New().Translate(v, root)
		report.Sort()
		if !strings.Contains(fmt.Sprint(report.Problems), tc.want) {
			t.Errorf("%s: nothing was told: %v", tc.name, report.Problems)
		}
		routes := f.Hosts[0].Routes
		if len(routes) == 0 || len(routes) > maxWork || routes[len(routes)-1].Action.Closed == nil {
			t.Errorf("%s: %d routes", tc.name, len(routes))
		}
	}
}
