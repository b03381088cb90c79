package forward

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// Passive health: an endpoint that fails several times in a row is left out
// for a while, as long as there is another. With a single one, being out only
// means that a backend's next tier is preferred.
const (
	defaultConsecutive = 5
	defaultEjection    = 30 * time.Second
	defaultMaxPercent  = 10
	maxEjection        = 5 * time.Minute
)

// EndpointHealth is what is known of one endpoint.
type EndpointHealth struct {
	// Address is host:port.
	Address string
	// Healthy is false while the endpoint is left out, which ends at Until.
	Healthy bool
	Until   time.Time
	// Failures is the run of failures so far, Active the attempts under way.
	Failures int
	Active   int
}

// endpoint is one address of an Upstream.
type endpoint struct {
	upstream  *Upstream
	cfg       ir.Endpoint
	address   string // host:port
	host      string
	sni       string // "": see serverName
	weight    uint64
	transport transports
	active    atomic.Int64
	gone      atomic.Bool // it is none of the Upstream's any more
	// out is when the ejection ends, in Unix nanoseconds; 0: not ejected.
	out atomic.Int64

	mu       sync.Mutex
	failures int
	ejected  int // how often in a row
}

// members are the endpoints of an Upstream at one time.
type members struct {
	list      []ir.Endpoint
	endpoints []*endpoint // as list
	weights   uint64
}

func newEndpoint(u *Upstream, cfg ir.Endpoint) *endpoint {
	ep := &endpoint{upstream: u, cfg: cfg, host: cfg.Host, sni: cfg.SNI, weight: uint64(max(cfg.Weight, 1))}
	ep.address = net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	ep.transport = newTransports(ep)
	return ep
}

// leave counts a request out. The last one of an endpoint that is gone closes
// what it leaves idle.
func (ep *endpoint) leave() {
	if ep.active.Add(-1) == 0 && ep.gone.Load() {
		ep.transport.closeIdle()
	}
	ep.upstream.leave()
}

// well reports whether ep is not ejected.
func (ep *endpoint) well(now time.Time) bool {
	out := ep.out.Load()
	return out == 0 || now.UnixNano() >= out
}

// succeed ends a run of failures. An endpoint that has been back for as long
// as it was out first is as good as new.
func (ep *endpoint) succeed() {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.failures = 0
	if out := ep.out.Load(); out != 0 {
		since := ep.upstream.deps.Clock().Sub(time.Unix(0, out))
		if since >= ep.upstream.ejection() {
			ep.out.Store(0)
			ep.ejected = 0
		}
	}
}

// fail counts a failure, and ejects ep when the run is long enough.
func (ep *endpoint) fail() {
	u := ep.upstream
	now := u.deps.Clock()
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.failures++
	if ep.failures < u.consecutive() || !ep.well(now) || u.countOut(now) >= u.mayBeOut() {
		return
	}
	ep.failures = 0
	ep.ejected++
	ep.out.Store(now.Add(min(u.ejection()*time.Duration(ep.ejected), max(maxEjection, u.ejection()))).UnixNano())
}

func (u *Upstream) consecutive() int {
	if o := u.cfg.Outlier; o != nil {
		return orDefault(o.Consecutive, defaultConsecutive)
	}
	return defaultConsecutive
}

func (u *Upstream) ejection() time.Duration {
	if o := u.cfg.Outlier; o != nil {
		return orDefault(o.Ejection, defaultEjection)
	}
	return defaultEjection
}

// mayBeOut is how many endpoints may be ejected at once: all but one, unless
// the configuration bounds it.
func (u *Upstream) mayBeOut() int {
	all := len(u.members.Load().endpoints)
	limit := max(all-1, 1)
	if o := u.cfg.Outlier; o != nil {
		limit = min(limit, max(1, all*orDefault(o.MaxPercent, defaultMaxPercent)/100))
	}
	return limit
}

func (u *Upstream) countOut(now time.Time) int {
	n := 0
	for _, ep := range u.members.Load().endpoints {
		if !ep.well(now) {
			n++
		}
	}
	return n
}

// Health tells how the endpoints are, in the order of the configuration.
func (u *Upstream) Health() []EndpointHealth {
	now, endpoints := u.deps.Clock(), u.members.Load().endpoints
	out := make([]EndpointHealth, len(endpoints))
	for i, ep := range endpoints {
		ep.mu.Lock()
		h := EndpointHealth{Address: ep.address, Healthy: ep.well(now), Failures: ep.failures, Active: int(ep.active.Load())}
		ep.mu.Unlock()
		if !h.Healthy {
			h.Until = time.Unix(0, ep.out.Load())
		}
		out[i] = h
	}
	return out
}

// usable reports whether u has an endpoint; if well is asked, one that is not
// ejected.
func (u *Upstream) usable(well bool) bool {
	if u.cfg.Closed != nil {
		return !well
	}
	endpoints := u.members.Load().endpoints
	if !well {
		return len(endpoints) > 0
	}
	now := u.deps.Clock()
	for _, ep := range endpoints {
		if ep.well(now) {
			return true
		}
	}
	return false
}

// hasFresh reports whether u has an endpoint that was not tried.
func (u *Upstream) hasFresh(tried []*endpoint) bool {
	if len(tried) == 0 {
		return true
	}
	for _, ep := range u.members.Load().endpoints {
		if !triedBefore(tried, ep) {
			return true
		}
	}
	return false
}

// pick returns the less busy of two endpoints drawn by weight, from those
// that are well and were not tried; if there is none, from those that are
// well, and then from all. It is nil if there is no endpoint.
func (u *Upstream) pick(tried []*endpoint) *endpoint {
	m := u.members.Load()
	switch len(m.endpoints) {
	case 0:
		return nil
	case 1:
		return m.endpoints[0]
	}
	now := u.deps.Clock()
	fresh := func(ep *endpoint) bool { return ep.well(now) && !triedBefore(tried, ep) }
	well := func(ep *endpoint) bool { return ep.well(now) }
	for _, good := range []func(*endpoint) bool{fresh, well} {
		a := m.draw(u.deps.Rand, good)
		if a == nil {
			continue
		}
		if b := m.draw(u.deps.Rand, good); b != nil && b.load() < a.load() {
			return b
		}
		return a
	}
	return m.draw(u.deps.Rand, func(*endpoint) bool { return true })
}

// load is how busy ep is for its weight.
func (ep *endpoint) load() float64 { return float64(ep.active.Load()+1) / float64(ep.weight) }

// draw returns a random endpoint, by weight, of those that are good.
func (m *members) draw(random func() uint64, good func(*endpoint) bool) *endpoint {
	for range 4 {
		if ep := m.drawAny(random); good(ep) {
			return ep
		}
	}
	start := int(random() % uint64(len(m.endpoints)))
	for i := range m.endpoints {
		if ep := m.endpoints[(start+i)%len(m.endpoints)]; good(ep) {
			return ep
		}
	}
	return nil
}

func (m *members) drawAny(random func() uint64) *endpoint {
	n := random() % m.weights
	for _, ep := range m.endpoints {
		if n < ep.weight {
			return ep
		}
		n -= ep.weight
	}
	return m.endpoints[0]
}
