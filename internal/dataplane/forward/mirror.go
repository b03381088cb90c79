package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// Bounds on copies. Those beyond maxCopies at once are left out, as are
// requests whose body is longer than copyBody: a copy is never worth holding
// the request up for. One whose body is of unknown length, as gRPC's are, is
// copied when it has come whole.
const (
	maxCopies   = 64
	copyBody    = 1 << 20
	copyTimeout = 30 * time.Second
	copyAnswer  = 1 << 20 // bytes of the answer that are read for the connection's sake
)

// mirror sends copies of requests to an upstream and drops the answers.
type mirror struct {
	upstream    *Upstream
	part, whole uint64
	suffix      string
	places      chan struct{} // of copies under way
	gathering   chan struct{} // of bodies that are gathered
	deps        Deps
}

// NewMirror returns the stage that sends copies of requests to u. A copy
// carries no credential: neither the caller's, cookies included, nor any of
// ours. Copies end with u.
func NewMirror(cfg *ir.Mirror, u *Upstream, deps Deps) (dataplane.Stage, error) {
	m := &mirror{upstream: u, part: 1, whole: 1, suffix: cfg.HostSuffix, places: make(chan struct{}, maxCopies), gathering: make(chan struct{}, maxCopies), deps: deps.withDefaults()}
	if cfg.Numerator != 0 || cfg.Denominator != 0 {
		if cfg.Numerator < 0 || cfg.Denominator <= 0 {
			return nil, fmt.Errorf("mirror: %d of %d requests is no share", cfg.Numerator, cfg.Denominator)
		}
		m.part, m.whole = uint64(cfg.Numerator), uint64(cfg.Denominator)
	}
	if u == nil {
		return nil, errors.New("mirror: no upstream")
	}
	return m, nil
}

// Run sends a copy of e, if it is one of those to be copied, and goes on
// without waiting for it.
func (m *mirror) Run(ctx context.Context, e *dataplane.Exchange) *dataplane.Answer {
	if m.part < m.whole && m.deps.Rand()%m.whole >= m.part || e.Upgrade != "" || m.upstream.cfg.Closed != nil {
		return nil
	}
	if t := e.Trace(); t != nil {
		t.Copy(m.upstream.cfg.Name)
		return nil
	}
	data, held := e.Collected()
	if !held && e.Length < 0 {
		m.gather(ctx, e)
		return nil
	}
	if !held && e.Length > copyBody {
		return nil
	}
	if !held && e.Length > 0 {
		var a *dataplane.Answer
		if data, a = e.Collect(); a != nil {
			return a
		}
	}
	if o, ep := m.copyOf(e, data); o != nil {
		m.start(ep, o)
	}
	return nil
}

// start sends a copy in a goroutine, which Upstream.Close ends and waits for,
// if there is a place for it.
func (m *mirror) start(ep *endpoint, o *outgoing) {
	select {
	case m.places <- struct{}{}:
	default:
		return
	}
	u := m.upstream
	if !u.beginCopy() {
		<-m.places
		return
	}
	go func() {
		defer u.copies.Done()
		defer func() { <-m.places }()
		ctx, cancel := context.WithTimeout(u.ctx, copyTimeout)
		defer cancel()
		m.send(ctx, ep, o)
	}()
}

// beginCopy counts a copy in, unless u is closed.
func (u *Upstream) beginCopy() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	u.copies.Add(1)
	return true
}

// copyOf makes the copy's request, or nil where none can be sent.
func (m *mirror) copyOf(e *dataplane.Exchange, data []byte) (*outgoing, *endpoint) {
	ep := m.upstream.pick(nil)
	if ep == nil {
		return nil, nil
	}
	h := e.Header.Clone()
	e.DropConsumed(h)
	for name := range h {
		if dataplane.IsCredentialHeader(name) || e.Consumed(name) {
			delete(h, name)
		}
	}
	for _, name := range []string{"Cookie", "Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Host", "Expect", "Upgrade"} {
		delete(h, name)
	}
	if !dataplane.IsGRPC(h) {
		delete(h, "Te")
	}
	for _, s := range e.Outbound.Secrets {
		delete(h, http.CanonicalHeaderKey(s.Name))
	}
	o := &outgoing{data: data}
	o.Request = &http.Request{Method: e.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, ContentLength: int64(len(data))}
	o.Host = withSuffix(outHost(&e.Outbound, ep, e.Authority), m.suffix)
	o.sni = ep.serverName(o.Host)
	var err error
	if o.URL, err = outURL(m.upstream, ep, e.OutPath(), e.OutQuery()); err != nil || unsendable(o) != "" {
		return nil, nil
	}
	return o, ep
}

// withSuffix appends to a host, before its port.
func withSuffix(host, suffix string) string {
	if suffix == "" {
		return host
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i] + suffix + host[i:]
	}
	return host + suffix
}

func (m *mirror) send(ctx context.Context, ep *endpoint, o *outgoing) {
	if !m.upstream.enter() {
		return
	}
	defer m.upstream.leave()
	resp, err := ep.transport.roundTrip(ctx, o)
	if err != nil {
		m.deps.Log.Debug("mirror", "upstream", m.upstream.cfg.Name, "error", plain(err))
		return
	}
	_, _ = io.CopyN(io.Discard, resp.Body, copyAnswer)
	_ = resp.Body.Close()
}
