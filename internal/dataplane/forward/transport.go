package forward

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// Bounds on an upstream's answer.
const (
	maxReplyHeadBytes = 64 << 10
	maxReplyHeaders   = 128
	maxInterim        = 16
)

// An HTTP/2 connection that has been silent for pingAfter is asked whether it
// is alive, and given up when it has not answered within pingTimeout.
const (
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

// transport sends requests to one endpoint. An error that wraps connectError
// says that nothing was sent. A request is never written twice, except where
// nothing of it can have arrived, or where its method is idempotent and a
// pooled connection proved dead before it answered.
type transport interface {
	roundTrip(ctx context.Context, o *outgoing) (*http.Response, error)
	closeIdle()
}

// outgoing is one attempt's request. Its body is data, or else stream; the
// transport calls stream.finish when it will read no more of it, perhaps
// after roundTrip has returned.
type outgoing struct {
	*http.Request
	sni    string
	data   []byte
	stream *stream
}

// transports are those of one endpoint.
type transports struct {
	usual transport
	// grpc carries gRPC, which has no form but HTTP/2: over TLS, where ALPN
	// settles it, also to an upstream that is otherwise spoken to in HTTP/1.1.
	grpc transport
}

func newTransports(ep *endpoint) transports {
	if ep.upstream.cfg.Protocol == ir.ProtocolHTTP2 {
		h2 := newHTTP2(ep)
		return transports{h2, h2}
	}
	t := transports{usual: newHTTP1(ep)}
	if t.grpc = t.usual; ep.upstream.tls != nil {
		t.grpc = newHTTP2(ep)
	}
	return t
}

// of returns the transport of a request with the head h.
func (t transports) of(h http.Header) transport {
	if dataplane.IsGRPC(h) {
		return t.grpc
	}
	return t.usual
}

func (t transports) roundTrip(ctx context.Context, o *outgoing) (*http.Response, error) {
	return t.of(o.Header).roundTrip(ctx, o)
}

func (t transports) closeIdle() {
	t.usual.closeIdle()
	t.grpc.closeIdle()
}

// http2 is net/http's HTTP/2 client, over TLS or with prior knowledge.
type http2 struct {
	ep  *endpoint
	now atomic.Pointer[http2pool]
	mu  sync.Mutex // orders renewals
}

// http2pool are the connections made under one TLS configuration. When another
// takes its place, what is under way on them goes on, and nothing else.
type http2pool struct {
	t    *http.Transport
	made *tls.Config
}

func newHTTP2(ep *endpoint) *http2 { return &http2{ep: ep} }

// transport returns the one for the present TLS configuration.
func (h *http2) transport() *http.Transport {
	made := h.ep.upstream.tls.current()
	if p := h.now.Load(); p != nil && p.made == made {
		return p.t
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.now.Load()
	if old != nil && old.made == made {
		return old.t
	}
	p := &http2pool{newHTTP2Transport(h.ep), made}
	h.now.Store(p)
	if old != nil {
		old.t.CloseIdleConnections()
	}
	return p.t
}

func newHTTP2Transport(ep *endpoint) *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return ep.dial(ctx, "") },
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			sni, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return ep.dial(ctx, sni, "h2")
		},
		DisableCompression:     true,
		IdleConnTimeout:        orDefault(ep.upstream.cfg.IdleTimeout, defaultPoolIdle),
		MaxResponseHeaderBytes: maxReplyHeadBytes,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	if ep.upstream.tls != nil {
		t.Protocols.SetHTTP2(true)
	} else {
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return t
}

// roundTrip puts the server name where the transport keys its connections by
// it, and where dialling finds it again.
func (h *http2) roundTrip(ctx context.Context, o *outgoing) (*http.Response, error) {
	u := *o.URL
	u.Host = net.JoinHostPort(o.sni, "0")
	r := o.Request.WithContext(ctx)
	r.URL = &u
	if r.Header["User-Agent"] == nil {
		r.Header["User-Agent"] = []string{""} // not net/http's
	}
	switch {
	case o.stream != nil:
		r.Body = http2Body{streamCloser{o.stream}, r.Trailer}
	case len(o.data) > 0:
		r.Body = io.NopCloser(bytes.NewReader(o.data))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(o.data)), nil }
	default:
		r.Body = http.NoBody
	}
	return h.transport().RoundTrip(r)
}

// http2Body is a stream that puts what followed it where the transport looks
// for the trailers, once it has been read to its end.
type http2Body struct {
	streamCloser
	trailer http.Header // as announced; nil: none
}

// Read reads from the client.
func (b http2Body) Read(p []byte) (int, error) {
	n, err := b.streamCloser.Read(p)
	if err == io.EOF {
		maps.Copy(b.trailer, b.trailers(b.trailer))
	}
	return n, err
}

func (h *http2) closeIdle() {
	if p := h.now.Load(); p != nil {
		p.t.CloseIdleConnections()
	}
}
