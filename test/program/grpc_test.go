package program

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	health1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
)

// healthServer is a gRPC server that notes who asked it.
type healthServer struct {
	*health.Server
	addr  string
	heads chan metadata.MD
}

func serveHealth(t *testing.T, options ...grpc.ServerOption) *healthServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &healthServer{Server: health.NewServer(), addr: l.Addr().String(), heads: make(chan metadata.MD, 64)}
	note := func(ctx context.Context) {
		md, _ := metadata.FromIncomingContext(ctx)
		select {
		case h.heads <- md:
		default:
		}
	}
	srv := grpc.NewServer(append(options,
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			note(ctx)
			return next(ctx, req)
		}))...)
	health1.RegisterHealthServer(srv, h.Server)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	return h
}

// service is a Service that leads to an address of the test's, and its slice.
func service(name, addr, port string) string {
	host, number, _ := net.SplitHostPort(addr)
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: apps}
spec: {ports: [{name: p, port: 80, %[4]s}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, namespace: apps, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
endpoints: [{addresses: ["%[2]s"]}]
ports: [{name: p, port: %[3]s}]
---
`, name, host, number, port)
}

const grpcGateway = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: apps}
spec:
  gatewayClassName: any
  listeners: [{name: http, protocol: HTTP, port: 8080}]
---
`

// grpcHealth asks through the gateway, for a host.
func grpcHealth(t *testing.T, addr, authority string, c credentials.TransportCredentials) health1.HealthClient {
	t.Helper()
	if c == nil {
		c = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(c), grpc.WithAuthority(authority))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return health1.NewHealthClient(conn)
}

// TestGRPCRoute serves GRPCRoutes to a client of gRPC: by method, service and
// header, with a stream that goes on while the resources change, and answers
// of the gateway's own in gRPC.
func TestGRPCRoute(t *testing.T) {
	one, two := serveHealth(t), serveHealth(t)
	two.SetServingStatus("", health1.HealthCheckResponse_NOT_SERVING)
	const routes = `apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: health, namespace: apps}
spec:
  parentRefs: [{name: gw}]
  hostnames: [grpc.example.com]
  rules:
  - matches: [{method: {service: grpc.health.v1.Health, method: Check}}]
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-env, value: prod}]}}]
    backendRefs: [{name: one, port: 80}]
  - matches: [{method: {service: grpc.health.v1.Health}, headers: [{name: to, value: two}]}]
    backendRefs: [{name: two, port: 80}]
  - matches: [{method: {service: grpc.health.v1.Health, method: List}}]
    backendRefs: [{name: gone, port: 80}]
---
`
	p := run(t, map[string]string{"gw.yaml": grpcGateway, "routes.yaml": routes, "services.yaml": service("one", one.addr, "") + service("two", two.addr, "")}, settings{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := grpcHealth(t, p.addr("8080"), "grpc.example.com", nil)
	got, err := c.Check(metadata.AppendToOutgoingContext(ctx, "color", "red"), &health1.HealthCheckRequest{})
	if err != nil || got.GetStatus() != health1.HealthCheckResponse_SERVING {
		t.Fatalf("Check: %v %v", got, err)
	}
	if md := <-one.heads; strings.Join(md["x-env"], "") != "prod" || strings.Join(md["color"], "") != "red" || strings.Join(md[":authority"], "") != "grpc.example.com" {
		t.Errorf("the upstream got %v", md)
	}
	w, err := c.Watch(metadata.AppendToOutgoingContext(ctx, "to", "two"), &health1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want health1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if got, err := w.Recv(); err != nil || got.GetStatus() != want {
			t.Fatalf("Watch: %v %v", got, err)
		}
	}
	expect(health1.HealthCheckResponse_NOT_SERVING)
	for _, tc := range []struct {
		name string
		call func() error
		want codes.Code
	}{
		{"no rule", func() error {
			s, err := c.Watch(ctx, &health1.HealthCheckRequest{})
			if err == nil {
				_, err = s.Recv()
			}
			return err
		}, codes.Unimplemented},
		{"no backend", func() error { _, err := c.List(ctx, &health1.HealthListRequest{}); return err }, codes.Unavailable},
		{"no host", func() error {
			_, err := grpcHealth(t, p.addr("8080"), "other.example.com", nil).Check(ctx, &health1.HealthCheckRequest{})
			return err
		}, codes.Unimplemented},
	} {
		if err := tc.call(); grpcstatus.Code(err) != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	p.write("routes.yaml", strings.Replace(routes, "{name: one, port: 80}", "{name: two, port: 80}", 1))
	p.await("the change", func() bool {
		got, err := c.Check(ctx, &health1.HealthCheckRequest{})
		return err == nil && got.GetStatus() == health1.HealthCheckResponse_NOT_SERVING
	})
	two.SetServingStatus("", health1.HealthCheckResponse_SERVING)
	expect(health1.HealthCheckResponse_SERVING) // the stream went on
}

// TestGRPCOverBackendTLS: a BackendTLSPolicy's Service is asked in gRPC over
// TLS, from a client over TLS.
func TestGRPCOverBackendTLS(t *testing.T) {
	ca := newCA(t)
	cert, err := ca.Issue("up.example.com")
	if err != nil {
		t.Fatal(err)
	}
	up := serveHealth(t, grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	front, err := ca.Issue("grpc.example.com")
	if err != nil {
		t.Fatal(err)
	}
	p := run(t, map[string]string{
		"gw.yaml": strings.Replace(grpcGateway, "protocol: HTTP, port: 8080", "protocol: HTTPS, port: 8443, tls: {certificateRefs: [{name: cert}]}", 1),
		"more.yaml": service("up", up.addr, "") + `apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: r, namespace: apps}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{name: up, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: up, namespace: apps}
spec:
  targetRefs: [{group: "", kind: Service, name: up}]
  validation: {hostname: up.example.com, caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]}
`,
		"cas.yaml": clientCAs(ca.PEM()), "cert.yaml": serverCert(t, front),
	}, settings{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	c := grpcHealth(t, p.addr("8443"), "grpc.example.com", credentials.NewTLS(&tls.Config{RootCAs: roots}))
	if got, err := c.Check(ctx, &health1.HealthCheckRequest{}); err != nil || got.GetStatus() != health1.HealthCheckResponse_SERVING {
		t.Errorf("%v %v", got, err)
	}
}

// TestSecurityRow27NoUpgradeToH2C: HTTP/2 on a plain listener begins with its
// preface. A request for HTTP/1.1 that asks to go on in it is served as it
// stands, its HTTP2-Settings and all that follows are no tunnel, and nothing
// of the demand reaches the upstream.
func TestSecurityRow27NoUpgradeToH2C(t *testing.T) {
	o := serveOrigin(t, nil)
	p := run(t, map[string]string{"gw.yaml": grpcGateway, "r.yaml": httpRoute("r", "gw", rule("/", "up", "")) + o.yaml("up")}, settings{})
	c, err := net.Dial("tcp", p.addr("8080"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Upgrade") != "" {
		t.Fatalf("%v %v", resp, err)
	}
	got := o.one(t)
	for _, name := range []string{"Upgrade", "Connection", "Http2-Settings"} {
		if v := got.header[name]; v != nil {
			t.Errorf("the upstream got %s: %v", name, v)
		}
	}
}

// h2cClient speaks HTTP/2 with prior knowledge.
func h2cClient() *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: tr}
}

// TestH2CBackend: a Service whose port says kubernetes.io/h2c is spoken to so,
// whatever the client speaks; one of kubernetes.io/ws is not.
func TestH2CBackend(t *testing.T) {
	seen := make(chan string, 1)
	h2 := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Proto })}
	h2.Protocols.SetUnencryptedHTTP2(true)
	h2.Protocols.SetHTTP1(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = h2.Serve(l) }()
	t.Cleanup(func() { _ = h2.Close() })
	addr := l.Addr().String()
	route := func(path, service string) string {
		return fmt.Sprintf("  - {matches: [{path: {value: %s}}], backendRefs: [{name: %s, port: 80}]}\n", path, service)
	}
	p := run(t, map[string]string{
		"gw.yaml":       grpcGateway,
		"services.yaml": service("h2c", addr, "appProtocol: kubernetes.io/h2c") + service("ws", addr, "appProtocol: kubernetes.io/ws") + service("plain", addr, ""),
		"r.yaml": "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: apps}\nspec:\n  parentRefs: [{name: gw}]\n  rules:\n" +
			route("/h2c", "h2c") + route("/ws", "ws") + route("/plain", "plain"),
	}, settings{})
	clients := map[string]*http.Client{"HTTP/1.1": http.DefaultClient, "HTTP/2": h2cClient()}
	for name, c := range clients {
		for path, want := range map[string]string{"/h2c": "HTTP/2.0", "/ws": "HTTP/1.1", "/plain": "HTTP/1.1"} {
			resp, err := c.Get("http://" + p.addr("8080") + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if got := <-seen; resp.StatusCode != 200 || got != want {
				t.Errorf("%s, %s: %s, the upstream saw %s", name, path, resp.Status, got)
			}
		}
		c.CloseIdleConnections()
	}
}

// TestPoliciesOnGRPCRoute: what Envoy Gateway's policies say of a GRPCRoute and
// of a ListenerSet holds, and is refused in gRPC.
func TestPoliciesOnGRPCRoute(t *testing.T) {
	up := serveHealth(t)
	gateway := strings.Replace(grpcGateway, "gatewayClassName: any", "gatewayClassName: any\n  allowedListeners: {namespaces: {from: Same}}", 1)
	gateway = strings.Replace(gateway, "port: 8080", "port: 8080, hostname: gw.example.com", 1)
	const documents = `apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: apps}
spec:
  parentRef: {name: gw}
  listeners: [{name: http, protocol: HTTP, port: 8080, hostname: more.example.com}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: guarded, namespace: apps}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{name: up, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: on-set, namespace: apps}
spec:
  parentRefs: [{kind: ListenerSet, name: more}]
  rules: [{backendRefs: [{name: up, port: 80}]}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: keys, namespace: apps}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: GRPCRoute, name: guarded}, {group: gateway.networking.k8s.io, kind: ListenerSet, name: more}]
  apiKeyAuth:
    credentialRefs: [{name: clients}]
    extractFrom: [{headers: [x-api-key]}]
---
apiVersion: v1
kind: Secret
metadata: {name: clients, namespace: apps}
stringData: {alice: MARKER-key-of-alice}
---
`
	p := run(t, map[string]string{"gw.yaml": gateway, "more.yaml": documents + service("up", up.addr, "")}, settings{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, host := range []string{"gw.example.com", "more.example.com"} {
		c := grpcHealth(t, p.addr("8080"), host, nil)
		for key, want := range map[string]codes.Code{"": codes.Unauthenticated, "wrong": codes.Unauthenticated, "MARKER-key-of-alice": codes.OK} {
			ctx := ctx
			if key != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "x-api-key", key)
			}
			if _, err := c.Check(ctx, &health1.HealthCheckRequest{}); grpcstatus.Code(err) != want {
				t.Errorf("%s, key %q: %v, want %v", host, key, err, want)
			}
		}
	}
	for len(up.heads) > 0 {
		if md := <-up.heads; md["x-api-key"] != nil {
			t.Error("the upstream got the caller's key")
		}
	}
}
