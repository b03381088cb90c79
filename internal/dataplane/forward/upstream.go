package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/ir"
)

// Defaults of ir.Upstream's zero fields.
const (
	defaultConnectTimeout = 5 * time.Second
	defaultPoolIdle       = time.Hour
	defaultMax            = 1024
)

// Upstream is what is kept of one ir.Upstream: connections, counts and the
// health of its endpoints. It outlives snapshots.
type Upstream struct {
	cfg      *ir.Upstream // but for its endpoints
	deps     Deps
	members  atomic.Pointer[members]
	injector credential.Injector // nil: nothing is shown
	tls      *clientTLS          // nil: plain text

	setting  sync.Mutex // orders SetEndpoints
	requests atomic.Int64
	// ctx ends with Close; mirrored requests live in it.
	ctx    context.Context
	cancel context.CancelFunc
	copies sync.WaitGroup

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
}

// NewUpstream returns the Upstream for cfg. An error names references and
// never holds their bytes. Where bytes alone are at fault (a secret that is
// missing or does not parse) the Upstream is returned beside the error:
// requests to it fail until the bytes are mended, and then it serves.
func NewUpstream(cfg *ir.Upstream, deps Deps) (*Upstream, error) {
	u := &Upstream{cfg: cfg, deps: deps.withDefaults(), conns: map[*conn]struct{}{}}
	var err error
	if cfg.TLS != nil {
		if u.tls, err = newClientTLS(cfg.TLS, u.deps); err != nil {
			return nil, fmt.Errorf("upstream %q: TLS: %w", cfg.Name, err)
		}
	}
	if cfg.Credential != nil {
		if u.injector, err = credential.New(cfg.Credential, u.deps.credentials()); err != nil {
			return nil, fmt.Errorf("upstream %q: %w", cfg.Name, err)
		}
	}
	u.SetEndpoints(cfg.Endpoints)
	u.ctx, u.cancel = context.WithCancel(context.Background())
	return u, u.Check()
}

// SetEndpoints makes requests that come go to other endpoints. Those that stay
// keep their connections and their health; those that go finish what is under
// way.
func (u *Upstream) SetEndpoints(list []ir.Endpoint) {
	u.setting.Lock()
	defer u.setting.Unlock()
	before := u.members.Load()
	if before != nil && slices.Equal(before.list, list) {
		return
	}
	left := map[ir.Endpoint][]*endpoint{} // of before; a list may name one twice
	if before != nil {
		for _, ep := range before.endpoints {
			left[ep.cfg] = append(left[ep.cfg], ep)
		}
	}
	next := &members{list: list}
	for _, cfg := range list {
		var ep *endpoint
		if same := left[cfg]; len(same) > 0 {
			ep, left[cfg] = same[0], same[1:]
		} else {
			ep = newEndpoint(u, cfg)
		}
		next.endpoints, next.weights = append(next.endpoints, ep), next.weights+ep.weight
	}
	u.members.Store(next)
	for _, gone := range left {
		for _, ep := range gone {
			ep.gone.Store(true)
			ep.transport.closeIdle()
		}
	}
}

// Credential tells how the upstream's credential is, if it is one that is
// fetched.
func (u *Upstream) Credential() (credential.Status, bool) {
	if f, ok := u.injector.(credential.Statuser); ok {
		s := f.Status()
		return s, s.Name != ""
	}
	return credential.Status{}, false
}

// Check returns why requests to u would fail now for want of good secret
// bytes, or nil. It names references.
func (u *Upstream) Check() error { return errors.Join(u.CheckTLS(), u.CheckCredential()) }

// CheckTLS is the part of Check that is about TLS.
func (u *Upstream) CheckTLS() error {
	if u.tls == nil {
		return nil
	}
	if _, err := u.tls.config.Get(); err != nil {
		return fmt.Errorf("upstream %q: %w", u.cfg.Name, err)
	}
	return nil
}

// CheckCredential is the part of Check that is about the credential.
func (u *Upstream) CheckCredential() error {
	c, ok := u.injector.(credential.Checker)
	if !ok {
		return nil
	}
	if err := c.Check(); err != nil {
		return fmt.Errorf("upstream %q: %w", u.cfg.Name, err)
	}
	return nil
}

// Close closes the idle connections, and ends mirrored requests. Exchanges
// under way go on; what they leave idle is closed too.
func (u *Upstream) Close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.cancel()
	u.copies.Wait()
	u.closeIdle()
	u.sweep()
	if c, ok := u.injector.(interface{ Close() }); ok {
		c.Close()
	}
}

// enter counts a request in, unless too many are under way.
func (u *Upstream) enter() bool {
	if u.requests.Add(1) > int64(orDefault(u.cfg.MaxRequests, defaultMax)) {
		u.leave()
		return false
	}
	return true
}

// leave counts a request out. The last one of a closed Upstream closes what
// connections are left.
func (u *Upstream) leave() {
	if u.requests.Add(-1) == 0 {
		u.sweep()
	}
}

// sweep closes every connection of a closed Upstream that serves nobody.
func (u *Upstream) sweep() {
	u.mu.Lock()
	if !u.closed || u.requests.Load() > 0 {
		u.mu.Unlock()
		return
	}
	left := make([]*conn, 0, len(u.conns))
	for c := range u.conns {
		left = append(left, c)
	}
	u.mu.Unlock()
	u.closeIdle()
	for _, c := range left {
		_ = c.Close()
	}
}

func (u *Upstream) closeIdle() {
	for _, ep := range u.members.Load().endpoints {
		ep.transport.closeIdle()
	}
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}
