package gateway

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/simulate"
)

// identified is a node that shows its own identity and demands its clients'.
func identified(t testing.TB, ca *simulate.CA, edit func(*ir.ServerTLS)) *node {
	t.Helper()
	cfg := &ir.ServerTLS{Identity: true}
	if edit != nil {
		edit(cfg)
	}
	n := newNode(t, forwarding(cfg, echo(t)))
	n.identify(t, workload(t, ca, egressID), ca.PEM())
	return n
}

// TestIdentityHandshakes asks a listener with the workload's own identity:
// another workload of the mesh is let in and known, and nobody else.
func TestIdentityHandshakes(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	n := identified(t, ca, nil)
	now := time.Now()
	self := issue(t, other, simulate.Workload{URIs: []string{callerID}})
	for _, tc := range []struct {
		name   string
		cert   *tls.Certificate
		alpn   []string
		reason string // why it is refused; empty: it is let in
	}{
		{"a workload", workload(t, ca, callerID), nil, ""},
		{"a sidecar for HTTP", workload(t, ca, callerID), []string{"istio-http/1.1", "istio", "http/1.1"}, ""},
		{"a sidecar for TCP", workload(t, ca, callerID), []string{"istio-peer-exchange", "istio"}, ""},
		{"a sidecar for what it does not know", workload(t, ca, callerID), []string{"istio"}, ""},
		{"another protocol", workload(t, ca, callerID), []string{"smtp"}, "unsupported application protocols"},
		{"another protocol beside a mesh's", workload(t, ca, callerID), []string{"istio", "smtp"}, "unsupported application protocols"},
		{"nobody", nil, nil, "client didn't provide a certificate"},
		{"another CA", self, nil, "unknown authority"},
		{"no SAN", issue(t, ca, simulate.Workload{}), nil, "no URI SAN"},
		{"a DNS SAN alone", issue(t, ca, simulate.Workload{DNSNames: []string{"sleep"}}), nil, "no URI SAN"},
		{"two URI SANs", issue(t, ca, simulate.Workload{URIs: []string{callerID, "https://example.com/x"}}), nil, "more than one URI SAN"},
		{"another scheme", issue(t, ca, simulate.Workload{URIs: []string{"https://cluster.local/ns/default/sa/sleep"}}), nil, "does not begin with spiffe://"},
		{"a trust domain alone", issue(t, ca, simulate.Workload{URIs: []string{"spiffe://cluster.local"}}), nil, "no path"},
		{"a query", issue(t, ca, simulate.Workload{URIs: []string{callerID + "?x"}}), nil, "no SPIFFE ID"},
		{"an escape", issue(t, ca, simulate.Workload{URIs: []string{"spiffe://cluster.local/ns/a%2Fb"}}), nil, "no SPIFFE ID"},
		{"dots", issue(t, ca, simulate.Workload{URIs: []string{"spiffe://cluster.local/ns/default/../kube-system"}}), nil, "no SPIFFE ID"},
		{"expired", issue(t, ca, simulate.Workload{URIs: []string{callerID}, NotAfter: now.Add(-time.Second)}), nil, "expired"},
		{"not yet valid", issue(t, ca, simulate.Workload{URIs: []string{callerID}, NotBefore: now.Add(time.Hour)}), nil, "not yet valid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := dials(t, tc.cert, ca)
			cfg.NextProtos = tc.alpn
			status, body := get(client(t, cfg), "https://"+n.addr()+"/x")
			if tc.reason != "" {
				if status != 0 {
					t.Errorf("let in: %d %s", status, body)
				}
				await(t, "reason in the log", func() bool { return n.refused(tc.reason) })
				return
			}
			if status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			if r := n.seen.last(); r.Peer != callerID {
				t.Errorf("peer %q", r.Peer)
			}
		})
	}
}

