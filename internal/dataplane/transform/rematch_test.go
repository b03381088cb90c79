package transform

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// moving sends requests to another path, and asks for another match.
func moving(t testing.TB, to string) dataplane.Stage {
	t.Helper()
	return stage(t, &ir.Transform{Rules: []ir.TransformRule{{Rematch: true, Request: &ir.Template{Passthrough: true, Set: header(":path", to)}}}})
}

// asks is a guard that lets those pass who bring its word.
func asks(word string) dataplane.Stage {
	return dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
		if e.Header.Get("X-Word-"+word) == "" {
			return dataplane.Refuse(403, "asked for "+word, word, ir.Origin{}, "no word")
		}
		return nil
	})
}

func (g *gateway) route(name string, guards []bool, stages ...dataplane.Stage) *dataplane.Route {
	return &dataplane.Route{Name: name, Stages: append(stages, g.forwarder()), Guards: guards}
}

// Row 28: neither route's guards are shed, whether they stand before or after
// the transformation.
func TestRow28Rematch(t *testing.T) {
	g := newGateway(t)
	g.serve(
		prefixed("/guarded", g.route("guarded", []bool{false, true}, moving(t, "/open/x"), asks("A"))),
		prefixed("/before", g.route("before", []bool{true, false}, asks("A"), moving(t, "/open/x"))),
		prefixed("/opening", g.route("opening", []bool{false}, moving(t, "/closed/x"))),
		prefixed("/both", g.route("both", []bool{false, true}, moving(t, "/closed/x"), asks("A"))),
		prefixed("/lost", g.route("lost", []bool{false}, moving(t, "/nowhere"))),
		prefixed("/gone", g.route("gone", []bool{false, true}, moving(t, "/nowhere"), asks("A"))),
		prefixed("/open", g.route("open", nil)),
		prefixed("/closed", g.route("closed", []bool{true}, asks("B"))),
	)
	for _, tc := range []struct {
		name, target string
		words        []string
		status       int
		route        string
	}{
		{"guarded to open, unproven", "/guarded", nil, 403, "guarded"},
		{"guarded to open, proven", "/guarded", []string{"A"}, 200, "open"},
		{"guard before, unproven", "/before", nil, 403, "before"},
		{"guard before, proven", "/before", []string{"A"}, 200, "open"},
		{"open to guarded, unproven", "/opening", nil, 403, "closed"},
		{"open to guarded, with the wrong word", "/opening", []string{"A"}, 403, "closed"},
		{"open to guarded, proven", "/opening", []string{"B"}, 200, "closed"},
		{"both, the first alone", "/both", []string{"A"}, 403, "closed"},
		{"both, the second alone", "/both", []string{"B"}, 403, "both"},
		{"both", "/both", []string{"A", "B"}, 200, "closed"},
		{"to nowhere", "/lost", nil, 404, "lost"},
		{"a guard comes before nowhere", "/gone", nil, 403, "gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var headers []string
			for _, w := range tc.words {
				headers = append(headers, "X-Word-"+w+": yes")
			}
			res, body := g.send("GET "+tc.target, "", headers...)
			if res.StatusCode != tc.status || !strings.HasPrefix(g.last().Route, tc.route) {
				t.Errorf("got %d %q on %s", res.StatusCode, body, g.last().Route)
			}
		})
	}
}

// Two routes that send to one another do so once.
func TestRematchOnce(t *testing.T) {
	g := newGateway(t)
	g.serve(prefixed("/a", g.route("a", nil, moving(t, "/b"))), prefixed("/b", g.route("b", nil, moving(t, "/a"))))
	if s := g.got("GET /a", ""); s.Target != "/a" || g.last().Route != "b" {
		t.Errorf("got %s on %s", s.Target, g.last().Route)
	}
}

// A match that finds the same route goes on with it.
func TestRematchStays(t *testing.T) {
	g := newGateway(t)
	g.serve(prefixed("/a", g.route("a", []bool{false, true}, moving(t, "/a/x"), asks("A"))))
	if res, _ := g.send("GET /a", ""); res.StatusCode != 403 {
		t.Errorf("got %d", res.StatusCode)
	}
	if s := g.got("GET /a", "", "X-Word-A: yes"); s.Target != "/a/x" {
		t.Errorf("got %s", s.Target)
	}
}

// Row 7: credentials of the first route are not for the second's upstream; the
// one that the transformation made travels along.
func TestRow07RematchShedsCredentials(t *testing.T) {
	inject := dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
		e.Inject(dataplane.SecretHeader{Name: "X-Provider", Value: func() (string, error) { return "of the first", nil }})
		e.Outbound.Path = "/rewritten"
		return nil
	})
	cfg := bearer()
	cfg.Set = append(cfg.Set, ir.HeaderTemplate{Name: ":path", Text: "/second"})
	move := stage(t, &ir.Transform{Rules: []ir.TransformRule{{Rematch: true, Request: &cfg}}})
	g := newGateway(t)
	first := g.route("first", []bool{true, false, false}, dataplane.StageFunc(keyed), inject, move)
	first.Sanitize = byKey
	g.serve(prefixed("/first", first), prefixed("/second", g.route("second", nil)))
	s := g.got("POST /first", "{}", "api-key: mysecretkey")
	if s.Target != "/second" || s.Header["X-Provider"] != nil || s.Header["X-Api-Key"] != nil || !slices.Equal(s.Header["Authorization"], []string{"Bearer " + marker}) {
		t.Errorf("got %+v", s)
	}
}

// Row 1: what the second route's authentication sets, the first route's
// requests cannot bring along.
func TestRow01RematchSanitizes(t *testing.T) {
	g := newGateway(t)
	second := g.route("second", nil)
	second.Sanitize = []string{"X-User-Id"}
	g.serve(prefixed("/first", g.route("first", nil, moving(t, "/second"))), prefixed("/second", second))
	if s := g.got("GET /first", "", "X-User-Id: mallory"); s.Header["X-User-Id"] != nil {
		t.Errorf("got %q", s.Header["X-User-Id"])
	}
}

func BenchmarkHeaderStage(b *testing.B) {
	s := stage(b, request(bearer()))
	route := &dataplane.Route{Sanitize: byKey}
	b.ReportAllocs()
	for b.Loop() {
		e := &dataplane.Exchange{Method: "GET", Path: "/", Header: map[string][]string{}, Route: route}
		e.SetSecretHeader("X-Api-Key", secret.NewValue([]byte(marker)))
		if a := s.Run(context.Background(), e); a != nil {
			b.Fatal(a.Cause)
		}
	}
}

// BenchmarkWithoutStage is what of BenchmarkHeaderStage is not the stage's.
func BenchmarkWithoutStage(b *testing.B) {
	route := &dataplane.Route{Sanitize: byKey}
	b.ReportAllocs()
	for b.Loop() {
		e := &dataplane.Exchange{Method: "GET", Path: "/", Header: map[string][]string{}, Route: route}
		e.SetSecretHeader("X-Api-Key", secret.NewValue([]byte(marker)))
		kept = e
	}
}

var kept *dataplane.Exchange
