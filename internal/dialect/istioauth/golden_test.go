package istioauth_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

// TestGolden runs every testdata/*.txtar: of input.yaml, steps.yaml is what a
// workload ns1 with the label app=gw has to pass, and report.txt the problems.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) < 6 {
		t.Errorf("only %d cases found", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			steps, report := translate(t, string(a.Files[0].Data))
			if strings.Contains(steps+report, "MARKER") {
				t.Error("a secret is shown")
			}
			check(t, a, "steps.yaml", steps)
			check(t, a, "report.txt", report)
			if *update {
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
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
	return render(t, got.Steps), report
}

func render(t *testing.T, steps any) string {
	t.Helper()
	b, err := json.Marshal(steps)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if err := e.Encode(shorten(tree)); err != nil {
		t.Fatal(err)
	}
	return text.String()
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

func check(t *testing.T, a *txtar.Archive, name, got string) {
	t.Helper()
	for i := range a.Files {
		if a.Files[i].Name != name {
			continue
		}
		if *update {
			a.Files[i].Data = []byte(got)
		} else if d := cmp.Diff(string(a.Files[i].Data), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		return
	}
	if !*update {
		t.Errorf("no %s; run with -update", name)
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(got)})
}
