package transform

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Up", "up")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cfg    ir.Template
		body   string
		status int
		want   string
		out    string
	}{
		{"headers", ir.Template{Set: header("x-out", `{{ header("x-up") }} {{ request_header("x-in") }} {{ header(":status") }}`), Remove: []string{"x-up"}}, "plain", 200, "plain", "up in 200"},
		{"headers of the body", ir.Template{Set: header("x-out", "{{ usage.total }}")}, `{"usage":{"total":7}}`, 200, `{"usage":{"total":7}}`, "7"},
		{"body", ir.Template{Body: text(`{"n": {{ n + 1 }}}`), Append: header("x-out", "a")}, `{"n":1}`, 200, `{"n": 2}`, "a"},
		{"merge", ir.Template{MergeJSON: []ir.MergeMember{{Path: "a.b", Text: "1"}}}, `{"z":0}`, 200, `{"a":{"b":1},"z":0}`, ""},
		{"status", ir.Template{Set: header(":status", `{% if header("x-up") == "up" %}418{% endif %}`)}, "x", 418, "x", ""},
		{"status with body", ir.Template{Set: header(":status", `{{ code }}`)}, `{"code":404}`, 404, `{"code":404}`, ""},
		{"a status that is none", ir.Template{Set: header(":status", `101`)}, "x", 400, "bad request: the status is not that of a final answer", ""},
		{"no JSON", ir.Template{Body: text(`{{ n }}`)}, "x", 400, "bad request: the body is not JSON: at byte 1: no value begins so", ""},
		{"unknown", ir.Template{Body: text(`{{ n }}`)}, "{}", 400, "bad request: 1:4: variable 'n' not found", ""},
		{"unknown in a header", ir.Template{DontParse: true, Set: header("x-out", `{{ n }}`)}, "{}", 400, "bad request: 1:4: variable 'n' not found", ""},
		{"a line break", ir.Template{Set: header("x-out", `{{ n }}`)}, `{"n":"a\nb"}`, 400, "bad request: header X-Out would hold a control byte", ""},
		{"too large", ir.Template{Body: text(`{{ body() }}`), DontParse: true}, strings.Repeat("x", 10<<20), 413, "payload too large", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := answering(t, tc.cfg, answer(200, "application/json", tc.body))
			res, body := g.send("GET /", "", "X-In: in")
			if res.StatusCode != tc.status || body != tc.want || res.Header.Get("X-Out") != tc.out {
				t.Errorf("got %d %q %q", res.StatusCode, body, res.Header.Get("X-Out"))
			}
			if r := g.last(); r.Status != tc.status || (r.Verdict == dataplane.Failed) != strings.HasPrefix(tc.want, "bad request") && tc.status != 413 {
				t.Errorf("record %+v", r)
			}
		})
	}
}

func TestHeadAndBodyless(t *testing.T) {
	g := answering(t, ir.Template{Body: text("made"), Set: header("x-out", "v")}, answer(200, "text/plain", "abc"))
	if res, body := g.send("HEAD /", ""); res.StatusCode != 200 || body != "" || res.Header.Get("X-Out") != "v" {
		t.Errorf("HEAD: %d %q %v", res.StatusCode, body, res.Header)
	}
	g = answering(t, ir.Template{Body: text("made"), Set: header("x-out", "v")}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	if res, body := g.send("GET /", ""); res.StatusCode != 204 || body != "" || res.Header.Get("X-Out") != "v" {
		t.Errorf("204: %d %q", res.StatusCode, body)
	}
}

// events answers three events, each once the client has read the one before.
func events(next chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			if next != nil {
				<-next
			}
		}
	}
}

// A template of headers alone leaves a stream a stream.
func TestStreams(t *testing.T) {
	next := make(chan struct{})
	g := answering(t, ir.Template{Set: header("x-out", "v")}, events(next))
	res, err := http.Get(g.srv.URL)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	if res.Header.Get("X-Out") != "v" {
		t.Errorf("got %v", res.Header)
	}
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) {
			t.Fatalf("got %q", lines.Text())
		}
		lines.Scan()
		next <- struct{}{}
	}
}

// One of the body collects it, as the product does.
func TestStreamIsCollected(t *testing.T) {
	g := answering(t, ir.Template{DontParse: true, Body: text(`{{ word_count(body()) }}`)}, events(nil))
	if res, body := g.send("GET /", ""); body != "6" || res.Header.Get("Content-Length") != "1" {
		t.Errorf("got %q %v", body, res.Header)
	}
}

// A stream without end is answered for as soon as it is too long.
func TestEndlessStream(t *testing.T) {
	done := make(chan struct{})
	g := answering(t, ir.Template{DontParse: true, Body: text(`made`)}, func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		for err := error(nil); err == nil; {
			_, err = w.Write(make([]byte, 1<<16))
		}
	})
	if res, body := g.send("GET /", ""); res.StatusCode != 413 || body != "payload too large" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
	<-done
}

// An answer that breaks off is not made whole.
func TestBrokenAnswer(t *testing.T) {
	g := answering(t, ir.Template{DontParse: true, Body: text(`made`)}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("part"))
		panic(http.ErrAbortHandler)
	})
	if res, err := http.DefaultTransport.RoundTrip(&http.Request{Method: "GET", URL: mustURL(t, g.srv.URL), Host: "gw.test", Header: http.Header{}}); err == nil {
		_ = res.Body.Close()
		if res.StatusCode == 200 {
			t.Errorf("got %d", res.StatusCode)
		}
	}
}

func TestResponseRules(t *testing.T) {
	status := "404"
	cfg := &ir.Transform{
		Rules: []ir.TransformRule{{Match: &ir.Match{Methods: []string{"PUT"}}, Response: &ir.Template{Set: header("x-out", "rule")}}},
		Responses: []ir.ResponseRule{
			{Headers: []ir.StringMatch{{Name: ":status", Exact: &status}}, Response: &ir.Template{Set: header("x-out", "by status")}},
			{Headers: []ir.StringMatch{{Name: "x-up"}}, Response: &ir.Template{Set: header("x-out", "by header")}},
		},
	}
	for _, tc := range []struct {
		method string
		status int
		want   string
	}{{"PUT", 404, "rule"}, {"GET", 404, "by status"}, {"GET", 200, "by header"}} {
		g := newGateway(t)
		g.answer = answer(tc.status, "text/plain", "x")
		g.one(nil, stage(t, cfg))
		if res, _ := g.send(tc.method+" /", ""); res.Header.Get("X-Out") != tc.want || res.Header[":status"] != nil {
			t.Errorf("%s %d: got %q", tc.method, tc.status, res.Header.Get("X-Out"))
		}
	}
}

// A refusal of the gateway's own is not changed.
func TestRefusalsStay(t *testing.T) {
	g := newGateway(t).one(nil, stage(t, &ir.Transform{Rules: []ir.TransformRule{{Response: &ir.Template{Body: text("fine"), Set: header(":status", "200")}}}}), dataplane.StageFunc(keyed))
	if res, body := g.send("GET /", ""); res.StatusCode != 401 || body != "" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}
