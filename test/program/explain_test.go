package program

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/cli"
	"github.com/postern-gateway/postern/internal/explain"
)

// explained is a configuration in which much can become of a request. %[1]s is
// the filter that asks for tokens, %[2]d the port of the upstream.
const explained = `
apiVersion: v1
kind: Secret
metadata: {name: key-of-a, labels: {team: a}}
type: extauth.solo.io/apikey
stringData: {api-key: first-callers-key, token: MARKER-token-of-a}
---
apiVersion: v1
kind: Secret
metadata: {name: provider}
stringData: {Authorization: "Bearer MARKER-provider"}
---
apiVersion: enterprise.gloo.solo.io/v1
kind: AuthConfig
metadata: {name: keys}
spec:
  configs:
  - apiKeyAuth:
      headerName: api-key
      labelSelector: {team: a}
      headersFromMetadataEntry: {x-token: {name: token}}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up}
spec: {static: {hosts: [{addr: 127.0.0.1, port: %[2]d}]}}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: tokens}
spec:
  virtualHost:
    domains: [tokens.example.com]
    options: {jwt: %[1]s}
    routes:
    - matchers: [{prefix: /chat, methods: [POST]}]
      options:
        rbac:
          policies:
            readers: {principals: [{jwtPrincipal: {claims: {team: a}}}]}
            admins: {principals: [{jwtPrincipal: {claims: {role: admin}}}], permissions: {pathPrefix: /chat/admin}}
        prefixRewrite: /v1/chat
        headerManipulation:
          requestHeadersToAdd:
          - {header: {key: X-Team, value: "%%REQ(x-from)%%"}, append: false}
          - {headerSecretRef: {name: provider, namespace: default}}
          requestHeadersToRemove: [X-Gone]
      routeAction: {single: {upstream: {name: up, namespace: default}}}
    - matchers: [{prefix: /chat, headers: [{name: X-Version, value: "2"}]}]
      options: {regexRewrite: {pattern: {regex: "^/chat/(.*)$"}, substitution: "/two/\\1"}}
      routeAction: {single: {upstream: {name: up, namespace: default}}}
    - matchers: [{exact: /go}]
      redirectAction: {hostRedirect: other.example.com, responseCode: FOUND}
    - matchers: [{prefix: /missing}]
      routeAction: {single: {upstream: {name: nowhere, namespace: default}}}
    - matchers: [{prefix: /}]
      directResponseAction: {status: 202, body: here}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: keyed}
spec:
  virtualHost:
    domains: ["*.keys.example.com"]
    options: {extauth: {configRef: {name: keys, namespace: default}}}
    routes:
    - matchers: [{prefix: /open}]
      options: {extauth: {disable: true}, hostRewrite: "else.example.com"}
      routeAction: {single: {upstream: {name: up, namespace: default}}}
    - matchers: [{prefix: /, queryParameters: [{name: model, value: small}]}]
      options:
        stagedTransformations:
          regular:
            requestTransforms:
            - requestTransformation:
                transformationTemplate:
                  headers: {Authorization: {text: 'Bearer {{ header("x-token") }}'}}
      routeAction: {single: {upstream: {name: up, namespace: default}}}
    - matchers: [{prefix: /}]
      routeAction: {single: {upstream: {name: up, namespace: default}}}
`

// received is a request as the upstream got it.
type received struct {
	method, target, host string
	header               http.Header
	body                 int64
}

// headKeeper is an upstream that keeps what it gets, by user agent.
type headKeeper struct {
	mu  sync.Mutex
	got map[string]received
}

func (h *headKeeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	_, _ = body.ReadFrom(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got[r.UserAgent()] = received{r.Method, r.RequestURI, r.Host, r.Header.Clone(), int64(body.Len())}
	_, _ = w.Write([]byte("up"))
}

// asked is a random request.
type asked struct {
	agent, method, host, target, body string
	headers                           [][2]string
}

func (q *asked) raw() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nConnection: close\r\n", q.method, q.target, q.host, q.agent)
	for _, h := range q.headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	if q.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(q.body))
	}
	return b.String() + "\r\n" + q.body
}

func (q *asked) args() []string {
	args := []string{q.method, "http://" + q.host + q.target, "-o", "json", "-H", "User-Agent: " + q.agent, "-d", q.body}
	for _, h := range q.headers {
		args = append(args, "-H", h[0]+": "+h[1])
	}
	return args
}

