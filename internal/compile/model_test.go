package compile

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// vendor is a simulated provider that keeps what it was sent, and answers with
// its name or as it is told.
type vendor struct {
	name   string
	addr   string
	answer func(w http.ResponseWriter)
	mu     sync.Mutex
	got    []sent
}

// sent is what a vendor saw of a request.
type sent struct{ Host, Path, Key, Model, Shown, Body string }

func newVendor(t testing.TB, name string, answer func(w http.ResponseWriter)) *vendor {
	t.Helper()
	v := &vendor{name: name, answer: answer}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		v.mu.Lock()
		v.got = append(v.got, sent{r.Host, r.URL.Path, r.Header.Get("Authorization"), "", strings.Join(r.Header["X-Ai-Eg-Model"], ","), string(body)})
		v.mu.Unlock()
		if v.answer != nil {
			v.answer(w)
			return
		}
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(s.Close)
	v.addr = s.Listener.Addr().String()
	return v
}

// upstream is a configuration that leads to v.
func (v *vendor) upstream(edit func(*ir.Upstream)) *ir.Upstream {
	u := &ir.Upstream{Name: v.name, Endpoints: []ir.Endpoint{endpointOf(v.addr)}}
	if edit != nil {
		edit(u)
	}
	return u
}

// take returns what v was sent since the last time.
func (v *vendor) take() []sent {
	v.mu.Lock()
	defer v.mu.Unlock()
	got := v.got
	v.got = nil
	return got
}

// site is a compiled configuration behind a real socket.
type site struct {
	t      testing.TB
	addr   string
	rec    *recorder
	bodies *dataplane.Budget
	ended  chan struct{}
}

func (s *site) Record(r *dataplane.Record) { s.rec.Record(r); s.ended <- struct{}{} }

func newSite(t testing.TB, b *bench, cfg *ir.Config, budget int64) *site {
	t.Helper()
	c := b.Compile(cfg)
	for _, p := range append(c.Report().Problems, c.SecretProblems()...) {
		t.Log(p)
	}
	s := &site{t: t, rec: &recorder{}, bodies: dataplane.NewBudget(budget), ended: make(chan struct{}, 100)}
	h := dataplane.NewHandler(s, s.bodies, slog.New(slog.DiscardHandler), time.Now)
	h.Swap(c.Snapshot.Sockets[0])
	srv := httptest.NewServer(h)
	t.Cleanup(func() { srv.Close(); c.Snapshot.Release() })
	s.addr = srv.Listener.Addr().String()
	return s
}

// post sends a chat request and returns the answer's status and body.
func (s *site) post(body io.Reader, header ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/v1/chat/completions", body)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.do(r, header...)
}

func (s *site) do(r *http.Request, header ...string) (int, string) {
	s.t.Helper()
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, string(text) + " cut: " + err.Error()
	}
	<-s.ended
	return resp.StatusCode, string(text)
}

