package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func denial() *dataplane.Record {
	return &dataplane.Record{
		Decision: "0123456789abcdef", RequestID: "rid", Start: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC), Duration: 1500 * time.Microsecond,
		Client: "10.0.0.1", Method: "POST", Scheme: "https", Authority: "ai.test:8443", Path: "/openai/v1", Protocol: "HTTP/2.0", UserAgent: "curl/8",
		Listener: "ns/gw/https", Route: "HTTPRoute ns/openai/rule-0",
		RouteOrigin: ir.Origin{Kind: "HTTPRoute", Namespace: "ns", Name: "openai", Field: "spec.rules[0]", File: "r.yaml", Line: 9},
		Origin:      ir.Origin{Kind: "RouteOption", Namespace: "ns", Name: "rbac"},
		Verdict:     dataplane.Denied, Policy: "gloo/rbac", Passed: []string{"gloo/jwt VirtualHostOption ns/auth"}, Cause: `rule "viewer": no`,
		Identity: authn.Identity{Provider: "idp", Method: "jwt", Issuer: "https://idp", Subject: "bob", Claims: map[string]any{"ssn": "claims-are-not-logged"}},
		Upstream: "Upstream ns/openai", Endpoint: "api.openai.com:443", Attempts: 2, Model: "gpt-4o", UpstreamStatus: 502, Status: 403,
		BytesIn: 10, BytesOut: 19, FirstByte: 250 * time.Millisecond, Cut: "client",
	}
}

// lines returns what an AccessLog writes of records.
func lines(t testing.TB, records ...*dataplane.Record) string {
	t.Helper()
	var out bytes.Buffer
	l := NewAccessLog(&out, quiet())
	for _, r := range records {
		l.Record(r)
	}
	l.Close()
	return out.String()
}

