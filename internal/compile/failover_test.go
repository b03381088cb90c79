package compile

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// hangUp ends the connection without an answer.
func hangUp(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = c.Close()
	}
}

func answers(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(status); _, _ = io.WriteString(w, "from a") }
}

// pair is a site with two providers in two tiers, each with a host, a
// credential, a model and an edit of its own.
func pair(t testing.TB, a, b *vendor, steps ...ir.Step) *site {
	t.Helper()
	bench := newBench(t, ExposedWarn)
	credential := func(name string) func(*ir.Upstream) {
		ref := secret.Ref{Kind: "Secret", Namespace: "ns", Name: name, Key: "k"}
		bench.store.Put(map[secret.Ref]secret.Value{ref: secret.NewValue([]byte("MARKER-of-" + name))})
		return func(u *ir.Upstream) {
			u.Host = name + ".example"
			u.Credential = &ir.Credential{Header: &ir.HeaderCredential{Name: "Authorization", Prefix: "Bearer ", Secret: ref}}
			u.LLM = &ir.LLM{Schema: "openai", Path: "/" + name + "/chat", Model: "model-of-" + name}
			u.Steps = []ir.Step{{Phase: ir.PhaseForward, BodyEdit: &ir.BodyEdit{Remove: []string{"user"}, Set: []ir.BodyMember{{Name: "tier", Value: `"` + name + `"`}}}}}
		}
	}
	group := &ir.Upstream{Name: "group", Tiers: [][]ir.TierMember{{{Upstream: "a"}}, {{Upstream: "b"}}}}
	cfg := many([]*ir.Upstream{group, a.upstream(credential("a")), b.upstream(credential("b"))},
		&ir.Route{Name: "r", Matches: exactly("mine"), Action: forwardTo("group"), Steps: steps})
	return newSite(t, bench, cfg, 64<<20)
}

// TestFailover: whatever keeps the first provider from answering well, the
// second is asked afresh, with its own credential, host, path, model and edit.
func TestSecurityRow07FailoverIsAsked(t *testing.T) {
	const body = `{"user":"u", "model":"mine","messages":[]}`
	atA := sent{Host: "a.example", Path: "/a/chat", Key: "Bearer MARKER-of-a", Shown: "mine", Body: `{"model":"model-of-a","messages":[],"tier":"a"}`}
	atB := sent{Host: "b.example", Path: "/b/chat", Key: "Bearer MARKER-of-b", Shown: "mine", Body: `{"model":"model-of-b","messages":[],"tier":"b"}`}
	retry := func(r ir.Retry) ir.Step { return ir.Step{Phase: ir.PhaseForward, Retry: &r} }
	for _, tc := range []struct {
		name   string
		answer func(http.ResponseWriter) // of a
		steps  []ir.Step
		status int
		text   string
		a, b   []sent
	}{
		{"well", nil, nil, 200, "a", []sent{atA}, nil},
		{"429", answers(429), nil, 200, "b", []sent{atA}, []sent{atB}},
		{"503", answers(503), nil, 200, "b", []sent{atA}, []sent{atB}},
		{"500", answers(500), nil, 200, "b", []sent{atA}, []sent{atB}},
		{"reset", hangUp, nil, 200, "b", []sent{atA}, []sent{atB}},
		{"400 is an answer", answers(400), nil, 400, "from a", []sent{atA}, nil},
		{"401 is an answer", answers(401), nil, 401, "from a", []sent{atA}, nil},
		{"for nothing", answers(503), []ir.Step{retry(ir.Retry{})}, 503, "from a", []sent{atA}, nil},
		{"for 418 alone", answers(418), []ir.Step{retry(ir.Retry{Statuses: []int{418}, NextTier: 1})}, 200, "b", []sent{atA}, []sent{atB}},
		{"for 418 alone, 503", answers(503), []ir.Step{retry(ir.Retry{Statuses: []int{418}, NextTier: 1})}, 503, "from a", []sent{atA}, nil},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunked %v", tc.name, chunked), func(t *testing.T) {
				a, b := newVendor(t, "a", tc.answer), newVendor(t, "b", nil)
				s := pair(t, a, b, tc.steps...)
				var in io.Reader = strings.NewReader(body)
				if chunked {
					in = io.MultiReader(in)
				}
				status, text := s.post(in, "X-Api-Key: MARKER-callers-own")
				if status != tc.status || text != tc.text {
					t.Errorf("%d %q", status, text)
				}
				if d := cmp.Diff([][]sent{tc.a, tc.b}, [][]sent{a.take(), b.take()}); d != "" {
					t.Error(d)
				}
				if s.bodies.Used() != 0 || strings.Contains(s.rec.text.String(), "MARKER") {
					t.Errorf("%d bytes held, or a key in the record", s.bodies.Used())
				}
			})
		}
	}
}