// raw sends bytes, and returns the status lines of what comes back, with the
// bytes that are sent once each has come.
func (s *site) raw(pieces ...string) []string {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(c)
	var out []string
	for _, p := range pieces {
		if _, err := io.WriteString(c, p); err != nil {
			break
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			break
		}
		out = append(out, resp.Status)
		if resp.StatusCode != http.StatusContinue {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	}
	return out
}

func exactly(models ...string) []ir.Match {
	var out []ir.Match
	for i, m := range models {
		out = append(out, ir.Match{Model: []ir.StringMatch{{Exact: &m}}, Order: ir.Order{1, int64(i)}})
	}
	return out
}

// keysOf is a step that asks for the API key of one of the callers, in a
// header.
func keysOf(header string, names ...string) ir.Step {
	k := &ir.APIKey{Headers: []string{header}, UserHeader: "x-user-id"}
	var entries []ir.APIKeyEntry
	for _, n := range names {
		entries = append(entries, keyEntry(n))
	}
	k.Entries = ir.EntriesOf(entries...)
	return ir.Step{Phase: ir.PhaseAuthenticate, Slot: "t/keys", AuthSet: &ir.AuthSet{Methods: []ir.AuthMethod{{Name: "k", APIKey: k}}}}
}

func many(upstreams []*ir.Upstream, routes ...*ir.Route) *ir.Config {
	cfg := config(upstreams[0], routes...)
	for _, u := range upstreams {
		cfg.Upstreams[u.Name] = u
	}
	return cfg
}

// chat is a site with two models, a third behind keys, and a fallback for the
// rest of the paths' requests.
func chat(t testing.TB, budget int64, edit func(*ir.Config)) (*site, map[string]*vendor) {
	t.Helper()
	b := newBench(t, ExposedWarn)
	put(b, "alice/api-key=MARKER-alice", "bob/api-key=MARKER-bob")
	vendors := map[string]*vendor{}
	var ups []*ir.Upstream
	for _, n := range []string{"a", "b"} {
		vendors[n] = newVendor(t, n, nil)
		ups = append(ups, vendors[n].upstream(nil))
	}
	cfg := many(ups,
		&ir.Route{Name: "a", Matches: exactly("model-a"), Action: forwardTo("a"), Steps: []ir.Step{keysOf("api-key", "alice")}},
		&ir.Route{Name: "b", Matches: exactly("model-b"), Action: forwardTo("b"), Steps: []ir.Step{keysOf("api-key", "bob")}},
	)
	if edit != nil {
		edit(cfg)
	}
	return newSite(t, b, cfg, budget), vendors
}

func TestModelChoosesTheRoute(t *testing.T) {
	s, v := chat(t, 64<<20, func(c *ir.Config) { c.Listeners[0].HTTP.MaxBodyBytes = 12 << 20 })
	padding := `"messages":[{"role":"user","content":"` + strings.Repeat("tell me more \\n", 9<<20/15) + `"}],`
	const alice, bob = "Api-Key: MARKER-alice", "Api-Key: MARKER-bob"
	form := func(model string) string {
		return "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n{\x00\r\n--XX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model + "\r\n--XX--\r\n"
	}
	// A client that is cut off while it sends may not read why.
	const unsent = "Expect: 100-continue"
	const formType = "Content-Type: multipart/form-data; boundary=XX"
	for _, tc := range []struct {
		name, body string
		header     []string
		status     int
		says       string // in the answer
		to         string
	}{
		{"a", `{"model":"model-a"}`, []string{alice}, 200, "a", "a"},
		{"b", `{"model":"model-b"}`, []string{bob}, 200, "b", "b"},
		{"escapes in the value", `{"model":"model\u002db"}`, []string{bob}, 200, "b", "b"},
		{"at the end", `{` + padding + `"model":"model-b"}`, []string{bob}, 200, "b", "b"},
		{"in a form", form("model-a"), []string{alice, formType}, 200, "a", "a"},
		{"a header is not believed", `{"model":"model-b"}`, []string{bob, "X-Ai-Eg-Model: model-a", "X-Envoy-Ai-Gateway-Model: model-a"}, 200, "b", "b"},
		{"a's key for b's model", `{"model":"model-b"}`, []string{alice}, 401, "", ""},
		{"b's key for a's model", `{"model":"model-a"}`, []string{bob}, 401, "", ""},
		{"nobody", `{"model":"model-a"}`, nil, 401, "", ""},
		{"nobody, and nonsense", `{`, nil, 401, "", ""},
		{"nobody, and an unknown model", `{"model":"x"}`, nil, 401, "", ""},
		{"unknown model", `{"model":"model-c"}`, []string{alice}, 404, "no route serves the model", ""},
		{"no model", `{"messages":[]}`, []string{alice}, 404, "names no model", ""},
		{"no body", ``, []string{alice}, 404, "names no model", ""},
		{"inner model", `{"x":{"model":"model-a"}}`, []string{alice}, 404, "names no model", ""},
		{"twice", `{"model":"model-a","model":"model-b"}`, []string{alice}, 400, "twice", ""},
		{"upper case", `{"MODEL":"model-a"}`, []string{alice}, 400, "second spelling", ""},
		{"upper case too", `{"model":"model-a","Model":"model-b"}`, []string{alice}, 400, "second spelling", ""},
		{"escaped name", `{"mode\u006c":"model-b","model":"model-a"}`, []string{alice}, 400, "second spelling", ""},
		{"number", `{"model":1}`, []string{alice}, 400, "wrong type", ""},
		{"null", `{"model":null}`, []string{alice}, 400, "wrong type", ""},
		{"two lines", `{"model":"model-a\r\nX-Evil: 1"}`, []string{alice}, 400, "no name", ""},
		{"not JSON", `model-a`, []string{alice}, 400, "not a JSON object", ""},
		{"a list", `[{"model":"model-a"}]`, []string{alice}, 400, "not a JSON object", ""},
		{"a form that is none", `{"model":"model-a"}`, []string{alice, formType}, 400, "multipart form", ""},
		{"two content types", `{"model":"model-a"}`, []string{alice, formType, "Content-Type: application/json"}, 400, "twice", ""},
		{"compressed", "\x1f\x8b", []string{alice, "Content-Encoding: gzip"}, 415, "compressed", ""},
		{"too large", `{"model":"model-a","x":"` + strings.Repeat("x", 12<<20) + `"}`, []string{alice, unsent}, 413, "Too Large", ""},
	} {
		for _, chunked := range []bool{false, true} {
			if chunked && tc.body == "" {
				continue
			}
			t.Run(fmt.Sprintf("%s, chunked %v", tc.name, chunked), func(t *testing.T) {
				var body io.Reader = strings.NewReader(tc.body)
				if chunked {
					body = io.MultiReader(body)
				}
				status, text := s.post(body, tc.header...)
				if status != tc.status || !strings.Contains(text, tc.says) {
					t.Errorf("got %d %q, want %d … %q", status, text, tc.status, tc.says)
				}
				for name, v := range v {
					got := v.take()
					switch {
					case name != tc.to && len(got) > 0:
						t.Errorf("%s was sent %d requests", name, len(got))
					case name == tc.to && (len(got) != 1 || got[0].Body != tc.body || got[0].Shown != "model-"+name):
						t.Errorf("%s: %d requests, model shown %q", name, len(got), got[0].Shown)
					}
				}
				if used := s.bodies.Used(); used != 0 {
					t.Errorf("%d bytes of the budget are still held", used)
				}
				if strings.Contains(s.rec.text.String(), "MARKER") {
					t.Error("a key is in the record")
				}
			})
		}
	}
}

// TestSecurityNobodysBodyIsRead: an anonymous caller is refused before the
// body is sent, and is not asked to send it; one with a key is.
func TestSecurityNobodysBodyIsRead(t *testing.T) {
	s, v := chat(t, 64<<20, nil)
	head := func(lines string) string {
		return "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n" + lines + "\r\n"
	}
	body := `{"model":"model-a"}`
	sized := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	const key = "api-key: MARKER-alice\r\n"
	for _, tc := range []struct {
		name   string
		pieces []string
		want   []string
	}{
		{"a length", []string{head(sized)}, []string{"401 Unauthorized"}},
		{"a large length", []string{head("Content-Length: 30000000\r\n")}, []string{"401 Unauthorized"}},
		{"chunked", []string{head("Transfer-Encoding: chunked\r\n")}, []string{"401 Unauthorized"}},
		{"expects", []string{head(sized + "Expect: 100-continue\r\n")}, []string{"401 Unauthorized"}},
		{"a wrong key", []string{head(sized + "api-key: wrong\r\nExpect: 100-continue\r\n")}, []string{"401 Unauthorized"}},
		{"a key, expects", []string{head(sized + key + "Expect: 100-continue\r\n"), body}, []string{"100 Continue", "200 OK"}},
		{"a key", []string{head(sized+key) + body}, []string{"200 OK"}},
		{"a key, too large by its length", []string{head("Content-Length: 40000000\r\nExpect: 100-continue\r\n" + key)}, []string{"413 Request Entity Too Large"}},
		{"a key, chunked", []string{head("Transfer-Encoding: chunked\r\n"+key) + "13\r\n" + body + "\r\n0\r\n\r\n"}, []string{"200 OK"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, s.raw(tc.pieces...)); d != "" {
				t.Error(d)
			}
		})
	}
	if n := len(v["b"].take()); n != 0 {
		t.Errorf("b was sent %d requests", n)
	}
}

