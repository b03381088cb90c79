package compile

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

func keyRef(name, key string) secret.Ref {
	return secret.Ref{Kind: "Secret", Namespace: "team", Name: name, Key: key}
}

func keyEntry(name string) ir.APIKeyEntry {
	return ir.APIKeyEntry{
		Namespace: "team", Name: name, Key: keyRef(name, "api-key"), Origin: ir.Origin{Kind: "Secret", Namespace: "team", Name: name},
		Metadata: []secret.Ref{keyRef(name, "provider-key"), keyRef(name, "email")},
	}
}

// keyed is a route that asks for API keys.
func keyed(names ...string) *ir.Route {
	set := &ir.AuthSet{Methods: []ir.AuthMethod{{Name: "k", APIKey: &ir.APIKey{
		Headers: []string{"api-key"}, UserHeader: "x-user-id",
		FromMetadata: []ir.MetadataHeader{{Header: "x-api-key", Key: "provider-key"}, {Header: "x-user-email", Key: "email"}},
	}}}}
	var entries []ir.APIKeyEntry
	for _, n := range names {
		entries = append(entries, keyEntry(n))
	}
	set.Methods[0].APIKey.Entries = ir.EntriesOf(entries...)
	return &ir.Route{Name: "r", Matches: prefix("/", 1), Action: forwardTo("u"), Steps: []ir.Step{
		{Phase: ir.PhaseAuthenticate, Slot: "gloo/extauth", Origin: ir.Origin{Kind: "AuthConfig", Namespace: "gloo-system", Name: "keys"}, AuthSet: set},
	}}
}

// echo is an upstream that keeps the headers that it was sent.
type echo struct {
	mu   sync.Mutex
	last http.Header
	body string
	ir   *ir.Upstream
	// close ends the server before the test does.
	close func()
	// failures are answered with 503 first; seen is told of each request.
	failures, count int
	seen            chan struct{}
}

