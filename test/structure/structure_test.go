// Package structure holds the tree to its design: who may import whom, what
// no package of ours may do, and that each package says what it is.
package structure

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/postern-gateway/postern/"

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath, Dir, Doc string
	GoFiles              []string
	Imports, Deps        []string
	Standard             bool
}

// rule forbids imports.
type rule struct {
	name string
	// of are the packages that it binds, without the module's path; a name
	// ending in "/..." means all below it too.
	of []string
	// never are what they must not reach, directly or through others; the
	// module's own packages without its path.
	never []string
	// except are reached all the same.
	except []string
	// direct looks at direct imports alone.
	direct bool
	reason string
}

var rules = []rule{
	{
		name: "ir is the contract", of: []string{"internal/ir"}, direct: true,
		never: []string{"internal/...", "*.*"}, except: []string{"internal/secret"},
		reason: "ir imports only the standard library and secret, so that nothing can leak into the model that all rooms share",
	},
	{
		name: "status is plain data", of: []string{"internal/status"}, direct: true,
		never: []string{"internal/...", "*.*"}, except: []string{"internal/ir"},
		reason: "status imports ir only, so that every renderer can use it",
	},
	{
		name:   "requests never see resources",
		of:     []string{"internal/compile", "internal/dataplane/...", "internal/authn/...", "internal/authz/...", "internal/credential/...", "internal/llm/..."},
		never:  []string{"internal/resource", "internal/dialect/...", "internal/source/...", "internal/kube/...", "k8s.io/...", "sigs.k8s.io/..."},
		except: []string{"sigs.k8s.io/json", "sigs.k8s.io/yaml"},
		reason: "what serves requests is built from the model alone, never from YAML or an API server",
	},
	{
		name:   "dialects stand alone",
		of:     []string{"internal/dialect/gatewayapi", "internal/dialect/gloo", "internal/dialect/gloomesh", "internal/dialect/envoyai", "internal/dialect/istio"},
		never:  []string{"internal/dialect/gatewayapi", "internal/dialect/gloo", "internal/dialect/gloomesh", "internal/dialect/envoyai", "internal/dialect/istio", "internal/compile", "internal/dataplane/...", "internal/source/..."},
		reason: "a dialect can be deleted with its folder; it knows neither the others nor what is done with its fragments",
	},
	{
		name: "shared dialect parts are no dialects", of: []string{"internal/dialect", "internal/dialect/parent", "internal/dialect/secretref", "internal/dialect/service", "internal/dialect/backendtls", "internal/dialect/condition", "internal/dialect/infrastructure", "internal/dialect/glooauth", "internal/dialect/glootemplate", "internal/dialect/istioauth"},
		never:  []string{"internal/dialect/gatewayapi", "internal/dialect/gloo", "internal/dialect/gloomesh", "internal/dialect/envoyai", "internal/dialect/istio"},
		reason: "what dialects share must not depend on one of them",
	},
	{
		name: "sources know no dialect", of: []string{"internal/source/..."},
		never:  []string{"internal/dialect/..."},
		reason: "a source is told which kinds to read and which fields are secret",
	},
	{
		name: "only cli imports builtin", of: []string{"internal/..."}, direct: true,
		never: []string{"internal/builtin"}, except: nil,
		reason: "the list of everything compiled in is chosen at the top",
	},
	{
		name: "only builtin imports dialects, sources and kube", of: []string{"internal/...", "cmd/..."}, direct: true,
		never:  []string{"internal/dialect/gatewayapi", "internal/dialect/gloo", "internal/dialect/gloomesh", "internal/dialect/envoyai", "internal/dialect/istio", "internal/source/file", "internal/source/kube", "internal/kube/..."},
		reason: "what is compiled in stands on one page",
	},
	{
		name: "a proven identity is put in by explain and test alone (never 8)", of: []string{"internal/...", "cmd/..."}, direct: true,
		never:  []string{"internal/explain", "internal/policytest"},
		reason: "what takes an identity for granted must be out of reach of what serves",
	},
	{
		name: "no program is started (security row 18)", of: []string{"internal/...", "cmd/...", "examples"}, direct: true,
		never:  []string{"os/exec", "plugin"},
		reason: "neither configuration nor a request may start a program",
	},
}

// importers may do what a direct rule forbids to everyone else.
var importers = map[string][]string{
	"only cli imports builtin":                                        {"internal/cli"},
	"only builtin imports dialects, sources and kube":                 {"internal/builtin"},
	"a proven identity is put in by explain and test alone (never 8)": {"internal/cli", "internal/policytest"},
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports,Deps,Standard", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// fits reports whether an import path is named by a pattern: a path, a path
// and all below it ("x/..."), or every module but the standard library ("*.*").
func fits(path, pattern string) bool {
	if strings.HasPrefix(path, module) {
		path = strings.TrimPrefix(path, module)
	} else if pattern == "*.*" {
		return strings.Contains(strings.SplitN(path, "/", 2)[0], ".")
	}
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	}
	return path == pattern
}

func fitsAny(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(path, p) })
}

func TestSecurityRow18AndTheNevers(t *testing.T) {
	for _, p := range list(t) {
		for _, r := range rules {
			if !fitsAny(p.ImportPath, r.of) || fitsAny(p.ImportPath, importers[r.name]) {
				continue
			}
			reached := p.Deps
			if r.direct {
				reached = p.Imports
			}
			for _, dep := range reached {
				if dep != p.ImportPath && fitsAny(dep, r.never) && !fitsAny(dep, r.except) {
					t.Errorf("%s reaches %s: %s (%s)", p.ImportPath, dep, r.reason, r.name)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range list(t) {
		if len(p.GoFiles) > 0 && len(p.Doc) < 20 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestNothingHappensAtImport looks for init functions and package variables
// that something assigns to.
func TestNothingHappensAtImport(t *testing.T) {
	for _, p := range list(t) {
		fset := token.NewFileSet()
		vars, specs := map[string]bool{}, map[any]bool{}
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
					t.Errorf("%v: init function", fset.Position(fn.Pos()))
				}
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
					for _, s := range g.Specs {
						specs[s.(*ast.ValueSpec)] = true
						for _, n := range s.(*ast.ValueSpec).Names {
							vars[n.Name] = n.Name != "_"
						}
					}
				}
			}
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				a, ok := n.(*ast.AssignStmt)
				if !ok || a.Tok == token.DEFINE {
					return true
				}
				for _, l := range a.Lhs {
					if id, ok := l.(*ast.Ident); ok && vars[id.Name] && (id.Obj == nil || specs[id.Obj.Decl]) {
						t.Errorf("%v: package variable %s is assigned to", fset.Position(a.Pos()), id.Name)
					}
				}
				return true
			})
		}
	}
}
