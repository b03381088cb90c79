package forward

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-gateway/postern/internal/ir"
)

func TestMirror(t *testing.T) {
	type sight struct {
		host, uri, body string
		header          http.Header
	}
	copies := make(chan sight, 10)
	shadow := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		for _, name := range []string{"X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "User-Agent", "Content-Length"} {
			r.Header.Del(name)
		}
		copies <- sight{r.Host, r.RequestURI, string(b), r.Header}
		w.WriteHeader(500)
	})
	main := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	to := upstream(t, Deps{}, nil, shadow)
	m, err := NewMirror(&ir.Mirror{HostSuffix: "-shadow"}, to, Deps{})
	must(t, err)
	g := newGate(t, stageTo(t, upstream(t, Deps{}, nil, main), Settings{}, Deps{}), withStages(secretHeader("X-Mine", "MARKER"), m))
	r := g.request("POST", "/a?b=c", strings.NewReader("body"))
	r.Host = "a.example:81"
	r.Header = http.Header{"Authorization": {"Bearer x"}, "X-Api-Key": {"x"}, "X-Mine": {"x"}, "Cookie": {"a=b"}, "X-Kept": {"yes"}}
	if _, body := g.do(r); body != "body" {
		t.Error(body)
	}
	want := sight{"a.example-shadow:81", "/a?b=c", "body", http.Header{"X-Kept": {"yes"}}}
	if d := cmp.Diff(want, <-copies, cmp.AllowUnexported(sight{})); d != "" {
		t.Error(d)
	}
	to.Close()
	g.do(g.request("POST", "/", strings.NewReader("after")))
	select {
	case c := <-copies:
		t.Errorf("a copy after Close: %+v", c)
	default:
	}
}

// TestMirrorHoldsNobodyUp: an upstream that does not answer costs the request
// nothing; copies are bounded, and end with Close.
func TestMirrorHoldsNobodyUp(t *testing.T) {
	to := upstream(t, Deps{}, nil, rawServe(t, answering("", wait)))
	m, err := NewMirror(&ir.Mirror{}, to, Deps{})
	must(t, err)
	main := serve(t, func(http.ResponseWriter, *http.Request) {})
	g := newGate(t, stageTo(t, upstream(t, Deps{}, nil, main), Settings{}, Deps{}), withStages(m))
	for range maxCopies + 10 {
		if resp, _ := g.get("/"); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
	}
	if n := len(m.(*mirror).places); n != maxCopies {
		t.Errorf("%d copies under way", n)
	}
	to.Close()
	if n := len(m.(*mirror).places); n != 0 {
		t.Errorf("%d copies after Close", n)
	}
}

func TestMirrorShare(t *testing.T) {
	seen := make(chan struct{}, 100)
	to := upstream(t, Deps{}, nil, serve(t, func(http.ResponseWriter, *http.Request) { seen <- struct{}{} }))
	var draw uint64
	deps := Deps{Rand: func() uint64 { draw++; return draw }}
	m, err := NewMirror(&ir.Mirror{Numerator: 1, Denominator: 4}, to, deps)
	must(t, err)
	main := serve(t, func(http.ResponseWriter, *http.Request) {})
	g := newGate(t, stageTo(t, upstream(t, Deps{}, nil, main), Settings{}, Deps{}), withStages(m))
	for range 20 {
		g.get("/")
	}
	for range 5 {
		<-seen
	}
	for _, bad := range []ir.Mirror{{Numerator: 1}, {Numerator: -1, Denominator: 2}} {
		if _, err := NewMirror(&bad, to, deps); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
