package glooauth_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/dialecttest"
	"github.com/postern-gateway/postern/internal/dialect/gloo"
	"github.com/postern-gateway/postern/internal/dialect/gloomesh"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

// A family is one API that embeds the spec, with a route that asks for it.
type family struct {
	name    string
	dialect dialect.Dialect
	around  string // %s is the spec
	indent  string
	at      string // path of the spec
}

func families() []family {
	return []family{
		{"gloo", gloo.New(), `apiVersion: enterprise.gloo.solo.io/v1
kind: AuthConfig
metadata: {name: auth, namespace: apps}
spec:
%s
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: vs, namespace: apps}
spec:
  virtualHost:
    routes:
    - directResponseAction: {status: 200}
      options: {extauth: {configRef: {name: auth}}}
`, "  ", "spec."},
		{"gloomesh", gloomesh.New(gloomesh.Options{}), `apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: auth, namespace: apps}
spec:
  applyToRoutes: [{route: {labels: {r: x}}}]
  config:
    glooAuth:
%s
---
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: rt, namespace: apps}
spec:
  virtualGateways: [{name: gw}]
  http:
  - labels: {r: x}
    directResponse: {status: 200}
---
apiVersion: networking.gloo.solo.io/v2
kind: VirtualGateway
metadata: {name: gw, namespace: apps}
spec: {listeners: [{port: {number: 80}, http: {}}]}
`, "      ", "spec.config.glooAuth."},
	}
}

// TestGolden runs every testdata/*.txtar through both families: spec.yaml is
// the spec, secrets.yaml what stands beside it. The two must make the same of
// it, and that is auth.yaml and report.txt.
func TestGolden(t *testing.T) {
	dialecttest.EachCase(t, 30, *update, func(t *testing.T, c *dialecttest.Case) {
		var sets, reports []string
		for _, f := range families() {
			set, report := run(t, f, c.Archive)
			sets, reports = append(sets, set), append(reports, report)
		}
		if d := cmp.Diff(sets[0], sets[1]); d != "" {
			t.Errorf("the families differ (-gloo +gloomesh):\n%s", d)
		}
		if d := cmp.Diff(reports[0], reports[1]); d != "" {
			t.Errorf("the families' reports differ (-gloo +gloomesh):\n%s", d)
		}
		c.Check(t, "auth.yaml", sets[0])
		c.Check(t, "report.txt", reports[0])
	})
}

// run returns what a family makes of a case: the route's auth or why it is
// closed, and the problems of the spec and the Secrets.
func run(t *testing.T, f family, a *txtar.Archive) (set, report string) {
	t.Helper()
	kinds := append(resource.CoreKinds(), f.dialect.Kinds...)
	d := resource.NewDecoder(kinds, resource.Options{})
	var objects []*resource.Object
	var problems []status.Problem
	for _, file := range a.Files {
		text := string(file.Data)
		switch file.Name {
		case "spec.yaml":
			lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
			text = fmt.Sprintf(f.around, f.indent+strings.Join(lines, "\n"+f.indent))
		case "secrets.yaml":
		default:
			continue
		}
		res := d.Decode(file.Name, []byte(text))
		if res.Broken {
			t.Fatalf("%s: %s does not decode: %v\n%s", f.name, file.Name, res.Problems, text)
		}
		objects = append(objects, res.Objects...)
		problems = append(problems, res.Problems...)
	}
	fragments, found, _ := dialect.NewTranslator([]dialect.Dialect{f.dialect}).Translate(resource.NewSet(objects, kinds))
	config, merged := new(dialect.Merger).Merge(fragments)
	for _, err := range ir.Validate(config) {
		t.Errorf("%s: the model is broken: %v", f.name, err)
	}
	found.Join(merged)
	found.Add(problems...)
	return render(t, f, config), f.report(found)
}

// render shows the one route's auth as YAML, without origins, and with the
// secret fields of both families under one name.
func render(t *testing.T, f family, c *ir.Config) string {
	t.Helper()
	route := c.Listeners[0].Hosts[0].Routes[0]
	if route.Action.Closed != nil {
		return "closed\n"
	}
	var out any
	for _, s := range route.Steps {
		if s.AuthSet != nil {
			if s.Phase != ir.PhaseAuthenticate || s.Order != 0 || out != nil {
				t.Errorf("%s: the step stands at %d, %d", f.name, s.Phase, s.Order)
			}
			out = s.AuthSet
		}
	}
	return dialecttest.YAML(t, out, func(tree any) any { return shorten(tree, f) })
}

func shorten(tree any, f family) any {
	switch n := tree.(type) {
	case []any:
		for i := range n {
			n[i] = shorten(n[i], f)
		}
	case float64:
		return int64(n)
	case map[string]any:
		if kind, ok := n["kind"].(string); ok && n["key"] != nil {
			if kind == "Secret" {
				return fmt.Sprintf("Secret %v/%v[%v]", n["namespace"], n["name"], n["key"])
			}
			return "field " + strings.TrimPrefix(n["key"].(string), f.at)
		}
		delete(n, "origin")
		for k, v := range n {
			n[k] = shorten(v, f)
		}
	}
	return tree
}

// report lists the problems of the spec, by its fields, and of Secrets.
func (f family) report(r status.Report) string {
	r.Sort()
	var out strings.Builder
	for _, p := range r.Problems {
		switch at := p.Origin; {
		case at.Kind == "Secret":
			fmt.Fprintf(&out, "%s: %s: %s; %s\n", p.Severity, at.Object(), p.What, p.Remedy)
		case at.Name == "auth" && strings.HasPrefix(at.Field+".", f.at):
			fmt.Fprintf(&out, "%s: %s: %s; %s\n", p.Severity, strings.TrimPrefix(at.Field, f.at), p.What, p.Remedy)
		}
	}
	return out.String()
}
