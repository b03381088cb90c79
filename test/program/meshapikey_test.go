package program

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

// meshStage returns the walk-through's files as they are after a stage: the
// policy and the caller's key (1), the token in the Secret (2), the token as a
// header (3), the template (4).
func meshStage(t *testing.T, stage int) map[string]string {
	t.Helper()
	files := example(t, "gloo-mesh-apikey", "gateway.yaml", "extauthpolicy.yaml", "secret.yaml", "transformationpolicy.yaml")
	cut := func(name, marker string) {
		before, _, found := strings.Cut(files[name], marker)
		if !found {
			t.Fatalf("%s does not hold %q", name, marker)
		}
		files[name] = strings.TrimRight(before, " ")
	}
	if stage < 4 {
		delete(files, "transformationpolicy.yaml")
	}
	if stage < 3 {
		cut("extauthpolicy.yaml", "# Added third.")
	}
	if stage < 2 {
		cut("secret.yaml", "# Added second.")
	}
	return files
}

// mesh is a gateway with the walk-through's files, and what stands around it.
type mesh struct {
	*program
	hf   *simulate.Server
	base string
}

func runMesh(t *testing.T, stage int) *mesh {
	t.Helper()
	hf, flags := providers(t, nil)
	p := run(t, meshStage(t, stage), settings{args: append(flags, "--port", "80=127.0.0.1:0")})
	return &mesh{p, hf, "http://" + p.addr("80")}
}

// ask sends what the walk-through sends, with a key and further headers.
func (m *mesh) ask(method, key string, more ...string) reply {
	m.t.Helper()
	q := request{method: method, url: m.base + "/huggingface", header: map[string]string{}}
	if method == http.MethodPost {
		q.body = `{"inputs": "Explain in 1-2 sentences why EKS value significantly increases when Gloo Mesh is added"}`
		q.header["Content-Type"] = "application/json"
	}
	if key != "" {
		q.header["api-key"] = key
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.header[more[i]] = more[i+1]
	}
	return send(m.t, q)
}

// apply writes the files of a stage over those of the one before.
func (m *mesh) apply(stage int) {
	m.t.Helper()
	for name, text := range meshStage(m.t, stage) {
		m.write(name, text)
	}
}

// refused checks that a missing and a wrong key get one and the same answer.
func (m *mesh) refused(stage string) {
	m.t.Helper()
	m.hf.Clear()
	none, wrong := m.ask(http.MethodHead, ""), m.ask(http.MethodHead, "mysecretkeY")
	for who, got := range map[string]reply{"no key": none, "a wrong key": wrong} {
		if got.status != 401 || got.body != "" || got.header.Get("WWW-Authenticate") != "API key is missing or invalid" {
			m.t.Errorf("%s, %s: %v", stage, who, got)
		}
	}
	for _, h := range []http.Header{none.header, wrong.header} {
		h.Del("Date")
		for name := range h {
			if strings.HasPrefix(name, "X-") { // decision and request ids
				h.Del(name)
			}
		}
	}
	if a, b := none.String(), wrong.String(); a != b {
		m.t.Errorf("%s: a missing key gets %s, a wrong one %s", stage, a, b)
	}
	if get := m.ask(http.MethodGet, ""); get.status != 401 || get.body != "" {
		m.t.Errorf("%s, GET: %v", stage, get)
	}
	if n := len(m.hf.Requests()); n != 0 {
		m.t.Errorf("%s: %d refused requests reached the provider", stage, n)
	}
}

// seen returns the one request that reached the provider.
func (m *mesh) seen(stage string) simulate.Record {
	m.t.Helper()
	all := m.hf.Requests()
	if len(all) != 1 {
		m.t.Fatalf("%s: the provider saw %d requests, want 1", stage, len(all))
	}
	r := all[0]
	if r.Path != "/models/openai-community/gpt2" || r.Host != "api-inference.huggingface.co" || !r.TLS {
		m.t.Errorf("%s: the provider saw %s at %s, TLS %v", stage, r.Path, r.Host, r.TLS)
	}
	if r.Headers.Get("api-key") != "" {
		m.t.Errorf("%s: the caller's key went out", stage)
	}
	return r
}

