package forward

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// rawCodec carries messages as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (rawCodec) Name() string { return "raw" }

// grpcUpstream is a gRPC server of one handler for every method.
func grpcUpstream(t *testing.T, h func(method string, s grpc.ServerStream) error, options ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := grpc.NewServer(append(options, grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(s)
		return h(method, s)
	}))...)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	return l.Addr().String()
}

// echo sends every message back until there are no more, with what it was told
// in the head and in the trailers.
func echo(_ string, s grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	if err := s.SendHeader(metadata.Pairs("heard", strings.Join(md["say"], ","))); err != nil {
		return err
	}
	s.SetTrailer(metadata.Pairs("after", "all"))
	for {
		var m []byte
		switch err := s.RecvMsg(&m); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := s.SendMsg(&m); err != nil {
			return err
		}
	}
}

// grpcCall opens a stream of both directions to the gate.
func (g *gate) grpcCall(ctx context.Context, method string) grpc.ClientStream {
	g.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(g.srv.Certificate())
	conn, err := grpc.NewClient("passthrough:///"+g.srv.Listener.Addr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "example.com"})),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
	must(g.t, err)
	g.t.Cleanup(func() { _ = conn.Close() })
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	must(g.t, err)
	return s
}

func h2c(c *ir.Upstream) { c.Protocol = ir.ProtocolHTTP2 }

func send(t *testing.T, s grpc.ClientStream, m string) {
	t.Helper()
	b := []byte(m)
	must(t, s.SendMsg(&b))
}

func receive(t *testing.T, s grpc.ClientStream) string {
	t.Helper()
	var b []byte
	must(t, s.RecvMsg(&b))
	return string(b)
}

// TestGRPCBothDirections: each message gets through while the stream stands,
// with what comes before and after them.
func TestGRPCBothDirections(t *testing.T) {
	addr := grpcUpstream(t, echo)
	g := newGate(t, stageTo(t, upstream(t, Deps{}, h2c, addr), Settings{}, Deps{}), withHTTP2)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := g.grpcCall(metadata.AppendToOutgoingContext(ctx, "say", "hello", "authorization", "Bearer x"), "/t.S/Echo")
	for _, m := range []string{"one", strings.Repeat("two", 40_000), "three"} {
		send(t, s, m)
		if got := receive(t, s); got != m {
			t.Fatalf("%d bytes came back of %d", len(got), len(m))
		}
	}
	head, err := s.Header()
	must(t, err)
	if got := head["heard"]; len(got) != 1 || got[0] != "hello" {
		t.Errorf("head %v", head)
	}
	must(t, s.CloseSend())
	var none []byte
	if err := s.RecvMsg(&none); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if got := s.Trailer()["after"]; len(got) != 1 || got[0] != "all" {
		t.Errorf("trailers %v", s.Trailer())
	}
}

// TestGRPCErrors: what the upstream answers, and what the gateway answers in
// its place, are statuses of gRPC.
func TestGRPCErrors(t *testing.T) {
	fail := func(method string, s grpc.ServerStream) error {
		if method == "/t.S/Late" {
			m := []byte("first")
			_ = s.SendMsg(&m)
		}
		s.SetTrailer(metadata.Pairs("why", "because"))
		return status.Error(codes.FailedPrecondition, "100% no")
	}
	good := upstream(t, Deps{}, h2c, grpcUpstream(t, fail))
	http1 := serve(t, func(http.ResponseWriter, *http.Request) {})
	gone := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		must(t, err)
		_ = c.Close()
	})
	for _, tc := range []struct {
		name, method string
		stage        dataplane.Stage
		code         codes.Code
		text, why    string
	}{
		{"in place of messages", "/t.S/Now", stageTo(t, good, Settings{}, Deps{}), codes.FailedPrecondition, "100% no", "because"},
		{"after messages", "/t.S/Late", stageTo(t, good, Settings{}, Deps{}), codes.FailedPrecondition, "100% no", "because"},
		{"an upstream of HTTP/1.1 alone", "/t.S/Now", stageTo(t, upstream(t, Deps{}, h2c, http1), Settings{}, Deps{}), codes.Unavailable, "", ""},
		{"an upstream that breaks off", "/t.S/Now", stageTo(t, upstream(t, Deps{}, nil, gone), Settings{}, Deps{}), codes.Unavailable, "", ""},
		{"a closed route", "/t.S/Now", dataplane.Closed(&ir.Closed{Reason: "r"}), codes.Unknown, "this route is closed because its configuration is broken", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGate(t, tc.stage, withHTTP2)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			s := g.grpcCall(ctx, tc.method)
			var m []byte
			err := s.RecvMsg(&m)
			if tc.method == "/t.S/Late" && err == nil && string(m) == "first" {
				err = s.RecvMsg(&m)
			}
			got := status.Convert(err)
			if got.Code() != tc.code || tc.text != "" && got.Message() != tc.text {
				t.Errorf("got %v", err)
			}
			if tc.why != "" && strings.Join(s.Trailer()["why"], ",") != tc.why {
				t.Errorf("trailers %v", s.Trailer())
			}
		})
	}
}

