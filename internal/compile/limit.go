package compile

import (
	"cmp"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// Defaults of what a listener accepts; the comments of ir.HTTPSettings say
// the same.
const (
	defaultHeaderBytes = 64 << 10
	defaultHeaders     = 100
	defaultBodyBytes   = 32 << 20
	defaultHeadTimeout = 10 * time.Second
	defaultIdleTimeout = time.Hour
	defaultStreamIdle  = 5 * time.Minute
	defaultStreams     = 100
)

func limits(s ir.HTTPSettings) dataplane.Limits {
	return dataplane.Limits{
		HeaderBytes:    cmp.Or(s.MaxHeaderBytes, defaultHeaderBytes),
		Headers:        cmp.Or(s.MaxHeaders, defaultHeaders),
		BodyBytes:      cmp.Or(s.MaxBodyBytes, defaultBodyBytes),
		HeadTimeout:    cmp.Or(s.HeadTimeout, defaultHeadTimeout),
		RequestTimeout: s.RequestTimeout,
		IdleTimeout:    cmp.Or(s.IdleTimeout, defaultIdleTimeout),
		StreamIdle:     cmp.Or(s.StreamIdleTimeout, defaultStreamIdle),
		Streams:        cmp.Or(s.MaxStreams, defaultStreams),
	}
}

// widest returns limits that are not narrower than a or b. A zero
// RequestTimeout is none, and so the widest.
func widest(a, b dataplane.Limits) dataplane.Limits {
	if a == (dataplane.Limits{}) {
		return b
	}
	out := dataplane.Limits{
		HeaderBytes: max(a.HeaderBytes, b.HeaderBytes),
		Headers:     max(a.Headers, b.Headers),
		BodyBytes:   max(a.BodyBytes, b.BodyBytes),
		HeadTimeout: max(a.HeadTimeout, b.HeadTimeout),
		IdleTimeout: max(a.IdleTimeout, b.IdleTimeout),
		StreamIdle:  max(a.StreamIdle, b.StreamIdle),
		Streams:     max(a.Streams, b.Streams),
	}
	if a.RequestTimeout > 0 && b.RequestTimeout > 0 {
		out.RequestTimeout = max(a.RequestTimeout, b.RequestTimeout)
	}
	return out
}
