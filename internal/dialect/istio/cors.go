package istio

import (
	"regexp"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// cors answers preflights and marks answers.
func (p *place) cors(s *corsPolicy) *ir.CORS {
	out := &ir.CORS{
		AllowOrigins: s.AllowOrigin,
		AllowMethods: s.AllowMethods, AllowHeaders: s.AllowHeaders, ExposeHeaders: s.ExposeHeaders,
		AllowCredentials: s.AllowCredentials != nil && *s.AllowCredentials,
	}
	for i, o := range s.AllowOrigins {
		switch {
		case o.forms() != 1:
			p.Fail(index("allowOrigins", i), "write one of exact, prefix, regex", "the origin has %d forms, want one; the route is closed", o.forms())
		case o.Exact != nil:
			out.AllowOrigins = append(out.AllowOrigins, *o.Exact)
		case o.Prefix != nil:
			out.AllowOriginRegex = append(out.AllowOriginRegex, regexp.QuoteMeta(*o.Prefix)+".*")
		default:
			out.AllowOriginRegex = append(out.AllowOriginRegex, *o.Regex)
		}
	}
	if s.MaxAge.Set {
		seconds := int(s.MaxAge.Duration / time.Second)
		if seconds < 0 {
			p.Fail("maxAge", "write a positive time", "maxAge is negative; the route is closed")
		}
		out.MaxAgeSeconds = &seconds
	}
	if s.UnmatchedPreflights == preflightsIgnored {
		p.Warn("unmatchedPreflights", "remove it", "unmatchedPreflights: IGNORE is not supported: preflights of other origins are forwarded")
	}
	return out
}
