package forward

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

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

// TestMirrorGathers copies bodies of unknown length when they have come whole,
// and neither what is too long nor what breaks off.
func TestMirrorGathers(t *testing.T) {
	copies := make(chan int, 10)
	to := upstream(t, Deps{}, nil, serve(t, func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		copies <- int(n)
	}))
	m, err := NewMirror(&ir.Mirror{}, to, Deps{})
	must(t, err)
	main := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	g := newGate(t, stageTo(t, upstream(t, Deps{}, nil, main), Settings{}, Deps{}), withStages(m))
	for _, size := range []int{3, copyBody + 1, 70_000} {
		if _, body := g.do(g.request("POST", "/", io.MultiReader(strings.NewReader(strings.Repeat("x", size))))); len(body) != size {
			t.Errorf("%d bytes came back of %d", len(body), size)
		}
	}
	r := g.request("POST", "/", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if resp, err := g.client.Do(r); err == nil {
		_ = resp.Body.Close()
	}
	g.last(4)
	sizes := []int{<-copies, <-copies}
	slices.Sort(sizes)
	if d := cmp.Diff([]int{3, 70_000}, sizes); d != "" {
		t.Error(d)
	}
	to.Close()
	if n := len(copies); n != 0 {
		t.Errorf("%d further copies", n)
	}
	deadline := time.After(patience)
	for len(m.(*mirror).gathering) > 0 {
		select {
		case <-deadline:
			t.Fatalf("%d bodies are still gathered", len(m.(*mirror).gathering))
		case <-time.After(time.Millisecond):
		}
	}
}

// TestMirrorGRPC copies a call to a server of gRPC.
func TestMirrorGRPC(t *testing.T) {
	copied := make(chan string, 1)
	shadow := grpcUpstream(t, func(method string, s grpc.ServerStream) error {
		var m []byte
		if err := s.RecvMsg(&m); err != nil {
			return err
		}
		copied <- method + " " + string(m)
		return nil
	})
	m, err := NewMirror(&ir.Mirror{}, upstream(t, Deps{}, h2c, shadow), Deps{})
	must(t, err)
	g := newGate(t, stageTo(t, upstream(t, Deps{}, h2c, grpcUpstream(t, echo)), Settings{}, Deps{}), withStages(m), withHTTP2)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := g.grpcCall(ctx, "/t.S/Echo")
	send(t, s, "hello")
	must(t, s.CloseSend())
	if got := receive(t, s); got != "hello" {
		t.Error(got)
	}
	select {
	case got := <-copied:
		if got != "/t.S/Echo hello" {
			t.Error(got)
		}
	case <-ctx.Done():
		t.Fatal("no copy")
	}
}
