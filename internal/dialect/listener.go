package dialect

import (
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
)

// settings returns a listener's own settings with what is attached to it. In
// one slot the first holds, as on routes; of several slots that set one field,
// the narrowest.
func (r *merge) settings(l *Listener) ir.HTTPSettings {
	var sum ir.HTTPSettings
	taken := map[string]*Attachment{}
	for _, target := range l.Targets {
		list := slices.Clone(r.attached[target])
		slices.SortStableFunc(list, compareAttachments)
		for _, a := range list {
			if a.Listener == nil {
				continue
			}
			if winner := taken[a.Slot]; winner != nil && a.Combine == First {
				r.count(a).shadowedBy(winner)
				continue
			}
			taken[a.Slot] = a
			r.count(a).won++
			fill(&sum, a.Listener)
		}
	}
	out := sum
	fill(&out, &l.HTTP)
	out.Steps = slices.Concat(l.HTTP.Steps, sum.Steps)
	return out
}

// fill sets the fields of dst that are not set yet to those of src.
func fill(dst, src *ir.HTTPSettings) {
	first(&dst.MaxHeaderBytes, src.MaxHeaderBytes)
	first(&dst.MaxHeaders, src.MaxHeaders)
	first(&dst.MaxBodyBytes, src.MaxBodyBytes)
	first(&dst.HeadTimeout, src.HeadTimeout)
	first(&dst.RequestTimeout, src.RequestTimeout)
	first(&dst.IdleTimeout, src.IdleTimeout)
	first(&dst.StreamIdleTimeout, src.StreamIdleTimeout)
	first(&dst.MaxStreams, src.MaxStreams)
	first(&dst.TrustedHops, src.TrustedHops)
	first(&dst.Via, src.Via)
	first(&dst.ServerName, src.ServerName)
	first(&dst.AppendForwardedPort, src.AppendForwardedPort)
	first(&dst.KeepRequestID, src.KeepRequestID)
	first(&dst.PathNormalization, src.PathNormalization)
	dst.Steps = append(dst.Steps, src.Steps...)
}

func first[T comparable](dst *T, src T) {
	var none T
	if *dst == none {
		*dst = src
	}
}
