package gatewayapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

// TestGolden runs every testdata/*.txtar: its YAML files, and those of
// testdata/with that its first lines name after "with:", are decoded,
// translated and merged; ir.yaml and report.txt are what comes out.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) < 40 {
		t.Fatalf("only %d cases found", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			objects, report := decode(t, inputs(t, a))
			config := run(t, objects, &report)
			report.Sort()
			check(t, a, "ir.yaml", renderIR(t, config))
			check(t, a, "report.txt", renderReport(report))
			if *update {
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// inputs returns the YAML files of a case.
func inputs(t *testing.T, a *txtar.Archive) []txtar.File {
	var out []txtar.File
	for line := range strings.Lines(string(a.Comment)) {
		if names, ok := strings.CutPrefix(line, "with:"); ok {
			for _, n := range strings.Fields(names) {
				b, err := os.ReadFile(filepath.Join("testdata/with", n+".yaml"))
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, txtar.File{Name: n + ".yaml", Data: b})
			}
		}
	}
	for _, f := range a.Files {
		if strings.HasSuffix(f.Name, ".yaml") && f.Name != "ir.yaml" {
			out = append(out, f)
		}
	}
	return out
}

func decode(t *testing.T, files []txtar.File) ([]*resource.Object, status.Report) {
	t.Helper()
	d := resource.NewDecoder(knownKinds(), resource.Options{})
	var objects []*resource.Object
	var report status.Report
	for _, f := range files {
		res := d.Decode(f.Name, f.Data)
		if res.Broken {
			t.Fatalf("%s does not decode: %v", f.Name, res.Problems)
		}
		objects = append(objects, res.Objects...)
		report.Add(res.Problems...)
	}
	return objects, report
}

// knownKinds are the dialect's, the core ones, and two of another dialect.
func knownKinds() []resource.Kind {
	type empty struct{}
	other := func(kind, plural string) resource.Kind {
		return resource.Kind{
			GroupKind: resource.GroupKind{Group: "example.com", Kind: kind}, Versions: []string{"v1"}, Plural: plural,
			New: func() any { return new(empty) }, Open: []string{""},
		}
	}
	kinds := append(resource.CoreKinds(), New().Kinds...)
	return append(kinds, other("Upstream", "upstreams"), other("Policy", "policies"))
}

// neighbour stands for another dialect: its Upstreams are upstreams, and its
// Policies can be referred to, or target the HTTPRoute that an annotation names.
func neighbour() dialect.Dialect {
	return dialect.Dialect{
		Name: "neighbour",
		Roots: func(v *resource.View) (out []resource.Key) {
			for _, k := range []string{"Upstream", "Policy"} {
				for _, o := range v.All(resource.GroupKind{Group: "example.com", Kind: k}) {
					out = append(out, o.Key)
				}
			}
			return out
		},
		Translate: func(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
			f := &dialect.Fragment{Referable: []dialect.Target{dialect.TargetOf(root)}}
			if root.Kind == "Upstream" {
				name := fmt.Sprintf("%v/%s/%s", root.GroupKind, root.Namespace, root.Name)
				f.Upstreams = []*ir.Upstream{{Name: name, Endpoints: []ir.Endpoint{{Host: "elsewhere", Port: 1}}}}
			}
			if root.Kind == "Policy" {
				f.Attachments = []*dialect.Attachment{{
					Target: dialect.TargetOf(root), Slot: "example/limit", Owner: root,
					Steps: []ir.Step{{Phase: ir.PhaseLimit, Slot: "example/limit", BodyLimit: &ir.BodyLimit{Bytes: 1}}},
				}}
				if o := v.Get(root.GroupKind, root.Namespace, root.Name); o.Annotations["target"] != "" {
					a := f.Attachments[0]
					a.Slot = "example/" + cmp.Or(o.Annotations["slot"], "limit")
					a.Steps[0].Slot, a.Steps[0].Origin = a.Slot, o.Origin("")
					if name := o.Annotations["target"]; name != "itself" {
						a.Target = dialect.TargetOf(resource.Key{GroupKind: parent.HTTPRouteKind, Namespace: root.Namespace, Name: name})
					}
				}
			}
			return f, status.Report{}
		},
	}
}

// run translates and merges, and holds the result against the model's rules.
func run(t *testing.T, objects []*resource.Object, report *status.Report) *ir.Config {
	t.Helper()
	tr := dialect.NewTranslator([]dialect.Dialect{New(), neighbour()})
	fragments, found, _ := tr.Translate(resource.NewSet(objects, knownKinds()))
	report.Join(found)
	config, merged := new(dialect.Merger).Merge(fragments)
	report.Join(merged)
	for _, err := range ir.Validate(config) {
		t.Errorf("the model is broken: %v", err)
	}
	return config
}

func check(t *testing.T, a *txtar.Archive, name string, got []byte) {
	t.Helper()
	for i := range a.Files {
		if a.Files[i].Name != name {
			continue
		}
		if *update {
			a.Files[i].Data = got
		} else if d := gocmp.Diff(string(a.Files[i].Data), string(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		return
	}
	if !*update {
		t.Errorf("no %s; run with -update", name)
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: got})
}

// renderIR writes a configuration as YAML, with origins and orders on one line
// and certificates left out.
func renderIR(t *testing.T, c *ir.Config) []byte {
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(shorten(tree)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func shorten(tree any) any {
	switch n := tree.(type) {
	case []any:
		for i := range n {
			n[i] = shorten(n[i])
		}
	case string:
		if strings.Contains(n, "-----BEGIN") {
			return "(PEM)"
		}
	case map[string]any:
		for k, v := range n {
			switch k {
			case "origin":
				o := v.(map[string]any)
				n[k] = fmt.Sprintf("%v:%v %v", o["file"], o["line"], cmpOr(o["field"], o["kind"]))
			case "order":
				n[k] = fmt.Sprint(v)
			default:
				n[k] = shorten(v)
			}
		}
	}
	return tree
}

func cmpOr(a, b any) any {
	if a != nil {
		return a
	}
	return b
}

func renderReport(r status.Report) []byte {
	var out bytes.Buffer
	for _, p := range r.Problems {
		fmt.Fprintf(&out, "%s: %v\n", p.Severity, p)
	}
	for _, o := range r.Outcomes {
		about := ""
		if o.About != "" {
			about = " [" + o.About + "]"
		}
		fmt.Fprintf(&out, "%v%s %s=%v %s", o.Object, about, o.Condition, o.OK, o.Reason)
		if o.Message != "" {
			fmt.Fprintf(&out, ": %s", o.Message)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}