func TestFailoverWhereNobodyListens(t *testing.T) {
	gone, b := &vendor{name: "a", addr: "127.0.0.1:1"}, newVendor(t, "b", nil)
	s := pair(t, gone, b)
	large := `{"x":"` + strings.Repeat("x", 2<<20) + `","model":"mine"}`
	if status, text := s.post(io.MultiReader(strings.NewReader(large))); status != 200 || text != "b" {
		t.Errorf("%d %q", status, text)
	}
	if both := pair(t, gone, &vendor{name: "b", addr: gone.addr}); true {
		if status, text := both.post(strings.NewReader(`{"model":"mine"}`)); status != 503 || !strings.Contains(text, "connection failure") {
			t.Errorf("%d %q", status, text)
		}
	}
}

// TestBegunStreamIsNeverRestarted: once a byte of the first provider's answer
// is out, its breaking off is the end.
func TestBegunStreamIsNeverRestarted(t *testing.T) {
	for name, contentLength := range map[string]string{"a stream": "", "a body of known length": "1000"} {
		a := newVendor(t, "a", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/event-stream")
			if contentLength != "" {
				w.Header().Set("Content-Length", contentLength)
			}
			_, _ = io.WriteString(w, "data: one\n\n")
			_ = http.NewResponseController(w).Flush()
			hangUp(w)
		})
		b := newVendor(t, "b", nil)
		status, text := pair(t, a, b).post(strings.NewReader(`{"model":"mine","stream":true}`))
		if status != 200 || !strings.HasPrefix(text, "data: one\n\n cut:") {
			t.Errorf("%s: %d %q", name, status, text)
		}
		if n := len(b.take()); n != 0 || len(a.take()) != 1 {
			t.Errorf("%s: b was sent %d requests", name, n)
		}
	}
}

// TestBodyEdit: on the route, the backend and the upstream, each on what the
// one before it left; the route's is seen by what chooses nothing any more.
func TestBodyEdit(t *testing.T) {
	edit := func(remove, name, value string) ir.Step {
		e := &ir.BodyEdit{Set: []ir.BodyMember{{Name: name, Value: value}}}
		if remove != "" {
			e.Remove = []string{remove}
		}
		return ir.Step{Phase: ir.PhaseFilter, BodyEdit: e}
	}
	v := newVendor(t, "u", nil)
	u := v.upstream(func(u *ir.Upstream) { u.Steps = []ir.Step{edit("b", "by", `"upstream"`)} })
	action := forwardTo("u")
	action.Forward.Backends[0].Steps = []ir.Step{edit("a", "by", `"backend"`)}
	s := newSite(t, newBench(t, ExposedWarn), many([]*ir.Upstream{u},
		&ir.Route{Name: "r", Matches: exactly("m"), Action: action, Steps: []ir.Step{edit("", "by", `"route"`)}},
		last(ir.Route{Action: action})), 1<<20)
	for _, tc := range []struct {
		name, body, header string
		status             int
		want               string
	}{
		{"all three", `{"a":1,"b":2,"model":"m","c":3}`, "", 200, `{"model":"m","c":3,"by":"upstream"}`},
		{"the fallback's", `{"a":1, "c":3}`, "", 200, `{"c":3,"by":"upstream"}`},
		{"no body", ``, "", 200, ``},
		{"twice", `{"model":"m","A":1}`, "", 400, ``},
		{"compressed", "\x1f\x8b", "Content-Encoding: gzip", 415, ``},
	} {
		header := []string{}
		if tc.header != "" {
			header = append(header, tc.header)
		}
		status, text := s.post(strings.NewReader(tc.body), header...)
		got := v.take()
		if status != tc.status || status == 200 && got[0].Body != tc.want || status != 200 && len(got) > 0 {
			t.Errorf("%s: %d %q, sent on %+v; want %s", tc.name, status, text, got, tc.want)
		}
	}
}
