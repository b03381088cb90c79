package program

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/simulate"
)

// workloadSide runs the workload's side of ASM's walk-through: its calls go to
// the egress gateway at addr, which must prove to be who.
func workloadSide(t *testing.T, ca *simulate.CA, addr, who string, files map[string]string) *program {
	t.Helper()
	return run(t, files, settings{
		args: []string{
			"--mesh", "127.0.0.1:0", "--workload", "default/sleep", "--workload-labels", "app=sleep",
			"--identity", identityOf(t, ca, sleeper), "--egress-identity", who,
			"--connect-to", "istio-egressgateway.istio-system.svc.cluster.local:80=" + addr,
		},
	})
}

// TestMeshReadsNoSecrets runs the workload's side with the files of the whole
// mesh: neither the provider's key nor a Secret is asked for, whose variables
// are not set there. It takes calls by a hosts entry, and makes no tunnel.
func TestMeshReadsNoSecrets(t *testing.T) {
	all, flags := dashScope(t)
	ca := newCA(t)
	gateway := egress(t, ca, flags...)
	files := example(t, "asm-egress-gateway", "egress-gw.yaml", "dashscope-qwen.yaml", "dashscope-route.yaml")
	files["more.yaml"] = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: default}\nstringData: {k: \"${NOT_SET}\"}\n"
	side := workloadSide(t, ca, gateway.addr("80"), egressID, files)
	addr := side.addr("0")
	const host = "dashscope.aliyuncs.com"

	if status, text := post(http.DefaultClient, "http://"+addr, host, "/"); status != 200 {
		t.Fatalf("by a hosts entry: %d %s\n%s", status, text, side.err)
	}
	for _, seen := range all.Requests() {
		expectDashScope(t, seen, map[string]any{"model": "qwen1.5-72b-chat", "stream": false})
	}
	gateway.lastLog("the peer", func(m map[string]any) bool { return m["peer"] == sleeper && m["authority"] == host })
	if r := sendRaw(t, addr, "CONNECT "+host+":443 HTTP/1.1\r\nHost: "+host+":443\r\n\r\n"); r.status != 400 {
		t.Errorf("a tunnel: %v", r)
	}
}

// TestMeshIdentitiesRotate renews the certificates of both sides in their
// folders, with a new authority, while calls go through: none fails, and the
// gateway's problem of a half-written pair comes and goes.
func TestMeshIdentitiesRotate(t *testing.T) {
	_, flags := dashScope(t)
	ca, next := newCA(t), newCA(t)
	dirs := map[string]string{egressID: t.TempDir(), sleeper: t.TempDir()}
	ends := time.Now().Add(time.Hour)
	give := func(id string, by *simulate.CA, roots ...*simulate.CA) {
		t.Helper()
		ends = ends.Add(time.Minute) // so that each is told from the one before
		var bundle []byte
		for _, r := range roots {
			bundle = append(bundle, r.PEM()...)
		}
		if err := simulate.WriteIdentity(dirs[id], *workload(t, by, simulate.Workload{URIs: []string{id}, NotAfter: ends}), bundle); err != nil {
			t.Fatal(err)
		}
	}
	give(egressID, ca, ca)
	give(sleeper, ca, ca)
	files := example(t, "asm-egress-gateway", "egress-gw.yaml", "dashscope-qwen.yaml", "dashscope-route.yaml")
	gateway := run(t, files, settings{
		args: append(flags, "--identity", dirs[egressID], "--port", "80=127.0.0.1:0"), env: map[string]string{"API_KEY": dashScopeKey},
	})
	side := run(t, files, settings{args: []string{
		"--mesh", "127.0.0.1:0", "--workload", "default/sleep", "--workload-labels", "app=sleep",
		"--identity", dirs[sleeper], "--egress-identity", egressID,
		"--connect-to", "istio-egressgateway.istio-system.svc.cluster.local:80=" + gateway.addr("80"),
	}})
	call := func(when string) {
		t.Helper()
		for range 5 {
			if status, text := post(http.DefaultClient, "http://"+side.addr("0"), "dashscope.aliyuncs.com", "/"); status != 200 {
				t.Fatalf("%s: %d %s\n%s", when, status, text, side.err)
			}
		}
	}
	turn := func(when string, p *program, id string, by *simulate.CA, roots ...*simulate.CA) {
		t.Helper()
		give(id, by, roots...)
		p.await(when, func() bool { return strings.Contains(p.err.String(), " until="+ends.UTC().Format(time.RFC3339)) })
		call(when)
	}
	call("at first")
	turn("both roots at the gateway", gateway, egressID, ca, ca, next)
	turn("both roots at the workload", side, sleeper, ca, ca, next)
	turn("a new certificate of the gateway", gateway, egressID, next, ca, next)
	turn("a new certificate of the workload", side, sleeper, next, ca, next)
	turn("the old root is gone at the gateway", gateway, egressID, next, next)
	turn("the old root is gone at the workload", side, sleeper, next, next)
	if err := os.WriteFile(filepath.Join(dirs[egressID], "key.pem"), []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway.await("problem of a bad pair", func() bool { return strings.Contains(gateway.err.String(), "do not belong together") })
	call("with a bad pair in the folder")
	if r := send(t, request{url: "http://" + gateway.admin + "/readyz"}); r.status != 200 {
		t.Errorf("ready: %v", r)
	}
}

// TestIdentityIsMissing starts a gateway whose certificate is not there yet: it
// is not ready, refuses handshakes, says why, and serves when the files come.
func TestIdentityIsMissing(t *testing.T) {
	_, flags := dashScope(t)
	ca := newCA(t)
	dir := t.TempDir()
	p := run(t, example(t, "asm-egress-gateway", "egress-gw.yaml", "dashscope-qwen.yaml", "dashscope-route.yaml"), settings{
		args: append(flags, "--identity", dir, "--port", "80=127.0.0.1:0"), env: map[string]string{"API_KEY": dashScopeKey},
	})
	if r := send(t, request{url: "http://" + p.admin + "/readyz"}); r.status == 200 || !strings.Contains(r.body, "no workload certificate") {
		t.Errorf("ready: %v", r)
	}
	caller := sidecar(t, ca, sleep(t, ca))
	if status, text := post(caller, "https://"+p.addr("80"), "dashscope.aliyuncs.com", "/"); status != 0 {
		t.Errorf("%d %s", status, text)
	}
	if r := send(t, request{url: "http://" + p.admin + "/status"}); !strings.Contains(r.body, "--identity") {
		t.Errorf("status: %v", r)
	}
	if err := simulate.WriteIdentity(dir, *workload(t, ca, simulate.Workload{URIs: []string{egressID}}), ca.PEM()); err != nil {
		t.Fatal(err)
	}
	p.await("service", func() bool {
		status, _ := post(caller, "https://"+p.addr("80"), "dashscope.aliyuncs.com", "/")
		return status == 200
	})
	p.await("readiness", func() bool { return send(t, request{url: "http://" + p.admin + "/readyz"}).status == 200 })
	p.await("another status than before", func() bool { return !strings.Contains(p.get("/status"), "no workload certificate") })
}
