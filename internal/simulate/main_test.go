package simulate

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// The keys of every test: markers that no output may hold.
const (
	openAIKey      = "sk-MARKER-openai-0123456789"
	huggingFaceKey = "hf_MARKER_huggingface_0123456789"
	openAIURL      = "https://api.openai.com/v1/chat/completions"
	gpt2URL        = "https://api-inference.huggingface.co/models/openai-community/gpt2"
	chatBody       = `{"model":"gpt-4o","messages":[{"role":"user","content":"Tell me a tale"}]}`
	streamBody     = `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Tell me a tale"}]}`
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// both are the two vendors, each on its own hosts.
func both() []Provider {
	return []Provider{
		NewOpenAI(ProviderConfig{Keys: []string{"another", openAIKey}, Hosts: []string{"api.openai.com"}}),
		NewHuggingFace(ProviderConfig{Keys: []string{huggingFaceKey}, Hosts: []string{"api-inference.huggingface.co"}}),
	}
}

// start serves cfg, both vendors unless it says otherwise, and ends with the
// test.
func start(t *testing.T, cfg Config) (*Server, *http.Client) {
	t.Helper()
	if cfg.Providers == nil {
		cfg.Providers = both()
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := s.Client()
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, client
}

// newRequest makes a request with these "Name: value" headers.
func newRequest(t *testing.T, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if strings.EqualFold(name, "Host") {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	return r
}

// reading is a whole answer.
type reading struct {
	*http.Response
	body []byte
	err  error // from reading the body
}

// do sends the request and reads all of the answer that comes.
func do(t *testing.T, client *http.Client, r *http.Request) reading {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if bytes.Contains(body, []byte("MARKER")) {
		t.Errorf("%s %s: a key is in the answer: %s", r.Method, r.URL, body)
	}
	return reading{resp, body, err}
}

// chat is a good chat completion request, with further headers.
func chat(t *testing.T, body string, headers ...string) *http.Request {
	t.Helper()
	return newRequest(t, "POST", openAIURL, body, append([]string{"Authorization: Bearer " + openAIKey}, headers...)...)
}
