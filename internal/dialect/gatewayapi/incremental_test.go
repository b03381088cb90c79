package gatewayapi

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
)

// TestIncremental holds that a Translator which repeats only what a change
// concerns says the same as one that starts anew, over random edits; that is,
// that every translation reads through its View alone.
func TestIncremental(t *testing.T) {
	t.Run("everything", func(t *testing.T) { testIncremental(t, 12, 60, everything) })
	t.Run("who attaches to what", func(t *testing.T) { testIncremental(t, 8, 120, attaching) })
}

// The cases of edit for everything, and for what decides to which listeners a
// route attaches.
var (
	everything = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	attaching  = []int{0, 0, 1, 11, 12, 13, 13}
)

func testIncremental(t *testing.T, seeds uint64, steps int, edits []int) {
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 1))
		dec := resource.NewDecoder(knownKinds(), resource.Options{})
		set := resource.NewSet(nil, knownKinds())
		tr := dialect.NewTranslator([]dialect.Dialect{New(), neighbour()})
		repeated := 0
		for step := range steps {
			set = edit(rnd, dec, set, edits[rnd.IntN(len(edits))])
			got, gotReport, done := tr.Translate(set)
			want, wantReport, all := dialect.NewTranslator([]dialect.Dialect{New(), neighbour()}).Translate(set)
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("seed %d, step %d: fragments differ (-anew +incremental):\n%s", seed, step, d)
			}
			if d := cmp.Diff(wantReport, gotReport); d != "" {
				t.Fatalf("seed %d, step %d: reports differ (-anew +incremental):\n%s", seed, step, d)
			}
			repeated += all - done
		}
		if repeated == 0 {
			t.Errorf("seed %d: nothing was ever kept", seed)
		}
	}
}