// TestGlooMeshAPIKey follows the walk-through of a Gloo Mesh route that asks
// for an API key, and turns what lies beside the key into the provider's
// token, stage by stage.
func TestGlooMeshAPIKey(t *testing.T) {
	m := runMesh(t, 1)
	m.refused("the policy")
	m.hf.Clear()
	// The right key passes; the provider refuses, having got no token.
	if got := m.ask(http.MethodGet, "mysecretkey"); got.header.Get("WWW-Authenticate") == "API key is missing or invalid" {
		t.Errorf("the right key: %v", got)
	}
	if r := m.seen("the right key"); r.Authorizations != 0 {
		t.Error("a token went out before there was one")
	}

	m.apply(2)
	m.apply(3)
	m.await("the token as x-api-key", func() bool {
		m.hf.Clear()
		m.ask(http.MethodGet, "mysecretkey")
		all := m.hf.Requests()
		return len(all) == 1 && all[0].HeaderIs("x-api-key", huggingFaceKey)
	})

	m.apply(4)
	m.await("the template", func() bool { return m.ask(http.MethodPost, "mysecretkey").status == 200 })
	m.refused("all stages")
	for _, tc := range []struct {
		name string
		more []string
	}{
		{"as documented", nil},
		{"a client's own x-api-key", []string{"x-api-key", "client-chosen"}},
		{"a client's own Authorization", []string{"Authorization", "Bearer client-chosen"}},
		{"a client's own x-user-id", []string{"x-user-id", "somebody-else"}},
	} {
		m.hf.Clear()
		if got := m.ask(http.MethodPost, "mysecretkey", tc.more...); got.status != 200 || !strings.Contains(got.body, "generated_text") {
			t.Errorf("%s: %v", tc.name, got)
		}
		r := m.seen(tc.name)
		if r.Authorizations != 1 || !r.HeaderIs("Authorization", "Bearer "+huggingFaceKey) {
			t.Errorf("%s: %d Authorization values, the provider's: %v", tc.name, r.Authorizations, r.HeaderIs("Authorization", "Bearer "+huggingFaceKey))
		}
		if r.Headers.Get("x-api-key") != "" {
			t.Errorf("%s: x-api-key went out too", tc.name)
		}
		if id := r.Headers.Get("x-user-id"); id != "api-huggingface-key" {
			t.Errorf("%s: x-user-id %q", tc.name, id)
		}
		for h, values := range r.Headers {
			if strings.Contains(strings.Join(values, " "), "client-chosen") {
				t.Errorf("%s: the client's own %s went out", tc.name, h)
			}
		}
	}

	// A key that is taken away is refused within moments.
	m.write("secret.yaml", strings.Replace(meshStage(t, 4)["secret.yaml"], "api-key: api-huggingface", "api-key: nobody", 1))
	m.await("the end of the key", func() bool { return m.ask(http.MethodHead, "mysecretkey").status == 401 })
}

// TestGlooMeshAPIKeyWithoutToken has the template and no token: what would go
// out is an empty credential, or the client's own. Neither does.
func TestGlooMeshAPIKeyWithoutToken(t *testing.T) {
	m := runMesh(t, 1)
	m.write("transformationpolicy.yaml", meshStage(t, 4)["transformationpolicy.yaml"])
	m.write("extauthpolicy.yaml", meshStage(t, 4)["extauthpolicy.yaml"])
	m.await("the template", func() bool { return m.ask(http.MethodPost, "mysecretkey").status == 403 })
	for _, more := range [][]string{nil, {"x-api-key", "client-chosen"}, {"Authorization", "Bearer client-chosen"}} {
		m.hf.Clear()
		if got := m.ask(http.MethodPost, "mysecretkey", more...); got.status != 403 {
			t.Errorf("with %v: %v, want 403", more, got)
		}
		if n := len(m.hf.Requests()); n != 0 {
			t.Errorf("with %v: %d requests reached the provider", more, n)
		}
	}
	m.refused("without the token")
	const why = `header Authorization is made of x-api-key, for which 1 of 1 Secrets with API keys have no data key \"huggingface-api-key\", default/api-huggingface-key first: requests with their keys get 403`
	m.await("a status that says why", func() bool { return strings.Contains(m.get("/status"), why) })
	m.write("secret.yaml", meshStage(t, 4)["secret.yaml"])
	m.await("the token", func() bool { return m.ask(http.MethodPost, "mysecretkey").status == 200 })
	m.await("another status than before", func() bool { return !strings.Contains(m.get("/status"), "is made of") })
}
