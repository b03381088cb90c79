package forward

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

func headerCredential(name, prefix string, ref secret.Ref) *ir.Credential {
	return &ir.Credential{Header: &ir.HeaderCredential{Name: name, Prefix: prefix, Secret: ref}}
}

func TestSecurityRow07RedirectIsNotFollowed(t *testing.T) {
	other := make(chan string, 1)
	evil := serve(t, func(_ http.ResponseWriter, r *http.Request) { other <- r.Header.Get("Authorization") })
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+evil+"/", http.StatusTemporaryRedirect)
	})
	store, ref := keys("key", "sk-12345678")
	u := upstream(t, Deps{Store: store}, func(c *ir.Upstream) { c.Credential = headerCredential("Authorization", "Bearer ", ref) }, addr)
	g := newGate(t, stageTo(t, u, Settings{}, Deps{}))
	resp, _ := g.do(g.request("POST", "/", strings.NewReader("{}")))
	if resp.StatusCode != 307 || resp.Header.Get("Location") != "http://"+evil+"/" {
		t.Errorf("got %s %v", resp.Status, resp.Header)
	}
	select {
	case key := <-other:
		t.Errorf("the other host was called with %q", key)
	default:
	}
}

// TestSecurityRow07FailoverShowsEachItsOwn: each attempt has its own upstream's
// credential, host, path and model, and nothing of the other's.
func TestSecurityRow07Row11FailoverShowsEachItsOwn(t *testing.T) {
	type sight struct{ auth, key, host, path, body string }
	seen := make(chan sight, 2)
	serveOne := func(status int) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			seen <- sight{r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.Host, r.URL.Path, string(b)}
			w.WriteHeader(status)
		})
	}
	a, b := serveOne(429), serveOne(200)
	store, first := keys("first", "sk-first-1")
	second := secret.Ref{Kind: "Secret", Name: "second"}
	store.Put(map[secret.Ref]secret.Value{second: secret.NewValue([]byte("sk-second-2"))})
	ua := upstream(t, Deps{Store: store}, func(c *ir.Upstream) {
		c.Host, c.Credential = "a.example", headerCredential("Authorization", "Bearer ", first)
		c.LLM = &ir.LLM{Schema: "openai", Path: "/v1/chat/completions", Model: "big"}
	}, a)
	ub := upstream(t, Deps{Store: store}, func(c *ir.Upstream) {
		c.Host, c.Credential = "b.example", headerCredential("X-Api-Key", "", second)
		c.LLM = &ir.LLM{Schema: "openai", Path: "/other", Model: "small"}
	}, b)
	st, err := New([]Backend{{Weight: 1, Tiers: [][]*Upstream{{ua}, {ub}}}}, Settings{Retry: &ir.Retry{Statuses: []int{429}, NextTier: 1, BackoffBase: 1}}, Deps{})
	must(t, err)
	g := newGate(t, st)
	r := g.request("POST", "/chat", strings.NewReader(`{"model":"mine","messages":[]}`))
	r.Header.Set("Content-Type", "application/json")
	if resp, body := g.do(r); resp.StatusCode != 200 {
		t.Fatal(resp.Status, body)
	}
	got := []sight{<-seen, <-seen}
	want := []sight{
		{auth: "Bearer sk-first-1", host: "a.example", path: "/v1/chat/completions", body: `{"model":"big","messages":[]}`},
		{key: "sk-second-2", host: "b.example", path: "/other", body: `{"model":"small","messages":[]}`},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(sight{})); d != "" {
		t.Error(d)
	}
	if rec := g.last(1); rec.Attempts != 2 || rec.Model != "small" {
		t.Errorf("record: %d attempts, model %q", rec.Attempts, rec.Model)
	}
}

func TestSecurityRow08EchoedCredentialIsRemoved(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Late")
		w.Header().Set("X-Echo", "you sent "+r.Header.Get("Authorization"))
		w.Header().Set("X-Bare", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		w.Header().Set("X-Route", r.Header.Get("X-Secret"))
		w.Header().Set("X-Fine", "fine")
		_, _ = io.WriteString(w, "ok")
		w.Header().Set("X-Late", r.Header.Get("Authorization"))
	})
	store, ref := keys("key", "MARKER-12345678")
	u := upstream(t, Deps{Store: store}, func(c *ir.Upstream) { c.Credential = headerCredential("Authorization", "Bearer ", ref) }, addr)
	g := newGate(t, stageTo(t, u, Settings{}, Deps{}), withStages(secretHeader("x-secret", "MARKER-route-secret")))
	resp, _ := g.get("/")
	if all := fmt.Sprint(resp.Header, resp.Trailer); strings.Contains(all, "MARKER") || resp.Header.Get("X-Fine") != "fine" {
		t.Error(all)
	}
}

func secretHeader(name, value string) dataplane.Stage {
	return dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
		e.Outbound.Secrets = append(e.Outbound.Secrets, dataplane.SecretHeader{Name: name, Value: func() (string, error) { return value, nil }})
		return nil
	})
}

