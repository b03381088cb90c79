package program

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Keys that sign callers' tokens; rsaKey is the one that policies name.
var (
	rsaKey   = sync.OnceValue(newRSA)
	otherRSA = sync.OnceValue(newRSA)
)

func newRSA() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// mint signs raw JSON, so that a test can write what no library would.
func mint(header, claims string, key *rsa.PrivateKey) string {
	input := b64([]byte(header)) + "." + b64([]byte(claims))
	digest := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return input + "." + b64(sig)
}

// hs256 signs with a shared key.
func hs256(claims string, key []byte) string {
	input := b64([]byte(`{"alg":"HS256"}`)) + "." + b64([]byte(claims))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

// caller returns a good token of issuer "tests" with further claims, such as
// `,"team":"a"`.
func caller(claims string) string {
	return mint(`{"alg":"RS256","typ":"JWT"}`, `{"iss":"tests","sub":"ann"`+claims+`}`, rsaKey())
}

func publicPEM(k *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// jwtOf is a JWT filter in YAML's flow style, with further fields of its one
// provider, such as ", keepToken: true".
func jwtOf(k *rsa.PrivateKey, more string) string {
	return fmt.Sprintf("{providers: {p: {issuer: tests, jwks: {local: {key: %q}}%s}}}", publicPEM(k), more)
}

// asks is the JWT filter that most tests use.
func asks() string { return jwtOf(rsaKey(), "") }

// origin is an upstream that a test writes itself; it keeps what it saw.
type origin struct {
	host string
	port int

	mu   sync.Mutex
	seen []sight
}

// sight is one request as an upstream saw it.
type sight struct {
	method, target, host, body string
	header, trailer            http.Header
}

// serveOrigin starts an upstream over HTTP/1.1; without a handler it answers
// 200.
func serveOrigin(t *testing.T, handler http.HandlerFunc) *origin {
	t.Helper()
	o := &origin{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		o.mu.Lock()
		o.seen = append(o.seen, sight{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone(), r.Trailer.Clone()})
		o.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		if handler != nil {
			handler(w, r)
		}
	}))
	t.Cleanup(s.Close)
	o.host, o.port = splitAddr(t, s.Listener.Addr().String())
	return o
}

func splitAddr(t *testing.T, addr string) (string, int) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return host, n
}

// requests returns what was seen since the last call.
func (o *origin) requests() []sight {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.seen
	o.seen = nil
	return seen
}

// one returns the one request that was seen since the last call.
func (o *origin) one(t *testing.T) sight {
	t.Helper()
	seen := o.requests()
	if len(seen) != 1 {
		t.Fatalf("the upstream saw %d requests, want 1", len(seen))
	}
	return seen[0]
}

// yaml is the origin as an Upstream named so.
func (o *origin) yaml(name string) string { return staticUpstream(name, o.host, o.port) }

func staticUpstream(name, host string, port int) string {
	return fmt.Sprintf(`---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: %s, namespace: apps}
spec: {static: {hosts: [{addr: %q, port: %d}]}}
`, name, host, port)
}

// rawOrigin is an upstream of bare bytes: each connection is given to serve,
// and what arrived on it is kept.
type rawOrigin struct {
	host string
	port int

	mu    sync.Mutex
	conns []*bytes.Buffer
}

// kept is where a connection's bytes are kept.
type kept struct {
	o *rawOrigin
	b *bytes.Buffer
}

func (k kept) Write(p []byte) (int, error) {
	k.o.mu.Lock()
	defer k.o.mu.Unlock()
	return k.b.Write(p)
}

// keep begins to keep the bytes of a connection.
func (o *rawOrigin) keep() io.Writer {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := &bytes.Buffer{}
	o.conns = append(o.conns, b)
	return kept{o, b}
}

// received returns what arrived, by connection.
func (o *rawOrigin) received() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, b := range o.conns {
		out = append(out, b.String())
	}
	return out
}

