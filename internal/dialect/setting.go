package dialect

import (
	"cmp"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
)

// settings returns a listener's own settings and TLS with what is attached to
// it. In one slot the first holds, as on routes; of several slots that set one
// field, the narrowest.
func (m *Merger) settings(l *Listener, counts *[]count) (ir.HTTPSettings, *ir.ServerTLS) {
	var sum ir.HTTPSettings
	tls := l.TLS
	taken := map[string]*pinned{}
	for _, target := range l.Targets {
		for _, a := range m.spotOf(target).attached {
			if a.Listener == nil {
				continue
			}
			if winner := taken[a.Slot]; winner != nil && a.Combine == First {
				*counts = append(*counts, count{a, winner.Owner})
				continue
			}
			taken[a.Slot] = a
			*counts = append(*counts, count{pinned: a})
			fill(&sum, a.Listener)
			if t := a.ListenerTLS; l.TLS != nil {
				tls = overTLS(tls, t, tls == l.TLS)
			} else if t.AsksClients() {
				sum.Steps = append(sum.Steps, ir.Step{Phase: ir.PhasePre, Slot: a.Slot, Origin: t.Origin, Closed: &ir.Closed{
					Reason: "client certificates are asked for, and the listener has no TLS", Origin: t.Origin,
				}})
			}
		}
	}
	out := sum
	fill(&out, &l.HTTP)
	out.Steps = slices.Concat(l.HTTP.Steps, sum.Steps)
	return out, tls
}

// overTLS returns base with what is attached to the listener: the first that is
// attached replaces the listener's own, those after it fill in.
func overTLS(base, t *ir.ServerTLS, replace bool) *ir.ServerTLS {
	if t == nil {
		return base
	}
	out := *base
	low, high := t, &out
	if !replace {
		low, high = &out, t
	}
	out.MinVersion = cmp.Or(low.MinVersion, high.MinVersion)
	out.MaxVersion = cmp.Or(low.MaxVersion, high.MaxVersion)
	if len(t.CipherSuites) > 0 && (replace || len(out.CipherSuites) == 0) {
		out.CipherSuites = t.CipherSuites
	}
	if len(t.ALPN) > 0 && (replace || len(out.ALPN) == 0) {
		out.ALPN = t.ALPN
	}
	if len(t.ClientCAs) > 0 && (replace || len(out.ClientCAs) == 0) {
		out.ClientCAs, out.ClientOptional, out.ClientIdentity = t.ClientCAs, t.ClientOptional, t.ClientIdentity
		out.ClientUnverified = t.ClientUnverified
		out.ClientNames, out.ClientKeys, out.ClientHashes, out.ClientCRLs = t.ClientNames, t.ClientKeys, t.ClientHashes, t.ClientCRLs
	}
	return &out
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