func TestSecretHeaderReplacesTheCallers(t *testing.T) {
	seen := make(chan http.Header, 1)
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Clone() })
	ours := dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
		e.Header.Add("X-Goog-Api-Key", "ours")
		return nil
	})
	g := newGate(t, stageTo(t, upstream(t, Deps{}, nil, addr), Settings{}, Deps{}), withStages(ours, secretHeader("x-api-key", "secret")))
	r := g.request("GET", "/", nil)
	for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
		r.Header.Set(name, "caller")
	}
	g.do(r)
	h := <-seen
	got := []any{h["Authorization"], h["X-Api-Key"], h["Api-Key"], h["X-Goog-Api-Key"]}
	want := []any{[]string(nil), []string{"secret"}, []string(nil), []string{"ours"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestCallersCredentialPassesWhereNoneIsInjected(t *testing.T) {
	seen := make(chan string, 1)
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") })
	g := simple(t, addr, Settings{})
	r := g.request("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer caller")
	g.do(r)
	if got := <-seen; got != "Bearer caller" {
		t.Errorf("got %q", got)
	}
}

func TestMissingCredentialIsNeverSentWithout(t *testing.T) {
	addr := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was called") })
	_, ref := keys("key", "x")
	u, err := NewUpstream(&ir.Upstream{Name: "u", Endpoints: []ir.Endpoint{endpointOf(t, addr)}, Credential: headerCredential("Authorization", "Bearer ", ref)}, Deps{Store: secret.NewStore()})
	if u == nil || err == nil || !strings.Contains(err.Error(), "Secret n/key[k]") {
		t.Fatalf("got %v, %v", u, err)
	}
	t.Cleanup(u.Close)
	g := newGate(t, stageTo(t, u, Settings{}, Deps{}))
	if resp, _ := g.get("/"); resp.StatusCode != 500 {
		t.Error(resp.Status)
	}
	if rec := g.last(1); !strings.Contains(rec.Cause, "secret not found") {
		t.Error(rec.Cause)
	}
}

// TestSecurityRow13UnaskedAnswer: an upstream that answers twice at once does
// not answer the next caller with the second.
func TestSecurityRow13UnaskedAnswer(t *testing.T) {
	for _, tc := range []struct{ name, first string }{
		{"in one write", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nunasked"},
		{"after chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nunasked"},
		{"after nothing", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nunasked"},
		{"one byte", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstx"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addr := rawServe(t, func(c net.Conn, n int) {
				br := bufio.NewReader(c)
				for {
					r, _, err := readRequestFrom(br)
					if err != nil {
						return
					}
					if r.URL.Path == "/twice" {
						_, _ = io.WriteString(c, tc.first)
						continue
					}
					_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(r.URL.Path), r.URL.Path)
				}
			})
			g := simple(t, addr, Settings{})
			for i := range 50 {
				g.get("/twice")
				want := fmt.Sprintf("/own-%d", i)
				if _, body := g.get(want); body != want {
					t.Fatalf("got %q, want %q", body, want)
				}
			}
		})
	}
}

// TestSecurityRow13UnaskedAnswerTLS: the same where TLS holds the second
// answer back, because one record has more than is read at a time.
func TestSecurityRow13UnaskedAnswerTLS(t *testing.T) {
	a := newAuthority(t)
	pair, err := tls.X509KeyPair(a.issue("127.0.0.1"))
	must(t, err)
	addr := rawServe(t, func(raw net.Conn, _ int) {
		c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{pair}, DynamicRecordSizingDisabled: true})
		br := bufio.NewReader(c)
		for {
			r, _, err := readRequestFrom(br)
			if err != nil {
				return
			}
			first := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(r.URL.Path)) + r.URL.Path
			if r.URL.Path == "/twice" {
				pad := replyBuffer - len(first) - len("X-Pad: \r\n")
				first = strings.Replace(first, "\r\n\r\n", "\r\nX-Pad: "+strings.Repeat("x", pad)+"\r\n\r\n", 1)
				first += "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked"
			}
			_, _ = io.WriteString(c, first)
		}
	})
	u := upstream(t, Deps{}, func(c *ir.Upstream) { c.TLS = &ir.ClientTLS{CAs: []ir.Bytes{{Inline: string(a.pem)}}} }, addr)
	g := newGate(t, stageTo(t, u, Settings{}, Deps{}))
	for i := range 10 {
		g.get("/twice")
		want := fmt.Sprintf("/own-%d", i)
		if _, body := g.get(want); body != want {
			t.Fatalf("got %q, want %q", body, want)
		}
	}
}

// TestSecurityRow13LateUnaskedAnswer: bytes that come while a connection is
// idle discard it.
func TestSecurityRow13LateUnaskedAnswer(t *testing.T) {
	late := make(chan struct{})
	sent := make(chan struct{})
	addr := rawServe(t, func(c net.Conn, n int) {
		br := bufio.NewReader(c)
		for {
			if _, _, err := readRequestFrom(br); err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
			if n == 0 {
				<-late
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX")
				close(sent)
			}
		}
	})
	g := simple(t, addr, Settings{})
	if _, body := g.get("/"); body != "0" {
		t.Fatal(body)
	}
	close(late)
	<-sent
	if _, body := g.get("/"); body != "1" {
		t.Errorf("got %q, want another connection's", body)
	}
}

