package program

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSecurityRow13Nonces: a thousand requests at once each get their own
// answer, and no connection carries a cookie or header over to another.
func TestSecurityRow13Nonces(t *testing.T) {
	o := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Nonce", r.Header.Get("X-Nonce"))
		w.Header().Set("Set-Cookie", "nonce="+r.Header.Get("X-Nonce"))
		w.Header().Set("X-Cookie", r.Header.Get("Cookie"))
		_, _ = io.Copy(w, r.Body)
	})
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+jwtOf(rsaKey(), ", claimsToHeaders: [{claim: nonce, header: x-nonce}]"), route("/", "up", "")))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	tokens := make([]string, 50)
	for i := range tokens {
		tokens[i] = caller(fmt.Sprintf(`,"nonce":"who-%d"`, i))
	}
	places := make(chan struct{}, 100)
	var work sync.WaitGroup
	for i := range 1000 {
		work.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			body, who := fmt.Sprintf("body-%d", i), fmt.Sprintf("who-%d", i%len(tokens))
			var reader io.Reader = strings.NewReader(body)
			if i%3 == 0 {
				reader = io.MultiReader(reader) // of unknown length
			}
			r, err := http.NewRequest("POST", "http://"+p.addr("8080")+"/", reader)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer "+tokens[i%len(tokens)])
			resp, err := client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			got, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != 200 || string(got) != body || resp.Header.Get("X-Nonce") != who || resp.Header.Get("X-Cookie") != "" {
				t.Errorf("%s of %s: %d %q %v, %v", body, who, resp.StatusCode, got, resp.Header, err)
			}
		})
	}
	work.Wait()
}

// TestSecurityRow13UnaskedAnswers: what an upstream says unasked, at once or
// while its connection is idle, is nobody's answer.
func TestSecurityRow13UnaskedAnswers(t *testing.T) {
	late := make(chan struct{})
	said := make(chan struct{}, 1)
	o := serveRaw(t, func(r *bufio.Reader, w io.Writer) {
		for {
			q, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, q.Body)
			const unasked = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked"
			answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(q.RequestURI), q.RequestURI)
			if q.URL.Path == "/twice" { // in one piece: what comes later than the next request is indistinguishable
				answer += unasked
			}
			_, _ = io.WriteString(w, answer)
			if q.URL.Path == "/late" {
				<-late
				_, _ = io.WriteString(w, unasked)
				said <- struct{}{}
			}
		}
	})
	p := runOne(t, nil, o.yaml("up"), virtualService("", route("/", "up", "")))
	base := "http://" + p.addr("8080")
	for i := range 100 {
		send(t, request{url: base + "/twice"})
		own := fmt.Sprintf("/own-%d", i)
		if got := send(t, request{url: base + own}); got.status != 200 || got.body != own {
			t.Fatalf("%s: %v", own, got)
		}
	}
	send(t, request{url: base + "/late"})
	close(late)
	<-said
	for i := range 20 {
		own := fmt.Sprintf("/after-%d", i)
		if got := send(t, request{url: base + own}); got.status != 200 || got.body != own {
			t.Fatalf("%s: %v", own, got)
		}
	}
}

// TestSecurityRow14ChangedPolicyUnderLoad: a claim that is no longer allowed
// is refused within a second, for requests on connections that were open
// before, too; and once refused, it is never let in again.
func TestSecurityRow14ChangedPolicyUnderLoad(t *testing.T) {
	o := serveOrigin(t, nil)
	rules := func(who string) string {
		return o.yaml("up") + virtualService("jwt: "+asks(), route("/", "up", "rbac: {policies: {a: {principals: [{jwtPrincipal: {claims: {sub: "+who+"}}}]}}}"))
	}
	p := runOne(t, nil, rules("ann"))
	token := caller("")
	var (
		work    sync.WaitGroup
		ended   atomic.Bool
		refused atomic.Int64
		mu      sync.Mutex
		last    time.Time // the latest beginning of a request that was let in
	)
	for range 4 {
		work.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for !ended.Load() {
				r, _ := http.NewRequest("GET", "http://"+p.addr("8080")+"/", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				began, before := time.Now(), refused.Load()
				resp, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				switch resp.StatusCode {
				case 200:
					if before > 0 {
						t.Error("let in after a refusal")
						return
					}
					mu.Lock()
					if began.After(last) {
						last = began
					}
					mu.Unlock()
				case 403:
					refused.Add(1)
				default:
					t.Errorf("status %d", resp.StatusCode)
					return
				}
			}
		})
	}
	p.await("load", func() bool { return len(o.requests()) > 0 })
	p.write("all.yaml", rules("bob"))
	changed := time.Now()
	p.await("refusals", func() bool { return refused.Load() > 100 })
	ended.Store(true)
	work.Wait()
	if d := last.Sub(changed); timed() && d > time.Second {
		t.Errorf("let in %v after the change", d)
	}
}

