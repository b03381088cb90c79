// Package forward is the last stage of a route: it sends a request upstream
// and streams the answer back. It owns the upstreams' connections and what is
// known of their health, mirroring and protocol upgrades. Which upstreams a
// route has, and what must hold before it is reached, others decide.
//
//	Run
//	 choose backend ─► its stages ─► for each attempt:
//	   pick member and endpoint
//	   clone the head ─► LLM adaptation ─► the upstream's stages
//	                  ─► secret headers ─► credential
//	   send ──► failure or retriable status ──► back off, next attempt
//	     │
//	     ▼
//	 write the head ─► copy, flush, trailers ─► record
//
// Each attempt has a head of its own, so that nothing of one, its credential
// least of all, is seen by the next. Redirects are passed on and never
// followed. Interim answers (1xx) end here, 103 included.
package forward

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
)

// Deps is what the outside gives. Fields other than Store may be zero.
type Deps struct {
	Store *secret.Store
	// Clock tells the time that health is reckoned in; nil: time.Now.
	Clock func() time.Time
	// Log gets what no record of an exchange can hold; nil: nothing is
	// logged.
	Log *slog.Logger
	// Dial opens a connection to an endpoint; nil: a net.Dialer's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Roots are what upstreams' certificates are verified against when their
	// configuration names no CAs; nil: the system's.
	Roots *x509.CertPool
	// Rand yields the random numbers that choose; nil: math/rand/v2.
	Rand func() uint64
	// Client fetches credentials; nil: none is fetched. Keep holds what keeps
	// them fresh; nil: each Upstream has its own.
	// Machine asks the metadata servers of the machine itself; nil: Client.
	Client, Machine *http.Client
	// Env looks a variable up, for credentials that the environment names;
	// nil: os.LookupEnv.
	Env  func(name string) (string, bool)
	Keep *keep.Keep
	// Upgrades knows the upgraded connections under way, so that a drain can
	// end them; nil: nobody does.
	Upgrades *Upgrades
}

// withDefaults fills the zero fields.
func (d Deps) withDefaults() Deps {
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Dial == nil {
		d.Dial = (&net.Dialer{}).DialContext
	}
	if d.Rand == nil {
		d.Rand = rand.Uint64
	}
	if d.Upgrades == nil {
		d.Upgrades = &Upgrades{}
	}
	return d
}

// credentials returns what an upstream's credential is made with.
func (d Deps) credentials() credential.Deps {
	return credential.Deps{Store: d.Store, Clock: d.Clock, Client: d.Client, Machine: d.Machine, Keep: d.Keep, Log: d.Log, Env: d.Env}
}

// Settings are what the route's and the backend's steps say of forwarding.
type Settings struct {
	// Timeouts of which the shortest of each kind holds.
	Timeouts []ir.Timeouts
	// Retry is nil where a failed attempt is final, but for backends of
	// several tiers: there each is tried once, see failover.
	Retry *ir.Retry
	// Upgrade is nil where "websocket" alone is allowed.
	Upgrade *ir.Upgrade
	// LLM is what the route asks of LLM requests, outermost first.
	LLM []*ir.LLMOptions
}

// Backend is one weighted share of a route's requests.
type Backend struct {
	Name   string
	Weight int
	// Upstream, or Tiers in its place: the members of the first tier that has
	// a healthy one share the requests, the next is for failover.
	Upstream *Upstream
	Tiers    [][]*Upstream
	// Weights are the members' shares within their tiers, in the form of
	// Tiers; what is not there, or 0, counts as 1.
	Weights [][]int
	// Stages are the backend's own; they run once, before the first attempt.
	Stages []dataplane.Stage
	// UpstreamStages run for each attempt on an upstream, before its
	// credential: what ir.Upstream.Steps was compiled to. What they change is
	// forgotten before the next attempt.
	UpstreamStages map[*Upstream][]dataplane.Stage
	// Closed answers this share of the requests with an error.
	Closed *ir.Closed
}

// New returns the stage that forwards to backends.
func New(backends []Backend, s Settings, deps Deps) (dataplane.Stage, error) {
	f := &forwarder{deps: deps.withDefaults(), settings: compileSettings(s)}
	for i := range backends {
		b, err := newBackend(&backends[i], &s)
		if err != nil {
			return nil, fmt.Errorf("backend %q: %w", backends[i].Name, err)
		}
		f.backends = append(f.backends, b)
		for _, m := range b.members {
			f.brought = append(f.brought, credential.OverrideHeaders(m.upstream.cfg.Credential)...)
		}
		f.total += uint64(b.weight)
	}
	return f, nil
}

// forwarder is the compiled stage. It is immutable.
type forwarder struct {
	backends []*backend
	// brought are the headers in which a request may bring a credential for
	// one of the backends: no upstream sees them.
	brought  []string
	total    uint64
	settings settings
	deps     Deps
}

// Run forwards e. It returns an Answer where no upstream's can be given, and
// panics with http.ErrAbortHandler where one broke off after it had begun.
func (f *forwarder) Run(ctx context.Context, e *dataplane.Exchange) *dataplane.Answer {
	b := f.choose()
	if b == nil {
		return noHealthy("the route has no backend of any weight")
	}
	if b.closed != nil {
		return dataplane.ClosedAnswer(b.closed)
	}
	for _, s := range b.stages {
		if a := s.Run(ctx, e); a != nil {
			return a
		}
	}
	x := newExchange(ctx, f, b, e)
	defer x.end()
	return x.run()
}

// settings are Settings made ready.
type settings struct {
	request, stream, attempt, idle time.Duration // 0: none
	upgrades                       []string
}

func compileSettings(s Settings) settings {
	out := settings{upgrades: []string{"websocket"}}
	for _, t := range s.Timeouts {
		out.request = shorter(out.request, t.Request)
		out.stream = shorter(out.stream, t.Stream)
		out.attempt = shorter(out.attempt, t.Attempt)
		out.idle = shorter(out.idle, t.Idle)
	}
	if s.Upgrade != nil {
		out.upgrades = lowerAll(s.Upgrade.Protocols)
	}
	return out
}

// shorter returns the smaller of two durations of which 0 means none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
