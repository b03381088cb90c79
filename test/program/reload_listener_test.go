package program

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/simulate"
)

// listening is a Gateway with the listeners given in YAML's flow style.
func listening(listeners ...string) string {
	head, _, _ := strings.Cut(gatewayOn, "  - ")
	return head + "  - " + strings.Join(listeners, "\n  - ") + "\n"
}

const (
	plain8080 = "{name: http, protocol: HTTP, port: 8080}"
	plain9090 = "{name: more, protocol: HTTP, port: 9090}"
	plain8443 = "{name: https, protocol: HTTP, port: 8443}"
	tls8443   = "{name: https, protocol: HTTPS, port: 8443, tls: {certificateRefs: [{name: cert}]}}"
)

// steady is a stream through port 8080 that must live through every change.
func steady(t *testing.T, p *program) (ends func()) {
	t.Helper()
	resp, err := client(t, "HTTP/1.1").Get("http://" + p.addr("8080") + "/up/stream")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, len("begins "))); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(b) != "ends" || err != nil {
			t.Errorf("the stream on another port: %q, %v", b, err)
		}
	}
}

// TestPortsComeAndGo adds and removes a port of a running gateway, many times:
// it is bound and freed at once, what was under way on it ends well, and
// nobody else notices.
func TestPortsComeAndGo(t *testing.T) {
	leaksNothing(t)
	u, let := held(t)
	quick := startRaw(t, says(fine))
	other := freeAddr(t)
	p := run(t, files(nil, target{name: "up", addr: u.addr}, target{name: "quick", addr: quick.addr}),
		settings{args: []string{"--port", "9090=" + other}})
	ends := steady(t, p)
	accepts := func() bool {
		c, err := net.Dial("tcp", other)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	var onGone chan outcome
	for i := range 10 {
		p.write("gateway.yaml", listening(plain8080, plain9090))
		p.await("the new port", accepts)
		status, text, err := fetch(t, client(t, "HTTP/1.1"), "GET", "http://"+other+"/quick", nil)
		if status != 200 || text != "fine" || err != nil {
			t.Errorf("on the new port, time %d: %d %q, %v", i, status, text, err)
		}
		if i == 0 { // a request that outlives its port
			onGone = make(chan outcome, 1)
			_, before := u.conns()
			go func() {
				status, text, err := fetch(t, client(t, "HTTP/1.1"), "GET", "http://"+other+"/up/head", nil)
				onGone <- outcome{"head", text, status, err}
			}()
			p.await("the request at the upstream", func() bool { _, n := u.conns(); return n > before })
		}
		p.write("gateway.yaml", listening(plain8080))
		p.await("the port's end", func() bool { return !accepts() })
	}
	let()
	if o := <-onGone; o.status != 200 || o.text != "fine" || o.err != nil {
		t.Errorf("the request that outlived its port: %+v", o)
	}
	ends()
	if bad := p.err.String(); strings.Contains(bad, "address already in use") {
		t.Errorf("a port was not freed in time:\n%s", bad)
	}
}

// TestPortMoves gives a bound address to another port of the resources in one
// change: it is freed before it is bound again.
func TestPortMoves(t *testing.T) {
	leaksNothing(t)
	quick := startRaw(t, says(fine))
	addr := freeAddr(t)
	p := run(t, files(map[string]string{"gateway.yaml": listening(plain8080, plain9090)}, target{name: "quick", addr: quick.addr}),
		settings{args: []string{"--port", "9090=" + addr, "--port", "9191=" + addr}})
	for i := range 6 {
		port := []string{"9191", "9090"}[i%2]
		p.write("gateway.yaml", listening(plain8080, strings.Replace(plain9090, "9090", port, 1)))
		p.await("reload", func() bool { return strings.Count(p.err.String(), "postern: reloaded") > i })
		if status, _, err := fetch(t, client(t, "HTTP/1.1"), "GET", "http://"+addr+"/quick", nil); status != 200 || err != nil {
			t.Fatalf("port %s: %d, %v; standard error:\n%s", port, status, err, p.err)
		}
	}
}

// secure returns a client that trusts ca, and the serial numbers that it saw
// of the certificates of new connections.
func secure(t *testing.T, ca *simulate.CA) (*http.Client, func() string) {
	last := ""
	tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), ServerName: "edge.example", VerifyConnection: func(s tls.ConnectionState) error {
		last = s.PeerCertificates[0].SerialNumber.String()
		return nil
	}}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}, func() string { return last }
}

// TestTLSAtRunTime switches TLS on for a port, and then renews its
// certificate: each new connection meets the new state, nobody is served in
// the clear any more, and the connections of other ports live.
func TestTLSAtRunTime(t *testing.T) {
	leaksNothing(t)
	u, let := held(t)
	quick := startRaw(t, says(fine))
	ca := authority(t)
	p := run(t, files(map[string]string{"gateway.yaml": listening(plain8080, plain8443)}, target{name: "up", addr: u.addr}, target{name: "quick", addr: quick.addr}), settings{})
	ends := steady(t, p)
	edge := p.addr("8443")
	early := dial(t, edge) // connected, and silent until TLS is on
	kept := client(t, "HTTP/1.1")
	if status, _, err := fetch(t, kept, "GET", "http://"+edge+"/quick", nil); status != 200 || err != nil {
		t.Fatalf("in the clear: %d, %v", status, err)
	}
	p.write("cert.yaml", tlsSecret(t, ca, "cert", "edge.example"))
	p.write("gateway.yaml", listening(plain8080, tls8443))
	c, serial := secure(t, ca)
	https := func() bool {
		status, text, err := fetch(t, c, "GET", "https://"+edge+"/quick", nil)
		return status == 200 && text == "fine" && err == nil
	}
	p.await("TLS", https)
	if status, _, err := fetch(t, kept, "GET", "http://"+edge+"/quick", nil); err == nil && status == 200 {
		t.Error("a kept connection is still served in the clear")
	}
	_, _ = io.WriteString(early, "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, _ := io.ReadAll(early); strings.HasPrefix(string(b), "HTTP/1.1 2") {
		t.Errorf("a connection from before is served in the clear: %q", b)
	}
	old, err := tls.Dial("tcp", edge, &tls.Config{RootCAs: ca.Pool(), ServerName: "edge.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	for range 3 {
		before := serial()
		p.write("cert.yaml", tlsSecret(t, ca, "cert", "edge.example"))
		within(t, time.Second, "the renewed certificate", func() {
			p.await("the renewed certificate", func() bool { return https() && serial() != before })
		})
		_ = old.SetDeadline(time.Now().Add(patience))
		_, _ = fmt.Fprint(old, "GET /quick HTTP/1.1\r\nHost: edge.example\r\n\r\n")
		got := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.ReadFull(old, got); err != nil || string(got) != "HTTP/1.1 200" {
			t.Fatalf("the connection under the old certificate: %q, %v", got, err)
		}
		for last := ""; !strings.HasSuffix(last, "\r\n\r\nfine"); {
			b := make([]byte, 1)
			if _, err := old.Read(b); err != nil {
				t.Fatal(err)
			}
			last += string(b)
		}
	}
	let()
	ends()
}
