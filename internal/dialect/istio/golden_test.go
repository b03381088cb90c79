package istio

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
// translated and merged; ir.yaml and report.txt are what comes out. A line
// "workload: namespace/name k=v..." says which workload the gateway is, and one
// "mesh: address port identity" that it is the workload's side.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) < 40 {
		t.Errorf("only %d cases found", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			opts := options(t, string(a.Comment))
			objects, report := decode(t, opts, inputs(t, a))
			config := run(t, opts, objects, &report)
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

// options reads what a case says of the gateway.
func options(t *testing.T, comment string) Options {
	t.Helper()
	var out Options
	for line := range strings.Lines(comment) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields := strings.Fields(rest)
		switch key {
		case "workload":
			namespace, name, _ := strings.Cut(fields[0], "/")
			out.Workload = &Workload{Namespace: namespace, Name: name, Labels: map[string]string{}}
			for _, f := range fields[1:] {
				k, v, _ := strings.Cut(f, "=")
				out.Workload.Labels[k] = v
			}
		case "mesh":
			port, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			out.Mesh = &Mesh{Address: fields[0], Port: port, Egress: fields[2]}
		}
	}
	return out
}

func decode(t *testing.T, opts Options, files []txtar.File) ([]*resource.Object, status.Report) {
	t.Helper()
	d := resource.NewDecoder(knownKinds(opts), resource.Options{EnvMode: resource.EnvPlaceholder})
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

func knownKinds(opts Options) []resource.Kind {
	return slices.Concat(resource.CoreKinds(), parent.Kinds(), New(opts).Kinds)
}

// run translates and merges, and holds the result against the model's rules.
func run(t *testing.T, opts Options, objects []*resource.Object, report *status.Report) *ir.Config {
	t.Helper()
	tr := dialect.NewTranslator([]dialect.Dialect{New(opts)})
	fragments, found, _ := tr.Translate(resource.NewSet(objects, knownKinds(opts)))
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

// renderIR writes a configuration as YAML, with origins and orders on one line
// and keys left out.
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
			return fmt.Sprintf("(PEM of %d bytes, %d lines)", len(n), strings.Count(n, "\n"))
		}
	case map[string]any:
		if kind, ok := n["kind"].(string); ok && n["key"] != nil {
			return fmt.Sprintf("%s %v/%v[%v]", kind, n["namespace"], n["name"], n["key"])
		}
		for k, v := range n {
			switch o, isOrigin := v.(map[string]any); {
			case k == "origin" && isOrigin && o["line"] == nil:
				n[k] = fmt.Sprintf("%v %v/%v", o["kind"], o["namespace"], o["name"])
			case k == "origin" && isOrigin:
				field := o["field"]
				if field == nil {
					field = o["kind"]
				}
				n[k] = fmt.Sprintf("%v:%v %v", o["file"], o["line"], field)
			case k == "order":
				n[k] = shortOrder(v)
			default:
				n[k] = shorten(v)
			}
		}
	}
	return tree
}

// shortOrder leaves out the bytes of an object's name: last, rank, age … place.
func shortOrder(v any) string {
	list, ok := v.([]any)
	if !ok || len(list) < 6 {
		return fmt.Sprint(v)
	}
	places := list[3:]
	for len(places) > 0 && places[0].(float64) > 1<<20 { // seven bytes of text
		places = places[1:]
	}
	return fmt.Sprint(list[:3], " … ", places)
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
