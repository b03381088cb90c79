package gateway

import "github.com/postern-gateway/postern/internal/dialect"

// services gives each Gateway the addresses of a Service of its own: whatever
// those are, no two Gateways meet on one.
type services struct{}

var _ dialect.Addresser = services{}

// Assign implements dialect.Addresser. Addresses that are named are the
// Service's to have or not.
func (services) Assign(wanted []dialect.AddressWish) map[string]dialect.AddressGrant {
	out := map[string]dialect.AddressGrant{}
	for _, w := range wanted {
		g := dialect.AddressGrant{}
		if w.Any {
			g.Chosen = "service/" + w.Gateway
		}
		out[w.Gateway] = g
	}
	return out
}

// BehindServices says that each Gateway is reached by a Service of its own. Of
// the one that is served, the listeners are then on every address of this
// machine, whatever the Service's are. It is called before the first update.
func (p *Pipeline) BehindServices() {
	p.merger.Addresses, p.behind = services{}, true
}