// drawer draws random requests.
type drawer struct {
	*rand.Rand
	tokens []string
}

func pick[T any](d *drawer, list ...T) T { return list[d.IntN(len(list))] }

func (d *drawer) draw(i int) *asked {
	q := &asked{
		agent:  "explained/" + strconv.Itoa(i),
		method: pick(d, "GET", "POST", "POST", "DELETE"),
		host: pick(d, "tokens.example.com:8080", "tokens.example.com:8080", "TOKENS.example.com.:8080",
			"a.keys.example.com:8080", "b.a.keys.example.com:8080", "tokens.example.com:8080", "c.keys.example.com:8080", "keys.example.com:8080"),
		target: pick(d, "/", "/chat", "/chat/x", "/chat/admin/y", "/chatter", "/go", "/missing/a", "/open"),
	}
	if d.IntN(5) == 0 {
		q.target = pick(d, "/open/../chat", "/chat//x", "/chat/./a", "/chat/%7Ea", "/chat%2fx", "/chat/%2e%2e/go", "/a;b", "/%00")
	}
	if d.IntN(3) == 0 {
		q.target += pick(d, "?model=small", "?model=large", "?model=small&a=b", "?", "?a=%zz", "?access_token="+pick(d, d.tokens...))
	}
	if d.IntN(3) > 0 {
		q.headers = append(q.headers, [2]string{"Authorization", "Bearer " + pick(d, d.tokens...)})
	}
	for _, h := range [][2]string{
		{"api-key", "first-callers-key"}, {"api-key", "another"}, {"X-Version", "2"}, {"x-version", "3"}, {"X-From", "somewhere"},
		{"X-Gone", "yes"}, {"X-Token", "forged"}, {"X-User-Id", "forged"}, {"Connection", "x-from"}, {"X-Forwarded-For", "10.9.8.7"},
		{"x-api-key", "callers-other-key"}, {"Accept", "text/plain"}, {"Accept", "application/json"},
	} {
		if d.IntN(4) == 0 || h[1] == "first-callers-key" && d.IntN(2) == 0 {
			q.headers = append(q.headers, h)
		}
	}
	if q.method != "GET" && d.IntN(2) == 0 {
		q.body = `{"model":"small"}`
	}
	return q
}