// edit changes one object of the set, or removes it; of says what it is.
func edit(rnd *rand.Rand, dec *resource.Decoder, set *resource.Set, of int) *resource.Set {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	ns := func() string { return pick("one", "two") }
	var text string
	switch of {
	case 0:
		text = fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: gw, namespace: %s},
			spec: {gatewayClassName: %s, listeners: [%s], allowedListeners: {namespaces: {from: %s, selector: {matchLabels: {team: red}}}}}}`,
			ns(), pick("c", "d"), listeners(rnd, pick, ns), pick("All", "Same", "Selector", "None"))
	case 11:
		text = fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: ListenerSet, metadata: {name: gw, namespace: %s},
			spec: {parentRef: {name: gw, namespace: %s}, listeners: [%s]}}`, ns(), ns(), listeners(rnd, pick, ns))
	case 12:
		text = fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: %s, namespace: %s},
			spec: {parentRefs: [%s, %s], hostnames: [%s]}}`, pick("r", "s"), ns(), parentRef(pick, ns), parentRef(pick, ns), pick("", "a.example.com", "b.example.com"))
	case 1, 2:
		text = fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: %s, namespace: %s},
			spec: {parentRefs: [%s], hostnames: [%s],
			rules: [{matches: [{path: {value: %s}}], backendRefs: [{name: s, namespace: %s, port: 80}, {group: example.com, kind: Upstream, name: u}],
			filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: %s, name: p}}]}]}}`,
			pick("r", "s"), ns(), parentRef(pick, ns), pick("a.example.com", "b.example.com", `"*.example.com"`), pick("/", "/x", "bad"), ns(), pick("Policy", "Riddle"))
	case 8, 9, 10:
		text = delegating(pick, ns)
	case 3:
		text = fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: s, namespace: %s}, spec: {ports: [{name: p, port: %s, appProtocol: %s}]}}`,
			ns(), pick("80", "81"), pick("http", "kubernetes.io/h2c", "https"))
	case 4:
		text = fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s-1, namespace: %s, labels: {kubernetes.io/service-name: %s}},
			addressType: IPv4, endpoints: [{addresses: [10.0.0.%d]}], ports: [{name: p, port: 8080}]}`, ns(), pick("s", "t"), rnd.IntN(3))
	case 5:
		text = fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, metadata: {name: g, namespace: %s},
			spec: {from: [{group: gateway.networking.k8s.io, kind: %s, namespace: %s}], to: [{group: "", kind: %s}]}}`,
			ns(), pick("HTTPRoute", "Gateway"), ns(), pick("Service", "Secret"))
	case 6:
		text = fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: {name: %s, namespace: %s},
			spec: {targetRefs: [{group: "", kind: Service, name: s, sectionName: %s}], validation: {hostname: s.example.com, %s}}}`,
			pick("p", "q"), ns(), pick("p", `""`), pick("wellKnownCACertificates: System", `caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]`))
	case 13:
		text = fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {team: %s}}}`, ns(), pick("red", "blue"))
	case 7:
		text = pick(
			fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {team: %s}}}`, pick("one", "two", "all"), pick("red", "blue")),
			fmt.Sprintf(`{apiVersion: v1, kind: Secret, metadata: {name: cert, namespace: %s}, stringData: {tls.crt: a, %s: b}}`, ns(), pick("tls.key", "key")),
			fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: ca, namespace: %s}, data: {ca.crt: %s}}`, ns(), pick("x", "y")),
			`{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: c}, spec: {controllerName: x/y}}`)
	}
	res := dec.Decode("edit.yaml", []byte(text))
	if len(res.Objects) != 1 {
		panic(fmt.Sprint(text, res.Problems))
	}
	if rnd.IntN(4) == 0 {
		return set.With(nil, []resource.Key{res.Objects[0].Key})
	}
	return set.With(res.Objects, nil)
}

// listeners returns some of a Gateway or ListenerSet, any of which may come, go,
// move, or be for others than before.
func listeners(rnd *rand.Rand, pick func(...string) string, ns func() string) string {
	var out []string
	for range 1 + rnd.IntN(3) {
		protocol := pick("HTTP", "HTTP", "HTTPS", "TLS")
		l := fmt.Sprintf(`name: %s, port: %s, protocol: %s, hostname: "%s", allowedRoutes: {kinds: [%s], namespaces: {from: %s, selector: {matchLabels: {team: %s}}}}`,
			pick("http", "https", "more"), pick("80", "443", "8080"), protocol, pick("*.example.com", "a.example.com", "b.example.com", "", "bad_"),
			pick("", "", "{kind: HTTPRoute}", "{kind: GRPCRoute}"), pick("All", "Same", "Selector", "Selector"), pick("red", "blue"))
		if protocol != "HTTP" {
			l += fmt.Sprintf(`, tls: {certificateRefs: [{name: cert, namespace: %s}]}`, ns())
		}
		out = append(out, "{"+l+"}")
	}
	return strings.Join(out, ", ")
}

// parentRef returns a reference to listeners.
func parentRef(pick func(...string) string, ns func() string) string {
	return fmt.Sprintf("{kind: %s, name: gw, namespace: %s%s%s}", pick("Gateway", "Gateway", "ListenerSet"), ns(),
		pick("", "", ", sectionName: http", ", sectionName: more"), pick("", "", "", ", port: 80"))
}

// delegating returns an HTTPRoute that delegates, is delegated to, or both.
func delegating(pick func(...string) string, ns func() string) string {
	return fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute,
		metadata: {name: %s, namespace: %s, labels: {delegation.gateway.solo.io/label: %s},
			annotations: {delegation.gateway.solo.io/inherit-parent-matcher: "%s", delegation.gateway.solo.io/enable-policy-overrides: "%s"}},
		spec: {parentRefs: [%s], hostnames: [%s], rules: [
			{matches: [{path: {type: %s, value: %s}}], timeouts: {request: 1s}, backendRefs: [
				{group: gateway.networking.k8s.io, kind: HTTPRoute, name: "%s", namespace: %s},
				{group: delegation.gateway.solo.io, kind: label, name: %s, namespace: %s}]},
			{matches: [{path: {value: %s}}], backendRefs: [{name: s, namespace: %s, port: 80}]}]}}`,
		pick("p", "q", "c", "d"), ns(), pick("x", "y"), pick("true", "false", ""), pick("limit", "*", ""),
		pick("{name: gw, namespace: one}", "{name: gw, namespace: two}", fmt.Sprintf("{kind: HTTPRoute, name: %s, namespace: %s}", pick("p", "q", "z"), ns()), "", ""),
		pick("", "", "", "a.example.com"), pick("PathPrefix", "PathPrefix", "Exact"), pick("/", "/x", "/x/y"),
		pick("*", "c", "d", "z"), ns(), pick("x", "y"), pick("one", "two", "all"), pick("/x", "/x/y", "/x/y/z"), ns())
}
