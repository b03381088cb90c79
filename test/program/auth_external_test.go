package program

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

// judge is an external server that decides by the request's x-mode: allow,
// deny, slow (it never answers) or broken (it answers with an error).
type judge struct {
	auth.UnimplementedAuthorizationServer
	addr string
	end  chan struct{}

	mu    sync.Mutex
	asked []map[string]string // headers, by name in lower case
}

// kinds of external servers, with how passThroughAuth names them.
var judges = []struct {
	name  string
	start func(*testing.T) *judge
	spec  func(addr string) string
}{
	{"grpc", grpcJudge, func(addr string) string {
		return fmt.Sprintf("grpc: {address: %q, connectionTimeout: 300s}", addr)
	}},
	{"http", httpJudge, func(addr string) string {
		return fmt.Sprintf("http: {url: 'http://%s/check', connectionTimeout: 300s, request: {allowedHeaders: [x-mode, x-token], headersToAdd: {x-from: gateway}}, "+
			"response: {allowedUpstreamHeaders: [x-plan], allowedUpstreamHeadersToOverwrite: [x-tenant], allowedClientHeadersOnDenied: [x-reason]}}", addr)
	}},
}

func (j *judge) heard(h map[string]string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = append(j.asked, h)
	return h["x-mode"]
}

// questions returns what was asked since the last call.
func (j *judge) questions() []map[string]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	asked := j.asked
	j.asked = nil
	return asked
}

func grpcJudge(t *testing.T) *judge {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{addr: ln.Addr().String(), end: make(chan struct{})}
	s := grpc.NewServer()
	auth.RegisterAuthorizationServer(s, j)
	var work sync.WaitGroup
	work.Go(func() { _ = s.Serve(ln) })
	t.Cleanup(func() { close(j.end); s.Stop(); work.Wait() })
	return j
}

// Check is the judge over gRPC.
func (j *judge) Check(ctx context.Context, r *auth.CheckRequest) (*auth.CheckResponse, error) {
	header := func(name, value string) *core.HeaderValueOption {
		return &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, Value: value}}
	}
	switch j.heard(r.GetAttributes().GetRequest().GetHttp().GetHeaders()) {
	case "allow":
		return &auth.CheckResponse{Status: &rpcstatus.Status{}, HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{
			Headers:              []*core.HeaderValueOption{header("x-tenant", "MARKER-tenant"), header("x-plan", "gold")},
			HeadersToRemove:      []string{"x-token"},
			ResponseHeadersToAdd: []*core.HeaderValueOption{header("x-quota", "7")},
		}}}, nil
	case "slow":
		select {
		case <-ctx.Done():
		case <-j.end:
		}
	case "deny":
		return &auth.CheckResponse{Status: &rpcstatus.Status{Code: 7}, HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{
			Status: &envoytype.HttpStatus{Code: envoytype.StatusCode_PaymentRequired}, Body: "pay MARKER first",
			Headers: []*core.HeaderValueOption{header("x-reason", "unpaid")},
		}}}, nil
	}
	return nil, errors.New("MARKER-broken")
}

func httpJudge(t *testing.T) *judge {
	t.Helper()
	j := &judge{end: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := map[string]string{":path": r.URL.Path}
		for name := range r.Header {
			h[strings.ToLower(name)] = strings.Join(r.Header.Values(name), ",")
		}
		switch j.heard(h) {
		case "allow":
			w.Header().Set("x-tenant", "MARKER-tenant")
			w.Header().Set("x-plan", "gold")
			w.Header().Set("x-internal", "MARKER-internal")
		case "slow":
			select {
			case <-r.Context().Done():
			case <-j.end:
			}
		case "deny":
			w.Header().Set("x-reason", "unpaid")
			w.Header().Set("x-internal", "MARKER-internal")
			w.WriteHeader(http.StatusPaymentRequired)
			_, _ = io.WriteString(w, "pay MARKER first")
		default:
			http.Error(w, "MARKER-broken", http.StatusInternalServerError)
		}
	}))
	j.addr = s.Listener.Addr().String()
	t.Cleanup(func() { close(j.end); s.Close() })
	return j
}

// family is a Gloo product line: it guards the path of each spec's name, and
// bounds the questions to a time, unless that is empty.
type family struct {
	name   string
	deploy func(up *origin, specs map[string]string, bound string) string
}

