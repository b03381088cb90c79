package deploy

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/internal/dialect/infrastructure"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

// setOf decodes resources.
func setOf(t *testing.T, text []byte) *resource.Set {
	t.Helper()
	kinds := append(parent.Kinds(), infrastructure.Kind())
	kinds = append(kinds, resource.CoreKinds()...)
	r := resource.NewDecoder(kinds, resource.Options{}).Decode("in.yaml", text)
	for _, p := range r.Problems {
		t.Error(p)
	}
	return resource.NewSet(r.Objects, kinds)
}

// TestObjects makes of each archive's in.yaml what is in its out.yaml.
func TestObjects(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 4 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg := &Config{Image: "example.com/postern:1", Roles: "postern", Args: []string{"--dialects=gatewayapi"}, NetworkPolicies: true, Home: "postern-system"}
			for line := range strings.Lines(string(a.Comment)) {
				switch key, value, _ := strings.Cut(strings.TrimSpace(line), ": "); key {
				case "namespaces":
					cfg.Namespaces = strings.Split(value, ",")
				case "secrets":
					cfg.SecretNamespaces = strings.Split(value, ",")
				}
			}
			p := planner{cfg: cfg}
			plans := p.plan(setOf(t, a.Files[0].Data))
			var out bytes.Buffer
			for _, p := range plans {
				if p.frozen {
					out.WriteString("# " + p.id() + " stays as it is\n")
					continue
				}
				for _, o := range p.objects(cfg) {
					write(t, &out, o)
				}
			}
			for _, o := range bindings(cfg, plans, secretNeeds{}) {
				write(t, &out, o)
			}
			if *update {
				a.Files = []txtar.File{a.Files[0], {Name: "out.yaml", Data: out.Bytes()}}
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if len(a.Files) < 2 {
				t.Fatal("no out.yaml")
			}
			if diff := cmp.Diff(string(a.Files[1].Data), out.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func write(t *testing.T, out *bytes.Buffer, o desired) {
	t.Helper()
	text, err := yaml.Marshal(o.object)
	if err != nil {
		t.Fatal(err)
	}
	out.WriteString("---\n")
	out.Write(text)
}

// TestNameOf gives every Gateway objects that a Service can be called as, and
// no two the same.
func TestNameOf(t *testing.T) {
	long := strings.Repeat("a", 60)
	seen := map[string]string{}
	for _, tc := range []struct{ name, gateway, class, want string }{
		{"as the Gateway API says", "edge", "postern", "edge-postern"},
		{"dots", "edge.v1", "postern", ""},
		{"the same without dots", "edge-v1", "postern", "edge-v1-postern"},
		{"a digit first", "1edge", "postern", ""},
		{"long", long, "postern", ""},
		{"long, and another", long + "b", "postern", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := nameOf(tc.gateway, tc.class)
			if tc.want != "" && got != tc.want {
				t.Errorf("%q", got)
			}
			if len(got) > longest || got[0] < 'a' || got[0] > 'z' || strings.Contains(got, ".") {
				t.Errorf("a Service cannot be called %q", got)
			}
			if seen[got] != "" {
				t.Errorf("%q is also %q", got, seen[got])
			}
			seen[got] = tc.name
		})
	}
}

// TestPortsOf keeps apart what would meet in the pods.
func TestPortsOf(t *testing.T) {
	for _, tc := range []struct {
		name    string
		numbers []int
		want    []port
	}{
		{"none", nil, []port{}},
		{"once each", []int{8080, 80, 80}, []port{{80, 10080, false}, {8080, 8080, false}}},
		{"meeting", []int{80, 10080, 10081}, []port{{80, 10082, true}, {10080, 10080, false}, {10081, 10081, false}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, portsOf(tc.numbers), cmp.AllowUnexported(port{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	if health, admin := ownPorts(portsOf([]int{9901, 19902, 19903})); health != 19904 || admin != 9902 {
		t.Errorf("probes at %d, admin at %d", health, admin)
	}
}

// TestSecretNeeds finds the Secrets of whatever a Gateway leads to, and of
// nothing else.
func TestSecretNeeds(t *testing.T) {
	in := func(namespace string) secret.Ref {
		return secret.Ref{Kind: "Secret", Namespace: namespace, Name: "s", Key: "k"}
	}
	route := &ir.Route{Name: "r", Action: ir.Action{Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: "tiers"}}}}}
	c := &ir.Config{
		Listeners: []*ir.Listener{
			{Gateway: "a/edge", TLS: &ir.ServerTLS{Certificates: []ir.KeyPair{{Certificate: in("certs"), Key: in("certs")}}}},
			{Gateway: "a/edge", Hosts: []*ir.VirtualHost{{Routes: []*ir.Route{route}}}},
			{Gateway: "b/edge", Otherwise: &ir.Route{Action: ir.Action{Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: "other"}}}}}},
		},
		Upstreams: map[string]*ir.Upstream{
			"tiers": {Name: "tiers", Tiers: [][]ir.TierMember{{{Upstream: "first"}}}},
			"first": {Name: "first", Credential: &ir.Credential{Header: &ir.HeaderCredential{Secret: in("keys")}}},
			"other": {Name: "other", Credential: &ir.Credential{Header: &ir.HeaderCredential{Secret: in("others")}}},
			"idle":  {Name: "idle", Credential: &ir.Credential{Header: &ir.HeaderCredential{Secret: in("idle")}}},
		},
	}
	var s secretNeeds
	s.look(c)
	want := map[string]map[string]bool{"a/edge": {"certs": true, "keys": true}, "b/edge": {"others": true}}
	if diff := cmp.Diff(want, s.needs); diff != "" {
		t.Error(diff)
	}
	before := s.found[route]
	next := *c
	next.Listeners = c.Listeners[1:]
	s.look(&next)
	if want["a/edge"]["certs"] = false; s.needs["a/edge"]["certs"] || !s.needs["a/edge"]["keys"] {
		t.Errorf("a listener less: %v", s.needs)
	}
	if s.found[route] != before {
		t.Error("a route that stayed was looked at again")
	}
}
