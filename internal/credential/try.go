package credential

import (
	"context"
	"net/http"
	"net/url"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
)

// Try fetches cfg's credential once, and tells what came of it. ok is false
// for a credential that is not fetched.
func Try(ctx context.Context, cfg *ir.Credential, d Deps) (s Status, ok bool, err error) {
	alone := *cfg
	alone.Override = nil
	d.Keep = new(keep.Keep)
	in, err := New(&alone, d)
	if err != nil {
		return Status{}, false, err
	}
	if c, ok := in.(interface{ Close() }); ok {
		defer c.Close()
	}
	f, ok := in.(Statuser)
	if !ok || f.Status().Name == "" {
		return Status{}, false, nil
	}
	err = in.Inject(ctx, &Outbound{
		Method: http.MethodGet, Scheme: "https", Host: "localhost", URL: &url.URL{Scheme: "https", Host: "localhost", Path: "/"}, Header: http.Header{},
	})
	return f.Status(), true, err
}
