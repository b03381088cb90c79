package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/simulate"
)

// backend is a TLS server that reads to the end and then answers with what it
// read, after its name.
type backend struct {
	*ir.Upstream
	conns atomic.Int64
}

func newBackend(t testing.TB, ca *simulate.CA, name string) *backend {
	t.Helper()
	cert, err := ca.Issue(name)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{Upstream: &ir.Upstream{Name: name, Endpoints: []ir.Endpoint{endpoint(t, ln.Addr().String())}}}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b.conns.Add(1)
			go func() {
				defer func() { _ = c.Close() }()
				s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
				if said, err := io.ReadAll(s); err == nil {
					_, _ = s.Write(append([]byte(name+" "), said...))
				}
				_ = s.CloseWrite()
			}()
		}
	}()
	return b
}

// passing is a configuration whose listener for every name passes TLS through
// to the backends by their names.
func passing(routes map[string]*backend, edit func(*ir.Listener)) *ir.Config {
	l := &ir.Listener{Name: "t/gw/pass", Gateway: "t/gw", Port: nodePort, Passthrough: &ir.Passthrough{}}
	l.HTTP.HeadTimeout = patience
	cfg := &ir.Config{Listeners: []*ir.Listener{l}, Upstreams: map[string]*ir.Upstream{}}
	for name, b := range routes {
		cfg.Upstreams[b.Name] = b.Upstream
		l.Passthrough.Routes = append(l.Passthrough.Routes, &ir.SNIRoute{
			Name: "route " + name, ServerNames: []string{name},
			Forward: ir.Forward{Backends: []ir.Backend{{Upstream: b.Name, Weight: 1}}},
		})
	}
	if edit != nil {
		edit(l)
	}
	return cfg
}

// exchangeOver speaks TLS over c with the server of a name that ca vouches for,
// says a text, says that this is all unless it is a request of HTTP, and returns
// the answer.
func exchangeOver(c net.Conn, ca *simulate.CA, name, say string) (string, error) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	s := tls.Client(c, &tls.Config{ServerName: name, RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12})
	if _, err := io.WriteString(s, say); err != nil {
		return "", err
	}
	if !strings.Contains(say, "HTTP/") {
		if err := s.CloseWrite(); err != nil {
			return "", err
		}
	}
	b, err := io.ReadAll(s)
	return string(b), err
}

func (n *node) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", n.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestPassthrough verifies the backends' own certificates through the gateway.
func TestPassthrough(t *testing.T) {
	ca := newCA(t)
	one, wide, wider := newBackend(t, ca, "one.a.example"), newBackend(t, ca, "*.a.example"), newBackend(t, ca, "*.b.a.example")
	n := newNode(t, passing(map[string]*backend{"one.a.example": one, "*.a.example": wide, "*.b.a.example": wider}, nil))
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for _, tc := range []struct{ name, say, want string }{
		{"one.a.example", "hello", "one.a.example"},
		{"two.a.example", "hello", "*.a.example"},
		{"x.b.a.example", "hello", "*.b.a.example"},
		{"one.a.example", big, "one.a.example"},
	} {
		got, err := exchangeOver(n.dial(t), ca, tc.name, tc.say)
		if err != nil || got != tc.want+" "+tc.say {
			t.Errorf("%s: %d bytes, %v", tc.name, len(got), err)
		}
	}
	await(t, "records", func() bool { return n.seen.count() == 4 })
	var r dataplane.Record
	for _, r = range n.seen.list {
		if r.BytesIn > int64(len(big)) {
			break
		}
	}
	if r.Verdict != dataplane.Allowed || r.Authority != "one.a.example" || r.Upstream != "one.a.example" || r.Client != "127.0.0.1" ||
		r.Route != "route one.a.example" || r.Endpoint == "" || r.Decision == "" || r.BytesOut < int64(len(big)) || r.BytesIn < int64(len(big)) || r.Cut != "" {
		t.Errorf("record %+v", r)
	}
}

// TestPassthroughHalfClose ends the client's side alone, below TLS: the answer
// still comes.
func TestPassthroughHalfClose(t *testing.T) {
	ca := newCA(t)
	n := newNode(t, passing(map[string]*backend{"one.example": newBackend(t, ca, "one.example")}, nil))
	c := n.dial(t)
	s := tls.Client(c, &tls.Config{ServerName: "one.example", RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12})
	if _, err := io.WriteString(s, "x"); err != nil {
		t.Fatal(err)
	}
	_ = s.CloseWrite()
	_ = c.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(s); err != nil || string(b) != "one.example x" {
		t.Errorf("%q %v", b, err)
	}
}

