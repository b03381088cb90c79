package glooauth

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
)

const (
	// askTimeout bounds one question unless connectionTimeout is written.
	askTimeout = 5 * time.Second
	// askBody is how much of a body is sent along.
	askBody = 1 << 20
)

// passThrough reads passThroughAuth: the question is another server's.
func (r *reader) passThrough(at string, s *PassThroughAuth) *ir.ExternalAuth {
	out := &ir.ExternalAuth{FailOpen: s.FailureModeAllow, StatusOnError: r.opts.StatusOnError, UserHeader: r.opts.UserHeader}
	if s.FailureModeAllow {
		r.p.Warn(at+".failureModeAllow", "write false", "everybody passes while the server cannot be asked")
	}
	r.refuse(at+".config", s.Config)
	switch {
	case (s.GRPC == nil) == (s.HTTP == nil):
		r.fail(at, "write http or grpc", "there is no server to ask, or two")
	case s.GRPC != nil:
		out.Timeout = r.timeout(s.GRPC.ConnectionTimeout.Duration)
		out.GRPC = r.grpc(at+".grpc", s.GRPC)
	default:
		out.Timeout = r.timeout(s.HTTP.ConnectionTimeout.Duration)
		out.HTTP = r.http(at+".http", s.HTTP, out)
	}
	return out
}

// timeout returns the shorter of a method's own bound and the server's.
func (r *reader) timeout(own time.Duration) time.Duration {
	if own <= 0 {
		own = askTimeout
	}
	if t := r.opts.Timeout; t > 0 && t < own {
		return t
	}
	return own
}

func (r *reader) grpc(at string, s *PassThroughGRPC) *ir.ExternalGRPC {
	out := &ir.ExternalGRPC{Address: s.Address, TLS: s.TLSConfig != nil}
	host, port, err := net.SplitHostPort(s.Address)
	if n, _ := strconv.Atoi(port); err != nil || host == "" || n < 1 || n > 65535 {
		r.fail(at+".address", "write host:port", "it is no address")
	}
	r.serverTLS(at, s.TLSConfig)
	if p := s.RetryPolicy; p != nil {
		out.Retries = 1
		if p.NumRetries != nil {
			out.Retries = max(*p.NumRetries, 0)
		}
		r.p.Ignore(at+".retryPolicy.retryBackOff", p.RetryBackOff)
	}
	return out
}

func (r *reader) http(at string, s *PassThroughHTTP, ask *ir.ExternalAuth) *ir.ExternalHTTP {
	out := &ir.ExternalHTTP{URL: s.URL}
	r.url(at+".url", s.URL)
	r.serverTLS(at, s.TLSConfig)
	if q := s.Request; q != nil {
		out.RequestHeaders, out.AddHeaders = q.AllowedHeaders, q.HeadersToAdd
		r.addable(at+".request.headersToAdd", q.HeadersToAdd)
		r.refuse(at+".request.passThroughState", present(q.PassThroughState))
		r.refuse(at+".request.passThroughFilterMetadata", present(q.PassThroughFilterMetadata))
		if q.PassThroughBody {
			ask.BodyBytes, ask.PartialBody = cmp.Or(r.opts.BodyBytes, askBody), r.opts.PartialBody
		}
	}
	if p := s.Response; p != nil {
		out.ClientHeaders = p.AllowedClientHeadersOnDenied
		// What the server says of a caller must not stand beside what the
		// caller says: both lists overwrite.
		for _, h := range slices.Concat(p.AllowedUpstreamHeadersToOverwrite, p.AllowedUpstreamHeaders) {
			r.settable(at+".response", h)
			if !slices.Contains(out.UpstreamHeaders, h) {
				out.UpstreamHeaders = append(out.UpstreamHeaders, h)
			}
		}
		r.refuse(at+".response.readStateFromResponse", present(p.ReadStateFromResponse))
		r.p.Ignore(at+".response.allowedClientHeadersOnSuccess", present(len(p.AllowedClientHeadersOnSuccess) > 0))
	}
	r.p.Ignore(at+".connectionPool", s.ConnectionPool)
	r.p.Ignore(at+".responseHeaderTimeout", present(s.ResponseHeaderTimeout.Set))
	return out
}

func (r *reader) serverTLS(at string, s *TLSConfig) {
	if s != nil {
		r.refuse(at+".tlsConfig.secretRef", s.SecretRef)
		r.refuse(at+".tlsConfig.sslParams", s.SSLParams)
	}
}

// addable checks headers with written values: such values are shown in dumps.
func (r *reader) addable(at string, headers map[string]string) {
	for _, h := range slices.Sorted(maps.Keys(headers)) {
		r.settable(at+"."+h, h)
		if reading.HoldsCredential(h) {
			r.fail(at+"."+h, "let the server know this gateway by its network or its certificate", "a credential is written here, and a resource is no place for a secret")
		}
		if strings.ContainsAny(headers[h], "\r\n\x00") {
			r.fail(at+"."+h, "write it on one line", "the value holds a line break or NUL")
		}
	}
}
