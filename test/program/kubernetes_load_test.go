package program

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-gateway/postern/test/cluster"
)

// guardedKinds are definitions of the kinds of a Gloo route that asks for API
// keys.
var guardedKinds = glooKinds + "---\n" + cluster.Definition("enterprise.gloo.solo.io", "v1", "AuthConfig", "authconfigs", false)

// keyAuthConfig lets those in who show a key out of a Secret with the label.
const keyAuthConfig = `
apiVersion: enterprise.gloo.solo.io/v1
kind: AuthConfig
metadata: {name: keys, namespace: default}
spec: {configs: [{apiKeyAuth: {headerName: api-key, k8sSecretApikeyStorage: {labelSelector: {team: a}}}}]}
`

// guarded is a VirtualService that answers callers with a key on a path.
func guarded(path string) string {
	return `
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: guarded, namespace: default}
spec:
  virtualHost:
    domains: ["*"]
    options: {extauth: {configRef: {name: keys, namespace: default}}}
    routes:
    - {matchers: [{exact: /always}], directResponseAction: {status: 200, body: ok}}
    - {matchers: [{exact: ` + path + `}], directResponseAction: {status: 200, body: ok}}
`
}

// apiKey is a Secret with the API key of a caller.
func apiKey(name string) string {
	return `
apiVersion: v1
kind: Secret
metadata: {name: ` + name + `, namespace: default, labels: {team: a}}
type: extauth.solo.io/apikey
stringData: {api-key: MARKER-` + name + `}
`
}

// callers send requests to replicas, evenly, at a rate.
type callers struct {
	client  *http.Client
	stop    context.CancelFunc
	work    sync.WaitGroup
	sent    atomic.Int64
	mu      sync.Mutex
	wrong   int
	example string // of what was wrong
}

// call is one request of callers.
type call struct {
	addr, path, key string
	// took sees the status of the answer, 0 if there was none, and says whether
	// that is right. began is when the request was sent.
	took func(status int, began time.Time) bool
}

// callAll begins to send each of calls in turn, rate of them in a second.
func callAll(t *testing.T, rate int, calls ...call) *callers {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &callers{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: patience}, stop: stop}
	next := make(chan call)
	c.work.Go(func() {
		defer close(next)
		pace := time.NewTicker(time.Second / time.Duration(rate))
		defer pace.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-pace.C:
				next <- calls[i%len(calls)]
			}
		}
	})
	for range 16 {
		c.work.Go(func() {
			for q := range next {
				c.send(q)
			}
		})
	}
	t.Cleanup(func() { c.end(t) })
	return c
}

func (c *callers) send(q call) {
	r, err := http.NewRequest(http.MethodGet, "http://"+q.addr+q.path, nil)
	if err != nil {
		panic(err)
	}
	if q.key != "" {
		r.Header.Set("api-key", "MARKER-"+q.key)
	}
	began, status, text := time.Now(), 0, ""
	resp, err := c.client.Do(r)
	if err == nil {
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		status, text = resp.StatusCode, string(body)
	} else {
		text = err.Error()
	}
	if !q.took(status, began) {
		c.mu.Lock()
		c.wrong++
		c.example = fmt.Sprintf("%s%s with key %q: %d %s", q.addr, q.path, q.key, status, text)
		c.mu.Unlock()
	}
	c.sent.Add(1)
}

// more waits until n more requests have been answered.
func (c *callers) more(p *program, n int64) {
	p.t.Helper()
	until := c.sent.Load() + n
	p.await("more answers", func() bool { return c.sent.Load() >= until })
}

// end stops the callers, and fails the test if an answer was wrong.
func (c *callers) end(t *testing.T) {
	t.Helper()
	c.stop()
	c.work.Wait()
	c.client.CloseIdleConnections()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrong > 0 {
		t.Errorf("%d of %d answers were wrong, such as %s", c.wrong, c.sent.Load(), c.example)
	}
	c.wrong = 0
}

// link leads a client to an API server, and can be cut.
type link struct {
	kubeconfig string
	to         string
	mu         sync.Mutex
	down       bool
	open       map[net.Conn]bool
}

// newLink returns a link to a cluster.
func newLink(t *testing.T, c *cluster.Cluster) *link {
	t.Helper()
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{to: u.Host, open: map[net.Conn]bool{}, kubeconfig: t.TempDir() + "/kubeconfig"}
	text, err := os.ReadFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.kubeconfig, []byte(strings.ReplaceAll(string(text), u.Host, ln.Addr().String())), 0o600); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			work.Go(func() { l.carry(in) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		l.cut()
		work.Wait()
	})
	return l
}

func (l *link) carry(in net.Conn) {
	out, err := net.Dial("tcp", l.to)
	if err != nil {
		_ = in.Close()
		return
	}
	l.mu.Lock()
	if down := l.down; down {
		l.mu.Unlock()
		_, _ = in.Close(), out.Close()
		return
	}
	l.open[in], l.open[out] = true, true
	l.mu.Unlock()
	var work sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		work.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	work.Wait()
	l.mu.Lock()
	delete(l.open, in)
	delete(l.open, out)
	l.mu.Unlock()
}

// cut breaks every connection, and those that are tried.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.open {
		_ = c.Close()
	}
}

// mend undoes cut.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}