// TestModelBudget: a body that the budget has no room for gets 503, and what
// was taken is given back.
func TestModelBudget(t *testing.T) {
	s, _ := chat(t, 1<<20, nil)
	large := `{"x":"` + strings.Repeat("x", 1<<20) + `","model":"model-a"}`
	for range 3 {
		for _, r := range []io.Reader{strings.NewReader(large), io.MultiReader(strings.NewReader(large))} {
			if status, text := s.post(r, "Api-Key: MARKER-alice"); status != 503 || !strings.Contains(text, "too busy") {
				t.Errorf("%d %q", status, text)
			}
		}
		if status, _ := s.post(strings.NewReader(`{"model":"model-a"}`), "Api-Key: MARKER-alice"); status != 200 {
			t.Errorf("a small one: %d", status)
		}
	}
	if s.bodies.Used() != 0 {
		t.Error("the budget is not given back")
	}
}

// TestSlowBodyEnds: a caller who is let in and sends no body is answered.
func TestSlowBodyEnds(t *testing.T) {
	s, _ := chat(t, 1<<20, func(c *ir.Config) { c.Listeners[0].HTTP.StreamIdleTimeout = 50 * time.Millisecond })
	got := s.raw("POST / HTTP/1.1\r\nHost: g\r\napi-key: MARKER-alice\r\nContent-Length: 10\r\n\r\n{")
	if d := cmp.Diff([]string{"408 Request Timeout"}, got); d != "" {
		t.Error(d)
	}
}
