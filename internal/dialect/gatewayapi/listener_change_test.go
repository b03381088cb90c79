package gatewayapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
)

// TestListenersConcernTheirRoutes counts what is translated again after a change
// of a Gateway: the Gateway, and the routes that it is another one for.
func TestListenersConcernTheirRoutes(t *testing.T) {
	const (
		wild  = `{name: wild, port: 80, protocol: HTTP, hostname: "*.example.com", allowedRoutes: {namespaces: {from: All}}}`
		a     = `{name: a, port: 80, protocol: HTTP, hostname: a.example.com, allowedRoutes: {namespaces: {from: All}}}`
		other = `{name: other, port: 80, protocol: HTTP, hostname: other.example.org, allowedRoutes: {namespaces: {from: %s}}}`
	)
	dec := resource.NewDecoder(knownKinds(), resource.Options{})
	decode := func(texts ...string) []*resource.Object {
		res := dec.Decode("f.yaml", []byte(strings.Join(texts, "\n---\n")))
		if len(res.Objects) != len(texts) {
			t.Fatal(res.Problems)
		}
		return res.Objects
	}
	gateway := func(class string, listeners ...string) string {
		return fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: gw, namespace: one},
			spec: {gatewayClassName: %s, listeners: [%s]}}`, class, strings.Join(listeners, ", "))
	}
	route := func(name, section, hostname string) string {
		return fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: %s, namespace: two},
			spec: {parentRefs: [{name: gw, namespace: one, sectionName: %q}], hostnames: [%s]}}`, name, section, hostname)
	}
	namespace := func(team string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: two, labels: {team: %s}}}`, team)
	}
	set := resource.NewSet(decode(gateway("c", wild), namespace("red"),
		route("a", "", "a.example.com"), route("b", "wild", "b.example.com"), route("lost", "missing", "c.example.com")), knownKinds())
	tr := dialect.NewTranslator([]dialect.Dialect{New()})
	tr.Update(set)
	for _, tc := range []struct {
		name string
		text string
		want int
	}{
		{"a listener for another host: the lost one is told what there is", gateway("c", wild, fmt.Sprintf(other, "All")), 2},
		{"its namespaces", gateway("c", wild, fmt.Sprintf(other, "Same")), 1},
		{"its namespaces, by label", gateway("c", wild, fmt.Sprintf(other, "Selector, selector: {matchLabels: {team: red}}")), 1},
		{"another order", gateway("c", fmt.Sprintf(other, "All"), wild), 2},
		{"a listener for a route's host", gateway("c", wild, a), 3},
		{"the listener of that again away", gateway("c", wild), 3},
		{"another class, of which nothing is known", gateway("d", wild), 1},
		{"a narrower hostname", gateway("c", strings.Replace(wild, "*.example.com", "*.b.example.com", 1)), 3},
		{"the listener is renamed", gateway("c", strings.Replace(wild, "name: wild", "name: tame", 1)), 4},
		{"as at first", gateway("c", wild), 4},
		{"namespaces by label", gateway("c", strings.Replace(wild, "from: All", "from: Selector, selector: {matchLabels: {team: red}}", 1)), 3},
		{"a label that is not asked for", strings.Replace(namespace("red"), "team:", "x: y, team:", 1), 0},
		{"the label that is", namespace("blue"), 2},
	} {
		set = set.With(decode(tc.text), nil)
		if _, done := tr.Update(set); done != tc.want {
			t.Errorf("%s: %d translations, want %d", tc.name, done, tc.want)
		}
	}
}