func serveRaw(t *testing.T, serve func(r *bufio.Reader, w io.Writer)) *rawOrigin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &rawOrigin{}
	o.host, o.port = splitAddr(t, ln.Addr().String())
	var (
		mu   sync.Mutex
		open = map[net.Conn]bool{}
		work sync.WaitGroup
	)
	work.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			work.Go(func() {
				defer func() { _ = c.Close() }()
				serve(bufio.NewReader(io.TeeReader(c, o.keep())), c)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return o
}

func (o *rawOrigin) yaml(name string) string { return staticUpstream(name, o.host, o.port) }

// virtualService is a VirtualService for every host on port 8080, with the
// options and routes given in YAML's flow style.
func virtualService(options string, routes ...string) string {
	return fmt.Sprintf(`---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: vs, namespace: apps}
spec:
  virtualHost:
    domains: ["*"]
    options: {%s}
    routes:
    - %s
`, options, strings.Join(routes, "\n    - "))
}

// route is a route of a VirtualService.
func route(prefix, upstream, options string) string {
	return fmt.Sprintf("{matchers: [{prefix: %q}], routeAction: {single: {upstream: {name: %s}}}, options: {%s}}", prefix, upstream, options)
}

// httpGateway is a Gateway API Gateway with one listener for HTTP.
func httpGateway(name string, port int) string {
	return fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %s, namespace: apps}
spec: {gatewayClassName: any, listeners: [{name: http, protocol: HTTP, port: %d}]}
`, name, port)
}

// httpRoute is an HTTPRoute of a Gateway; its rules are in YAML's flow style.
func httpRoute(name, gateway string, rules ...string) string {
	return fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s, namespace: apps}
spec:
  parentRefs: [{name: %s}]
  rules:
  - %s
`, name, gateway, strings.Join(rules, "\n  - "))
}

// rule is a rule of an HTTPRoute, with its filters.
func rule(prefix, upstream, filters string) string {
	return fmt.Sprintf("{matches: [{path: {type: PathPrefix, value: %q}}], filters: [%s], backendRefs: [{group: gloo.solo.io, kind: Upstream, name: %s}]}", prefix, filters, upstream)
}

// optionOf is a VirtualHostOption or RouteOption; target is empty or a
// targetRef in flow style.
func optionOf(kind, name, target, options string) string {
	if target != "" {
		target = "targetRefs: [" + target + "], "
	}
	return fmt.Sprintf("---\napiVersion: gateway.solo.io/v1\nkind: %s\nmetadata: {name: %s, namespace: apps}\nspec: {%soptions: {%s}}\n", kind, name, target, options)
}

// secretOf is an Opaque Secret; data is in flow style.
func secretOf(name, data string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: apps}\ntype: Opaque\nstringData: {%s}\n", name, data)
}

// runOne runs the program on one file.
func runOne(t *testing.T, args []string, documents ...string) *program {
	t.Helper()
	return run(t, map[string]string{"all.yaml": strings.Join(documents, "")}, settings{args: args})
}

// bearer is the header of a caller's token.
func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

// dialRaw opens a connection that is closed with the test, and gives up after
// the test's patience.
func dialRaw(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// sendRaw writes bytes on a connection of its own and reads one answer; its
// status is 0 if the connection ends without one.
func sendRaw(t *testing.T, addr, text string) reply {
	t.Helper()
	c := dialRaw(t, addr)
	defer func() { _ = c.Close() }()
	go func() { _, _ = io.WriteString(c, text) }()
	method, _, _ := strings.Cut(text, " ")
	return readReply(t, bufio.NewReader(c), method)
}

func readReply(t *testing.T, r *bufio.Reader, method string) reply {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("no answer, and the connection stays open")
	}
	if err != nil {
		return reply{}
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body)}
}

// metric returns the value of one series, or of all of a metric together.
func (p *program) metric(name string) float64 {
	p.t.Helper()
	r := send(p.t, request{url: "http://" + p.admin + "/metrics"})
	sum := 0.0
	for line := range strings.Lines(r.body) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if base, _, _ := strings.Cut(key, "{"); base != name && key != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		sum += v
	}
	return sum
}