// TestGRPCCancelled: whichever side gives a stream up, the other is told.
func TestGRPCCancelled(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	addr := grpcUpstream(t, func(method string, s grpc.ServerStream) error {
		close(began)
		<-s.Context().Done()
		ended <- s.Context().Err()
		return s.Context().Err()
	})
	g := newGate(t, stageTo(t, upstream(t, Deps{}, h2c, addr), Settings{}, Deps{}), withHTTP2)
	ctx, cancel := context.WithCancel(context.Background())
	s := g.grpcCall(ctx, "/t.S/Hang")
	send(t, s, "m")
	<-began
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the upstream was not told")
	}
	if r := g.last(1); r.Cut != cutClient {
		t.Errorf("record: cut %q", r.Cut)
	}
}

// TestGRPCEndsEarly: an upstream that answers before the client has finished
// ends the call, and the connection serves the next.
func TestGRPCEndsEarly(t *testing.T) {
	addr := grpcUpstream(t, func(string, grpc.ServerStream) error { return status.Error(codes.ResourceExhausted, "enough") })
	g := newGate(t, stageTo(t, upstream(t, Deps{}, h2c, addr), Settings{}, Deps{}), withHTTP2)
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		s := g.grpcCall(ctx, "/t.S/Now")
		var m []byte
		if err := s.RecvMsg(&m); status.Code(err) != codes.ResourceExhausted {
			t.Error(err)
		}
		cancel()
	}
}

// TestGRPCOverTLS: an upstream over TLS whose protocol nobody named is spoken
// to in HTTP/2 for gRPC, by ALPN, and in HTTP/1.1 for the rest.
func TestGRPCOverTLS(t *testing.T) {
	seen := make(chan string, 4)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Proto + " " + r.Header.Get("Te")
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	over := func(c *ir.Upstream) {
		c.TLS = &ir.ClientTLS{SNI: "example.com", CAs: []ir.Bytes{{Inline: string(ca)}}}
	}
	g := newGate(t, stageTo(t, upstream(t, Deps{}, over, s.Listener.Addr().String()), Settings{}, Deps{}), withHTTP2)
	for _, tc := range []struct{ kind, want string }{
		{"application/grpc", "HTTP/2.0 trailers"}, {"text/plain", "HTTP/1.1 "}, {"application/grpc+proto", "HTTP/2.0 trailers"}, {"application/grpcx", "HTTP/1.1 "},
	} {
		r := g.request("POST", "/", io.MultiReader(strings.NewReader("abc")))
		r.Header.Set("Content-Type", tc.kind)
		if strings.HasSuffix(tc.want, "trailers") {
			r.Header.Set("Te", "trailers")
		}
		resp, _ := g.do(r)
		if got := <-seen; resp.StatusCode != 200 || got != tc.want {
			t.Errorf("%s: %s, the upstream saw %q", tc.kind, resp.Status, got)
		}
	}
}

// TestHTTP2RequestTrailers: announced ones are sent on over HTTP/2, and none of
// those that would authenticate or frame.
func TestHTTP2RequestTrailers(t *testing.T) {
	seen := make(chan http.Header, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen <- r.Trailer
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	g := newGate(t, stageTo(t, upstream(t, Deps{}, h2c, s.Listener.Addr().String()), Settings{}, Deps{}), withHTTP2)
	r := g.request("POST", "/", io.MultiReader(strings.NewReader("abc")))
	r.Trailer = http.Header{"Checksum": {"1"}, "X-Api-Key": {"sk-x"}, "X-Request-Id": {"x"}}
	if resp, _ := g.do(r); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	if got := <-seen; len(got) != 1 || got.Get("Checksum") != "1" {
		t.Errorf("the upstream got %v", got)
	}
}