// fragments rewrites what is said: each write as records of TLS of few bytes,
// which are sent one by one.
type fragments struct {
	net.Conn
	size int
}

func (f *fragments) Write(p []byte) (int, error) {
	rest := p
	for len(rest) >= 5 && rest[0] == 22 {
		n := int(binary.BigEndian.Uint16(rest[3:5]))
		body := rest[5 : 5+n]
		for len(body) > 0 {
			m := min(f.size, len(body))
			record := append([]byte{22, rest[1], rest[2], 0, byte(m)}, body[:m]...)
			if _, err := f.Conn.Write(record); err != nil {
				return 0, err
			}
			body = body[m:]
		}
		rest = rest[5+n:]
	}
	if _, err := f.Conn.Write(rest); err != nil {
		return 0, err
	}
	return len(p), nil
}

// TestPassthroughFragments splits the ClientHello into records of one byte, and
// of forty.
func TestPassthroughFragments(t *testing.T) {
	ca := newCA(t)
	n := newNode(t, passing(map[string]*backend{"one.example": newBackend(t, ca, "one.example")}, nil))
	for _, size := range []int{1, 40} {
		got, err := exchangeOver(&fragments{n.dial(t), size}, ca, "one.example", "x")
		if err != nil || got != "one.example x" {
			t.Errorf("%d: %q %v", size, got, err)
		}
	}
}

// helloOf returns the first flight of a client.
func helloOf(cfg *tls.Config) []byte {
	a, b := net.Pipe()
	go func() { _ = tls.Client(a, cfg).Handshake(); _ = a.Close() }()
	defer func() { _ = b.Close() }()
	var all, message []byte
	for len(message) < 4 || len(message) < 4+int(message[1])<<16+int(message[2])<<8+int(message[3]) {
		record := make([]byte, 5)
		if _, err := io.ReadFull(b, record); err != nil {
			return all
		}
		body := make([]byte, binary.BigEndian.Uint16(record[3:]))
		_, _ = io.ReadFull(b, body)
		all, message = append(append(all, record...), body...), append(message, body...)
	}
	return all
}

