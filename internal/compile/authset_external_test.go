package compile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"go.uber.org/goleak"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// checkServer is a server of Envoy's protocol, which knows two callers.
type checkServer struct {
	auth.UnimplementedAuthorizationServer
	addr string
	stop func()
	mu   sync.Mutex
	last *auth.AttributeContext_HttpRequest
	down bool
}

func (c *checkServer) Check(_ context.Context, r *auth.CheckRequest) (*auth.CheckResponse, error) {
	h := r.GetAttributes().GetRequest().GetHttp()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = h
	header := func(name, value string) *core.HeaderValueOption {
		return &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, Value: value}}
	}
	switch token := h.GetHeaders()["x-token"]; {
	case c.down:
		return nil, errors.New("down")
	case token == "MARKER-good":
		metadata, _ := structpb.NewStruct(map[string]any{"team": "red"})
		return &auth.CheckResponse{Status: &rpcstatus.Status{}, DynamicMetadata: metadata, HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{
			Headers: []*core.HeaderValueOption{header("authorization", "Bearer MARKER-issued"), header("x-role", "reader")}, HeadersToRemove: []string{"x-token"},
			ResponseHeadersToAdd: []*core.HeaderValueOption{header("x-checked", "yes")},
		}}}, nil
	}
	return &auth.CheckResponse{Status: &rpcstatus.Status{Code: 16}, HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{
		Status: &envoytype.HttpStatus{Code: 302}, Body: "log in", Headers: []*core.HeaderValueOption{header("location", "https://login.test/")},
	}}}, nil
}

func newCheckServer(t testing.TB) *checkServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	c := &checkServer{addr: l.Addr().String(), stop: s.Stop}
	auth.RegisterAuthorizationServer(s, c)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return c
}

func asking(m ir.AuthMethod, more ...ir.Step) *ir.Route {
	m.Name = "x"
	return &ir.Route{Name: "r", Matches: prefix("/", 1), Action: forwardTo("u"), Steps: append([]ir.Step{
		{Phase: ir.PhaseAuthenticate, Slot: "gloo/extauth", AuthSet: &ir.AuthSet{Methods: []ir.AuthMethod{m}}},
	}, more...)}
}

func endpointOf(address string) ir.Endpoint {
	host, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return ir.Endpoint{Host: host, Port: n}
}

