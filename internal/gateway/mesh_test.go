package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/simulate"
)

// egressHost is how the workload's side calls the egress gateway.
const egressHost = "istio-egressgateway.istio-system.svc.cluster.local"

// workloadSide is a plain listener that carries everything to the gateway at
// addr over mutual TLS; who answers there must prove to be want.
func workloadSide(t testing.TB, addr, want string, protocol ...ir.Protocol) *node {
	t.Helper()
	return newNode(t, forwarding(nil, &ir.Upstream{
		Name: "egress", Protocol: append(protocol, ir.ProtocolHTTP1)[0],
		Endpoints: []ir.Endpoint{{Host: egressHost, Port: 80}},
		TLS:       &ir.ClientTLS{Identity: true, AutoSNI: true, SubjectAltNames: []string{want}},
	}), egressHost+":80="+addr)
}

// TestMeshCall makes a plain call on the workload's side, which arrives at the
// provider by way of the egress gateway with its host unchanged; the gateway
// knows which workload called.
func TestMeshCall(t *testing.T) {
	ca := newCA(t)
	egress := identified(t, ca, nil)
	side := workloadSide(t, egress.addr(), egressID)
	side.identify(t, workload(t, ca, callerID), ca.PEM())

	for _, tc := range []struct {
		name, request, want string
		status              int
	}{
		{"by a hosts entry", "POST /v1 HTTP/1.1\r\nHost: dashscope.aliyuncs.com\r\nContent-Length: 2\r\n\r\n{}", "POST dashscope.aliyuncs.com/v1", 200},
		{"as an HTTP proxy", "POST http://dashscope.aliyuncs.com/v1?a=b HTTP/1.1\r\nHost: dashscope.aliyuncs.com\r\nProxy-Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", "POST dashscope.aliyuncs.com/v1?a=b", 200},
		{"as a proxy without a path", "GET http://dashscope.aliyuncs.com HTTP/1.1\r\nHost: other.example.com\r\n\r\n", "GET dashscope.aliyuncs.com/", 200},
		{"a tunnel", "CONNECT dashscope.aliyuncs.com:443 HTTP/1.1\r\nHost: dashscope.aliyuncs.com:443\r\n\r\n", "", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body := raw(t, side.addr(), tc.request)
			if status != tc.status || tc.want != "" && body != tc.want {
				t.Errorf("%d %q, want %d %q", status, body, tc.status, tc.want)
			}
			if r := egress.seen.last(); tc.status == 200 && (r.Peer != callerID || r.Authority != "dashscope.aliyuncs.com") {
				t.Errorf("at the egress gateway: peer %q, authority %q", r.Peer, r.Authority)
			}
		})
	}
}

// raw sends bytes and reads one answer.
func raw(t *testing.T, addr, request string) (int, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b := make([]byte, max(0, resp.ContentLength))
	_, _ = io.ReadFull(resp.Body, b)
	return resp.StatusCode, string(b)
}

// TestMeshRefuses carries nothing to a gateway that does not prove to be the
// egress gateway, and nothing without an identity of the workload's own.
func TestMeshRefuses(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	for _, tc := range []struct {
		name   string
		egress *simulate.Workload
		by     *simulate.CA
		own    bool
		cause  string
	}{
		{"another identity", &simulate.Workload{URIs: []string{callerID}}, ca, true, "none of the names"},
		{"two identities", &simulate.Workload{URIs: []string{egressID, callerID}}, ca, true, "none of the names"},
		{"the host's name alone", &simulate.Workload{DNSNames: []string{egressHost}}, ca, true, "none of the names"},
		{"another CA", &simulate.Workload{URIs: []string{egressID}}, other, true, "unknown authority"},
		{"no identity of its own", &simulate.Workload{URIs: []string{egressID}}, ca, false, "secret not found"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			egress := newNode(t, forwarding(&ir.ServerTLS{Identity: true}, echo(t)))
			egress.identify(t, issue(t, tc.by, *tc.egress), slices.Concat(ca.PEM(), other.PEM()))
			side := workloadSide(t, egress.addr(), egressID)
			if tc.own {
				side.identify(t, workload(t, ca, callerID), ca.PEM())
			}
			status, body := get(client(t, nil), "http://"+side.addr()+"/x")
			if status != 503 || !strings.Contains(side.seen.last().Cause, tc.cause) {
				t.Errorf("%d %q, cause %q", status, body, side.seen.last().Cause)
			}
			if r := egress.seen.last(); r.Decision != "" {
				t.Errorf("something arrived: %+v", r)
			}
		})
	}
}