// TestPassthroughRefuses closes what cannot be carried, in time and without a
// word of TLS; no backend hears of it.
func TestPassthroughRefuses(t *testing.T) {
	ca := newCA(t)
	b := newBackend(t, ca, "one.example")
	n := newNode(t, passing(map[string]*backend{"one.example": b}, nil))
	brief := newNode(t, passing(map[string]*backend{"one.example": b}, func(l *ir.Listener) { l.HTTP.HeadTimeout = 300 * time.Millisecond }))
	var many []string
	for i := range 80 {
		many = append(many, fmt.Sprintf("%0250d", i))
	}
	good := helloOf(&tls.Config{ServerName: "one.example"})
	for _, tc := range []struct {
		name   string
		say    []byte
		silent bool   // nothing at all is answered
		reason string // empty: it is told of in no line above debug
	}{
		{"no server name", helloOf(&tls.Config{InsecureSkipVerify: true}), true, "asks for no server name"},
		{"an address", helloOf(&tls.Config{ServerName: "127.0.0.1"}), true, "asks for no server name"},
		{"an unknown server name", helloOf(&tls.Config{ServerName: "two.example"}), true, "no route carries the server name"},
		{"a strange server name", helloOf(&tls.Config{ServerName: "one.example:443"}), true, "no route carries the server name"},
		{"a long hello", helloOf(&tls.Config{ServerName: "one.example", NextProtos: many}), true, "too long"},
		{"a hello beyond all measure", append([]byte{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, make([]byte, 0x4000-4)...), false, "handshake refused"},
		{"plain HTTP", []byte("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n"), false, "plain HTTP on a port for TLS"},
		{"garbage", bytes.Repeat([]byte{0xff, 0x00}, 4096), false, "does not speak TLS"},
		{"a broken hello", append([]byte{22, 3, 1, 0, 8, 1, 0, 0, 4}, 9, 9, 9, 9), false, "handshake refused"},
		{"half a hello", good[:len(good)/2], true, ""},
		{"nothing", nil, true, ""},
	} {
		n := n
		if tc.reason == "" { // it is waited for
			n = brief
		}
		c := n.dial(t)
		_, _ = c.Write(tc.say)
		_ = c.SetReadDeadline(time.Now().Add(patience))
		answer, err := io.ReadAll(c)
		var network net.Error
		if errors.As(err, &network) && network.Timeout() {
			t.Errorf("%s: it stays open", tc.name)
		}
		if tc.silent && len(answer) > 0 || bytes.HasPrefix(answer, []byte{22}) {
			t.Errorf("%s: answered %q", tc.name, answer)
		}
		if tc.reason != "" {
			await(t, tc.name+": line in the log", func() bool { return n.refused(tc.reason) })
		}
	}
	if b.conns.Load() != 0 || n.seen.count()+brief.seen.count() != 0 {
		t.Errorf("%d connections reached the backend, %d records", b.conns.Load(), n.seen.count()+brief.seen.count())
	}
}

// TestPassthroughBesideTermination shares one port by server name.
func TestPassthroughBesideTermination(t *testing.T) {
	ca, backends := newCA(t), newCA(t)
	b := newBackend(t, backends, "one.pass.example")
	cfg := passing(map[string]*backend{"*.pass.example": b}, func(l *ir.Listener) { l.Hostname = "*.pass.example" })
	cert := secret.Ref{Kind: "Secret", Namespace: "t", Name: "c", Key: "crt"}
	key := secret.Ref{Kind: "Secret", Namespace: "t", Name: "c", Key: "key"}
	ended := forwarding(&ir.ServerTLS{Certificates: []ir.KeyPair{{Certificate: cert, Key: key}}}, echo(t))
	ended.Listeners[0].Hostname = "ended.example"
	cfg.Listeners = append(cfg.Listeners, ended.Listeners...)
	for name, u := range ended.Upstreams {
		cfg.Upstreams[name] = u
	}
	n := newNode(t, cfg)
	pair, err := ca.Issue("ended.example")
	if err != nil {
		t.Fatal(err)
	}
	chain, private, err := simulate.EncodePair(pair)
	if err != nil {
		t.Fatal(err)
	}
	n.store.Put(map[secret.Ref]secret.Value{cert: secret.NewValue(chain), key: secret.NewValue(private)})
	if got, err := exchangeOver(n.dial(t), backends, "one.pass.example", "x"); err != nil || got != "one.pass.example x" {
		t.Errorf("passed through: %q %v", got, err)
	}
	got, err := exchangeOver(n.dial(t), ca, "ended.example", "GET /y HTTP/1.1\r\nHost: ended.example\r\nConnection: close\r\n\r\n")
	if err != nil || !strings.Contains(got, "GET ended.example/y") {
		t.Errorf("ended here: %q %v", got, err)
	}
	got, _ = exchangeOver(n.dial(t), ca, "ended.example", "GET /y HTTP/1.1\r\nHost: one.pass.example\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 421") && !strings.HasPrefix(got, "HTTP/1.1 404") {
		t.Errorf("a request for a host whose TLS is passed through: %q", got)
	}
	if _, err := exchangeOver(n.dial(t), ca, "other.example", "x"); err == nil {
		t.Error("another name is served")
	}
}

// TestPassthroughPolicies asks policies about the connection.
func TestPassthroughPolicies(t *testing.T) {
	ca := newCA(t)
	b := newBackend(t, ca, "*.example")
	policy := func(action ir.AccessAction, attribute ir.AccessAttribute, v ir.AccessValue) ir.Step {
		return ir.Step{Slot: "t/policy", Phase: ir.PhaseAuthorize, Authorization: &ir.Authorization{Policies: []ir.AccessPolicy{{
			Namespace: "t", Name: "p", Action: action,
			Rules: []ir.PolicyRule{{When: ir.AccessConjunct{{Attribute: attribute, Any: []ir.AccessValue{v}}}}},
		}}}}
	}
	for _, tc := range []struct {
		name    string
		policy  ir.Step
		verdict dataplane.Verdict
	}{
		{"denied by address", policy(ir.AccessDeny, ir.PeerAddress, ir.AccessValue{Kind: ir.AccessNetwork, Value: "127.0.0.0/8"}), dataplane.Denied},
		{"another address", policy(ir.AccessDeny, ir.PeerAddress, ir.AccessValue{Kind: ir.AccessNetwork, Value: "10.0.0.0/8"}), dataplane.Allowed},
		{"allowed by server name", policy(ir.AccessAllow, ir.ServerName, ir.AccessValue{Value: "a.example"}), dataplane.Allowed},
		{"another server name", policy(ir.AccessAllow, ir.ServerName, ir.AccessValue{Value: "b.example"}), dataplane.Denied},
		{"an identity that nobody proves", policy(ir.AccessAllow, ir.PeerID, ir.AccessValue{Kind: ir.AccessPresent}), dataplane.Denied},
	} {
		n := newNode(t, passing(map[string]*backend{"*.example": b}, func(l *ir.Listener) { l.Passthrough.Policies = []ir.Step{tc.policy} }))
		before := b.conns.Load()
		_, err := exchangeOver(n.dial(t), ca, "a.example", "x")
		await(t, "record", func() bool { return n.seen.last().Verdict != "" })
		r := n.seen.last()
		if r.Verdict != tc.verdict || (err == nil) != (tc.verdict == dataplane.Allowed) || (b.conns.Load() > before) != (err == nil) {
			t.Errorf("%s: %v, record %+v", tc.name, err, r)
		}
		if r.Verdict == dataplane.Denied && (r.Cause == "" || r.Policy == "") {
			t.Errorf("%s: not explained: %+v", tc.name, r)
		}
	}
}

// TestPassthroughUpstreams takes an endpoint that can be reached, and tells
// where there is none.
func TestPassthroughUpstreams(t *testing.T) {
	ca := newCA(t)
	half, dead := newBackend(t, ca, "half.example"), newBackend(t, ca, "dead.example")
	nobody := ir.Endpoint{Host: "127.0.0.1", Port: 1}
	half.Endpoints = append(half.Endpoints, nobody)
	dead.Endpoints = []ir.Endpoint{nobody}
	n := newNode(t, passing(map[string]*backend{"half.example": half, "dead.example": dead}, nil))
	for range 8 {
		if got, err := exchangeOver(n.dial(t), ca, "half.example", "x"); err != nil || got != "half.example x" {
			t.Errorf("%q %v", got, err)
		}
	}
	if _, err := exchangeOver(n.dial(t), ca, "dead.example", "x"); err == nil {
		t.Error("answered by nobody")
	}
	await(t, "record", func() bool { return n.seen.last().Upstream == "dead.example" })
	if r := n.seen.last(); r.Verdict != dataplane.Failed || r.Attempts != 1 || !strings.Contains(r.Cause, "connect") {
		t.Errorf("record %+v", r)
	}
}

// TestPassthroughIdle cuts a connection on which nothing moves.
func TestPassthroughIdle(t *testing.T) {
	ca := newCA(t)
	n := newNode(t, passing(map[string]*backend{"one.example": newBackend(t, ca, "one.example")}, func(l *ir.Listener) { l.HTTP.IdleTimeout = 100 * time.Millisecond }))
	c := n.dial(t)
	if _, err := c.Write(helloOf(&tls.Config{ServerName: "one.example"})); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("it stays open")
	}
	await(t, "record", func() bool { return n.seen.last().Cut == "timeout" })
}

