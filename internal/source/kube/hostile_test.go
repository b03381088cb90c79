package kube

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/internal/source/sourcetest"
)

// impostor answers in the place of an API server, well or badly.
type impostor struct {
	*httptest.Server
	mu     sync.Mutex
	host   string // of the one Widget; its version, too
	bad    http.HandlerFunc
	asked  int           // since that changed
	change chan struct{} // closed when host or bad changes
}

func newImpostor(t *testing.T) *impostor {
	i := &impostor{change: make(chan struct{})}
	i.Server = httptest.NewServer(http.HandlerFunc(i.answer))
	t.Cleanup(func() { i.be("", nil); i.CloseClientConnections(); i.Close() })
	return i
}

// be makes it tell of a host, or answer badly. What it was telling ends.
func (i *impostor) be(host string, bad http.HandlerFunc) {
	i.mu.Lock()
	i.host, i.bad, i.asked = host, bad, 0
	close(i.change)
	i.change = make(chan struct{})
	i.mu.Unlock()
}

func (i *impostor) answer(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	bad := i.bad
	if i.asked++; strings.Contains(r.URL.Path, "customresourcedefinitions") {
		i.asked--
		bad = code(403, "Forbidden")
	}
	i.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if bad == nil {
		bad = i.well
	}
	bad(w, r)
}

// well answers as an API server does.
func (i *impostor) well(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	host, change := i.host, i.change
	i.mu.Unlock()
	switch {
	case r.URL.Path == "/api":
		_, _ = io.WriteString(w, `{"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": []}`)
	case r.URL.Path == "/apis":
		_, _ = io.WriteString(w, `{"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": [{"metadata": {"name": "test.example.com"}, "versions": [
			{"version": "v1", "resources": [{"resource": "widgets", "responseKind": {"kind": "Widget"}, "verbs": ["get", "list", "watch"]}]}]}]}`)
	case r.URL.Query().Get("sendInitialEvents") == "true": // not known here: it asks for a list then
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}`)
	case r.URL.Query().Get("watch") != "":
		w.(http.Flusher).Flush()
		select {
		case <-change:
		case <-r.Context().Done():
		}
	default:
		_, _ = fmt.Fprintf(w, `{"kind": "WidgetList", "apiVersion": "test.example.com/v1", "metadata": {"resourceVersion": "5"}, "items": [%s]}`, widget(host, ""))
	}
}

// widget is the Widget with more metadata.
func widget(host, more string) string {
	return fmt.Sprintf(`{"apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "%s-1"%s}, "spec": {"host": "%s", "port": 1}}`, host, more, host)
}

// whenWatched answers a watch with lines, and all else as it should be.
func (i *impostor) whenWatched(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" && r.URL.Query().Get("sendInitialEvents") == "" {
			for _, l := range lines {
				_, _ = io.WriteString(w, l+"\n")
			}
			return
		}
		i.well(w, r)
	}
}

// endlessWatch answers a watch with an event that does not end.
func (i *impostor) endlessWatch() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" && r.URL.Query().Get("sendInitialEvents") == "" {
			endless(`{"type": "MODIFIED", "object": {"kind": "`, "x")(w, r)
			return
		}
		i.well(w, r)
	}
}

func code(status int, reason string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for n := 0; n+1 < len(header); n += 2 {
			w.Header().Set(header[n], header[n+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": %q, "code": %d}`, reason, status)
	}
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

// endless sends a string, and then another one for ever.
func endless(first, rest string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, first)
		chunk := strings.Repeat(rest, 1<<20/len(rest))
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	}
}

// event is one of a watch.
func event(kind, object string) string {
	return fmt.Sprintf(`{"type": %q, "object": %s}`, kind, object)
}

// TestHostileServer has what stands in the place of the API server answer with
// nonsense. What was held stays, memory is bounded, and what is said when it is
// well again is taken up.
func TestHostileServer(t *testing.T) {
	i := newImpostor(t)
	i.be("one", nil)
	p := &tenant{client: &rest.Config{Host: i.URL, WrapTransport: func(next http.RoundTripper) http.RoundTripper {
		return bounded{next, 16 << 20, 16 << 20}
	}}}
	w, h := p.watched(t, Config{})
	w.Await(t, "first", func(s sourcetest.State) bool { return s.Widget("a") == "one" })
	secretObject := `{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "default", "resourceVersion": "7"}, "data": {"k": "eA=="}}`
	held := "one"
	for n, tc := range []struct {
		name string
		bad  http.HandlerFunc
		away bool // it is noticed
	}{
		{"truncated JSON", text(`{"kind": "APIGroupDisc`), true},
		{"another document", text(`<html>sign in, please</html>`), true},
		{"deep nesting", text(strings.Repeat(`{"items":[`, 100_000)), true},
		{"500", code(500, "InternalError"), true},
		{"429 for an hour", code(429, "TooManyRequests", "Retry-After", "3600"), false},
		{"401", code(401, "Unauthorized"), true},
		{"an endless answer", endless(`{"kind": "WidgetList", "items": [`, widget("x", "")+","), true},
		{"410 in a loop", i.whenWatched(event("ERROR", `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}`)), false},
		{"nonsense of a watch", i.whenWatched(
			event("MODIFIED", secretObject), event("DELETED", secretObject), event("DELETED", `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "default"}}`),
			event("MODIFIED", `{"apiVersion": "test.example.com/v1", "kind": "Gadget", "metadata": {"name": "b", "namespace": "default"}}`),
			event("BOOKMARK", `{}`), event("", `{}`), event("ADDED", `null`), event("MODIFIED", `[1]`), `7`, `{"type": "MODIFIED", "object": {"kind"`), false},
		{"metadata of other types", i.whenWatched(event("MODIFIED", `{"apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": 5, "labels": [], "ownerReferences": {}}, "spec": 1}`)), false},
		{"an endless watch", i.endlessWatch(), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			goroutines := runtime.NumGoroutine()
			before := living()
			i.be(held, tc.bad)
			i.CloseClientConnections()
			if tc.away {
				h.await(t, "it is noticed", func(err error) bool { return err != nil })
				w.Await(t, "it is told", func(s sourcetest.State) bool { return s.Says("what it held last is served") })
			} else {
				await(t, "it is asked", func() bool { i.mu.Lock(); defer i.mu.Unlock(); return i.asked > 2 })
			}
			if after := living(); after > before+128<<20 {
				t.Errorf("%d MB are held", (after-before)>>20)
			}
			if s := w.State(); s.Widget("a") != held || s.Set.Len() != 1 {
				t.Errorf("what was held is gone: %d objects, %v", s.Set.Len(), s.Problems)
			}
			held = fmt.Sprint("well-", n)
			i.be(held, nil)
			i.CloseClientConnections()
			await(t, "it is well again", func() bool { s := w.State(); return s.Widget("a") == held && !s.Says("what it held last") })
			await(t, "no goroutines are left", func() bool { return runtime.NumGoroutine() < goroutines+50 })
		})
	}
	big := i.whenWatched(
		event("MODIFIED", widget("large", `, "labels": {"x": "`+strings.Repeat("y", 10<<20)+`"}`)),
		event("MODIFIED", widget("large", `, "annotations": {"x": "`+strings.Repeat("y", 1<<20)+`"}`)),
		strings.Repeat(event("MODIFIED", widget("same", ""))+"\n", 50))
	i.be(held, big)
	i.CloseClientConnections()
	await(t, "what is large is taken", func() bool { return w.State().Widget("a") == "same" })
}

// living returns the bytes that are in use.
func living() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// await polls until ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(sourcetest.Deadline); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
