package builtin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
)

// silent are the kinds of which nothing is said in that case, and why.
var silent = map[string]string{
	"gateway.networking.k8s.io/GatewayClass":     "it names another controller",
	"gateway.networking.k8s.io/Gateway":          "its class is another controller's",
	"gateway.networking.k8s.io/ListenerSet":      "its parent is another controller's",
	"gateway.networking.k8s.io/HTTPRoute":        "it has an entry for each parent of ours",
	"gateway.networking.k8s.io/GRPCRoute":        "it has an entry for each parent of ours",
	"gateway.networking.k8s.io/BackendTLSPolicy": "it has an entry for each Gateway of ours",
	"gateway.networking.k8s.io/ReferenceGrant":   "the kind has no status",
	"postern.dev/PosternProxy":                   "the kind has no status; its Gateways tell of it",
	"gateway.envoyproxy.io/SecurityPolicy":       "it has an entry for each target of ours",
	"gateway.envoyproxy.io/BackendTrafficPolicy": "it has an entry for each target of ours",
	"gateway.envoyproxy.io/ClientTrafficPolicy":  "it has an entry for each target of ours",
	"gateway.envoyproxy.io/EnvoyExtensionPolicy": "it has an entry for each target of ours",
	"gateway.envoyproxy.io/EnvoyPatchPolicy":     "it has an entry for each target of ours",
	"gateway.envoyproxy.io/HTTPRouteFilter":      "the kind has no status",
}

// original are specs in forms that their products had first.
var original = map[string]string{
	"aigateway.envoyproxy.io/BackendSecurityPolicy": "{type: APIKey, apiKey: {secretRef: {name: key, namespace: apps}}}",
}

// TestEveryKindHasAStatus gives each dialect one object of each of its kinds
// that nothing refers to and that asks for nothing: its status says something,
// or there is a reason why it does not.
func TestEveryKindHasAStatus(t *testing.T) {
	seen := map[resource.GroupKind]bool{}
	for _, d := range Dialects(Options{}) {
		for _, kind := range d.Kinds {
			if seen[kind.GroupKind] { // another dialect's, which tells of it
				continue
			}
			seen[kind.GroupKind] = true
			for _, version := range kind.Versions {
				for _, spec := range []string{"{}", original[kind.String()]} {
					if spec == "" {
						continue
					}
					t.Run(kind.String()+" "+version+" "+spec, func(t *testing.T) {
						why, excused := silent[kind.String()]
						switch says := saysOfLonely(t, d, kind, version, spec); {
						case says && excused:
							t.Errorf("it has a status, and needs no excuse: %s", why)
						case !says && !excused:
							t.Error("nothing is said of it")
						}
					})
				}
			}
		}
	}
	for kind := range silent {
		group, name, _ := strings.Cut(kind, "/")
		if !seen[resource.GroupKind{Group: group, Kind: name}] {
			t.Errorf("%s: no dialect has such a kind", kind)
		}
	}
}

// saysOfLonely reports whether the status of an object says anything that is
// alone in the world.
func saysOfLonely(t *testing.T, d dialect.Dialect, kind resource.Kind, version, spec string) bool {
	t.Helper()
	kinds := append(resource.CoreKinds(), d.Kinds...)
	apiVersion := version
	if kind.Group != "" {
		apiVersion = kind.Group + "/" + version
	}
	text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: lonely, namespace: apps}\nspec: %s\n", apiVersion, kind.Kind, spec)
	decoded := resource.NewDecoder(kinds, resource.Options{}).Decode("in.yaml", []byte(text))
	if len(decoded.Objects) != 1 {
		t.Fatalf("%v", decoded.Problems)
	}
	o := decoded.Objects[0]
	o.File = "" // as an API server has it
	set := resource.NewSet(decoded.Objects, kinds)
	fragments, report, _ := dialect.NewTranslator([]dialect.Dialect{d}).Translate(set)
	_, merged := new(dialect.Merger).Merge(fragments)
	report.Join(merged)
	report.Sort()
	standing := dialect.Standing{View: resource.NewView(set), Object: o, Reporter: "postern-system", Now: time.Unix(1e9, 0)}
	for _, told := range report.Outcomes {
		if told.Object == o.Key.Status() {
			standing.Outcomes = append(standing.Outcomes, told)
		}
	}
	return d.Status(nil, standing) != nil
}