// TestSecurityRow23MeshRotates renews the certificates and the roots of both
// sides, again and again, while requests go through: none fails.
func TestSecurityRow23MeshRotates(t *testing.T) {
	for _, protocol := range []ir.Protocol{ir.ProtocolHTTP1, ir.ProtocolHTTP2} {
		t.Run("upstream"+string(protocol), func(t *testing.T) { rotate(t, protocol) })
	}
}

func rotate(t *testing.T, protocol ir.Protocol) {
	ca := newCA(t)
	egress := identified(t, ca, nil)
	side := workloadSide(t, egress.addr(), egressID, protocol)
	side.identify(t, workload(t, ca, callerID), ca.PEM())
	var (
		stop atomic.Bool
		work sync.WaitGroup
		sent atomic.Int64
	)
	proxy, err := url.Parse("http://" + side.addr())
	if err != nil {
		t.Fatal(err)
	}
	var answered [4]atomic.Int64
	for i := range answered {
		c := client(t, nil)
		c.Transport.(*http.Transport).Proxy = http.ProxyURL(proxy)
		work.Go(func() {
			for !stop.Load() {
				if status, body := get(c, fmt.Sprintf("http://dashscope.aliyuncs.com/%d", sent.Add(1))); status != 200 {
					t.Errorf("%d %s; %s", status, body, side.seen.last().Cause)
					stop.Store(true)
					return
				}
				answered[i].Add(1)
			}
		})
	}
	rest := func() { // let everybody's requests begin and end in each state
		for i := range answered {
			from := answered[i].Load()
			await(t, "requests", func() bool { return answered[i].Load() > from+4 || stop.Load() })
		}
	}
	for range 5 {
		next := newCA(t)
		both := slices.Concat(ca.PEM(), next.PEM())
		egress.identify(t, workload(t, ca, egressID), both)
		side.identify(t, workload(t, ca, callerID), both)
		rest()
		side.identify(t, workload(t, next, callerID), both)
		egress.identify(t, workload(t, next, egressID), both)
		rest()
		side.identify(t, workload(t, next, callerID), next.PEM())
		egress.identify(t, workload(t, next, egressID), next.PEM())
		rest()
		ca = next
	}
	stop.Store(true)
	work.Wait()
	t.Logf("%d requests went through 15 rotations", sent.Load())
}

// TestMeshShowsTheNewIdentity gives the workload's side another identity while
// its connections are open: the next call is made under the new one.
func TestMeshShowsTheNewIdentity(t *testing.T) {
	for _, protocol := range []ir.Protocol{ir.ProtocolHTTP1, ir.ProtocolHTTP2} {
		t.Run("upstream"+string(protocol), func(t *testing.T) {
			ca := newCA(t)
			egress := identified(t, ca, nil)
			side := workloadSide(t, egress.addr(), egressID, protocol)
			c := client(t, nil)
			for _, id := range []string{callerID, callerID + "2", callerID} {
				side.identify(t, workload(t, ca, id), ca.PEM())
				for range 2 {
					if status, body := get(c, "http://"+side.addr()+"/x"); status != 200 {
						t.Fatalf("%d %s; %s", status, body, side.seen.last().Cause)
					}
					if r := egress.seen.last(); r.Peer != id {
						t.Errorf("%s: called as %q, want %q", r.Protocol, r.Peer, id)
					}
				}
			}
		})
	}
}
