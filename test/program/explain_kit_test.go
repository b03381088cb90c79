package program

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-gateway/postern/internal/cli"
	"github.com/postern-gateway/postern/internal/explain"
)

// received is a request as the upstream got it.
type received struct {
	method, target, host string
	header               http.Header
	body                 int64
}

// headKeeper is an upstream that keeps what it gets, by user agent.
type headKeeper struct {
	origin // where it is
	mu     sync.Mutex
	got    map[string]received
}

func keepHeads(t *testing.T) *headKeeper {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &headKeeper{got: map[string]received{}}
	h.host, h.port = "127.0.0.1", ln.Addr().(*net.TCPAddr).Port
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return h
}

func (h *headKeeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	_, _ = body.ReadFrom(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got[r.UserAgent()] = received{r.Method, r.RequestURI, r.Host, r.Header.Clone(), int64(body.Len())}
	_, _ = w.Write([]byte("up"))
}

// asked is a random request to a port as it is configured.
type asked struct {
	agent, port, method, host, target, body string
	headers                                 [][2]string
	// secure asks over TLS, with the certificate of peer if there is one.
	secure bool
	peer   string
	cert   *tls.Certificate
}

func (q *asked) add(name, value string) { q.headers = append(q.headers, [2]string{name, value}) }

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
	scheme := "http"
	if q.secure {
		scheme = "https"
	}
	args := []string{q.method, scheme + "://" + q.host + q.target, "-o", "json", "-H", "User-Agent: " + q.agent, "-d", q.body}
	if q.peer != "" {
		args = append(args, "--peer", q.peer)
	}
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

func newDrawer(tokens ...string) *drawer {
	return &drawer{Rand: rand.New(rand.NewPCG(8, 15)), tokens: tokens}
}

// list draws n requests.
func (d *drawer) list(n int, draw func(i int) *asked) []*asked {
	out := make([]*asked, n)
	for i := range out {
		out[i] = draw(i)
	}
	return out
}

// some adds each of the headers with a chance of one in n.
func (d *drawer) some(q *asked, n int, headers ...[2]string) {
	for _, h := range headers {
		if d.IntN(n) == 0 {
			q.headers = append(q.headers, h)
		}
	}
}

func pick[T any](d *drawer, list ...T) T { return list[d.IntN(len(list))] }

// served is what came of a request: its status, where a redirect leads, and the
// decision's id in an answer that the gateway made itself.
type served struct {
	status             int
	location, decision string
}

func (q *asked) serve(t *testing.T, addr string) served {
	t.Helper()
	conn := dialRaw(t, addr)
	defer func() { _ = conn.Close() }()
	if q.secure {
		cfg := &tls.Config{InsecureSkipVerify: true, ServerName: strings.Split(q.host, ":")[0]}
		if q.cert != nil {
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return q.cert, nil }
		}
		conn = tls.Client(conn, cfg)
	}
	if _, err := conn.Write([]byte(q.raw())); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: q.method})
	if err != nil {
		t.Fatalf("%s: %v", q.raw(), err)
	}
	_ = resp.Body.Close()
	return served{resp.StatusCode, resp.Header.Get("Location"), resp.Header.Get("X-Postern-Decision")}
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

// agree sends requests, and asks explain of each what would become of it. They
// must come to that many outcomes at least.
func agree(t *testing.T, p *program, up *headKeeper, requests []*asked, outcomes int) {
	t.Helper()
	answers := make([]served, len(requests))
	for i, q := range requests {
		answers[i] = q.serve(t, p.addr(q.port))
	}
	seen := map[string]int{}
	lines := logged(p, len(requests))
	for i, q := range requests {
		line, ok := lines[cmp.Or(answers[i].decision, q.agent)]
		if !ok {
			t.Fatalf("%s has no line in the access log", q.raw())
		}
		x := q.explain(t, p.dir)
		for _, diff := range disagree(x, &answers[i], &line, up, q) {
			t.Errorf("%s\n%s\nlogged %+v\nexplained %+v", q.raw(), diff, line, x)
		}
		by := line.Policy
		for _, passed := range line.Passed {
			by += " " + passed
		}
		seen[fmt.Sprintf("%s %d %s %s", x.Verdict, answers[i].status, line.Route, by)]++
		if t.Failed() {
			return
		}
	}
	if len(seen) < outcomes {
		t.Errorf("the requests had too few outcomes: %v", seen)
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		t.Log(seen[name], name)
	}
}

