package compile

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
)

const publicKey = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAskFAGESgB22iOsGk/UgX
BXTmMtd8R0vphvZ4RkXySOIra/vsg1UKay6aESBoZzeLX3MbBp5laQenjaYJ3U8P
QLCcellbaiyUuE6+obPQVIa9GEJl37GQmZIMQj4y68KHZ4m2WbQVlZVIw/Uw52cw
eGtitLMztiTnsve0xtgdUzV0TaynaQrRW7REF+PtLWitnvp9evweOrzHhQiPLcdm
fxfxCbEJHa0LRyyYatCZETOeZgkOHlYSU0ziyMhHBqpDH1vzXrM573MQ5MtrKkWR
T4ZQKuEe0Acyd2GhRg9ZAxNqs/gbb8bukDPXv4JnFLtWZ/7EooKbUC/QBKhQYAsK
bQIDAQAB
-----END PUBLIC KEY-----`

var tokenRef = secret.Ref{Kind: "Secret", Namespace: "ns", Name: "token", Key: "Authorization"}

// bench is a Compiler with what it builds with.
type bench struct {
	*Compiler
	store *secret.Store
	kept  *keep.Keep
}

func newBench(t testing.TB, exposed Exposure) *bench {
	t.Helper()
	b := &bench{store: secret.NewStore(), kept: new(keep.Keep)}
	b.store.Put(map[secret.Ref]secret.Value{tokenRef: secret.NewValue([]byte("Bearer provider"))})
	log := slog.New(slog.DiscardHandler)
	b.Compiler = New(Deps{
		Store: b.store, Keep: b.kept, Tokens: authn.NewTokenCache(16), Clock: time.Now, Log: log, Exposed: exposed,
		Forward: forward.Deps{Store: b.store, Clock: time.Now, Log: log},
	})
	return b
}

// provider is an upstream that tells what credential it was shown.
func provider(t testing.TB) *ir.Upstream {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "saw "+r.URL.Path)
	}))
	t.Cleanup(s.Close)
	u, _ := url.Parse(s.URL)
	port := 0
	for _, c := range u.Port() {
		port = port*10 + int(c-'0')
	}
	return &ir.Upstream{Name: "u", Endpoints: []ir.Endpoint{{Host: u.Hostname(), Port: port}}}
}

func forwardTo(name string) ir.Action {
	return ir.Action{Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: name, Weight: 1}}}}
}

func prefix(p string, order int64) []ir.Match {
	return []ir.Match{{Path: ir.PathMatch{Kind: ir.PathSegments, Value: p}, Order: ir.Order{order}}}
}

// config has one listener for any host with the routes.
func config(u *ir.Upstream, routes ...*ir.Route) *ir.Config {
	return &ir.Config{
		Listeners: []*ir.Listener{{Name: "l", Port: 80, Hosts: []*ir.VirtualHost{{Hostname: "*", Routes: routes}}}},
		Upstreams: map[string]*ir.Upstream{u.Name: u},
	}
}

type discard struct{}

func (discard) Record(*dataplane.Record) {}

// get serves one request by a snapshot, and returns its status.
func get(t testing.TB, c *Compiled, path string) int {
	t.Helper()
	h := dataplane.NewHandler(discard{}, dataplane.NewBudget(1<<20), slog.New(slog.DiscardHandler), time.Now)
	h.Swap(c.Snapshot.Sockets[0])
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://gateway"+path, nil).WithContext(context.Background()))
	return w.Code
}

func TestCompileFailsClosedRouteByRoute(t *testing.T) {
	key := ir.KeySource{Inline: publicKey}
	jwt := func(p ir.JWTProvider) ir.Step {
		return ir.Step{Phase: ir.PhaseAuthenticate, Slot: "t/jwt", JWT: &ir.JWT{Providers: []ir.JWTProvider{p}}}
	}
	bad := "("
	for _, tc := range []struct {
		name   string
		route  ir.Route
		status int
		says   string
	}{
		{"whole", ir.Route{Matches: prefix("/x", 1), Action: forwardTo("u")}, 200, ""},
		{"authenticator", ir.Route{Matches: prefix("/x", 1), Action: forwardTo("u"), Steps: []ir.Step{jwt(ir.JWTProvider{Name: "p", Keys: key})}}, 401, ""},
		{"key that does not parse", ir.Route{Matches: prefix("/x", 1), Action: forwardTo("u"), Steps: []ir.Step{jwt(ir.JWTProvider{Name: "p", Keys: ir.KeySource{Inline: "nonsense"}})}}, 500, "p"},
		{"no provider", ir.Route{Matches: prefix("/x", 1), Action: forwardTo("u"), Steps: []ir.Step{{Phase: ir.PhaseAuthenticate, Slot: "t/jwt", JWT: &ir.JWT{}}}}, 500, "no providers"},
		{"rule without principals", ir.Route{Matches: prefix("/x", 1), Action: forwardTo("u"), Steps: []ir.Step{{Phase: ir.PhaseAuthorize, Slot: "t/rbac", ClaimRules: &ir.ClaimRules{Rules: []ir.ClaimRule{{Name: "r"}}}}}}, 500, "principal"},
		{"rewrite that does not compile", ir.Route{Matches: prefix("/x", 1), Action: forwardTo("u"), Steps: []ir.Step{{Phase: ir.PhaseForward, Path: &ir.PathRewrite{Regex: &ir.RegexRewrite{Pattern: bad}}}}}, 500, "regex"},
		{"closed step", ir.Route{Matches: prefix("/x", 1), Action: forwardTo("u"), Steps: []ir.Step{{Phase: ir.PhaseAuthorize, Closed: &ir.Closed{Reason: "not built"}}}}, 500, ""},
		{"closed action", ir.Route{Matches: prefix("/x", 1), Action: ir.Action{Closed: &ir.Closed{Status: 503, Reason: "not built"}}}, 503, ""},
		{"upstream that is not there", ir.Route{Matches: prefix("/x", 1), Action: forwardTo("v")}, 500, `upstream "v" does not exist`},
		{"no action", ir.Route{Matches: prefix("/x", 1)}, 500, "0 alternatives"},
		{"match that does not compile", ir.Route{Matches: []ir.Match{{Path: ir.PathMatch{Kind: ir.PathRegex, Value: "/x("}, Order: ir.Order{1}}}, Action: forwardTo("u")}, 500, "what it could match is closed"},
		{"missing secret", ir.Route{Matches: prefix("/x", 1), Action: forwardTo("u"), Steps: []ir.Step{{Phase: ir.PhaseFilter, Slot: "t/headers", Headers: &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "Authorization", Secret: secret.Ref{Kind: "Secret", Name: "gone"}}}}}}}}, 500, ""},
	} {
		b := newBench(t, ExposedWarn)
		tc.route.Name = "broken"
		neighbour := &ir.Route{Name: "neighbour", Matches: prefix("/ok", 2), Action: forwardTo("u")}
		behind := &ir.Route{Name: "behind", Matches: prefix("/", 3), Action: ir.Action{Direct: &ir.Direct{Status: 204}}}
		c := b.Compile(config(provider(t), &tc.route, neighbour, behind))
		if got := get(t, c, "/x/y"); got != tc.status {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.status)
		}
		if got := get(t, c, "/ok"); got != 200 {
			t.Errorf("%s: its neighbour answers %d", tc.name, got)
		}
		problems := append(c.Report().Problems, c.SecretProblems()...)
		text := ""
		for _, p := range problems {
			text += p.String() + "\n"
		}
		if !strings.Contains(text, tc.says) || (tc.says == "" && tc.name == "whole" && text != "") {
			t.Errorf("%s: reported %q, want %q", tc.name, text, tc.says)
		}
		c.Snapshot.Release()
		if n := b.kept.Len(); n != 0 {
			t.Errorf("%s: %d things are kept for nobody", tc.name, n)
		}
	}
}

func TestSecurityRow10Exposed(t *testing.T) {
	carrying := func(steps ...ir.Step) *ir.Route {
		steps = append(steps, ir.Step{Phase: ir.PhaseFilter, Slot: "t/headers", Headers: &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "Authorization", Secret: tokenRef}}}}})
		return &ir.Route{Name: "r", Matches: prefix("/", 1), Action: forwardTo("u"), Steps: steps}
	}
	jwt := func(policy ir.JWTPolicy) ir.Step {
		return ir.Step{Phase: ir.PhaseAuthenticate, Slot: "t/jwt", JWT: &ir.JWT{Missing: policy, Providers: []ir.JWTProvider{{Name: "p", Keys: ir.KeySource{Inline: publicKey}}}}}
	}
	rules := ir.Step{Phase: ir.PhaseAuthorize, ClaimRules: &ir.ClaimRules{Rules: []ir.ClaimRule{{Name: "r", Principals: []ir.ClaimPrincipal{{Claims: []ir.ClaimMatch{{Path: []string{"a"}, Value: "b"}}}}}}}}
	credential := provider(t)
	credential.Credential = &ir.Credential{Header: &ir.HeaderCredential{Name: "Authorization", Prefix: "Bearer ", Secret: tokenRef}}
	brought := provider(t)
	brought.Credential = &ir.Credential{Passthrough: &ir.PassthroughCredential{Name: "Authorization"}}
	for _, tc := range []struct {
		name     string
		upstream *ir.Upstream
		route    *ir.Route
		exposed  int
		warn     int // status under --exposed=warn
	}{
		{"header secret, nobody asked", provider(t), carrying(), 1, 200},
		{"upstream credential, nobody asked", credential, &ir.Route{Name: "r", Matches: prefix("/", 1), Action: forwardTo("u")}, 1, 200},
		{"JWT required", provider(t), carrying(jwt(ir.JWTRequired)), 0, 401},
		{"JWT optional", provider(t), carrying(jwt(ir.JWTAllowMissing)), 1, 200},
		{"JWT optional, claims required", provider(t), carrying(jwt(ir.JWTAllowMissing), rules), 0, 403},
		{"the caller's own credential", brought, &ir.Route{Name: "r", Matches: prefix("/", 1), Action: forwardTo("u")}, 0, 200},
		{"no credential", provider(t), &ir.Route{Name: "r", Matches: prefix("/", 1), Action: forwardTo("u")}, 0, 200},
	} {
		for mode, status := range map[Exposure]int{ExposedWarn: tc.warn, ExposedDeny: tc.warn} {
			if mode == ExposedDeny && tc.exposed > 0 {
				status = 403
			}
			c := newBench(t, mode).Compile(config(tc.upstream, tc.route))
			if got := get(t, c, "/"); got != status || c.Exposed != tc.exposed {
				t.Errorf("%s, %q: %d, %d exposed; want %d, %d: %v", tc.name, mode, got, c.Exposed, status, tc.exposed, c.Report().Problems)
			}
		}
	}
}

func TestCompileUsesAgainWhatDidNotChange(t *testing.T) {
	b := newBench(t, ExposedWarn)
	u := provider(t)
	first := &ir.Route{Name: "first", Matches: prefix("/a", 1), Action: forwardTo("u")}
	second := &ir.Route{Name: "second", Matches: prefix("/b", 2), Action: forwardTo("u")}
	one := b.Compile(config(u, first, second))
	changed := *second
	two := b.Compile(config(u, first, &changed))
	if one.Built != 2 || two.Built != 1 {
		t.Errorf("built %d and %d routes, want 2 and 1", one.Built, two.Built)
	}
	one.Snapshot.Release()
	if got := get(t, two, "/a"); got != 200 {
		t.Errorf("after the old was released: %d", got)
	}
	moved := *u
	three := b.Compile(config(&moved, first, &changed))
	if three.Built != 2 {
		t.Errorf("a changed upstream: built %d routes, want 2", three.Built)
	}
	two.Snapshot.Release()
	three.Snapshot.Release()
	if n := b.kept.Len(); n != 0 {
		t.Errorf("%d things are kept for nobody", n)
	}
}

func TestSecretBytesChangeWithoutCompiling(t *testing.T) {
	b := newBench(t, ExposedWarn)
	route := &ir.Route{Name: "r", Matches: prefix("/", 1), Action: forwardTo("u"), Steps: []ir.Step{{
		Phase: ir.PhaseFilter, Slot: "t/headers",
		Headers: &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "Authorization", Secret: tokenRef}}}},
	}}}
	c := b.Compile(config(provider(t), route))
	for _, step := range []struct {
		name     string
		bytes    string
		status   int
		problems int
	}{
		{"good", "Bearer a", 200, 0},
		{"a line break", "Bearer a\r\nX-Admin: 1", 500, 1},
		{"good again", "Bearer b", 200, 0},
	} {
		b.store.Put(map[secret.Ref]secret.Value{tokenRef: secret.NewValue([]byte(step.bytes))})
		if got := get(t, c, "/"); got != step.status || len(c.SecretProblems()) != step.problems {
			t.Errorf("%s: %d, problems %v", step.name, got, c.SecretProblems())
		}
	}
	b.store.Drop([]secret.Ref{tokenRef})
	if got := get(t, c, "/"); got != 500 {
		t.Errorf("dropped: %d", got)
	}
}

// TestLiteralPrefix holds the prefix that stands in for an expression against
// what the expression takes.
func TestLiteralPrefix(t *testing.T) {
	paths := []string{"/", "/a", "/ab", "/abc", "/a/b", "/a.b", "/aXb", "/admin/users", "/admin", "/b", "", "/aaa", "/foo|bar", "/x"}
	for expr, want := range map[string]string{
		"/admin/.*": "/admin/", "/ab?c": "/a", "/a(b|c)": "/a", "/a|/b": "", "^/a$": "/a", `/a\.b`: "/a",
		"/(a|b)/x": "/", "/a{2}": "/", "/a+": "/a", "/a*": "/", "[/]a": "", "(?i)/a": "", "/x(a|b)|/y": "",
		"/a(b(c|d)e)f": "/a", "/ab": "/ab",
	} {
		got := literalPrefix(ir.PathMatch{Kind: ir.PathRegex, Value: expr})
		if got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
		re := regexp.MustCompile("^(?:" + expr + ")$")
		for _, p := range paths {
			if re.MatchString(p) && !strings.HasPrefix(p, got) {
				t.Errorf("%s takes %q, which does not begin with %q", expr, p, got)
			}
		}
	}
}

func FuzzLiteralPrefix(f *testing.F) {
	f.Add("/a.*", "/ab")
	f.Add("/a|/b", "/b")
	f.Add("/a?", "/")
	f.Fuzz(func(t *testing.T, expr, path string) {
		re, err := regexp.Compile("^(?:" + expr + ")$")
		if err != nil || len(expr) > 100 {
			return
		}
		p := literalPrefix(ir.PathMatch{Kind: ir.PathRegex, Value: expr})
		if re.MatchString(path) && !strings.HasPrefix(path, p) {
			t.Fatalf("%q takes %q, which does not begin with %q", expr, path, p)
		}
	})
}
