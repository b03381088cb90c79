package istioauth_test

import (
	"encoding/json"
	"flag"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect/dialecttest"
	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

// TestGolden runs every testdata/*.txtar: of input.yaml, steps.yaml is what a
// workload ns1 with the label app=gw has to pass, and report.txt the problems.
func TestGolden(t *testing.T) {
	dialecttest.EachCase(t, 6, *update, func(t *testing.T, c *dialecttest.Case) {
		steps, report := translate(t, string(c.Files[0].Data))
		c.Check(t, "steps.yaml", steps)
		c.Check(t, "report.txt", report)
	})
}

func decode(t testing.TB, text string) (*resource.View, []*resource.Object) {
	t.Helper()
	kinds := append(resource.CoreKinds(), istioauth.Kinds()...)
	res := resource.NewDecoder(kinds, resource.Options{}).Decode("test.yaml", []byte(text))
	if res.Broken {
		t.Fatalf("the manifests do not decode: %v", res.Problems)
	}
	return resource.NewView(resource.NewSet(res.Objects, kinds)), res.Objects
}

func translate(t *testing.T, input string) (steps, report string) {
	t.Helper()
	v, objects := decode(t, input)
	mesh, problems := istioauth.ReadMesh(v, "")
	env := &istioauth.Env{Mesh: mesh, Upstream: func(host string, _ int) string {
		if strings.HasSuffix(host, ".known") {
			return "Service/" + host
		}
		return ""
	}}
	got := istioauth.Translate(v, env, istioauth.Workload{Namespace: "ns1", Labels: map[string]string{"app": "gw"}})
	for _, o := range objects {
		problems = append(problems, o.Faults...)
		problems = append(problems, istioauth.Check(o, &mesh)...)
	}
	r := status.Report{Problems: problems}
	r.Sort()
	for _, p := range r.Problems {
		report += string(p.Severity) + ": " + p.String() + "\n"
	}
	return dialecttest.YAML(t, got.Steps, shorten), report
}

// shorten writes origins as one line, and numbers as whole.
func shorten(tree any) any {
	switch n := tree.(type) {
	case []any:
		for i := range n {
			n[i] = shorten(n[i])
		}
	case float64:
		return int64(n)
	case map[string]any:
		for k, v := range n {
			if o, ok := v.(map[string]any); ok && k == "origin" {
				b, _ := json.Marshal(o["line"])
				field, _ := o["field"].(string)
				n[k] = strings.TrimSpace(o["name"].(string) + " " + field + " line " + string(b))
				continue
			}
			n[k] = shorten(v)
		}
	}
	return tree
}
