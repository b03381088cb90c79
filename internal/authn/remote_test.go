package authn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// idp is an identity provider without a network: it answers as it is told, in
// the time it is told.
type idp struct {
	mu     sync.Mutex
	body   string
	status int
	err    error
	delay  time.Duration
	calls  int
}

func (p *idp) set(f func(p *idp)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *idp) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

func (p *idp) Do(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.calls++
	body, status, err, delay := p.body, p.status, p.err, p.delay
	p.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: max(status, 200), Body: io.NopCloser(strings.NewReader(body))}, nil
}

// fetcher starts a RemoteKeys on p's keys, inside of a synctest bubble.
func fetcher(t *testing.T, p *idp, refresh time.Duration) *authn.RemoteKeys {
	t.Helper()
	r, err := authn.NewRemoteKeys(ir.RemoteKeys{URL: "https://user:hunter2@idp.example/jwks?key=hunter2", Refresh: refresh}, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func remoteJWT(t *testing.T, r *authn.RemoteKeys, c *authn.TokenCache) *authn.JWT {
	t.Helper()
	p := ir.JWTProvider{Name: "p", Issuer: "tester", Keys: ir.KeySource{Remote: &ir.RemoteKeys{URL: "https://idp.example/jwks"}}}
	return newJWT(t, authn.Deps{Cache: c, Keys: func(ir.RemoteKeys) *authn.RemoteKeys { return r }}, p)
}

const (
	noFetch = "Jwks remote fetch is failed"
	noKid   = "Jwks doesn't have key to match kid or alg from Jwt"
)

func kid(id string) *authn.Request {
	return bearer(mint(`{"alg":"RS256","kid":"`+id+`"}`, `{"iss":"tester","sub":"ann"}`, rsaKey()))
}

func setOf(kids ...string) string {
	var keys []string
	for _, k := range kids {
		keys = append(keys, jwkOf(rsaKey().Public(), "kid="+k))
	}
	return jwks(keys...)
}

func TestRemoteFirstRequestsWaitForOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &idp{body: setOf("a"), delay: 2 * time.Second}
		j := remoteJWT(t, fetcher(t, p, 0), nil)
		start := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { wantText(t, "waits", j, kid("a"), "") })
		}
		wg.Wait()
		if took := time.Since(start); took != 2*time.Second || p.count() != 1 {
			t.Errorf("%v, %d fetches", took, p.count())
		}
	})
}

func TestRemoteWaitsNoLongerThanItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &idp{body: setOf("a"), delay: time.Hour}
		j := remoteJWT(t, fetcher(t, p, 0), nil)
		start := time.Now()
		wantText(t, "slow", j, kid("a"), noFetch)
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("waited %v", took)
		}
		start = time.Now()
		wantText(t, "known to be slow", j, kid("a"), noFetch)
		if took := time.Since(start); took != 0 {
			t.Errorf("waited again: %v", took)
		}
	})
}

func TestRemoteWaitEndsWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := remoteJWT(t, fetcher(t, &idp{delay: time.Hour}, 0), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := j.Authenticate(ctx, kid("a"))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestRemoteRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &idp{body: setOf("a")}
		r := fetcher(t, p, 10*time.Minute)
		j := remoteJWT(t, r, nil)
		wantText(t, "first", j, kid("a"), "")
		v := r.Status().Version
		p.set(func(p *idp) { p.body = setOf("b") })
		time.Sleep(7 * time.Minute)
		wantText(t, "before it is due", j, kid("a"), "")
		time.Sleep(3 * time.Minute)
		wantText(t, "key removed", j, kid("a"), noKid)
		wantText(t, "key added", j, kid("b"), "")
		if s := r.Status(); s.Version == v || s.Keys != 1 || s.LastError != "" {
			t.Errorf("status %+v", s)
		}
	})
}

// TestSecurityRow05RemovedRemoteKey has a cached token whose key is withdrawn.
func TestSecurityRow05RemovedRemoteKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := &idp{body: setOf("a")}, authn.NewTokenCache(16)
		j := remoteJWT(t, fetcher(t, p, 10*time.Minute), c)
		wantText(t, "first", j, kid("a"), "")
		hits, _ := count(c, func() { wantText(t, "cached", j, kid("a"), "") })
		p.set(func(p *idp) { p.body = jwks() })
		time.Sleep(10 * time.Minute)
		wantText(t, "all keys withdrawn", j, kid("a"), noKid)
		if hits != 1 {
			t.Errorf("%d hits", hits)
		}
	})
}

// Unknown kids fetch at most once in ten seconds, however many there are.
func TestRemoteUnknownKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &idp{body: setOf("a")}
		j := remoteJWT(t, fetcher(t, p, time.Hour), nil)
		wantText(t, "first", j, kid("a"), "")
		p.set(func(p *idp) { p.body = setOf("a", "b") })
		wantText(t, "too soon after the last fetch", j, kid("b"), noKid)
		time.Sleep(10 * time.Second)
		wantText(t, "fetched for it", j, kid("b"), "")
		if p.count() != 2 {
			t.Errorf("%d fetches, want 2", p.count())
		}
		time.Sleep(10 * time.Second)
		p.set(func(p *idp) { p.delay = time.Second })
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() { wantText(t, "made up", j, kid(fmt.Sprint("x", i)), noKid) })
		}
		synctest.Wait()
		start := time.Now()
		wantText(t, "others do not wait", j, kid("a"), "")
		if time.Since(start) != 0 {
			t.Errorf("waited %v", time.Since(start))
		}
		wg.Wait()
		if p.count() != 3 {
			t.Errorf("%d fetches, want 3", p.count())
		}
	})
}