// TestPassthroughDrain lets a connection end in time, and cuts one that does
// not.
func TestPassthroughDrain(t *testing.T) {
	ca := newCA(t)
	for _, ends := range []bool{true, false} {
		n := newNode(t, passing(map[string]*backend{"one.example": newBackend(t, ca, "one.example")}, nil))
		s := tls.Client(n.dial(t), &tls.Config{ServerName: "one.example", RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12})
		if err := s.Handshake(); err != nil {
			t.Fatal(err)
		}
		limit := 50 * time.Millisecond
		if ends {
			limit = patience
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		addr, done := n.addr(), make(chan struct{})
		go func() { n.Listeners().Drain(ctx); close(done) }()
		await(t, "end of accepting", func() bool {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		})
		if ends {
			select {
			case <-done:
				t.Error("drained with a connection under way")
			default:
			}
			_, _ = io.WriteString(s, "bye")
			_ = s.CloseWrite()
			if b, err := io.ReadAll(s); err != nil || string(b) != "one.example bye" {
				t.Errorf("%q %v", b, err)
			}
			_ = s.NetConn().Close()
		}
		<-done
		want := map[bool]string{true: "", false: "drain"}[ends]
		if r := n.seen.last(); r.Verdict != dataplane.Allowed || r.Cut != want {
			t.Errorf("ends %v: record %+v", ends, r)
		}
	}
}

// TestPassthroughReload takes a route away under a connection, which goes on,
// while a new one is closed.
func TestPassthroughReload(t *testing.T) {
	ca := newCA(t)
	one, two := newBackend(t, ca, "one.example"), newBackend(t, ca, "two.example")
	n := newNode(t, passing(map[string]*backend{"one.example": one}, nil))
	c := n.dial(t)
	s := tls.Client(c, &tls.Config{ServerName: "one.example", RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12})
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	n.up.next <- passing(map[string]*backend{"two.example": two}, nil)
	await(t, "new route", func() bool {
		got, err := exchangeOver(n.dial(t), ca, "two.example", "x")
		return err == nil && got == "two.example x"
	})
	if _, err := exchangeOver(n.dial(t), ca, "one.example", "x"); err == nil {
		t.Error("the old route is served")
	}
	_, _ = io.WriteString(s, "bye")
	_ = s.CloseWrite()
	if b, err := io.ReadAll(s); err != nil || string(b) != "one.example bye" {
		t.Errorf("%q %v", b, err)
	}
}
