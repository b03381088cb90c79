package forward

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// Name returns the name of the ir.Upstream.
func (u *Upstream) Name() string { return u.cfg.Name }

// Do sends one request of the gateway's own, such as the fetch of a key set,
// to the upstream's first endpoint, over its TLS. It follows no redirect, and
// no credential is put on.
func (u *Upstream) Do(r *http.Request) (*http.Response, error) {
	if len(u.endpoints) == 0 {
		return nil, errors.New("the upstream has no endpoint")
	}
	ep := u.endpoints[0]
	sni := ep.serverName(r.URL.Host)
	t := &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return ep.dial(ctx, sni) },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxReplyHeadBytes,
	}
	out := r.Clone(r.Context())
	out.URL.Scheme = "http" // dial speaks TLS itself
	out.Host = r.URL.Host
	return t.RoundTrip(out)
}