// serve sends q and returns the status, and the decision id of an answer that
// the gateway made itself.
func (q *asked) serve(t *testing.T, addr string) (status int, decision string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte(q.raw())); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: q.method})
	if err != nil {
		t.Fatalf("%s: %v", q.raw(), err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("X-Postern-Decision")
}

// logged returns the access log's first n lines, by decision and by user agent.
func logged(p *program, n int) map[string]explain.Past {
	p.t.Helper()
	out := map[string]explain.Past{}
	p.await("access log", func() bool { return strings.Count(p.out.String(), "\n") >= n })
	for _, text := range strings.Split(p.out.String(), "\n")[:n] {
		var line struct {
			explain.Past
			Agent string `json:"user_agent"`
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			p.t.Fatalf("%q: %v", text, err)
		}
		out[line.Decision] = line.Past
		out[line.Agent] = line.Past
	}
	return out
}

// explain asks the command what would become of q.
func (q *asked) explain(t *testing.T, dir string) *explain.Explanation {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{"OPENAI_API_KEY": openAIKey, "HF_API_TOKEN": huggingFaceKey}
	code := cli.Main(t.Context(), append([]string{"explain", "-f", dir}, q.args()...), cli.Streams{
		In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	if strings.Contains(out.String()+errs.String(), "MARKER") {
		t.Fatalf("a secret is shown:\n%s%s", &out, &errs)
	}
	var x explain.Explanation
	if err := json.Unmarshal(out.Bytes(), &x); code != 0 || err != nil {
		t.Fatalf("explain %q: code %d, %v: %s", q.args(), code, err, &errs)
	}
	return &x
}

// TestExplainAgreesWithTheDataPlane sends random requests, and asks explain of
// each what would become of it.
func TestExplainAgreesWithTheDataPlane(t *testing.T) {
	up := &headKeeper{got: map[string]received{}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: up}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	text := fmt.Sprintf(explained, jwtOf(rsaKey(), ", claimsToHeaders: [{claim: team, header: X-Claimed}]"), ln.Addr().(*net.TCPAddr).Port)
	p := run(t, map[string]string{"all.yaml": text}, settings{})

	good := func(claims string) string { return caller(claims) }
	d := &drawer{Rand: rand.New(rand.NewPCG(8, 15)), tokens: []string{
		good(`,"team":"a"`), good(`,"team":"b"`), good(`,"role":"admin"`), good(`,"team":"a","exp":1`), good(""),
		mint(`{"alg":"RS256"}`, `{"iss":"others","sub":"eve","team":"a"}`, rsaKey()),
		mint(`{"alg":"RS256"}`, `{"iss":"tests","sub":"eve","team":"a"}`, otherRSA()), "nonsense",
	}}
	const n = 500
	requests, statuses, ids := make([]*asked, n), make([]int, n), make([]string, n)
	for i := range requests {
		requests[i] = d.draw(i)
		statuses[i], ids[i] = requests[i].serve(t, p.addr("8080"))
	}
	seen := map[string]int{}
	lines := logged(p, n)
	for i, q := range requests {
		line, ok := lines[cmp.Or(ids[i], q.agent)]
		if !ok {
			t.Fatalf("%s has no line in the access log", q.raw())
		}
		x := q.explain(t, p.dir)
		for _, diff := range disagree(x, statuses[i], &line, up, q.agent) {
			t.Errorf("%s\n%s\nlogged %+v\nexplained %+v", q.raw(), diff, line, x)
		}
		seen[fmt.Sprintf("%s %d", x.Verdict, statuses[i])]++
		if t.Failed() {
			return
		}
	}
	if len(seen) < 8 {
		t.Errorf("the requests had too few outcomes: %v", seen)
	}
	t.Log(seen)
}

// disagree lists in what an explanation is not what came of the request.
func disagree(x *explain.Explanation, status int, line *explain.Past, up *headKeeper, agent string) []string {
	var out []string
	same := func(what string, explained, served any) {
		if explained != served {
			out = append(out, fmt.Sprintf("%s: explained %v, served %v", what, explained, served))
		}
	}
	if x.Status != 0 {
		same("status", x.Status, status)
	}
	same("allowed", x.Decision == explain.Allow, line.Verdict == "allow")
	same("verdict", x.Verdict, line.Verdict)
	same("cause", x.Reason, line.Cause)
	route, policy, subject := "", "", ""
	if x.Route != nil {
		route = x.Route.Name
	}
	if x.Decided != nil && x.Decision == explain.Deny {
		policy = x.Decided.Slot
	}
	if len(x.Identities) > 0 {
		subject = x.Identities[0].Subject
	}
	same("route", route, line.Route)
	same("policy", policy, line.Policy)
	same("subject", subject, line.Subject)
	up.mu.Lock()
	got, reached := up.got[agent]
	up.mu.Unlock()
	same("reaches the upstream", x.Upstream != nil, reached)
	if x.Upstream == nil || !reached {
		return out
	}
	same("method", x.Upstream.Method, got.method)
	same("host", x.Upstream.Host, got.host)
	same("URL", x.Upstream.URL, "http://"+x.Upstream.Endpoint+got.target)
	same("body", x.Upstream.BodyBytes, got.body)
	return append(out, headersDiffer(x.Upstream, got.header)...)
}

// headersDiffer compares the open headers by value, and credentials by name.
func headersDiffer(u *explain.Upstream, got http.Header) []string {
	var out []string
	delete(got, "Content-Length")
	names := slices.Concat(slices.Collect(maps.Keys(u.Headers)), slices.Collect(maps.Keys(u.Credentials)))
	for name := range got {
		if !slices.Contains(names, name) {
			out = append(out, "header "+name+" was sent, and not explained")
		}
	}
	for _, name := range names {
		values, ok := got[name]
		_, secret := u.Credentials[name]
		switch {
		case !ok:
			out = append(out, "header "+name+" was explained, and not sent")
		case secret || name == "X-Request-Id" || u.Headers.Get(name) == "[redacted]":
		case !slices.Equal(u.Headers[name], values):
			out = append(out, fmt.Sprintf("header %s: explained %q, sent %q", name, u.Headers[name], values))
		}
	}
	return out
}
