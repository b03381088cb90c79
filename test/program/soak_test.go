package program

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// timed says whether to hold the program to its times: they say something on a
// quiet machine only, which the soak runs ask for.
func timed() bool { return os.Getenv("POSTERN_SOAK") != "" }

// soaking skips a test that takes minutes unless it is asked for.
func soaking(t *testing.T) {
	t.Helper()
	if !timed() {
		t.Skip("takes a minute or more and most of the machine; set POSTERN_SOAK=1 to run it")
	}
}

// TestSoakReloads is TestReloadUnderLoad for a minute.
func TestSoakReloads(t *testing.T) {
	soaking(t)
	underReloads(t, time.Minute, 50*time.Millisecond)
}

// manyRoutes returns n HTTPRoutes in files of perFile, all to one upstream,
// with a version that their answers show.
func manyRoutes(n, perFile, version int, addr string) map[string]string {
	out := map[string]string{"gateway.yaml": gatewayOn}
	up, _, _ := strings.Cut(target{name: "up", addr: addr}.yaml(), "---")
	out["up.yaml"] = up
	for f := range n / perFile {
		out[fmt.Sprintf("routes-%04d.yaml", f)] = routesFile(f, perFile, version)
	}
	return out
}

func routesFile(f, perFile, version int) string {
	var b strings.Builder
	for i := f * perFile; i < (f+1)*perFile; i++ {
		fmt.Fprintf(&b, `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r-%[1]d, namespace: apps}
spec:
  parentRefs: [{name: gw}]
  hostnames: [h%[2]d.example.com]
  rules:
  - matches: [{path: {type: PathPrefix, value: /r-%[1]d}}]
    filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Version, value: "%[3]d"}]}}]
    backendRefs: [{name: up, group: gloo.solo.io, kind: Upstream}]
`, i, i%100, version)
	}
	return b.String()
}

// changes measures how soon a changed route is served by a process with n
// routes, in files of perFile.
func changes(t *testing.T, n, perFile, count int) (p *process, most time.Duration, text string) {
	t.Helper()
	up := startRaw(t, says(fine))
	p = start(t, manyRoutes(n, perFile, 0, up.addr))
	c := client(t, "HTTP/1.1")
	f := n / perFile / 2
	i := f * perFile
	served := func(version int) bool {
		r := newRequest(t, fmt.Sprintf("http://%s/r-%d", p.addr("8080"), i), fmt.Sprintf("h%d.example.com", i%100))
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode == 200 && resp.Header.Get("X-Version") == fmt.Sprint(version)
	}
	if !served(0) {
		t.Fatal("the route is not served")
	}
	var all []time.Duration
	for v := 1; v <= count; v++ {
		changed := routesFile(f, perFile, v)
		began := time.Now()
		p.write(fmt.Sprintf("routes-%04d.yaml", f), changed)
		p.await("the changed route", func() bool { return served(v) })
		all = append(all, time.Since(began))
	}
	most, text = times(all)
	return p, most, text
}

// TestManyRoutes measures a change among a few thousand routes.
func TestManyRoutes(t *testing.T) {
	p, most, text := changes(t, 2000, 50, 20)
	t.Logf("2,000 routes: ready after %v, RssAnon %.1f MB; %s", p.ready.Round(time.Millisecond), float64(rss(p.Process.Pid))/1024, text)
	if timed() && most > time.Second {
		t.Errorf("a changed route was served after %v", most)
	}
}

// TestSoakRoutes measures 20,000 routes in the real program.
func TestSoakRoutes(t *testing.T) {
	soaking(t)
	for _, perFile := range []int{100, 1} {
		p, most, text := changes(t, 20000, perFile, 30)
		t.Logf("20,000 routes, %d in a file: ready after %v, RssAnon %.1f MB; %s", perFile, p.ready.Round(time.Millisecond), float64(rss(p.Process.Pid))/1024, text)
		for line := range strings.Lines(tail(p.program.err.String(), 400)) {
			t.Log(strings.TrimSpace(line))
		}
		if most > 5*time.Second {
			t.Errorf("a changed route was served after %v", most)
		}
		_ = p.Process.Signal(syscall.SIGTERM)
		p.ends()
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
