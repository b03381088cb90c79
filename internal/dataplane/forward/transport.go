package forward

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"time"

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

func newTransport(ep *endpoint) transport {
	if ep.upstream.cfg.Protocol == ir.ProtocolHTTP2 {
		return newHTTP2(ep)
	}
	return newHTTP1(ep)
}

// http2 is net/http's HTTP/2 client, over TLS or with prior knowledge.
type http2 struct{ t *http.Transport }

func newHTTP2(ep *endpoint) *http2 {
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
	return &http2{t}
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
		r.Body = streamCloser{o.stream}
	case len(o.data) > 0:
		r.Body = io.NopCloser(bytes.NewReader(o.data))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(o.data)), nil }
	default:
		r.Body = http.NoBody
	}
	return h.t.RoundTrip(r)
}

func (h *http2) closeIdle() { h.t.CloseIdleConnections() }
