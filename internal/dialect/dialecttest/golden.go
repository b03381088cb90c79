// Package dialecttest is the suite that a dialect runs: what comes out of its
// translation, case by case, against golden files.
package dialecttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Suite says what is tested.
type Suite struct {
	// Dialects are the one that is tested, and those that it needs beside it.
	Dialects []dialect.Dialect
	// Kinds that the cases' objects are of.
	Kinds []resource.Kind
	// Case, if set, changes a copy of the suite by what a case says in its first
	// lines.
	Case func(t *testing.T, s *Suite, comment string)
	// Short, if set, writes a node of the configuration more briefly than it
	// stands, or changes its members in place; ok says that it is done.
	Short func(node map[string]any) (brief any, ok bool)
	// Order, if set, writes an ir.Order, or a step's order, for people.
	Order func(order any) any
	// Least is how many cases there are, at least.
	Least int
	// Env says what becomes of ${NAME} in the cases.
	Env resource.EnvMode
	// Update writes what comes out into the golden files.
	Update bool
}

// Golden runs every testdata/*.txtar: its YAML files, and those of
// testdata/with that its first lines name after "with:", are decoded,
// translated and merged; ir.yaml and report.txt are what comes out.
func (s *Suite) Golden(t *testing.T) {
	EachCase(t, s.Least, s.Update, func(t *testing.T, c *Case) {
		s := *s
		if s.Case != nil {
			s.Case(t, &s, string(c.Comment))
		}
		objects, report := s.Objects(t, c.Archive)
		config := s.run(t, objects, &report)
		report.Sort()
		// Origins and orders are on one line, and keys are left out.
		c.Check(t, "ir.yaml", YAML(t, config, s.shorten))
		c.Check(t, "report.txt", renderReport(report))
	})
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

// Objects returns what the YAML files of a case hold, and what there is to say
// of them.
func (s *Suite) Objects(t *testing.T, a *txtar.Archive) ([]*resource.Object, status.Report) {
	t.Helper()
	d := resource.NewDecoder(s.Kinds, resource.Options{EnvMode: s.Env})
	var objects []*resource.Object
	var report status.Report
	for _, f := range inputs(t, a) {
		res := d.Decode(f.Name, f.Data)
		if res.Broken {
			t.Fatalf("%s does not decode: %v", f.Name, res.Problems)
		}
		objects = append(objects, res.Objects...)
		report.Add(res.Problems...)
	}
	return objects, report
}

// run translates and merges, and holds the result against the model's rules.
func (s *Suite) run(t *testing.T, objects []*resource.Object, report *status.Report) *ir.Config {
	t.Helper()
	tr := dialect.NewTranslator(s.Dialects)
	fragments, found, _ := tr.Translate(resource.NewSet(objects, s.Kinds))
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

func (s *Suite) shorten(tree any) any {
	switch n := tree.(type) {
	case []any:
		for i := range n {
			n[i] = s.shorten(n[i])
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
		if s.Short != nil {
			if brief, ok := s.Short(n); ok {
				return brief
			}
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
			case k == "order" && s.Order != nil:
				n[k] = s.Order(v)
			case k == "order":
				n[k] = fmt.Sprint(v)
			default:
				n[k] = s.shorten(v)
			}
		}
	}
	return tree
}

// renderReport writes problems and outcomes; attachments that are in force are
// seen in the routes.
func renderReport(r status.Report) string {
	var out strings.Builder
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
	return out.String()
}
