package envoyai

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

// marker stands in every secret of the cases; nothing that comes out may hold
// it.
const marker = "MARKER"

// TestGolden runs every testdata/*.txtar: its YAML files, and those of
// testdata/with that its first lines name after "with:", are decoded,
// translated and merged; ir.yaml and report.txt are what comes out.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) < 28 {
		t.Errorf("only %d cases found", len(files))
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
	t.Helper()
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

func knownKinds() []resource.Kind { return append(resource.CoreKinds(), New().Kinds...) }

// gateways stands for the Gateway API's dialect: it makes the listeners.
func gateways() dialect.Dialect {
	return dialect.Dialect{
		Name: "gateways",
		Roots: func(v *resource.View) (out []resource.Key) {
			for _, o := range v.All(parent.GatewayKind) {
				out = append(out, o.Key)
			}
			return out
		},
		Translate: func(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
			f := &dialect.Fragment{}
			o := v.Get(root.GroupKind, root.Namespace, root.Name)
			for _, l := range parent.Listeners(v, o) {
				section := dialect.TargetOf(root)
				section.Section = string(l.Spec.Name)
				var tls *ir.ServerTLS
				if l.Spec.TLS != nil {
					tls = &ir.ServerTLS{MinVersion: "1.2", ALPN: []string{"http/1.1"}}
				}
				f.Listeners = append(f.Listeners, &dialect.Listener{
					Listener: ir.Listener{Name: l.Name, Port: int(l.Spec.Port), Hostname: l.Hostname(), TLS: tls},
					Targets:  []dialect.Target{section, dialect.TargetOf(root)}, Owner: root, Age: o.Created,
				})
			}
			return f, status.Report{}
		},
	}
}

// run translates and merges, and holds the result against the model's rules.
func run(t *testing.T, objects []*resource.Object, report *status.Report) *ir.Config {
	t.Helper()
	tr := dialect.NewTranslator([]dialect.Dialect{New(), gateways()})
	fragments, found, _ := tr.Translate(resource.NewSet(objects, knownKinds()))
	config, merged := new(dialect.Merger).Merge(fragments)
	decoded := len(report.Problems)
	report.Join(found)
	report.Join(merged)
	for _, err := range ir.Validate(config) {
		t.Errorf("the model is broken: %v", err)
	}
	for _, p := range report.Problems[decoded:] {
		if p.Remedy == "" {
			t.Errorf("no remedy: %v", p)
		}
		if p.Origin.File == "" {
			t.Errorf("no origin: %v", p)
		}
	}
	return config
}

func check(t *testing.T, a *txtar.Archive, name string, got []byte) {
	t.Helper()
	if bytes.Contains(got, []byte(marker)) {
		t.Errorf("%s holds a secret", name)
	}
	for i := range a.Files {
		if a.Files[i].Name != name {
			continue
		}
		if *update {
			a.Files[i].Data = got
		} else if d := cmp.Diff(string(a.Files[i].Data), string(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		return
	}
	if !*update {
		t.Errorf("no %s; run with -update", name)
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: got})
}

// renderIR writes a configuration as YAML, with matches and origins on one
// line and keys left out.
func renderIR(t *testing.T, c *ir.Config) []byte {
	t.Helper()
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
	case float64:
		if n == float64(int64(n)) {
			return int64(n)
		}
	case string:
		if strings.Contains(n, "-----BEGIN") {
			return fmt.Sprintf("(PEM of %d lines)", strings.Count(n, "\n"))
		}
	case map[string]any:
		if kind, ok := n["kind"].(string); ok && n["key"] != nil {
			return fmt.Sprintf("%s %v/%v[%v]", kind, n["namespace"], n["name"], n["key"])
		}
		if line, ok := shortRoute(n); ok {
			return line
		}
		for k, v := range n {
			switch o, isOrigin := v.(map[string]any); {
			case k == "origin" && isOrigin:
				field := o["field"]
				if field == nil {
					field = o["kind"]
				}
				n[k] = fmt.Sprintf("%v:%v %v", o["file"], o["line"], field)
			case k == "matches":
				n[k] = shortMatches(v.([]any))
			default:
				n[k] = shorten(v)
			}
		}
	}
	return tree
}

// shortRoute puts what is the same in every case on one line: the answers that
// the gateway gives by itself.
func shortRoute(n map[string]any) (string, bool) {
	action, _ := n["action"].(map[string]any)
	direct, _ := action["direct"].(map[string]any)
	if direct == nil || n["matches"] == nil {
		return "", false
	}
	var slots []any
	steps, _ := n["steps"].([]any)
	for _, s := range steps {
		slots = append(slots, s.(map[string]any)["slot"])
	}
	return fmt.Sprint(n["name"], " answers ", direct["status"], " after ", slots), true
}

const openAIPaths = "exact /v1/chat/completions, exact /v1/embeddings, exact /v1/completions, exact /v1/responses, " +
	"exact /v1/responses/input_tokens, exact /v1/images/generations, exact /v1/audio/speech, exact /v1/audio/transcriptions, exact /v1/audio/translations"

// shortMatches joins the paths of matches that differ in nothing else.
func shortMatches(list []any) any {
	var order []string
	paths := map[string][]string{}
	for _, m := range list {
		m := m.(map[string]any)
		path := fmt.Sprint(m["path"].(map[string]any)["kind"], " ", m["path"].(map[string]any)["value"])
		delete(m, "path")
		if o, ok := m["order"].([]any); ok {
			m["order"] = fmt.Sprint(o)
		}
		rest, _ := json.Marshal(m)
		if paths[string(rest)] == nil {
			order = append(order, string(rest))
		}
		paths[string(rest)] = append(paths[string(rest)], path)
	}
	var out []any
	for _, rest := range order {
		out = append(out, strings.Replace(strings.Join(paths[rest], ", "), openAIPaths, "(OpenAI)", 1)+" "+rest)
	}
	return out
}

// renderReport writes problems and outcomes; attachments that are in force are
// seen in the routes.
func renderReport(r status.Report) []byte {
	var out bytes.Buffer
	for _, p := range r.Problems {
		fmt.Fprintf(&out, "%s: %v\n", p.Severity, p)
	}
	for _, o := range r.Outcomes {
		if o.Condition == "Attached" && o.OK {
			continue
		}
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
