package program

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

const (
	egressID = "spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway"
	curlID   = "spiffe://cluster.local/ns/default/sa/curl"
)

const tellMe = `{"messages": [{"role": "user", "content": "Tell me about yourself"}]}`

// identityOf writes the certificate of a workload into a folder, for
// --identity.
func identityOf(t *testing.T, ca *simulate.CA, id string) string {
	t.Helper()
	dir := t.TempDir()
	if err := simulate.WriteIdentity(dir, *workload(t, ca, simulate.Workload{URIs: []string{id}}), ca.PEM()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sidecar is a client that shows a workload's certificate and wants the egress
// gateway's; nil: it shows none.
func sidecar(t *testing.T, ca *simulate.CA, cert *tls.Certificate) *http.Client {
	return mtlsClient(t, ca, cert, func(c *tls.Config) {
		c.InsecureSkipVerify = true // workloads have no DNS names
		c.ServerName = "outbound_.80_._.istio-egressgateway.istio-system.svc.cluster.local"
		c.NextProtos = []string{"istio-http/1.1", "istio", "http/1.1"}
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if id := s.PeerCertificates[0].URIs; len(id) != 1 || id[0].String() != egressID {
				t.Errorf("the gateway proves to be %v", id)
			}
			return nil
		}
	})
}

// post asks by an address for a host, and returns status and body; 0 and why,
// where there is no answer.
func post(c *http.Client, base, host, path string) (int, string) {
	r, err := http.NewRequest(http.MethodPost, base+path, strings.NewReader(tellMe))
	if err != nil {
		return 0, err.Error()
	}
	r.Host = host
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// egress runs ASM's walk-through without its policy.
func egress(t *testing.T, ca *simulate.CA, flags ...string) *program {
	t.Helper()
	return run(t, example(t, "asm-egress-gateway", "egress-gw.yaml", "dashscope-qwen.yaml", "dashscope-route.yaml"), settings{
		args: append(flags, "--identity", identityOf(t, ca, egressID), "--port", "80=127.0.0.1:0"),
		env:  map[string]string{"API_KEY": dashScopeKey},
	})
}

// TestASMEgressGateway follows the walk-through of ASM's egress gateway: the
// gateway knows its callers by their certificates, and a policy denies one of
// them.
func TestASMEgressGateway(t *testing.T) {
	all, flags := dashScope(t)
	ca := newCA(t)
	p := egress(t, ca, flags...)
	base := "https://" + p.addr("80")
	sleeping := sidecar(t, ca, sleep(t, ca))
	curling := sidecar(t, ca, workload(t, ca, simulate.Workload{URIs: []string{curlID}}))
	const host = "dashscope.aliyuncs.com"
	expect := func(step string, c *http.Client, host, path string, status int, body string) {
		t.Helper()
		if got, text := post(c, base, host, path); got != status || !strings.Contains(text, body) {
			t.Errorf("%s: %d %q, want %d with %q", step, got, text, status, body)
		}
	}

	expect("step 4", sleeping, host, "/", 200, `"model":"qwen1.5-72b-chat"`)
	seen := all.Requests()
	if len(seen) != 1 {
		t.Fatalf("the provider saw %d requests", len(seen))
	}
	expectDashScope(t, seen[0], map[string]any{"model": "qwen1.5-72b-chat", "stream": false})
	expect("another path", sleeping, host, "/anything?x=y", 200, "chat.completion")
	expect("another host", sleeping, "example.com", "/", 404, "")
	expect("no certificate", sidecar(t, ca, nil), host, "/", 0, "")
	other := newCA(t)
	expect("a certificate of another mesh", sidecar(t, ca, sleep(t, other)), host, "/", 0, "")

	all.Clear()
	policy := example(t, "asm-egress-gateway", "authpolicy.yaml")
	p.write("authpolicy.yaml", policy["authpolicy.yaml"])
	p.await("the policy", func() bool { status, _ := post(sleeping, base, host, "/"); return status == 403 })
	all.Clear()
	if status, text := post(sleeping, base, host, "/"); status != 403 || text != "RBAC: access denied" {
		t.Errorf("step 5: %d %q", status, text)
	}
	if n := len(all.Requests()); n != 0 {
		t.Errorf("%d denied requests reached the provider", n)
	}
	expect("another workload", curling, host, "/", 200, "chat.completion")
	expect("a host that the policy does not name", sleeping, "example.com", "/", 404, "")
	p.lastLog("the denial", func(m map[string]any) bool {
		return m["status"] == float64(403) && m["peer"] == sleeper && strings.Contains(logText(m), "ns[istio-system]-policy[test]-rule[0]")
	})

	p.remove("authpolicy.yaml")
	p.await("sleep again", func() bool { status, _ := post(sleeping, base, host, "/"); return status == 200 })
}

func logText(m map[string]any) string {
	var out strings.Builder
	for _, v := range m {
		if s, ok := v.(string); ok {
			out.WriteString(s + " ")
		}
	}
	return out.String()
}

// TestIstioDeniesBeforeRoutes holds that who is refused is not told what there
// is: 403, also where no route is.
func TestIstioDeniesBeforeRoutes(t *testing.T) {
	_, flags := dashScope(t)
	p := run(t, map[string]string{
		"gw.yaml": istioGateway, "provider.yaml": qwen, "vs.yaml": qwenByService,
		"nobody.yaml": "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: nobody, namespace: istio-system}\nspec: {}\n",
	}, settings{args: flags, env: map[string]string{"API_KEY": dashScopeKey}})
	base := "http://" + p.addr("8080")
	for _, tc := range []struct{ host, path string }{
		{"dashscope.aliyuncs.com", "/"}, {"chat.example.com", "/chat"}, {"chat.example.com", "/elsewhere"}, {"nowhere.example.com", "/"},
	} {
		if status, text := post(http.DefaultClient, base, tc.host, tc.path); status != 403 || text != "RBAC: access denied" {
			t.Errorf("%s%s: %d %q", tc.host, tc.path, status, text)
		}
	}
	p.remove("nobody.yaml")
	p.await("everybody", func() bool {
		status, _ := post(http.DefaultClient, base, "dashscope.aliyuncs.com", "/")
		return status == 200
	})
	if status, _ := post(http.DefaultClient, base, "nowhere.example.com", "/"); status != 404 {
		t.Errorf("no route: %d", status)
	}
}