var families = []family{{"gloo", glooFamily}, {"gloomesh", meshFamily}}

func glooFamily(up *origin, specs map[string]string, bound string) string {
	var routes []string
	out := up.yaml("up")
	for name, spec := range specs {
		routes = append(routes, route("/"+name, "up", fmt.Sprintf("extauth: {configRef: {name: %s, namespace: apps}}", name)))
		out += authConfig(name, spec)
	}
	if bound != "" {
		out += "---\napiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {name: default, namespace: gloo-system}\nspec: {extauth: {requestTimeout: " + bound + ", statusOnError: 503}}\n"
	}
	return out + virtualService("", routes...)
}

// authConfig is an AuthConfig; its spec is in flow style.
func authConfig(name, spec string) string {
	return fmt.Sprintf("---\napiVersion: enterprise.gloo.solo.io/v1\nkind: AuthConfig\nmetadata: {name: %s, namespace: apps}\nspec: {%s}\n", name, spec)
}

func meshFamily(up *origin, specs map[string]string, bound string) string {
	out := fmt.Sprintf(`---
apiVersion: networking.gloo.solo.io/v2
kind: VirtualGateway
metadata: {name: gw, namespace: apps}
spec: {listeners: [{port: {number: 8080}, http: {}}]}
---
apiVersion: networking.gloo.solo.io/v2
kind: ExternalService
metadata: {name: up, namespace: apps}
spec: {hosts: [up.example.com], addresses: [%q], ports: [{name: http, number: %d, protocol: HTTP}]}
---
apiVersion: admin.gloo.solo.io/v2
kind: ExtAuthServer
metadata: {name: bounds, namespace: apps}
spec: {requestTimeout: %s, statusOnError: 503}
---
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: rt, namespace: apps}
spec:
  hosts: ["*"]
  virtualGateways: [{name: gw}]
  http:
`, up.host, up.port, cmp.Or(bound, "1s"))
	policies, server := "", ""
	if bound != "" {
		server = "server: {name: bounds}, "
	}
	for name, spec := range specs {
		out += fmt.Sprintf("  - {name: %[1]s, labels: {route: %[1]s}, matchers: [{uri: {prefix: /%[1]s}}], forwardTo: {destinations: [{kind: EXTERNAL_SERVICE, ref: {name: up}, port: {number: %[2]d}}]}}\n", name, up.port)
		policies += fmt.Sprintf(`---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: %[1]s, namespace: apps}
spec: {applyToRoutes: [{route: {labels: {route: %[1]s}}}], config: {%[2]sglooAuth: {%[3]s}}}
`, name, server, spec)
	}
	return out + policies
}

// TestAuthExternal asks real servers of passThroughAuth through both families.
func TestAuthExternal(t *testing.T) {
	for _, f := range families {
		for _, kind := range judges {
			for _, bound := range []string{"", "300s", "1s"} {
				t.Run(f.name+"/"+kind.name+"/"+bound, func(t *testing.T) {
					j, up := kind.start(t), serveOrigin(t, nil)
					specs := map[string]string{}
					for path, addr := range map[string]string{"plain": j.addr, "down": closedAddr(t)} {
						specs[path] = fmt.Sprintf("configs: [{passThroughAuth: {%s}}]", kind.spec(addr))
						specs["open"+path] = fmt.Sprintf("configs: [{passThroughAuth: {failureModeAllow: true, %s}}]", kind.spec(addr))
					}
					p := runOne(t, nil, f.deploy(up, specs, bound))
					x := &externalCase{t: t, judge: j, up: up, base: "http://" + p.addr("8080"), onError: 403, grpc: kind.name == "grpc"}
					if bound != "" {
						x.onError = 503
					}
					if bound == "1s" { // in which a busy machine need not answer
						x.errs("slow")
						return
					}
					x.allows()
					x.denies()
					x.errs("broken")
				})
			}
		}
	}
}

// externalCase is a gateway, and the external server that it asks.
type externalCase struct {
	t       *testing.T
	judge   *judge
	up      *origin
	base    string
	onError int
	grpc    bool
}

