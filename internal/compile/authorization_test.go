package compile

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// onPath is a policy for paths below one.
func onPath(action ir.AccessAction, prefix string) ir.AccessPolicy {
	return ir.AccessPolicy{Namespace: "ns", Name: "p", Action: action, Rules: []ir.PolicyRule{{
		To: []ir.AccessConjunct{{{Attribute: ir.RequestPath, Any: []ir.AccessValue{{Kind: ir.AccessPrefix, Value: prefix}}}}},
	}}}
}

func guardedBy(a *ir.Authorization) *ir.Route {
	return &ir.Route{Name: "r", Matches: prefix("/", 1), Action: forwardTo("u"), Steps: []ir.Step{
		{Phase: ir.PhaseAuthenticate, Slot: "istio/authorization.custom", Authorization: a},
	}}
}

// checker is a real server of the HTTP form of ext_authz.
type httpChecker struct {
	mu   sync.Mutex
	last *http.Request
	url  string
}

func newHTTPChecker(t testing.TB) *httpChecker {
	c := &httpChecker{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.last = r
		c.mu.Unlock()
		w.Header().Set("X-Ext-Role", "reader")
		w.Header().Set("X-Reason", "because")
		if r.Header.Get("Authorization") != "Bearer MARKER-good" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte("who are you"))
		}
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// TestAuthorizationAsksAServer sends requests through policies to a real
// server, and to the upstream: the path goes below the server's prefix, names
// with wildcards travel, and what a client claims of itself does not.
func TestAuthorizationAsksAServer(t *testing.T) {
	b, up, rec, c := newBench(t, ExposedWarn), newEcho(t), &recorder{}, newHTTPChecker(t)
	b.deps.KeyClient = http.DefaultClient
	ask := &ir.AuthSet{Methods: []ir.AuthMethod{{Name: "ext", External: &ir.ExternalAuth{Timeout: 5 * time.Second, HTTP: &ir.ExternalHTTP{
		URL: c.url + "/check", AppendPath: true, RequestHeaders: []string{"authorization", "x-in-*"},
		UpstreamHeaders: []string{"x-ext-*"}, ClientHeaders: []string{"*-reason"},
	}}}}}
	compiled := b.Compile(config(up.ir, guardedBy(&ir.Authorization{Policies: []ir.AccessPolicy{onPath(ir.AccessAsk, "/chat")}, Ask: ask})))
	if len(compiled.Report().Problems) > 0 {
		t.Fatal(compiled.Report().Problems)
	}
	res := post(t, compiled, rec, "", "authorization: Bearer MARKER-good", "x-in-team: red", "x-other: 1", "x-ext-role: admin", "x-ext-more: forged")
	if res.StatusCode != 200 {
		t.Fatalf("%d: %s", res.StatusCode, rec.last.Cause)
	}
	if got := c.last; got.URL.Path != "/check/chat" || got.Header.Get("X-In-Team") != "red" || got.Header.Get("X-Other") != "" || got.Host != "gateway" {
		t.Errorf("the server was asked for %s of %s with %v", got.URL.Path, got.Host, got.Header)
	}
	if up.last.Get("X-Ext-Role") != "reader" || up.last.Get("X-Ext-More") != "" {
		t.Errorf("row 1: the upstream got %v", up.last)
	}
	res = post(t, compiled, rec, "", "authorization: Bearer MARKER-bad")
	if res.StatusCode != 401 || res.Header.Get("X-Reason") != "because" || res.Header.Get("X-Ext-Role") != "" {
		t.Errorf("refused: %d %v", res.StatusCode, res.Header)
	}
	if rec.last.Policy != "istio/authorization.custom ns/p" || strings.Contains(rec.text.String(), "MARKER") {
		t.Errorf("record: %s", rec.text.String())
	}
	compiled.Snapshot.Release()
	if b.kept.Len() != 0 {
		t.Errorf("%d things are kept for nobody", b.kept.Len())
	}
}