// TestSecurityRow09RemoteFails: keys serve for an hour more, then nobody passes,
// also not by the cache; and when the issuer is back, so are they.
func TestSecurityRow09RemoteFails(t *testing.T) {
	faults := []struct {
		name string
		set  func(p *idp)
		says string
	}{
		{"unreachable", func(p *idp) { p.err = errors.New("connection refused") }, "connection refused"},
		{"503", func(p *idp) { p.status = 503 }, "answered 503"},
		{"204", func(p *idp) { p.status = 204; p.body = "" }, "answered 204"},
		{"302", func(p *idp) { p.status = 302 }, "answered 302"},
		{"garbage", func(p *idp) { p.body = "<html>MARKER" }, "not a JSON object"},
		{"huge", func(p *idp) { p.body = `{"keys":["` + strings.Repeat("x", 2<<20) + `"]}` }, "more than 1048576 bytes"},
		{"slow", func(p *idp) { p.delay = time.Hour }, "deadline exceeded"},
	}
	for _, tt := range faults {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &idp{body: setOf("a")}
				r := fetcher(t, p, 5*time.Minute)
				j := remoteJWT(t, r, authn.NewTokenCache(16))
				wantText(t, "at first", j, kid("a"), "")
				p.set(tt.set)
				time.Sleep(64 * time.Minute)
				wantText(t, "after 64 min", j, kid("a"), "")
				if s := r.Status(); !strings.Contains(s.LastError, tt.says) || strings.Contains(s.LastError, "hunter2") || strings.Contains(s.LastError, "MARKER") {
					t.Errorf("status %+v, want %q", s, tt.says)
				}
				if n := p.count(); n > 150 {
					t.Errorf("%d fetches in an hour", n)
				}
				time.Sleep(2 * time.Minute)
				wantText(t, "after 66 min", j, kid("a"), noFetch)
				p.set(func(p *idp) { p.body, p.status, p.err, p.delay = setOf("a"), 0, nil, 0 })
				time.Sleep(70 * time.Second)
				wantText(t, "back", j, kid("a"), "")
				if s := r.Status(); s.LastError != "" {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

// While nothing could be fetched yet, requests are refused at once, and the
// fetches become rarer.
func TestSecurityRow09RemoteNeverReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &idp{err: errors.New("no route to host")}
		j := remoteJWT(t, fetcher(t, p, 0), nil)
		for range 600 {
			wantText(t, "never reached", j, kid("a"), noFetch)
			time.Sleep(time.Second)
		}
		if n := p.count(); n < 10 || n > 75 {
			t.Errorf("%d fetches in ten minutes", n)
		}
	})
}

func TestRemoteCloseEndsAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fetcher(t, &idp{delay: time.Hour}, 0)
		synctest.Wait()
		r.Close()
		r.Close()
		start := time.Now()
		if _, err := r.Get(t.Context()); err == nil || time.Since(start) != 0 {
			t.Errorf("closed: %v after %v", err, time.Since(start))
		}
	})
}

func TestFixedKeys(t *testing.T) {
	wantText(t, "fixed", remoteJWT(t, authn.FixedKeys(must(authn.ParseJWKS([]byte(setOf("a"))))), nil), kid("a"), "")
	wantText(t, "none", remoteJWT(t, authn.FixedKeys(nil), nil), kid("a"), noFetch)
	wantText(t, "unknown kid", remoteJWT(t, authn.FixedKeys(must(authn.ParseJWKS([]byte(setOf("a"))))), nil), kid("b"), noKid)
}

func TestRemoteKeysPrintNoCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fetcher(t, &idp{}, 0)
		if out := fmt.Sprintf("%v %+v %#v %s", r, r, r, r); strings.Contains(out, "hunter2") {
			t.Error(out)
		}
	})
}

func TestNewRemoteKeysRefuses(t *testing.T) {
	for _, u := range []string{"", "idp/jwks", "file:///etc/passwd", "https://", "https://a b/", "http://[::1/"} {
		if _, err := authn.NewRemoteKeys(ir.RemoteKeys{URL: u}, http.DefaultClient, nil); err == nil {
			t.Errorf("%q is taken", u)
		}
	}
}

// Real HTTP: redirects are not followed, even by a client that would.
func TestSecurityRow07RemoteRedirect(t *testing.T) {
	var led atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		led.Add(1)
		_, _ = io.Copy(w, bytes.NewBufferString(setOf("a")))
	}))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer srv.Close()
	r, err := authn.NewRemoteKeys(ir.RemoteKeys{URL: srv.URL + "/jwks"}, srv.Client(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	wantText(t, "redirected", remoteJWT(t, r, nil), kid("a"), noFetch)
	if led.Load() != 0 {
		t.Error("the redirect was followed")
	}
	if s := r.Status(); !strings.HasSuffix(s.LastError, "answered 302") {
		t.Errorf("status %+v", s)
	}
}

func TestRemoteOverHTTP(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, setOf("a"))
	}))
	defer srv.Close()
	client := srv.Client()
	defer client.CloseIdleConnections()
	r, err := authn.NewRemoteKeys(ir.RemoteKeys{URL: srv.URL}, client, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	wantText(t, "over TLS", remoteJWT(t, r, nil), kid("a"), "")
	untrusting := &http.Client{Transport: &http.Transport{}}
	u, err := authn.NewRemoteKeys(ir.RemoteKeys{URL: srv.URL}, untrusting, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	wantText(t, "unknown authority", remoteJWT(t, u, nil), kid("a"), noFetch)
}
