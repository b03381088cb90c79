package program

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/simulate"
)

// TestMutualTLS asks a listener with client certificates: who has a good one
// is let in and known by name, and nobody else is let in, with a word in the
// log about why.
func TestMutualTLS(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	o := serveOrigin(t, nil)
	p := mutually(t, ca, "", settings{}, o)
	addr := p.addr("8443")

	t.Run("a workload is known", func(t *testing.T) {
		c := mtlsClient(t, ca, sleep(t, ca), nil)
		for range 2 { // the second on the same connection
			status, text := ask(c, addr, "/known", map[string]string{"X-Forwarded-Client-Cert": "URI=spiffe://cluster.local/ns/kube-system/sa/admin"})
			if status != 200 {
				t.Fatalf("%d %s", status, text)
			}
			if seen := o.one(t); seen.header.Get("X-Forwarded-Client-Cert") != "" {
				t.Errorf("security row 1: the client's x-forwarded-client-cert reached the upstream: %v", seen.header)
			}
		}
		p.lastLog("the peer", func(m map[string]any) bool { return m["path"] == "/known" && m["peer"] == sleeper })
	})
	t.Run("a certificate without a SPIFFE ID is nobody", func(t *testing.T) {
		c := mtlsClient(t, ca, workload(t, ca, simulate.Workload{DNSNames: []string{"client.example.com"}}), nil)
		if status, text := ask(c, addr, "/nobody", nil); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
		m := p.lastLog("the path", func(m map[string]any) bool { return m["path"] == "/nobody" })
		if m["peer"] != nil {
			t.Errorf("peer %v", m["peer"])
		}
	})

	now := time.Now()
	for _, tc := range []struct {
		name   string
		cert   *tls.Certificate
		edit   func(*tls.Config)
		reason string
	}{
		{"no certificate", nil, nil, "client didn't provide a certificate"},
		{"another CA's", sleep(t, other), nil, "signed by unknown authority"},
		{"expired", workload(t, ca, simulate.Workload{URIs: []string{sleeper}, NotAfter: now.Add(-time.Minute)}), nil, "expired or is not yet valid"},
		{"not yet valid", workload(t, ca, simulate.Workload{URIs: []string{sleeper}, NotBefore: now.Add(time.Hour)}), nil, "expired or is not yet valid"},
		{"two identities", workload(t, ca, simulate.Workload{URIs: []string{sleeper, sleeper + "2"}}), nil, "more than one URI SAN"},
		{"a bad identity", workload(t, ca, simulate.Workload{URIs: []string{"spiffe://Cluster.Local/ns/a"}}), nil, "no SPIFFE ID"},
		{"another protocol", sleep(t, ca), func(c *tls.Config) { c.NextProtos = []string{"smtp"} }, "unsupported application protocols"},
		{"an old version", sleep(t, ca), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "unsupported versions"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, text := ask(mtlsClient(t, ca, tc.cert, tc.edit), addr, "/refused", nil)
			if status != 0 {
				t.Errorf("let in: %d %s", status, text)
			}
			p.await("a reason in the log: "+tc.reason, func() bool { return refusedFor(p, tc.reason) })
		})
	}
	t.Run("plain HTTP", func(t *testing.T) {
		r := sendRaw(t, addr, "GET / HTTP/1.1\r\nHost: gw.example.com\r\n\r\n")
		if r.status != http.StatusBadRequest {
			t.Errorf("%v", r)
		}
		p.await("a reason in the log", func() bool { return refusedFor(p, "plain HTTP on a port for TLS") })
	})
	if seen := o.requests(); len(seen) != 1 { // of "nobody"
		t.Errorf("the upstream saw %v", seen)
	}
}

// refusedFor reports whether a refused handshake was told of with a reason.
func refusedFor(p *program, reason string) bool {
	for line := range strings.Lines(p.err.String()) {
		if strings.Contains(line, "handshake refused") && strings.Contains(line, reason) {
			return true
		}
	}
	return false
}

// TestSecurityRow23RootsRotate changes the roots of a listener while a client
// keeps its connection: with a new root beside the old one nothing breaks;
// when its root is gone the next request is the connection's last, and a new
// connection is refused.
func TestSecurityRow23RootsRotate(t *testing.T) {
	ca, next := newCA(t), newCA(t)
	o := serveOrigin(t, nil)
	p := mutually(t, ca, "", settings{}, o)
	addr := p.addr("8443")
	old, fresh := mtlsClient(t, ca, sleep(t, ca), nil), mtlsClient(t, ca, sleep(t, next), nil)

	if status, text := ask(old, addr, "/", nil); status != 200 {
		t.Fatalf("before: %d %s", status, text)
	}
	if status, _ := ask(fresh, addr, "/", nil); status != 0 {
		t.Fatal("a certificate of the next root is let in before its time")
	}
	p.write("cas.yaml", clientCAs(append(ca.PEM(), next.PEM()...)))
	p.await("the new root", func() bool { status, _ := ask(fresh, addr, "/", nil); return status == 200 })
	if status, text := ask(old, addr, "/", nil); status != 200 {
		t.Errorf("with both roots: %d %s", status, text)
	}
	p.write("cas.yaml", clientCAs(next.PEM()))
	p.await("the end of the old root", func() bool { status, _ := ask(old, addr, "/", nil); return status != 200 })
	if status, text := ask(old, addr, "/", nil); status != 0 {
		t.Errorf("a new connection after the root was removed: %d %s", status, text)
	}
	if status, text := ask(fresh, addr, "/", nil); status != 200 {
		t.Errorf("the new root's client: %d %s", status, text)
	}
}

// TestMutualTLSOnHTTP2 knows the client of each request on one connection.
func TestMutualTLSOnHTTP2(t *testing.T) {
	ca := newCA(t)
	o := serveOrigin(t, nil)
	p := mutually(t, ca, "", settings{}, o)
	c := mtlsClient(t, ca, sleep(t, ca), nil)
	c.Transport.(*http.Transport).Protocols.SetHTTP1(false)
	c.Transport.(*http.Transport).Protocols.SetHTTP2(true)
	for range 3 {
		resp, err := c.Get("https://" + p.addr("8443") + "/h2")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
			t.Fatalf("%v", resp)
		}
	}
	p.lastLog("the peer", func(m map[string]any) bool { return m["protocol"] == "HTTP/2.0" && m["peer"] == sleeper })
}
