package structure

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The ways by which a decision can be made of what nobody proved, and the
// packages that may name them. Tests of ours may name them anywhere.
var provenBy = []struct {
	pkg, name string
	users     []string
}{
	// The entry: it alone makes an exchange with a Trace.
	{"internal/dataplane", "Rehearse", []string{"internal/explain"}},
	{"internal/dataplane", "RehearseConnection", []string{"internal/explain"}},
	{"internal/dataplane", "Given", []string{"internal/explain"}},
	// What it leads to.
	{"internal/authn", "GivenIdentity", []string{"internal/dataplane"}},
	{"internal/authn", "Offline", []string{"internal/dataplane"}},
}

// parsed is one file of a package of ours.
type parsed struct {
	pkg  string // without the module's path
	name string
	file *ast.File
	fset *token.FileSet
}

func parseAll(t *testing.T) []parsed {
	t.Helper()
	var out []parsed
	for _, p := range list(t) {
		fset := token.NewFileSet()
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, parsed{strings.TrimPrefix(p.ImportPath, module), name, f, fset})
		}
	}
	return out
}

// localName returns what a file calls an import, or "" if it has none.
func (p *parsed) localName(pkg string) string {
	for _, i := range p.file.Imports {
		if strings.Trim(i.Path.Value, `"`) != module+pkg {
			continue
		}
		if i.Name != nil {
			return i.Name.Name
		}
		return pkg[strings.LastIndexByte(pkg, '/')+1:]
	}
	return ""
}

// TestNever08ProvenIdentity holds that the entry by which explain and test put
// in a proven identity cannot be reached from run: the packages that lead to it
// are imported by the files of those two commands alone, and nothing outside
// these files names what is declared in them, but for the list of commands.
func TestNever08ProvenIdentity(t *testing.T) {
	files := parseAll(t)
	for _, p := range files {
		for _, way := range provenBy {
			local := p.localName(way.pkg)
			if local == "" || slices.Contains(way.users, p.pkg) {
				continue
			}
			ast.Inspect(p.file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == way.name {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == local {
						t.Errorf("%v: names %s.%s, which is for %s alone", p.fset.Position(s.Pos()), local, way.name, strings.Join(way.users, ", "))
					}
				}
				return true
			})
		}
	}
	commands := map[string]bool{"explain.go": true, "test.go": true}
	declared := map[string]bool{}
	for _, p := range files {
		imports := p.localName("internal/explain") != "" || p.localName("internal/policytest") != ""
		if imports && p.pkg == "internal/cli" && !commands[p.name] {
			t.Errorf("internal/cli/%s imports what puts identities in: that is for %v", p.name, commands)
		}
		if p.pkg == "internal/cli" && commands[p.name] {
			declare(p.file, declared)
		}
	}
	if !declared["newExplain"] || !declared["newTest"] {
		t.Fatal("the commands are declared elsewhere: correct this test")
	}
	for _, p := range files {
		if p.pkg != "internal/cli" || commands[p.name] {
			continue
		}
		for _, d := range p.file.Decls {
			fn, isFunc := d.(*ast.FuncDecl)
			ast.Inspect(d, func(n ast.Node) bool {
				id, ok := n.(*ast.Ident)
				if !ok || !declared[id.Name] {
					return true
				}
				if isFunc && fn.Name.Name == "newRoot" && (id.Name == "newExplain" || id.Name == "newTest") {
					return true
				}
				t.Errorf("%v: names %s, which belongs to explain or test", p.fset.Position(id.Pos()), id.Name)
				return true
			})
		}
	}
}

// declare adds the functions and types that a file declares, its methods
// apart, which nobody can call without the types.
func declare(f *ast.File, into map[string]bool) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				into[d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok {
					into[ts.Name.Name] = true
				}
			}
		}
	}
}

// TestNever08TraceIsSetOnce holds that one place alone gives an exchange a
// Trace, and another in the same file a connection, and that claims are put in
// through the first alone.
func TestNever08TraceIsSetOnce(t *testing.T) {
	traces, ofConnections, claims := 0, 0, 0
	for _, p := range parseAll(t) {
		ast.Inspect(p.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, l := range n.Lhs {
					if s, ok := l.(*ast.SelectorExpr); ok && p.pkg == "internal/dataplane" && s.Sel.Name == "trace" {
						traces++
						if p.name != "rehearse.go" {
							t.Errorf("%v: gives an exchange a Trace", p.fset.Position(n.Pos()))
						}
					}
					if s, ok := l.(*ast.SelectorExpr); ok && s.Sel.Name == "Given" {
						t.Errorf("%v: assigns to a field Given", p.fset.Position(n.Pos()))
					}
				}
			case *ast.KeyValueExpr:
				id, ok := n.Key.(*ast.Ident)
				if !ok || id.Name != "Given" && !(id.Name == "trace" && p.pkg == "internal/dataplane") {
					return true
				}
				if id.Name == "Given" && isClaimsOfTrace(n.Value) {
					claims++
					return true
				}
				if id.Name == "trace" && p.name == "rehearse.go" {
					ofConnections++
					return true
				}
				t.Errorf("%v: puts in %s", p.fset.Position(n.Pos()), id.Name)
			}
			return true
		})
	}
	if traces != 1 || ofConnections != 1 || claims == 0 {
		t.Errorf("a Trace is set in %d places and made in %d, and claims are passed on in %d: correct this test", traces, ofConnections, claims)
	}
}

// isClaimsOfTrace tells the one expression that claims come from:
// e.Trace().Claims().
func isClaimsOfTrace(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Claims" {
		return false
	}
	inner, ok := s.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	s, ok = inner.Fun.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Trace"
}
