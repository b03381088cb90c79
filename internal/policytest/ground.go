package policytest

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/explain"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Resources is what a test is about.
type Resources struct {
	// Paths of files and folders.
	Paths []string
	// Inline are YAML documents; they have the lines of File.
	Inline []byte
	File   string
	// Scaffold are the documents of ScaffoldFile, which stand for those of the
	// same name elsewhere.
	Scaffold []byte
	// Workload may be nil.
	Workload *Workload
}

// Loaded is what resources were turned into.
type Loaded struct {
	Objects []*resource.Object
	Config  *ir.Config
	Report  status.Report
	// Fatal problems keep the test from being run: files that cannot be
	// decoded.
	Fatal []status.Problem
	// Deps are for compiling Config, without asking anybody.
	Deps compile.Deps
}

// Load reads and translates resources.
type Load func(ctx context.Context, r Resources) *Loaded

// ground reads what the test is about and compiles it. It returns nil and the
// problems where that cannot be done.
func (t *Test) ground(ctx context.Context, load Load) (*ground, []status.Problem) {
	r := Resources{File: t.File, Inline: t.inline(), Workload: t.Spec.Workload}
	for _, p := range t.Spec.Resources {
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(t.File), p)
		}
		r.Paths = append(r.Paths, p)
	}
	g := &ground{}
	l := load(ctx, r)
	if len(l.Fatal) > 0 {
		return nil, l.Fatal
	}
	g.alone = policiesAlone(l.Objects)
	var err error
	if r.Scaffold, err = t.added(l.Objects, g.alone); err != nil {
		return nil, []status.Problem{t.fault("spec", "%v", err)}
	}
	if len(r.Scaffold) > 0 {
		if l = load(ctx, r); len(l.Fatal) > 0 {
			return nil, l.Fatal
		}
	}
	if g.alone {
		openRoutes(l.Config)
	}
	deps := l.Deps
	var problems []status.Problem
	if deps.JWKS, problems = t.jwks(); len(problems) > 0 {
		return nil, problems
	}
	answers, problems := t.answers()
	if len(problems) > 0 {
		return nil, problems
	}
	deps.Answer = func(m *ir.AuthMethod) *authn.ServerAnswer { return find(answers, m) }
	var now time.Time
	if t.Spec.Now != nil {
		now = t.Spec.Now.Time
		clock := func() time.Time { return now }
		deps.Clock, deps.Forward.Clock = clock, clock
	}
	target, compiled := explain.NewTarget(l.Config, deps)
	target.Now, target.AnyPort, target.Proven = now, g.alone, g.alone && !asksForTokens(l.Config)
	g.target, g.release = target, compiled.Snapshot.Release
	report := l.Report
	report.Join(compiled.Report())
	report.Sort()
	g.problems = errorsOf(report.Problems)
	return g, nil
}

// added are the documents that the test's own words come to: the mesh as its
// workload has it, and what policies are put on that stand alone.
func (t *Test) added(objects []*resource.Object, alone bool) ([]byte, error) {
	var docs []any
	mesh, err := meshOf(t.Spec.Workload, objects)
	if err != nil {
		return nil, err
	}
	if mesh != nil {
		docs = append(docs, mesh)
	}
	if alone {
		built, err := scaffold(objects, t.Spec.Workload)
		if err != nil {
			return nil, err
		}
		docs = append(docs, built...)
	}
	return written(docs)
}

// inline returns the manifests behind as many empty lines as stand before them
// in the file, so that positions in them are positions in the file.
func (t *Test) inline() []byte {
	if t.Spec.Manifests == "" {
		return nil
	}
	return []byte(strings.Repeat("\n", t.object.Lines.At("spec.manifests")) + t.Spec.Manifests)
}

func (t *Test) jwks() (map[string]*authn.KeySet, []status.Problem) {
	out := map[string]*authn.KeySet{}
	var problems []status.Problem
	for u, doc := range t.Spec.JWKS {
		set, err := authn.ParseJWKS(doc)
		if err != nil {
			problems = append(problems, t.fault("spec.jwks", "%s: %v", u, err))
			continue
		}
		out[u] = set
	}
	return out, problems
}

func (t *Test) answers() (map[string]*authn.ServerAnswer, []status.Problem) {
	out := map[string]*authn.ServerAnswer{}
	var problems []status.Problem
	for name, a := range t.Spec.External {
		answer := &authn.ServerAnswer{Allow: a.Allow, Status: a.Status, Header: http.Header{}}
		for h, values := range a.Headers {
			answer.Header[http.CanonicalHeaderKey(h)] = values
		}
		if len(a.Claims) > 0 {
			var err error
			if answer.Claims, err = authn.ParseClaims(a.Claims); err != nil {
				problems = append(problems, t.fault("spec.external", "%s: claims: %v", name, err))
			}
		}
		out[name] = answer
	}
	return out, problems
}

// find returns the answer of a method's server: by its policy's name, by its
// own, or by its host.
func find(answers map[string]*authn.ServerAnswer, m *ir.AuthMethod) *authn.ServerAnswer {
	names := []string{m.Origin.Namespace + "/" + m.Origin.Name, m.Origin.Name, m.Name}
	server := func(upstream, address, raw string) {
		if upstream != "" {
			name, _, _ := strings.Cut(upstream[strings.IndexByte(upstream, '/')+1:], ":")
			names = append(names, name)
			if parts := strings.Split(name, "/"); len(parts) > 2 { // group/Kind/ns/name
				names = append(names, strings.Join(parts[len(parts)-2:], "/"))
			}
		}
		if u, err := url.Parse(raw); err == nil && raw != "" {
			names = append(names, raw, u.Host, u.Hostname())
		}
		if host, _, _ := strings.Cut(address, ":"); address != "" {
			names = append(names, address, host)
		}
	}
	if x := m.External; x != nil && x.HTTP != nil {
		server(x.HTTP.Upstream, "", x.HTTP.URL)
	} else if x != nil && x.GRPC != nil {
		server(x.GRPC.Upstream, x.GRPC.Address, "")
	}
	if m.Token != nil && m.Token.Introspection != nil {
		server("", "", m.Token.Introspection.URL)
	}
	for _, n := range names {
		if a := answers[n]; a != nil {
			return a
		}
	}
	return nil
}

// asksForTokens reports whether a step verifies tokens: then claims that a case
// puts in are proven where that step says so, and not otherwise.
func asksForTokens(c *ir.Config) bool {
	asks := func(steps []ir.Step) bool {
		return slices.ContainsFunc(steps, func(s ir.Step) bool { return s.JWT != nil })
	}
	for _, l := range c.Listeners {
		if asks(l.HTTP.Steps) {
			return true
		}
		for _, h := range l.Hosts {
			for _, r := range h.Routes {
				if asks(r.Steps) {
					return true
				}
			}
		}
	}
	return false
}
