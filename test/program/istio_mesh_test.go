package program

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// side is a running workload's side of a mesh.
type side struct {
	*program
	addr string
}

// meshSide runs the workload's side of ASM's walk-through: the same files, and
// no API_KEY.
func meshSide(t *testing.T, workload, identity, egress string) *side {
	t.Helper()
	args := []string{
		"--mesh", "127.0.0.1:0", "--workload", workload, "--workload-labels", "app=caller", "--identity", identity,
		"--egress-identity", egressID, "--connect-to", "istio-egressgateway.istio-system.svc.cluster.local:80=" + egress,
	}
	p := run(t, example(t, "asm-egress-gateway", "egress-gw.yaml", "dashscope-qwen.yaml", "dashscope-route.yaml", "authpolicy.yaml"), settings{args: args})
	return &side{p, p.addr("0")}
}

// call asks a workload's side as an application does that has it as its proxy.
func (s *side) call(host, path string) (int, string) {
	proxy := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: s.addr}), DisableKeepAlives: true}
	return post(&http.Client{Transport: proxy, Timeout: patience}, "http://"+host, host, path)
}

// TestASMMesh follows the whole walk-through: workloads speak plain HTTP with
// their own side, which carries it to the egress gateway over mutual TLS.
func TestASMMesh(t *testing.T) {
	all, flags := dashScope(t)
	ca := newCA(t)
	gw := egress(t, ca, flags...)
	at := gw.addr("80")
	sleeping := meshSide(t, "default/sleep", identityOf(t, ca, sleeper), at)
	curling := meshSide(t, "default/curl", identityOf(t, ca, curlID), at)
	const host = "dashscope.aliyuncs.com"

	if status, text := sleeping.call(host, "/"); status != 200 || !strings.Contains(text, `"model":"qwen1.5-72b-chat"`) {
		t.Fatalf("step 4: %d %q\n%s", status, text, sleeping.err)
	}
	seen := all.Requests()
	if len(seen) != 1 {
		t.Fatalf("the provider saw %d requests", len(seen))
	}
	expectDashScope(t, seen[0], map[string]any{"model": "qwen1.5-72b-chat", "stream": false})

	gw.write("authpolicy.yaml", example(t, "asm-egress-gateway", "authpolicy.yaml")["authpolicy.yaml"])
	gw.await("the policy", func() bool { status, _ := sleeping.call(host, "/"); return status == 403 })
	all.Clear()
	if status, text := sleeping.call(host, "/"); status != 403 || text != "RBAC: access denied" {
		t.Errorf("step 5: %d %q", status, text)
	}
	if n := len(all.Requests()); n != 0 {
		t.Errorf("%d denied requests reached the provider", n)
	}
	if status, text := curling.call(host, "/"); status != 200 || !strings.Contains(text, "chat.completion") {
		t.Errorf("another workload: %d %q", status, text)
	}
	if status, _ := curling.call("example.com", "/"); status != 404 {
		t.Errorf("a host without a rule for mesh: %d", status)
	}
	gw.lastLog("the denied caller", func(m map[string]any) bool { return m["status"] == float64(403) && m["peer"] == sleeper })
}

// TestASMMeshRefusesOthers carries nothing to who does not prove to be the
// egress gateway.
func TestASMMeshRefusesOthers(t *testing.T) {
	_, flags := dashScope(t)
	ca := newCA(t)
	gw := run(t, example(t, "asm-egress-gateway", "egress-gw.yaml", "dashscope-qwen.yaml", "dashscope-route.yaml"), settings{
		args: append(flags, "--identity", identityOf(t, ca, "spiffe://cluster.local/ns/default/sa/impostor"), "--port", "80=127.0.0.1:0"),
		env:  map[string]string{"API_KEY": dashScopeKey},
	})
	caller := meshSide(t, "default/curl", identityOf(t, ca, curlID), gw.addr("80"))
	if status, text := caller.call("dashscope.aliyuncs.com", "/"); status != 503 {
		t.Errorf("%d %q", status, text)
	}
}