func (x *externalCase) ask(path, mode string) reply {
	x.t.Helper()
	return send(x.t, request{method: http.MethodPost, url: x.base + path, body: "{}", header: map[string]string{
		"x-mode": mode, "x-token": "MARKER-token", "Authorization": "Bearer MARKER-client",
		"x-tenant": "somebody-else", "x-plan": "somebody-else", "x-user-id": "somebody-else",
	}})
}

// allows checks what reaches the upstream, and what the server is told.
func (x *externalCase) allows() {
	t := x.t
	t.Helper()
	for _, path := range []string{"/plain", "/openplain"} {
		x.judge.questions()
		got := x.ask(path, "allow")
		if got.status != 200 {
			t.Fatalf("%s: allowed: %v", path, got)
		}
		saw := x.up.one(t)
		for name, want := range map[string]string{"x-tenant": "MARKER-tenant", "x-plan": "gold"} {
			if values := saw.header.Values(name); len(values) != 1 || values[0] != want {
				t.Errorf("%s: the upstream saw %s: %q", path, name, values)
			}
		}
		if v := saw.header.Values("x-internal"); len(v) != 0 {
			t.Errorf("%s: a header that is not listed went on: %q", path, v)
		}
		if v := saw.header.Values("x-user-id"); len(v) != 0 {
			t.Errorf("%s: the client's x-user-id reached the upstream: %q", path, v)
		}
		if x.grpc && (saw.header.Get("x-token") != "" || got.header.Get("x-quota") != "7") {
			t.Errorf("%s: x-token %q was not removed, or the client got x-quota %q", path, saw.header.Get("x-token"), got.header.Get("x-quota"))
		}
		asked := x.judge.questions()
		if len(asked) != 1 || asked[0]["x-token"] != "MARKER-token" {
			t.Fatalf("%s: asked %d times, or without the token", path, len(asked))
		}
		if !x.grpc && (asked[0]["authorization"] != "" || asked[0]["x-from"] != "gateway" || asked[0][":path"] != "/check") {
			t.Errorf("%s: the server was told an Authorization that is not listed, or not what was to be added: %v", path, asked[0])
		}
		if x.grpc && (asked[0][":path"] != path || asked[0][":method"] != "POST") {
			t.Errorf("%s: the server was told of %s %s", path, asked[0][":method"], asked[0][":path"])
		}
	}
}

// denies checks that a refusal is the server's own answer, also where a
// failure would let pass.
func (x *externalCase) denies() {
	t := x.t
	t.Helper()
	for _, path := range []string{"/plain", "/openplain"} {
		got := x.ask(path, "deny")
		if got.status != http.StatusPaymentRequired || got.body != "pay MARKER first" || got.header.Get("x-reason") != "unpaid" {
			t.Errorf("%s: denied: %v", path, got)
		}
		if got.header.Get("x-internal") != "" {
			t.Errorf("%s: a header that is not listed reached the client", path)
		}
	}
	if n := len(x.up.requests()); n != 0 {
		t.Errorf("%d refused requests reached the upstream", n)
	}
}

// errs checks what happens while the server cannot be asked: the status on
// error, or that requests pass where the configuration says so.
func (x *externalCase) errs(mode string) {
	t := x.t
	t.Helper()
	for _, path := range []string{"/plain", "/down"} {
		if got := x.ask(path, mode); got.status != x.onError || strings.Contains(got.String(), "MARKER") || got.body != "" {
			t.Errorf("%s, %s: %v, want %d and nothing else", path, mode, got, x.onError)
		}
		if n := len(x.up.requests()); n != 0 {
			t.Errorf("%s, %s: %d requests reached the upstream", path, mode, n)
		}
	}
	for _, path := range []string{"/openplain", "/opendown"} {
		if got := x.ask(path, mode); got.status != 200 {
			t.Errorf("%s, %s: %v, want 200", path, mode, got)
		}
		saw := x.up.one(t)
		if v := saw.header.Values("x-user-id"); len(v) != 0 {
			t.Errorf("%s, %s: the client's x-user-id reached the upstream: %q", path, mode, v)
		}
		if v := saw.header.Values("x-tenant"); !x.grpc && len(v) != 0 {
			t.Errorf("%s, %s: the client's x-tenant reached the upstream: %q", path, mode, v)
		}
	}
}