// TestClientRules narrows whom a listener lets in of those that its CA vouches
// for.
func TestClientRules(t *testing.T) {
	ca := newCA(t)
	good, bad := workload(t, ca, callerID), workload(t, ca, callerID+"2")
	digest := func(b []byte) string { d := sha256.Sum256(b); return hex.EncodeToString(d[:]) }
	leaf, err := x509.ParseCertificate(good.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	crl := func(next time.Time, certs ...tls.Certificate) []ir.Bytes {
		list, err := ca.Revoke(next, certs...)
		if err != nil {
			t.Fatal(err)
		}
		return []ir.Bytes{{Inline: string(list)}}
	}
	strange, err := newCA(t).Revoke(time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	for _, tc := range []struct {
		name   string
		edit   func(*ir.ServerTLS)
		good   bool   // is let in
		reason string // why bad is not
	}{
		{"names", func(c *ir.ServerTLS) { c.ClientNames = []string{"other", callerID} }, true, "none of the names"},
		{"a key", func(c *ir.ServerTLS) { c.ClientKeys = []string{digest(leaf.RawSubjectPublicKeyInfo)} }, true, "none of those that are pinned"},
		{"a certificate", func(c *ir.ServerTLS) { c.ClientHashes = []string{digest(leaf.Raw)} }, true, "none of those that are pinned"},
		{"either", func(c *ir.ServerTLS) {
			c.ClientKeys, c.ClientHashes = []string{digest([]byte("x"))}, []string{digest(leaf.Raw)}
		}, true, "none of those that are pinned"},
		{"a list", func(c *ir.ServerTLS) { c.ClientCRLs = crl(later, *bad) }, true, "is revoked"},
		{"a list of another CA", func(c *ir.ServerTLS) { c.ClientCRLs = []ir.Bytes{{Inline: string(strange)}} }, false, "no revocation list"},
		{"a list out of date", func(c *ir.ServerTLS) { c.ClientCRLs = crl(time.Now().Add(-time.Minute), *bad) }, false, "revoked"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := identified(t, ca, tc.edit)
			status, body := get(client(t, dials(t, good, ca)), "https://"+n.addr()+"/x")
			if (status == 200) != tc.good {
				t.Errorf("good: %d %s", status, body)
			}
			if status, body := get(client(t, dials(t, bad, ca)), "https://"+n.addr()+"/x"); status != 0 {
				t.Errorf("bad: %d %s", status, body)
			}
			await(t, "reason in the log", func() bool { return n.refused(tc.reason) })
		})
	}
}

// TestOptionalClients lets in who shows nothing, as nobody, and refuses who
// shows something bad.
func TestOptionalClients(t *testing.T) {
	ca := newCA(t)
	n := identified(t, ca, func(c *ir.ServerTLS) { c.ClientOptional = true })
	if status, _ := get(client(t, dials(t, nil, ca)), "https://"+n.addr()+"/x"); status != 200 || n.seen.last().Peer != "" {
		t.Errorf("nobody: %d %+v", status, n.seen.last())
	}
	if status, _ := get(client(t, dials(t, workload(t, ca, callerID), ca)), "https://"+n.addr()+"/x"); status != 200 || n.seen.last().Peer != callerID {
		t.Errorf("somebody: %d %+v", status, n.seen.last())
	}
	if status, _ := get(client(t, dials(t, workload(t, newCA(t), callerID), ca)), "https://"+n.addr()+"/x"); status != 0 {
		t.Errorf("another CA's: %d", status)
	}
}

// TestUnverifiedClients lets in clients whose certificate proves nothing, as
// nobody.
func TestUnverifiedClients(t *testing.T) {
	ca := newCA(t)
	n := identified(t, ca, func(c *ir.ServerTLS) { c.ClientOptional, c.ClientUnverified = true, true })
	for _, tc := range []struct {
		name string
		cert *tls.Certificate
		peer string
	}{
		{"nobody", nil, ""},
		{"somebody", workload(t, ca, callerID), callerID},
		{"another CA's", workload(t, newCA(t), callerID), ""},
		{"expired", issue(t, ca, simulate.Workload{URIs: []string{callerID}, NotAfter: time.Now().Add(-time.Minute)}), ""},
		{"two identities", issue(t, ca, simulate.Workload{URIs: []string{callerID, egressID}}), ""},
	} {
		status, text := get(client(t, dials(t, tc.cert, ca)), "https://"+n.addr()+"/x")
		if status != 200 || n.seen.last().Peer != tc.peer {
			t.Errorf("%s: %d %s, as %q, want %q", tc.name, status, text, n.seen.last().Peer, tc.peer)
		}
	}
}

// TestWithoutIdentity refuses every handshake as long as there is no workload
// certificate, says so in the report, and serves as soon as there is one.
func TestWithoutIdentity(t *testing.T) {
	ca := newCA(t)
	n := newNode(t, forwarding(&ir.ServerTLS{Identity: true}, echo(t)))
	c := client(t, dials(t, workload(t, ca, callerID), ca))
	if status, _ := get(c, "https://"+n.addr()+"/x"); status != 0 {
		t.Errorf("%d", status)
	}
	await(t, "reason in the log", func() bool { return n.refused("secret not found") })
	if r := n.Report(); r.Errors() == 0 {
		t.Errorf("no problem is reported: %v", r.Problems)
	}
	n.identify(t, workload(t, ca, egressID), ca.PEM())
	if status, text := get(c, "https://"+n.addr()+"/x"); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	if r := n.Report(); len(r.Problems) > 0 {
		t.Errorf("problems stay: %v", r.Problems)
	}
}

// TestSecurityRow23IdentityRotates renews certificate and roots of a workload
// while clients keep asking on connections that they have: nobody whose root
// stands notices, and whose root is gone has had his last request.
func TestSecurityRow23IdentityRotates(t *testing.T) {
	ca, next := newCA(t), newCA(t)
	n := identified(t, ca, nil)
	url := "https://" + n.addr() + "/x"
	old := client(t, dials(t, workload(t, ca, callerID), ca, next))
	fresh := client(t, dials(t, workload(t, next, callerID), ca, next))
	must := func(when string, status, want int) {
		t.Helper()
		if status != want {
			t.Errorf("%s: %d, want %d", when, status, want)
		}
	}
	ask := func() int { s, _ := get(old, url); return s }
	must("at first", ask(), 200)
	n.identify(t, workload(t, ca, egressID), ca.PEM())
	must("renewed certificate, old connection", ask(), 200)
	both := slices.Concat(ca.PEM(), next.PEM())
	n.identify(t, workload(t, ca, egressID), both)
	must("both roots, old connection", ask(), 200)
	s, _ := get(fresh, url)
	must("both roots, next root's client", s, 200)
	n.identify(t, workload(t, next, egressID), both)
	must("next root's certificate, old connection", ask(), 200)
	n.identify(t, workload(t, next, egressID), next.PEM())
	must("old root gone, on its connection", ask(), 421)
	if !strings.Contains(n.seen.last().Cause, "no longer trusted") {
		t.Errorf("cause %q", n.seen.last().Cause)
	}
	must("old root gone, on a new connection", ask(), 0)
	s, _ = get(fresh, url)
	must("next root's client, on its connection", s, 200)
}

// TestRevokedOnAnOpenConnection names a client in a list while its connection
// is open: the next request is its last.
func TestRevokedOnAnOpenConnection(t *testing.T) {
	ca := newCA(t)
	cert := workload(t, ca, callerID)
	list := func(certs ...tls.Certificate) *ir.ServerTLS {
		crl, err := ca.Revoke(time.Now().Add(time.Hour), certs...)
		if err != nil {
			t.Fatal(err)
		}
		return &ir.ServerTLS{Identity: true, ClientCRLs: []ir.Bytes{{Inline: string(crl)}}}
	}
	u := echo(t)
	n := newNode(t, forwarding(list(), u))
	n.identify(t, workload(t, ca, egressID), ca.PEM())
	c := client(t, dials(t, cert, ca))
	if status, text := get(c, "https://"+n.addr()+"/x"); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	n.up.next <- forwarding(list(*cert), u)
	await(t, "end of the revoked client", func() bool { s, _ := get(c, "https://"+n.addr()+"/x"); return s != 200 })
	if s, _ := get(c, "https://"+n.addr()+"/x"); s != 0 {
		t.Errorf("a new connection: %d", s)
	}
	await(t, "reason in the log", func() bool { return n.refused("is revoked") })
}

// TestResumptionIsOff makes two connections by one client that would resume.
func TestResumptionIsOff(t *testing.T) {
	ca := newCA(t)
	n := identified(t, ca, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := dials(t, workload(t, ca, callerID), ca)
		cfg.MaxVersion, cfg.ClientSessionCache = version, tls.NewLRUClientSessionCache(8)
		for range 2 {
			c, err := tls.Dial("tcp", n.addr(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1)
			if _, err := c.Read(b); err != nil {
				t.Fatal(err)
			}
			if c.ConnectionState().DidResume {
				t.Errorf("TLS %x: the session was resumed", version)
			}
			_ = c.Close()
		}
	}
}

// TestListenerRedirects answers every request of a plain listener with a
// redirect to the same over TLS, whatever its routes are.
func TestListenerRedirects(t *testing.T) {
	cfg := forwarding(nil, echo(t))
	cfg.Listeners[0].Redirect = &ir.Redirect{Scheme: "https", Status: 301}
	n := newNode(t, cfg)
	for path, target := range map[string]string{"/a/b?c=d": "https://gw.example.com/a/b?c=d", "/": "https://gw.example.com/"} {
		r, err := http.NewRequest("GET", "http://"+n.addr()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "gw.example.com"
		resp, err := client(t, nil).Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 301 || resp.Header.Get("Location") != target {
			t.Errorf("%s: %d to %q, want %q", path, resp.StatusCode, resp.Header.Get("Location"), target)
		}
	}
}

// TestHandshakesAreCounted counts who is let in and who is not.
func TestHandshakesAreCounted(t *testing.T) {
	ca := newCA(t)
	n := identified(t, ca, nil)
	get(client(t, dials(t, workload(t, ca, callerID), ca)), "https://"+n.addr()+"/x")
	get(client(t, dials(t, nil, ca)), "https://"+n.addr()+"/x")
	await(t, "count", func() bool { made, refused := n.Listeners().Handshakes(); return made == 1 && refused == 1 })
}
