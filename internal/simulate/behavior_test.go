package simulate

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// waits records what it is asked to wait for, and does not wait.
type waits struct {
	mu   sync.Mutex
	list []time.Duration
}

func (w *waits) wait(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, d)
	return ctx.Err()
}

func TestBehaviorIsPaced(t *testing.T) {
	var w waits
	_, client := start(t, Config{Wait: w.wait})
	got := do(t, client, chat(t, streamBody,
		"X-Simulate-Delay: 200ms", "X-Simulate-Events: 2", "X-Simulate-Event-Delay: 10ms"))
	if got.StatusCode != 200 || !strings.HasSuffix(string(got.body), "data: [DONE]\n\n") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	ms := time.Millisecond
	want := []time.Duration{200 * ms, 10 * ms, 10 * ms, 10 * ms, 10 * ms}
	if diff := cmp.Diff(want, w.list); diff != "" {
		t.Error(diff)
	}
}

func TestPauseIsReal(t *testing.T) {
	begun := time.Now()
	if err := pause(t.Context(), 5*time.Millisecond); err != nil || time.Since(begun) < 5*time.Millisecond {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestBehaviorStatus(t *testing.T) {
	_, client := start(t, Config{})
	for status, want := range map[string]string{
		"503": `{"error":{"message":"Service Unavailable","type":"server_error","param":null,"code":null}}`,
		"307": "",
		"204": "",
	} {
		got := do(t, client, chat(t, chatBody, "X-Simulate-Status: "+status))
		if !strings.HasPrefix(got.Status, status) || string(got.body) != want {
			t.Errorf("%s: %s %s", status, got.Status, got.body)
		}
	}
	if got := do(t, client, chat(t, chatBody, "X-Simulate-Status: 201")); got.StatusCode != 201 || !strings.Contains(string(got.body), `"choices"`) {
		t.Errorf("201: %s %s", got.Status, got.body)
	}
}

func TestBehaviorSize(t *testing.T) {
	_, client := start(t, Config{})
	for _, headers := range [][]string{
		{"X-Simulate-Size: 100001"},
		{"X-Simulate-Size: 100001", "X-Simulate-Events: 7"},
	} {
		whole := do(t, client, chat(t, chatBody, headers...))
		_, text, _ := strings.Cut(string(whole.body), `"content":"`)
		text, _, _ = strings.Cut(text, `"`)
		if len(text) != 100001 {
			t.Errorf("%v: %d bytes of text", headers, len(text))
		}
	}
	got := do(t, client, chat(t, streamBody, "X-Simulate-Size: 100001", "X-Simulate-Events: 7"))
	if n := strings.Count(string(got.body), "data: "); n != 7+3 {
		t.Errorf("%d events, want 7 of content and 3 more", n)
	}
}

func TestBehaviorFromServer(t *testing.T) {
	s, client := start(t, Config{Behavior: Behavior{Status: 500}})
	status := func(headers ...string) int { return do(t, client, chat(t, chatBody, headers...)).StatusCode }
	if err := s.Queue(Behavior{}, Behavior{Status: 307, Header: http.Header{"location": {"http://elsewhere/"}}}); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != 200 {
		t.Errorf("first of the queue: %d", got)
	}
	if got := do(t, client, chat(t, chatBody)); got.StatusCode != 307 || got.Header.Get("Location") != "http://elsewhere/" {
		t.Errorf("second of the queue: %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if got := status(); got != 500 {
		t.Errorf("after the queue: %d", got)
	}
	if got := status("X-Simulate-Status: 502"); got != 502 {
		t.Errorf("a header over the server's: %d", got)
	}
	if err := s.SetBehavior(Behavior{}); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != 200 {
		t.Errorf("after SetBehavior: %d", got)
	}
	if s.SetBehavior(Behavior{Delay: -1}) == nil || s.Queue(Behavior{Fault: "flood"}) == nil {
		t.Error("behavior out of bounds is accepted")
	}
}

func TestBehaviorHeadersAreChecked(t *testing.T) {
	_, client := start(t, Config{})
	for _, headers := range [][]string{
		{"X-Simulate-Delay: 2m"}, {"X-Simulate-Delay: -1s"}, {"X-Simulate-Delay: MARKER"},
		{"X-Simulate-Status: 101"}, {"X-Simulate-Status: 600"}, {"X-Simulate-Fault: MARKER"},
		{"X-Simulate-Events: 100001"}, {"X-Simulate-Event-Delay: 11s"}, {"X-Simulate-Size: 8388609"},
		{"X-Simulate-Size: 1", "X-Simulate-Size: 1"}, {"X-Simulate-MARKER: 1"},
	} {
		if got := do(t, client, chat(t, chatBody, headers...)); got.StatusCode != 400 {
			t.Errorf("%v: status %d", headers, got.StatusCode)
		}
	}
	_, client = start(t, Config{IgnoreHeaders: true})
	if got := do(t, client, chat(t, chatBody, "X-Simulate-Status: 503")); got.StatusCode != 200 {
		t.Errorf("ignored: status %d", got.StatusCode)
	}
}

// protocols runs f over HTTP/1.1 and HTTP/2, with TLS.
func protocols(t *testing.T, f func(t *testing.T, s *Server, client *http.Client)) {
	for _, name := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(name, func(t *testing.T) {
			s, client := start(t, Config{})
			if name == "HTTP/1.1" {
				tr := client.Transport.(*http.Transport)
				tr.ForceAttemptHTTP2 = false
				tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
			}
			f(t, s, client)
			for _, r := range s.Requests() {
				if r.Protocol != name {
					t.Errorf("protocol %s, want %s", r.Protocol, name)
				}
			}
		})
	}
}

func TestFaultHalf(t *testing.T) {
	protocols(t, func(t *testing.T, _ *Server, client *http.Client) {
		for _, body := range []string{chatBody, streamBody} {
			whole := do(t, client, chat(t, body))
			half := do(t, client, chat(t, body, "X-Simulate-Fault: half"))
			if half.err == nil {
				t.Error("half an answer ends as if it were whole")
			}
			if want := whole.body[:len(whole.body)/2]; string(half.body) != string(want) {
				t.Errorf("got %d bytes, want the first %d of %d", len(half.body), len(want), len(whole.body))
			}
		}
	})
}

func TestFaultGarbage(t *testing.T) {
	protocols(t, func(t *testing.T, _ *Server, client *http.Client) {
		a := do(t, client, chat(t, chatBody, "X-Simulate-Fault: garbage"))
		b := do(t, client, chat(t, chatBody, "X-Simulate-Fault: garbage"))
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" || len(a.body) != 512 || a.body[0] < 0x80 {
			t.Errorf("%d %q", a.StatusCode, a.body)
		}
		if string(a.body) != string(b.body) {
			t.Error("garbage differs")
		}
	})
}

func TestFaultsWithoutAnswer(t *testing.T) {
	for _, fault := range []Fault{FaultReset, FaultEarlyClose} {
		protocols(t, func(t *testing.T, s *Server, client *http.Client) {
			resp, err := client.Do(chat(t, chatBody, "X-Simulate-Fault: "+string(fault)))
			if err == nil {
				resp.Body.Close()
				t.Fatalf("%s: status %d", fault, resp.StatusCode)
			}
			if n := len(s.Requests()); n != 1 {
				t.Errorf("%s: %d records", fault, n)
			}
		})
	}
}

func TestFaultsOverPlainTCP(t *testing.T) {
	s, client := start(t, Config{})
	url := "http://" + s.HTTPAddr() + "/v1/chat/completions"
	send := func(fault Fault) error {
		resp, err := client.Do(newRequest(t, "POST", url, chatBody, "Host: api.openai.com", "X-Simulate-Fault: "+string(fault)))
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := send(FaultReset); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
	if err := send(FaultEarlyClose); !errors.Is(err, io.EOF) {
		t.Errorf("early close: %v", err)
	}
}

// awaitFirst waits for the first request, and not for ever.
func awaitFirst(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Await(ctx, 1); err != nil {
		t.Fatalf("no request arrived: %v", err)
	}
}

func TestFaultHangEndsWithTheClient(t *testing.T) {
	protocols(t, func(t *testing.T, s *Server, client *http.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		r := chat(t, chatBody, "X-Simulate-Fault: hang").WithContext(ctx)
		go func() {
			resp, err := client.Do(r)
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
		awaitFirst(t, s)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("hang: %v", err)
		}
	})
}

func TestFaultHangEndsWithTheServer(t *testing.T) {
	protocols(t, func(t *testing.T, s *Server, client *http.Client) {
		done := make(chan error, 1)
		r := chat(t, chatBody, "X-Simulate-Fault: hang")
		go func() {
			resp, err := client.Do(r)
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
		awaitFirst(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if <-done == nil {
			t.Error("a hanging request was answered")
		}
	})
}