// Row19: a denial can be explained from its line alone.
func TestRow19AccessLogFields(t *testing.T) {
	text := lines(t, denial())
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	want := map[string]any{
		"time": "2026-01-02T03:04:05.678901Z", "decision": "0123456789abcdef", "request_id": "rid",
		"client": "10.0.0.1", "method": "POST", "scheme": "https", "authority": "ai.test:8443", "path": "/openai/v1", "protocol": "HTTP/2.0", "user_agent": "curl/8",
		"listener": "ns/gw/https", "route": "HTTPRoute ns/openai/rule-0", "route_origin": "HTTPRoute ns/openai: spec.rules[0], r.yaml:9",
		"verdict": "deny", "policy": "gloo/rbac", "policy_origin": "RouteOption ns/rbac", "passed": []any{"gloo/jwt VirtualHostOption ns/auth"}, "cause": `rule "viewer": no`,
		"subject": "bob", "issuer": "https://idp", "authenticator": "idp",
		"upstream": "Upstream ns/openai", "endpoint": "api.openai.com:443", "attempts": 2.0, "upstream_status": 502.0, "model": "gpt-4o",
		"status": 403.0, "bytes_in": 10.0, "bytes_out": 19.0, "duration_ms": 1.5, "first_byte_ms": 250.0, "cut": "client",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if strings.Contains(text, "claims-are-not-logged") {
		t.Error("claims are logged")
	}
}

func TestEmptyRecord(t *testing.T) {
	want := `{"time":"0001-01-01T00:00:00.000000Z","decision":"","verdict":"","status":0,"duration_ms":0.000}` + "\n"
	if got := lines(t, &dataplane.Record{}); got != want {
		t.Errorf("got %s", got)
	}
}

func TestOrigins(t *testing.T) {
	for want, o := range map[string]ir.Origin{
		"Gateway a":           {Kind: "Gateway", Name: "a"},
		"Gateway n/a: spec.x": {Kind: "Gateway", Namespace: "n", Name: "a", Field: "spec.x"},
		"f.yaml:3":            {File: "f.yaml", Line: 3},
		"f.yaml":              {File: "f.yaml"},
	} {
		l := &line{}
		l.origin("o", &o)
		if got := string(l.b); got != `,"o":"`+want+`"` {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Row24: whatever a caller writes, a line stays one line of valid JSON, and
// shows on a terminal as it is.
func TestRow24NoForgedLine(t *testing.T) {
	for name, evil := range map[string]string{
		"line break":       "a\r\n{\"decision\":\"forged\"}",
		"NUL":              "a\x00b",
		"escape sequence":  "a\x1b[2Jb",
		"C1":               "a\u009b2Jb",
		"line separator":   "a\u2028b\u2029c",
		"right to left":    "a\u202eb\u2066c",
		"broken UTF-8":     "a\xff\xc0\xafb",
		"surrogate":        "a\xed\xa0\x80b",
		"quotes":           `","verdict":"allow`,
		"backslash":        `a\`,
		"byte order mark":  "\ufeffa",
		"beyond the BMP":   "a\U0001F600b",
		"delete character": "a\x7fb",
	} {
		r := denial()
		r.Path, r.UserAgent, r.Cause, r.Identity.Subject, r.Model, r.Passed, r.Origin.Name = evil, evil, evil, evil, evil, []string{evil}, evil
		text := lines(t, r)
		if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "}\n") {
			t.Errorf("%s: not one line: %q", name, text)
		}
		for _, c := range strings.TrimSuffix(text, "\n") {
			if c < ' ' || c == 0x7f || deceives(c) {
				t.Errorf("%s: %U shows", name, c)
			}
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %q: %v", name, text, err)
			continue
		}
		if got["verdict"] != "deny" || got["decision"] != "0123456789abcdef" || got["user_agent"] != strings.ToValidUTF8(evil, "\ufffd") && name != "broken UTF-8" && name != "surrogate" {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	r := denial()
	r.Path, r.UserAgent = strings.Repeat("/é", 5000), strings.Repeat("x", 300)
	for range 100 {
		r.Passed = append(r.Passed, strings.Repeat("p", 1000))
	}
	text := lines(t, r)
	var got struct {
		Path      string
		UserAgent string `json:"user_agent"`
		Passed    []string
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(got.Path, "…") || len(got.Path) > longestPath+3 || len(got.UserAgent) != longestText+3 || len(got.Passed) != mostPassed || len(text) > 16<<10 {
		t.Errorf("%d %d %d %d", len(got.Path), len(got.UserAgent), len(got.Passed), len(text))
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\"b\\\n\u2028\xff")
	f.Fuzz(func(t *testing.T, s string) {
		l := &line{}
		l.quoted(s, longestText)
		var got string
		if err := json.Unmarshal(l.b, &got); err != nil {
			t.Fatalf("%q became %q: %v", s, l.b, err)
		}
		if bytes.ContainsAny(l.b, "\r\n\x00") {
			t.Errorf("%q became %q", s, l.b)
		}
	})
}

// A line is on disk 100 ms after it was recorded, without anything else
// happening.
func TestLinesAreFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out safeBuffer
		l := NewAccessLog(&out, quiet())
		defer l.Close()
		l.Record(denial())
		synctest.Wait()
		if out.Len() != 0 {
			t.Error("written at once")
		}
		time.Sleep(writerDelay)
		synctest.Wait()
		if out.Len() == 0 {
			t.Error("not written after the delay")
		}
	})
}

// A slow writer holds requests back; nothing is lost.
func TestSlowWriterHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &gated{open: make(chan struct{})}
		l := NewAccessLog(gate, quiet())
		const n = 2000
		var recorded sync.WaitGroup
		done := make(chan struct{})
		for range 4 {
			recorded.Add(1)
			go func() {
				defer recorded.Done()
				for range n / 4 {
					l.Record(denial())
				}
			}()
		}
		go func() { recorded.Wait(); close(done) }()
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case <-done:
			t.Error("nobody was held back")
		default:
		}
		l.out.mu.Lock()
		if len(l.out.pending) > writerBytes {
			t.Errorf("%d bytes wait", len(l.out.pending))
		}
		l.out.mu.Unlock()
		close(gate.open)
		<-done
		l.Close()
		if got := bytes.Count(gate.Bytes(), []byte("\n")); got != n || l.Lost() != 0 {
			t.Errorf("%d lines, %d lost", got, l.Lost())
		}
	})
}

func TestFailingWriterIsCounted(t *testing.T) {
	var talk safeBuffer
	l := NewAccessLog(failing{}, slog.New(slog.NewTextHandler(&talk, nil)))
	l.Record(denial())
	l.Record(denial())
	l.Close()
	l.Record(denial())
	l.Close()
	if l.Lost() != 3 || !strings.Contains(talk.String(), "disk full") {
		t.Errorf("%d lost; %s", l.Lost(), talk.String())
	}
}

func TestConcurrentLinesStayWhole(t *testing.T) {
	var out safeBuffer
	l := NewAccessLog(&out, quiet())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				l.Record(denial())
			}
		})
	}
	all.Wait()
	l.Close()
	one := lines(t, denial())
	if got := out.String(); got != strings.Repeat(one, 4000) {
		t.Errorf("%d bytes, want %d", len(got), 4000*len(one))
	}
}

type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Len()
}

type gated struct {
	open chan struct{}
	bytes.Buffer
}

func (g *gated) Write(p []byte) (int, error) {
	<-g.open
	return g.Buffer.Write(p)
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func BenchmarkAccessLog(b *testing.B) {
	l := NewAccessLog(io.Discard, quiet())
	defer l.Close()
	r := denial()
	b.ReportAllocs()
	for b.Loop() {
		l.Record(r)
	}
}

// BenchmarkSlog is what the standard library's handler costs for the same.
func BenchmarkSlog(b *testing.B) {
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	r := denial()
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(b.Context(), slog.LevelInfo, "", slog.String("decision", r.Decision), slog.String("request_id", r.RequestID),
			slog.String("client", r.Client), slog.String("method", r.Method), slog.String("scheme", r.Scheme), slog.String("authority", r.Authority),
			slog.String("path", r.Path), slog.String("protocol", r.Protocol), slog.String("user_agent", r.UserAgent), slog.String("listener", r.Listener),
			slog.String("route", r.Route), slog.String("route_origin", r.RouteOrigin.String()), slog.String("verdict", string(r.Verdict)), slog.String("policy", r.Policy),
			slog.String("policy_origin", r.Origin.String()), slog.Any("passed", r.Passed), slog.String("cause", r.Cause), slog.String("subject", r.Identity.Subject),
			slog.String("issuer", r.Identity.Issuer), slog.String("authenticator", r.Identity.Provider), slog.String("upstream", r.Upstream), slog.String("endpoint", r.Endpoint),
			slog.Int("attempts", r.Attempts), slog.Int("upstream_status", r.UpstreamStatus), slog.Int("status", r.Status), slog.Int64("bytes_in", r.BytesIn),
			slog.Int64("bytes_out", r.BytesOut), slog.Duration("duration", r.Duration), slog.Duration("first_byte", r.FirstByte), slog.String("model", r.Model))
	}
}