func TestAuthorizationAsksOnlyWhatMatches(t *testing.T) {
	b, up, rec, c := newBench(t, ExposedWarn), newEcho(t), &recorder{}, newCheckServer(t)
	b.deps.KeyClient = http.DefaultClient
	ask := &ir.AuthSet{Methods: []ir.AuthMethod{{Name: "ext", External: &ir.ExternalAuth{Timeout: 5 * time.Second, GRPC: &ir.ExternalGRPC{Address: c.addr}}}}}
	for path, asked := range map[string]bool{"/chat": true, "/other": false} {
		compiled := b.Compile(config(up.ir, guardedBy(&ir.Authorization{Policies: []ir.AccessPolicy{onPath(ir.AccessAsk, path)}, Ask: ask})))
		want := 200
		if asked {
			want = 302
		}
		if res := post(t, compiled, rec, "", "x-token: none"); res.StatusCode != want || (c.last != nil) != asked {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
		c.last = nil
		compiled.Snapshot.Release()
	}
}

// Row09: a server that is down, or not known, lets nobody pass.
func TestSecurityRow09AuthorizationAsksNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	for name, ask := range map[string]*ir.AuthSet{
		"not known": nil,
		"down":      {Methods: []ir.AuthMethod{{Name: "ext", External: &ir.ExternalAuth{GRPC: &ir.ExternalGRPC{Address: address}}}}},
	} {
		b, up, rec := newBench(t, ExposedWarn), newEcho(t), &recorder{}
		b.deps.KeyClient = http.DefaultClient
		compiled := b.Compile(config(up.ir, guardedBy(&ir.Authorization{Policies: []ir.AccessPolicy{onPath(ir.AccessAsk, "/")}, Ask: ask})))
		if res := post(t, compiled, rec, ""); res.StatusCode != 403 || up.count != 0 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
		compiled.Snapshot.Release()
	}
}

// Row09: policies that cannot be built close their route.
func TestSecurityRow09BrokenAuthorization(t *testing.T) {
	b, up := newBench(t, ExposedWarn), newEcho(t)
	bad := onPath(ir.AccessAllow, "/")
	bad.Rules[0].To[0][0].Any[0].Kind = "like"
	mixed := []ir.AccessPolicy{onPath(ir.AccessAllow, "/"), onPath(ir.AccessAsk, "/")}
	for name, list := range map[string][]ir.AccessPolicy{"kind": {bad}, "action": {onPath("permit", "/")}, "mixed": mixed, "dry run of asking": {{Name: "p", Action: ir.AccessAsk, DryRun: true}}} {
		compiled := b.Compile(config(up.ir, guardedBy(&ir.Authorization{Policies: list})))
		if got := get(t, compiled, "/"); got != 500 || len(compiled.Report().Problems) == 0 {
			t.Errorf("%s: %d, %v", name, got, compiled.Report().Problems)
		}
		compiled.Snapshot.Release()
	}
}

// Row10: policies on who calls are asked, those on where to are not.
func TestSecurityRow10AuthorizationAsks(t *testing.T) {
	peer := func(action ir.AccessAction, test ir.AccessTest) ir.AccessPolicy {
		return ir.AccessPolicy{Name: "p", Action: action, Rules: []ir.PolicyRule{{From: []ir.AccessConjunct{{test}}}}}
	}
	anybody := ir.AccessTest{Attribute: ir.PeerID, Any: []ir.AccessValue{{Kind: ir.AccessPresent}}}
	nobody := ir.AccessTest{Attribute: ir.TokenPrincipal, None: []ir.AccessValue{{Kind: ir.AccessPresent, In: &ir.AccessValue{Kind: ir.AccessPresent}}}}
	dry := peer(ir.AccessAllow, anybody)
	dry.DryRun = true
	for name, tc := range map[string]struct {
		list []ir.AccessPolicy
		asks bool
	}{
		"allow by certificate":     {[]ir.AccessPolicy{peer(ir.AccessAllow, anybody)}, true},
		"allow nothing":            {[]ir.AccessPolicy{{Name: "p", Action: ir.AccessAllow}}, true},
		"deny without a token":     {[]ir.AccessPolicy{peer(ir.AccessDeny, nobody)}, true},
		"allow by path":            {[]ir.AccessPolicy{onPath(ir.AccessAllow, "/")}, false},
		"one allow of two is open": {[]ir.AccessPolicy{peer(ir.AccessAllow, anybody), onPath(ir.AccessAllow, "/")}, false},
		"deny by certificate":      {[]ir.AccessPolicy{peer(ir.AccessDeny, anybody)}, false},
		"dry run":                  {[]ir.AccessPolicy{dry}, false},
		"audit":                    {[]ir.AccessPolicy{peer(ir.AccessAudit, anybody)}, false},
	} {
		r := guardedBy(&ir.Authorization{Policies: tc.list})
		if got := r.Asks(); (len(got) > 0) != tc.asks {
			t.Errorf("%s: asks for %q", name, got)
		}
	}
}