func TestExternalCheckEndToEnd(t *testing.T) {
	teamed := ir.Step{Phase: ir.PhaseFilter, Headers: &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "x-team", Format: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:team)%"}}}}}
	for name, way := range map[string]func(c *checkServer) (*ir.ExternalGRPC, *ir.Upstream){
		"by address": func(c *checkServer) (*ir.ExternalGRPC, *ir.Upstream) { return &ir.ExternalGRPC{Address: c.addr}, nil },
		"by upstream": func(c *checkServer) (*ir.ExternalGRPC, *ir.Upstream) {
			return &ir.ExternalGRPC{Upstream: "check"}, &ir.Upstream{Name: "check", Endpoints: []ir.Endpoint{endpointOf(c.addr)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, up, rec, c := newBench(t, ExposedWarn), newEcho(t), &recorder{}, newCheckServer(t)
			b.deps.KeyClient = http.DefaultClient
			g, through := way(c)
			cfg := config(up.ir, asking(ir.AuthMethod{External: &ir.ExternalAuth{GRPC: g, Timeout: 5 * time.Second, BodyBytes: 4, PartialBody: true}}, teamed))
			if through != nil {
				cfg.Upstreams[through.Name] = through
			}
			compiled := b.Compile(cfg)
			if len(compiled.Report().Problems) > 0 {
				t.Fatal(compiled.Report().Problems)
			}
			res := post(t, compiled, rec, "0123456789", "x-token: MARKER-good", "x-role: admin", "authorization: Bearer MARKER-client", "x-team: forged")
			if res.StatusCode != 200 || res.Header.Get("X-Checked") != "yes" {
				t.Fatalf("%d %v %s", res.StatusCode, res.Header, rec.last.Cause)
			}
			for name, want := range map[string][]string{"Authorization": {"Bearer MARKER-issued"}, "X-Role": {"reader"}, "X-Token": nil, "X-Team": {"red"}} {
				if got := up.last[name]; !slices.Equal(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if up.body != "0123456789" || c.last.GetBody() != "0123" {
				t.Errorf("the upstream got %q, the server %q", up.body, c.last.GetBody())
			}
			bad := post(t, compiled, rec, "", "x-token: MARKER-bad")
			text, _ := io.ReadAll(bad.Body)
			if bad.StatusCode != 302 || string(text) != "log in" || bad.Header.Get("Location") != "https://login.test/" || rec.last.Verdict != "deny" {
				t.Errorf("%d %v %q", bad.StatusCode, bad.Header, text)
			}
			c.mu.Lock()
			c.down = true
			c.mu.Unlock()
			if res := post(t, compiled, rec, "", "x-token: MARKER-good"); res.StatusCode != 403 || rec.last.Verdict != "failed" {
				t.Errorf("down: %d, %s", res.StatusCode, rec.last.Verdict)
			}
			if all := rec.text.String() + fmt.Sprint(res.Header, bad.Header); strings.Contains(all, "MARKER") {
				t.Errorf("row 8: a credential is shown: %s", all)
			}
			compiled.Snapshot.Release()
			if b.kept.Len() != 0 {
				t.Errorf("%d things are kept for nobody", b.kept.Len())
			}
		})
	}
}

// post sends a body.
func post(t testing.TB, c *Compiled, rec *recorder, body string, header ...string) *http.Response {
	t.Helper()
	return askBody(t, c, rec, http.MethodPost, body, header...)
}

func TestExternalCheckClosesWhatItOpened(t *testing.T) {
	before := goleak.IgnoreCurrent()
	b, up, c := newBench(t, ExposedWarn), newEcho(t), newCheckServer(t)
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	client := &http.Client{Transport: &http.Transport{}}
	b.deps.KeyClient = client
	for _, e := range []*ir.ExternalAuth{{GRPC: &ir.ExternalGRPC{Address: c.addr}}, {HTTP: &ir.ExternalHTTP{URL: web.URL}}} {
		e.Timeout = 5 * time.Second
		compiled := b.Compile(config(up.ir, asking(ir.AuthMethod{External: e})))
		if res := post(t, compiled, &recorder{}, "", "x-token: MARKER-good"); res.StatusCode != 200 {
			t.Errorf("%d", res.StatusCode)
		}
		compiled.Snapshot.Release()
	}
	web.Close()
	c.stop()
	up.close()
	goleak.VerifyNone(t, before)
}

func TestExternalCheckBodyTooLong(t *testing.T) {
	b, up, c := newBench(t, ExposedWarn), newEcho(t), newCheckServer(t)
	b.deps.KeyClient = http.DefaultClient
	compiled := b.Compile(config(up.ir, asking(ir.AuthMethod{External: &ir.ExternalAuth{GRPC: &ir.ExternalGRPC{Address: c.addr}, BodyBytes: 4, FailOpen: true}})))
	if res := post(t, compiled, &recorder{}, "12345", "x-token: MARKER-good"); res.StatusCode != 413 || c.last != nil {
		t.Errorf("%d", res.StatusCode)
	}
	if res := post(t, compiled, &recorder{}, strings.Repeat("x", 2<<20)); res.StatusCode != 413 {
		t.Errorf("above the listener's limit: %d", res.StatusCode)
	}
}

// Row 9: where nothing is to be asked, or nobody is there, nobody passes.
func TestSecurityRow09AuthSetsFailClosed(t *testing.T) {
	dead := "127.0.0.1:1"
	gone := secret.Ref{Kind: "Secret", Name: "gone", Key: "k"}
	for name, tc := range map[string]struct {
		m      ir.AuthMethod
		status int
	}{
		"no keys at all":                {ir.AuthMethod{APIKey: &ir.APIKey{Headers: []string{"api-key"}}}, 401},
		"key's Secret gone":             {ir.AuthMethod{APIKey: &ir.APIKey{Headers: []string{"api-key"}, Entries: ir.EntriesOf(ir.APIKeyEntry{Name: "gone", Key: gone})}}, 401},
		"keys of no header":             {ir.AuthMethod{APIKey: &ir.APIKey{}}, 500},
		"hash gone":                     {ir.AuthMethod{Basic: &ir.BasicAuth{Users: []ir.BasicUser{{Name: "u", Algorithm: "apr1", Salt: "s", Hash: gone}}}}, 401},
		"unknown algorithm":             {ir.AuthMethod{Basic: &ir.BasicAuth{Users: []ir.BasicUser{{Name: "u", Algorithm: "plain", Hash: gone}}}}, 500},
		"introspection down":            {ir.AuthMethod{Token: &ir.AccessToken{Introspection: &ir.Introspection{URL: "http://" + dead}}}, 403},
		"client secret gone":            {ir.AuthMethod{Token: &ir.AccessToken{Introspection: &ir.Introspection{URL: "http://" + dead, ClientSecret: gone}}}, 403},
		"key set down":                  {ir.AuthMethod{Token: &ir.AccessToken{Keys: &ir.KeySource{Remote: &ir.RemoteKeys{URL: "http://" + dead, Timeout: time.Second}}}}, 401},
		"gRPC server down":              {ir.AuthMethod{External: &ir.ExternalAuth{GRPC: &ir.ExternalGRPC{Address: dead}}}, 403},
		"HTTP server down, as asked":    {ir.AuthMethod{External: &ir.ExternalAuth{HTTP: &ir.ExternalHTTP{URL: "http://" + dead}, StatusOnError: 503}}, 503},
		"address that is none":          {ir.AuthMethod{External: &ir.ExternalAuth{GRPC: &ir.ExternalGRPC{Address: "nowhere"}}}, 500},
		"upstream that is not there":    {ir.AuthMethod{External: &ir.ExternalAuth{GRPC: &ir.ExternalGRPC{Upstream: "gone"}}}, 500},
		"no kind":                       {ir.AuthMethod{}, 500},
		"jwt before, but there is none": {ir.AuthMethod{Verified: &ir.VerifiedToken{}}, 401},
	} {
		for _, online := range []bool{true, false} {
			b, up := newBench(t, ExposedWarn), newEcho(t)
			if online {
				b.deps.KeyClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			}
			c := b.Compile(config(up.ir, asking(tc.m)))
			for _, header := range [][]string{nil, {"api-key: x", "authorization: Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"}, {"api-key: ", "authorization: Basic dTpw"}} {
				res := ask(t, c, &recorder{}, "POST", header...)
				if res.StatusCode != tc.status && !(strings.HasPrefix(name, "introspection") || strings.HasPrefix(name, "client") || strings.HasPrefix(name, "key set")) {
					t.Errorf("%s, online %v, %q: %d, want %d", name, online, header, res.StatusCode, tc.status)
				}
				if res.StatusCode < 400 || up.last != nil {
					t.Errorf("%s: passes", name)
				}
			}
			c.Snapshot.Release()
			if b.kept.Len() != 0 {
				t.Errorf("%s: %d things are kept for nobody", name, b.kept.Len())
			}
		}
	}
}

// A header that is written from an API key's Secret may be the one that
// another method reads: it is not removed before that has looked.
func TestWhatMethodsReadIsNotSanitizedFirst(t *testing.T) {
	b, up := newBench(t, ExposedWarn), newEcho(t)
	put(b, "alice/api-key=MARKER-alice", "alice/provider-key=Bearer MARKER-provider")
	r := keyed("alice")
	set := r.Steps[0].AuthSet
	set.Methods[0].APIKey.FromMetadata = []ir.MetadataHeader{{Header: "authorization", Key: "provider-key"}, {Header: "api-key", Key: "email"}}
	set.Methods = append(set.Methods, ir.AuthMethod{Name: "b", Basic: &ir.BasicAuth{}})
	set.Expr = "k || b"
	c := b.Compile(config(up.ir, r))
	if res := ask(t, c, &recorder{}, "POST", "api-key: MARKER-alice", "authorization: Basic Y2xpZW50", "x-user-id: forged"); res.StatusCode != 200 {
		t.Fatal(res.StatusCode)
	}
	if got := up.last["Authorization"]; !slices.Equal(got, []string{"Bearer MARKER-provider"}) || up.last.Get("Api-Key") != "" || up.last.Get("X-User-Id") != "alice" {
		t.Errorf("%v", up.last)
	}
}

// Reload: a Secret that comes changes the configuration; 100,000 keys are
// served anew within a second, and what did not change is used again.
func TestManyAPIKeysReload(t *testing.T) {
	many := 100_000
	if raceEnabled {
		many = 10_000
	}
	b, up := newBench(t, ExposedWarn), newEcho(t)
	names := make([]string, many)
	values := map[secret.Ref]secret.Value{}
	for i := range names {
		names[i] = fmt.Sprint("user-", i)
		values[keyRef(names[i], "api-key")] = secret.NewValue(fmt.Appendf(nil, "key-%032d", i))
	}
	b.store.Put(values)
	old := b.Compile(config(up.ir, keyed(names[1:]...)))
	cfg := config(up.ir, keyed(names...))
	began := time.Now()
	c := b.Compile(cfg)
	took := time.Since(began)
	old.Snapshot.Release()
	if res := ask(t, c, discard{}, "POST", fmt.Sprintf("api-key: key-%032d", 0)); res.StatusCode != 200 {
		t.Error(res.StatusCode)
	}
	// How long it takes says something on a quiet machine only, which the soak
	// runs ask for.
	if os.Getenv("POSTERN_SOAK") != "" && took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	t.Logf("compiled %d keys in %v", many, took)
}