// TestSecurityRow13Nonces: a thousand requests at once each get their own
// answer, with its own header and body.
func TestSecurityRow13Nonces(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Nonce", r.Header.Get("X-Nonce"))
		if len(b)%2 == 0 {
			w.Header().Set("Content-Type", "text/event-stream")
			for _, c := range b {
				_, _ = w.Write([]byte{c})
				w.(http.Flusher).Flush()
			}
			return
		}
		_, _ = w.Write(b)
	})
	g := simple(t, addr, Settings{})
	var wg sync.WaitGroup
	places := make(chan struct{}, 200)
	for i := range 1000 {
		nonce := fmt.Sprintf("%d-%d", i, rand.Uint64())
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			var body io.Reader = strings.NewReader(nonce)
			if i%3 == 0 {
				body = io.MultiReader(body) // of unknown length: streamed
			}
			r := g.request("POST", "/", body)
			r.Header.Set("X-Nonce", nonce)
			resp, err := g.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || string(b) != nonce || resp.Header.Get("X-Nonce") != nonce {
				t.Errorf("%s: got %q, %q, %v", nonce, b, resp.Header.Get("X-Nonce"), err)
			}
		})
	}
	wg.Wait()
}

// TestSecurityRow15EventsOutliveTheRequestTimeout: an event stream is bound by
// silence alone.
func TestSecurityRow15EventsOutliveTheRequestTimeout(t *testing.T) {
	const limit = 100 * time.Millisecond
	events := answering("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n", func(c net.Conn) {
		for i := range 30 {
			_, _ = fmt.Fprintf(c, "data: %d\n\n", i)
			time.Sleep(limit / 10)
		}
	})
	still(t, events, Settings{Timeouts: []ir.Timeouts{{Request: limit, Idle: time.Minute}}}, func(t *testing.T, g *gate) {
		if _, body := g.get("/"); strings.Count(body, "data:") != 30 {
			t.Errorf("%d events", strings.Count(body, "data:"))
		}
		if r := g.last(1); r.Cut != "" {
			t.Errorf("cut by %s", r.Cut)
		}
	})
}

func TestSecurityRow24BrokenHeadIsNeverSent(t *testing.T) {
	edit := func(f func(e *dataplane.Exchange)) dataplane.Stage {
		return dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer { f(e); return nil })
	}
	set := func(name, v string) dataplane.Stage {
		return edit(func(e *dataplane.Exchange) { e.Header[name] = []string{v} })
	}
	addr := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was called") })
	for _, tc := range []struct {
		name  string
		stage dataplane.Stage
	}{
		{"CRLF", set("X-Claim", "a\r\nX-Admin: MARKER")},
		{"CR", set("X-Claim", "a\rMARKER")},
		{"LF", set("X-Claim", "a\nMARKER")},
		{"NUL", set("X-Claim", "a\x00MARKER")},
		{"name with a line break", set("X-Claim\r\nX-Admin", "MARKER")},
		{"name with a space", set("X Claim", "MARKER")},
		{"no name", set("", "MARKER")},
		{"secret", secretHeader("X-Key", "MARKER\r\nX-Admin: yes")},
		{"host", edit(func(e *dataplane.Exchange) { e.Outbound.Host = "a\r\nX-Admin: yes" })},
		{"host with a path", edit(func(e *dataplane.Exchange) { e.Outbound.Host = "a/b" })},
		{"query", edit(func(e *dataplane.Exchange) { e.Outbound.RawQuery, e.Outbound.HasQuery = "a b\r\n", true })},
		{"path without slash", edit(func(e *dataplane.Exchange) { e.Outbound.Path = "x" })},
		{"path with a broken escape", edit(func(e *dataplane.Exchange) { e.Outbound.Path = "/%zz" })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGate(t, stageTo(t, upstream(t, Deps{}, nil, addr), Settings{}, Deps{}), withStages(tc.stage))
			if resp, body := g.get("/"); resp.StatusCode != 500 || strings.Contains(body, "MARKER") {
				t.Error(resp.Status, body)
			}
			if r := g.last(1); r.Cause == "" || strings.Contains(r.Cause, "MARKER") {
				t.Errorf("cause %q", r.Cause)
			}
		})
	}
}

// TestPathBreaksNothing: what a configuration writes into a path cannot split
// the request line.
func TestPathBreaksNothing(t *testing.T) {
	seen := make(chan string, 1)
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.RequestURI })
	stage := dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
		e.Outbound.Path = "//a b\r\n{x}'"
		return nil
	})
	g := newGate(t, stageTo(t, upstream(t, Deps{}, nil, addr), Settings{}, Deps{}), withStages(stage))
	g.get("/")
	if got := <-seen; got != "//a%20b%0D%0A%7Bx%7D%27" {
		t.Errorf("got %q", got)
	}
}
