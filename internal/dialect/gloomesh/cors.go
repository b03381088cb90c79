package gloomesh

import (
	"fmt"
	"regexp"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// cors answers preflights and marks answers.
func (p *place) cors(s *corsPolicy) {
	c := &s.Spec.Config
	mark := p.Mark()
	out := &ir.CORS{
		AllowMethods: c.AllowMethods, AllowHeaders: c.AllowHeaders, ExposeHeaders: c.ExposeHeaders,
		AllowCredentials: c.AllowCredentials != nil && *c.AllowCredentials,
	}
	for i, o := range c.AllowOrigins {
		n := 0
		if o.Exact != nil {
			n, out.AllowOrigins = n+1, append(out.AllowOrigins, *o.Exact)
		}
		if o.Prefix != nil {
			n, out.AllowOriginRegex = n+1, append(out.AllowOriginRegex, regexp.QuoteMeta(*o.Prefix)+".*")
		}
		if o.Regex != nil {
			n, out.AllowOriginRegex = n+1, append(out.AllowOriginRegex, *o.Regex)
		}
		if n != 1 {
			p.Fail(fmt.Sprintf("config.allowOrigins[%d]", i), "write one of exact, prefix, regex", "the origin has %d forms, want one", n)
		}
	}
	if c.MaxAge.Set {
		seconds := int(c.MaxAge.Duration / time.Second)
		if seconds < 0 {
			p.Fail("config.maxAge", "write a positive time", "maxAge is negative")
		}
		out.MaxAgeSeconds = &seconds
	}
	sel := selection{routes: s.Spec.ApplyToRoutes}
	targets := p.selected(sel)
	p.bound(targets, sel, false)
	p.attach("CORSPolicy", targets, []ir.Step{{Phase: ir.PhasePre, CORS: out}}, p.Since(mark))
}