const events = "event: message\ndata: {\"choices\":[{\"delta\":{\"content\":\"\u00e4\U0001f512\"}}]}\n\ndata: a\r\ndata: b\r\n\r\n: comment\n\nid: 7\nretry: 10\ndata:\n\ndata: [DONE]\n\n"

// TestSecurityRow15EventsSplitAnywhere: a stream arrives byte for byte,
// wherever its pieces end, and no piece waits for the next.
func TestSecurityRow15EventsSplitAnywhere(t *testing.T) {
	var at atomic.Int64
	arrived := make(chan struct{})
	o := serveOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		i := at.Load()
		if i > 0 {
			_, _ = io.WriteString(w, events[:i])
			w.(http.Flusher).Flush()
			<-arrived
		}
		_, _ = io.WriteString(w, events[i:])
	})
	p := runOne(t, nil, aiUpstream("up", o, "key"), secretOf("key", "Authorization: MARKER"), virtualService("jwt: "+asks(), route("/", "up", "")))
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	token := caller("")
	for i := range len(events) {
		at.Store(int64(i))
		r, _ := http.NewRequest("POST", "http://"+p.addr("8080")+"/", strings.NewReader(`{"model":"m","stream":true,"messages":[]}`))
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, i)
		if _, err := io.ReadFull(resp.Body, first); err != nil {
			t.Fatalf("the first %d bytes: %v", i, err)
		}
		if i > 0 {
			arrived <- struct{}{}
		}
		rest, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := string(append(first, rest...)); err != nil || got != events {
			t.Fatalf("split at %d: %q, %v", i, got, err)
		}
	}
}

// TestSecurityRow15StreamsOutliveTheTimeout: a stream is not cut by the
// route's time-out as long as it moves; what does not stream is. A stream that
// did not begin in time has shown nothing, and is given a longer one.
func TestSecurityRow15StreamsOutliveTheTimeout(t *testing.T) {
	limits := []time.Duration{200 * time.Millisecond, 2 * time.Second, 20 * time.Second}
	o := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		limit, err := time.ParseDuration(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(limit / 10)
		defer tick.Stop()
		for i := range 30 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-tick.C
		}
	})
	routes := []string{route("/silent", "up", "timeout: 0.2s")}
	for _, limit := range limits {
		routes = append(routes, route("/"+limit.String(), "up", "timeout: "+limit.String()))
	}
	p := runOne(t, nil, o.yaml("up"), virtualService("", routes...))
	base := "http://" + p.addr("8080") + "/"
	var got reply
	for _, limit := range limits {
		if got = send(t, request{url: base + limit.String()}); got.status != http.StatusGatewayTimeout {
			break
		}
	}
	if got.status != 200 || strings.Count(got.body, "data:") != 30 {
		t.Errorf("%d, %d of 30 events", got.status, strings.Count(got.body, "data:"))
	}
	if got := send(t, request{url: base + "silent"}); got.status != 504 || got.body != "upstream request timeout" {
		t.Errorf("silent: %v", got)
	}
}

// TestSecurityRow15HangUps: who hangs up, before the answer or within it, ends
// the request upstream, and the log tells.
func TestSecurityRow15HangUps(t *testing.T) {
	ended := make(chan string, 2)
	o := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/within" {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		ended <- r.URL.Path
	})
	p := runOne(t, nil, o.yaml("up"), virtualService("", route("/", "up", "timeout: 0s")))
	for _, target := range []string{"/before", "/within"} {
		ctx, hangUp := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, "POST", "http://"+p.addr("8080")+target, bytes.NewReader([]byte("{}")))
		go func() {
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}()
		p.await("the request upstream", func() bool { return len(o.requests()) == 1 })
		hangUp()
		select {
		case got := <-ended:
			if got != target {
				t.Errorf("%s ended, want %s", got, target)
			}
		case <-time.After(patience):
			t.Fatalf("%s goes on upstream", target)
		}
	}
	p.await("the log", func() bool { return strings.Count(p.out.String(), `"cut":"client"`) == 2 })
}