// disagree lists in what an explanation is not what came of the request.
func disagree(x *explain.Explanation, answer *served, line *explain.Past, up *headKeeper, q *asked) []string {
	var out []string
	same := func(what string, explained, served any) {
		if explained != served {
			out = append(out, fmt.Sprintf("%s: explained %v, served %v", what, explained, served))
		}
	}
	if x.Status != 0 {
		same("status", x.Status, answer.status)
	}
	same("location", x.Location, answer.location)
	same("allowed", x.Decision == explain.Allow, line.Verdict == "allow")
	same("verdict", x.Verdict, line.Verdict)
	same("cause", x.Reason, line.Cause)
	same("model", x.Model, line.Model)
	callers := x.Identities
	if i := slices.IndexFunc(callers, func(id explain.Identity) bool { return id.Method == "mtls" }); i == 0 {
		same("peer", callers[0].Subject, line.Peer)
		callers = callers[1:]
	}
	if line.Listener != "" { // else it was malformed, and nobody asked who sent it
		same("peer of the connection", q.peer, line.Peer)
	}
	var place, route explain.Place
	if x.Listener != nil {
		place = *x.Listener
	}
	if x.Route != nil {
		route = *x.Route
	}
	same("listener", place.Name, line.Listener)
	same("route", route.Name, line.Route)
	var caller explain.Identity
	if len(callers) > 0 {
		caller = callers[0]
	}
	same("subject", caller.Subject, line.Subject)
	same("issuer", caller.Issuer, line.Issuer)
	same("authenticator", caller.Provider, line.Authenticator)
	out = append(out, decidersDiffer(x, line)...)
	up.mu.Lock()
	got, reached := up.got[q.agent]
	up.mu.Unlock()
	same("reaches the upstream", x.Upstream != nil, reached)
	if x.Upstream == nil || !reached {
		return out
	}
	same("upstream", x.Upstream.Name, line.Upstream)
	same("endpoint", x.Upstream.Endpoint, line.Endpoint)
	same("method", x.Upstream.Method, got.method)
	same("host", x.Upstream.Host, got.host)
	same("URL", x.Upstream.URL, "http://"+x.Upstream.Endpoint+got.target)
	same("body", x.Upstream.BodyBytes, got.body)
	return append(out, headersDiffer(x.Upstream, got.header)...)
}

// decidersDiffer compares the policy and the rule that decided: of a refusal
// with the log's policy, the file that it is in, and the cause; of a pass with
// the policies that let the request through.
func decidersDiffer(x *explain.Explanation, line *explain.Past) []string {
	d := x.Decided
	switch {
	case d == nil && line.Policy != "":
		return []string{"policy: explained none, served " + line.Policy}
	case d == nil:
		return nil
	case x.Decision == explain.Deny:
		fits := d.Slot == line.Policy && strings.Contains(line.PolicyOrigin, d.Origin.Object()) &&
			strings.Contains(line.PolicyOrigin, d.Origin.File) && strings.Contains(line.Cause, d.Rule)
		if !fits {
			return []string{fmt.Sprintf("policy: explained %s, rule %q of %+v, served %s of %s", d.Slot, d.Rule, d.Origin, line.Policy, line.PolicyOrigin)}
		}
		return nil
	}
	if d.Rule != "" && !slices.ContainsFunc(line.Passed, func(p string) bool {
		return strings.Contains(p, d.Policy) && strings.HasSuffix(p, d.Rule)
	}) {
		return []string{fmt.Sprintf("rule: explained %s of %s, passed by %q", d.Rule, d.Policy, line.Passed)}
	}
	return nil
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