func newEcho(t testing.TB) *echo {
	e := &echo{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		e.last, e.body = r.Header.Clone(), string(body)
		e.count++
		failing := e.count <= e.failures
		e.mu.Unlock()
		if e.seen != nil {
			e.seen <- struct{}{}
		}
		if failing {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		for name, v := range r.Header { // a provider that repeats what it was sent
			w.Header()["X-Echo-"+name] = v
		}
		w.Header().Set("X-User-Id", r.Header.Get("X-User-Id"))
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(s.Close)
	e.ir = &ir.Upstream{Name: "u", Endpoints: []ir.Endpoint{endpointOf(s.Listener.Addr().String())}}
	e.close = s.Close
	return e
}

// recorder keeps everything that an access log could tell.
type recorder struct {
	mu   sync.Mutex
	text strings.Builder
	last dataplane.Record
}

func (r *recorder) Record(rec *dataplane.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = *rec
	fmt.Fprintf(&r.text, "%+v\n", *rec)
}

func ask(t testing.TB, c *Compiled, rec dataplane.Recorder, method string, header ...string) *http.Response {
	t.Helper()
	return askBody(t, c, rec, method, "", header...)
}

func askBody(t testing.TB, c *Compiled, rec dataplane.Recorder, method, body string, header ...string) *http.Response {
	t.Helper()
	h := dataplane.NewHandler(rec, dataplane.NewBudget(1<<20), slog.New(slog.DiscardHandler), time.Now)
	h.Swap(c.Snapshot.Sockets[0])
	w := httptest.NewRecorder()
	req := httptest.NewRequest(method, "http://gateway/chat", strings.NewReader(body)).WithContext(context.Background())
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	h.ServeHTTP(w, req)
	return w.Result()
}

func put(b *bench, values ...string) {
	m := map[secret.Ref]secret.Value{}
	for _, v := range values {
		at, text, _ := strings.Cut(v, "=")
		name, key, _ := strings.Cut(at, "/")
		m[keyRef(name, key)] = secret.NewValue([]byte(text))
	}
	b.store.Put(m)
}

func TestAPIKeysEndToEnd(t *testing.T) {
	b, up, rec := newBench(t, ExposedWarn), newEcho(t), &recorder{}
	put(b, "alice/api-key=MARKER-alice", "alice/provider-key=MARKER-provider", "bob/api-key=MARKER-bob", "bob/email=bob@example.org")
	c := b.Compile(config(up.ir, keyed("alice", "bob")))
	if n := len(c.Report().Problems) + len(c.SecretProblems()); n != 0 {
		t.Fatalf("%v %v", c.Report().Problems, c.SecretProblems())
	}
	var shown strings.Builder
	for _, tc := range []struct {
		name   string
		header []string
		status int
		want   http.Header // at the upstream; nil: absent
	}{
		{"alice", []string{"api-key: MARKER-alice"}, 200, http.Header{"X-User-Id": {"alice"}, "X-Api-Key": {"MARKER-provider"}, "X-User-Email": nil, "Api-Key": nil}},
		{"bob", []string{"api-key: MARKER-bob"}, 200, http.Header{"X-User-Id": {"bob"}, "X-Api-Key": nil, "X-User-Email": {"bob@example.org"}, "Api-Key": nil}},
		{"SecurityRow01 bob, forging", []string{"api-key: MARKER-bob", "x-user-id: root", "X-User-Id: root", "x-api-key: forged", "x-user-email: root@example.org"}, 200,
			http.Header{"X-User-Id": {"bob"}, "X-Api-Key": nil, "X-User-Email": {"bob@example.org"}}},
		{"nobody", nil, 401, nil},
		{"wrong", []string{"api-key: MARKER-alicf"}, 401, nil},
		{"twice", []string{"api-key: MARKER-alice", "api-key: MARKER-alice"}, 401, nil},
	} {
		res := ask(t, c, rec, "POST", tc.header...)
		fmt.Fprintf(&shown, "%v\n", res.Header)
		if res.StatusCode != tc.status {
			t.Errorf("%s: %d, %s", tc.name, res.StatusCode, rec.last.Cause)
			continue
		}
		for name, want := range tc.want {
			if got := up.last[name]; !slices.Equal(got, want) {
				t.Errorf("%s: %s: %q, want %q", tc.name, name, got, want)
			}
		}
		if tc.status == 200 && res.Header.Get("X-User-Id") != "" {
			t.Errorf("%s: the answer tells x-user-id", tc.name)
		}
	}
	if r := rec.last; r.Policy != "gloo/extauth" || r.Origin.Name != "keys" {
		t.Errorf("record %+v", r)
	}
	if all := rec.text.String() + shown.String(); strings.Contains(all, "MARKER") {
		t.Errorf("row 8: a key is shown: %s", all)
	}
	c.Snapshot.Release()
	if b.kept.Len() != 0 {
		t.Errorf("%d things are kept for nobody", b.kept.Len())
	}
}

// A missing key and a wrong one are told apart by nothing that the client sees.
func TestAPIKeyDenialsAreIdentical(t *testing.T) {
	b, up := newBench(t, ExposedWarn), newEcho(t)
	put(b, "alice/api-key=MARKER-alice")
	c := b.Compile(config(up.ir, keyed("alice")))
	for _, method := range []string{"GET", "POST", "HEAD"} {
		var texts []string
		for _, header := range [][]string{nil, {"api-key: "}, {"api-key: wrong"}, {"api-key: MARKER-alice2"}} {
			res := ask(t, c, discard{}, method, header...)
			body, _ := io.ReadAll(res.Body)
			for _, name := range []string{"X-Postern-Decision", "X-Request-Id"} {
				res.Header.Del(name)
			}
			texts = append(texts, fmt.Sprintf("%d %v %q", res.StatusCode, res.Header, body))
		}
		if !strings.Contains(texts[0], "401") || !strings.Contains(texts[0], "Www-Authenticate:[API key is missing or invalid]") || !strings.Contains(texts[0], "Content-Length:[0]") || !strings.HasSuffix(texts[0], `""`) {
			t.Errorf("%s: %s", method, texts[0])
		}
		if len(slices.Compact(texts)) != 1 {
			t.Errorf("%s: answers differ: %q", method, texts)
		}
	}
}

func TestAPIKeyRotationWithoutCompiling(t *testing.T) {
	b, up := newBench(t, ExposedWarn), newEcho(t)
	put(b, "alice/api-key=old", "alice/provider-key=p1")
	c := b.Compile(config(up.ir, keyed("alice")))
	status := func(key string) int { return ask(t, c, discard{}, "POST", "api-key: "+key).StatusCode }
	if status("old") != 200 || status("new") != 401 {
		t.Fatal("before")
	}
	put(b, "alice/api-key=new", "alice/provider-key=p2")
	if status("old") != 401 || status("new") != 200 || up.last.Get("X-Api-Key") != "p2" {
		t.Error("SecurityRow14: after the change")
	}
	b.store.Drop([]secret.Ref{keyRef("alice", "api-key")})
	if status("new") != 401 {
		t.Error("SecurityRow09: after the Secret is gone")
	}
	if p := c.SecretProblems(); len(p) != 1 || p[0].Origin.Name != "alice" {
		t.Errorf("%v", p)
	}
}

// Each attempt gets what the Secret holds; a copy of the request never does.
func TestSecretHeadersOfEachAttempt(t *testing.T) {
	b, up, copied := newBench(t, ExposedWarn), newEcho(t), newEcho(t)
	up.failures = 2
	copied.ir.Name = "copy"
	copied.seen = make(chan struct{}, 1)
	put(b, "alice/api-key=MARKER-alice", "alice/provider-key=MARKER-provider")
	r := keyed("alice")
	r.Steps = append(r.Steps, ir.Step{Phase: ir.PhaseFilter, Mirror: &ir.Mirror{Upstream: "copy"}}, ir.Step{Phase: ir.PhaseForward, Retry: &ir.Retry{Attempts: 3, On5xx: true}})
	cfg := config(up.ir, r)
	cfg.Upstreams["copy"] = copied.ir
	c := b.Compile(cfg)
	if res := ask(t, c, &recorder{}, "POST", "api-key: MARKER-alice"); res.StatusCode != 200 {
		t.Fatal(res.StatusCode, c.Report().Problems)
	}
	if up.count != 3 || !slices.Equal(up.last["X-Api-Key"], []string{"MARKER-provider"}) {
		t.Errorf("%d attempts, %v", up.count, up.last)
	}
	<-copied.seen
	copied.mu.Lock()
	defer copied.mu.Unlock()
	if text := fmt.Sprint(copied.last); strings.Contains(text, "MARKER") {
		t.Errorf("the copy carries %s", text)
	}
}
