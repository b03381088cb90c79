package program

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keysPerFile is how many Secrets one file holds.
const keysPerFile = 100

// callerKey is the key of Secret i in a version.
func callerKey(i, version int) string { return fmt.Sprintf("MARKER-key-%d-of-%d", version, i) }

// keySecret is Secret i; one without a key is none.
func keySecret(i int, key string) string {
	if key == "" {
		return ""
	}
	return fmt.Sprintf(`---
apiVersion: v1
kind: Secret
metadata:
  name: caller-%d
  namespace: team-%d
  labels:
    team: callers
    number: "%d"
type: extauth.solo.io/apikey
data:
  api-key: %s
  plan: %s
`, i, i%50, i, base64.StdEncoding.EncodeToString([]byte(key)), base64.StdEncoding.EncodeToString([]byte("MARKER-plan")))
}

// keyFile is file f of Secrets; edit may give one another key, or none.
func keyFile(f, edit int, key string) string {
	var b strings.Builder
	for i := f * keysPerFile; i < (f+1)*keysPerFile; i++ {
		if i == edit {
			b.WriteString(keySecret(i, key))
			continue
		}
		b.WriteString(keySecret(i, callerKey(i, 0)))
	}
	return b.String()
}

// manyKeys are the files of a route that n callers may use.
func manyKeys(n int, up string) map[string]string {
	out := map[string]string{"gateway.yaml": up + virtualService("extauth: {configRef: {name: keys, namespace: apps}}", route("/", "up", "")) + `---
apiVersion: enterprise.gloo.solo.io/v1
kind: AuthConfig
metadata: {name: keys, namespace: apps}
spec:
  configs:
  - apiKeyAuth:
      headerName: api-key
      k8sSecretApikeyStorage: {labelSelector: {team: callers}}
      headersFromMetadataEntry: {x-plan: {name: plan, required: true}}
`}
	for f := range n / keysPerFile {
		out[fmt.Sprintf("keys-%05d.yaml", f)] = keyFile(f, -1, "")
	}
	return out
}

// keyChanges starts the program with n keys, changes, removes and adds one,
// count times each, and measures how soon each is served.
func keyChanges(t *testing.T, n, count int) (ready, most time.Duration) {
	t.Helper()
	up := serveOrigin(t, nil)
	few := start(t, manyKeys(keysPerFile, up.yaml("up")))
	base := few.heapInUse()
	_ = few.Process.Signal(syscall.SIGTERM)
	few.ends()
	p := start(t, manyKeys(n, up.yaml("up")))
	t.Logf("%d keys: ready after %v, heap per key %.0f bytes, RssAnon %.1f MB", n, p.ready.Round(time.Millisecond),
		(p.heapInUse()-base)/float64(n-keysPerFile), float64(rss(p.Process.Pid))/1024)
	c := client(t, "HTTP/1.1")
	status := func(key string) int {
		r := newRequest(t, "http://"+p.addr("8080")+"/", "any.example.com")
		r.Header.Set("api-key", key)
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		up.requests()
		return resp.StatusCode
	}
	for _, i := range []int{0, n / 3, n - 1} {
		if got := status(callerKey(i, 0)); got != http.StatusOK {
			t.Fatalf("key %d: %d", i, got)
		}
	}
	f, i := n/keysPerFile/2, n/2+7
	var all []time.Duration
	change := func(what, key, was string) {
		text := keyFile(f, i, key)
		began := time.Now()
		p.write(fmt.Sprintf("keys-%05d.yaml", f), text)
		p.await(what, func() bool {
			return (key == "" || status(key) == http.StatusOK) && (was == "" || status(was) == http.StatusUnauthorized)
		})
		all = append(all, time.Since(began))
		if got := status(callerKey(i+1, 0)); got != http.StatusOK {
			t.Errorf("%s: the neighbour gets %d", what, got)
		}
	}
	was := callerKey(i, 0)
	for v := 1; v <= count; v++ {
		key := callerKey(i, v)
		change("the changed key", key, was)
		change("the end of the removed key", "", key)
		was = key + "-added"
		change("the added key", was, "")
	}
	most, text := times(all)
	t.Log(text)
	_ = p.Process.Signal(syscall.SIGTERM)
	p.ends()
	if got := p.program.err.String() + p.out.String(); strings.Contains(got, "MARKER") {
		t.Error("security row 8: a key is in the program's output")
	}
	return p.ready, most
}

// heapInUse is what the process's own metrics say of its heap.
func (p *process) heapInUse() float64 { return p.metric("go_memstats_heap_inuse_bytes") }

// TestAuthManyKeys measures a change among a few thousand keys.
func TestAuthManyKeys(t *testing.T) {
	if _, most := keyChanges(t, 5000, 7); timed() && most > time.Second {
		t.Errorf("a change was served after %v", most)
	}
}

// TestAuthSoakKeys measures 100,000 keys in the real program.
func TestAuthSoakKeys(t *testing.T) {
	soaking(t)
	ready, most := keyChanges(t, 100_000, 15)
	if ready > 8*time.Second {
		t.Errorf("ready after %v, want 8 s at most", ready)
	}
	if most > 200*time.Millisecond {
		t.Errorf("a change was served after %v, want 200 ms at most", most)
	}
}
