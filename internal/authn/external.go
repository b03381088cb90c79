package authn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// MethodExternal is the Method of a caller whom an external server let pass.
const MethodExternal = "external"

const (
	defaultQuestion = 200 * time.Millisecond
	maxAnswer       = 1 << 20 // bytes of a server's answer
	maxMutations    = 100     // headers that it may change
)

// Dial opens a connection to an external server, TLS included. alpn are the
// protocols to offer.
type Dial func(ctx context.Context, alpn ...string) (net.Conn, error)

// External asks another server whether a request may pass, in the protocol of
// Envoy's ext_authz filter, over gRPC or HTTP. What it lets pass is vouched
// for by it, under the method's name. The headers that it sets overwrite the
// client's.
//
// While it cannot be asked, requests are refused, or pass if the configuration
// says so. An answer that makes no sense is always a refusal.
type External struct {
	name     string
	cfg      ir.ExternalAuth
	sanitize []string
	protocol protocol
	timeout  time.Duration
	status   int
	retries  int

	mu     sync.Mutex
	users  int // requests that may be asking
	closed bool
}

var _ Authenticator = (*External)(nil)

// protocol is a way to ask.
type protocol interface {
	// ask returns what the server decided, or an error when it did not. No
	// error repeats what the request or the answer holds.
	ask(ctx context.Context, q *query) (*decision, error)
	// close closes the connections; asking opens them again.
	close()
}

// query is what is asked.
type query struct {
	r *Request
	// body is the beginning of the request's body, if it is sent along.
	body    []byte
	partial bool
}

// decision is what a server decided.
type decision struct {
	pass bool
	// status, header and text are the client's answer if it may not pass.
	status int
	header http.Header
	text   string
	// The rest is what becomes of the request if it may.
	set      []HeaderSet
	remove   []string
	reply    []HeaderSet
	metadata map[string]any
}

// errAnswer says that the server answered what makes no sense.
var errAnswer = errors.New("the external server's answer makes no sense")

// NewExternal makes cfg ready. name is how identities refer to it.
func NewExternal(name string, cfg *ir.ExternalAuth, deps Deps) (*External, error) {
	x := &External{name: name, cfg: *cfg, timeout: orDefault(cfg.Timeout, defaultQuestion), status: cfg.StatusOnError}
	switch {
	case x.status == 0:
		x.status = http.StatusForbidden
	case x.status < 400 || x.status > 599:
		return nil, fmt.Errorf("external check: status on error %d is no error", x.status)
	}
	if (cfg.HTTP == nil) == (cfg.GRPC == nil) {
		return nil, errors.New("external check: exactly one of HTTP and gRPC is needed")
	}
	if deps.External == nil {
		return nil, errors.New("external check: there is no way to a server")
	}
	dial, err := deps.External(cfg)
	if err != nil {
		return nil, fmt.Errorf("external check: %w", err)
	}
	if cfg.GRPC != nil {
		x.retries = min(max(cfg.GRPC.Retries, 0), 10)
		x.protocol, err = newExternalGRPC(cfg, dial)
	} else {
		var h *externalHTTP
		if h, err = newExternalHTTP(cfg, dial); err == nil {
			x.protocol, x.sanitize = h, h.sanitize
		}
	}
	if err != nil {
		return nil, fmt.Errorf("external check: %w", err)
	}
	if h := cfg.UserHeader; h != "" {
		if !validHeaderName(h) {
			return nil, fmt.Errorf("external check: %q is no header name", h)
		}
		x.sanitize = unique(append(slices.Clip(x.sanitize), http.CanonicalHeaderKey(h)))
	}
	return x, nil
}

// SanitizeHeaders are the headers that are known beforehand to be set.
func (x *External) SanitizeHeaders() []string { return x.sanitize }

// InputHeaders are the client's headers that the server is told of.
func (x *External) InputHeaders() []string {
	if x.cfg.HTTP == nil {
		return nil
	}
	return canonical(x.cfg.HTTP.RequestHeaders)
}

func canonical(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = http.CanonicalHeaderKey(n)
	}
	return out
}

// Close closes the connections to the server. Requests that are under way, or
// still come, are served; the last of them closes again.
func (x *External) Close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	if x.users == 0 {
		x.protocol.close()
	}
}

func (x *External) enter() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.users++
}

func (x *External) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.users--; x.closed && x.users == 0 {
		x.protocol.close()
	}
}

// Authenticate asks the server. It waits for its answer, within the time-out.
func (x *External) Authenticate(ctx context.Context, r *Request) (Result, error) {
	if r.Call == nil {
		return Result{}, errors.New("external check: nothing is known of the request")
	}
	q := &query{r: r}
	if x.cfg.BodyBytes > 0 {
		data, whole, err := r.Call.ReadBody(x.cfg.BodyBytes)
		switch {
		case err != nil:
			return Result{}, err
		case !whole && !x.cfg.PartialBody:
			return Result{}, &Failure{
				Status: http.StatusRequestEntityTooLarge, Text: "Payload Too Large", Header: noHeader,
				Unavailable: true, Cause: errors.New("the body is longer than what the external server takes"),
			}
		}
		q.body, q.partial = data, !whole
	}
	x.enter()
	defer x.leave()
	d, err := x.ask(ctx, q)
	switch {
	case err != nil:
		return x.unasked(ctx, err)
	case !d.pass:
		return Result{}, &Failure{
			Status: d.status, Text: d.text, Foreign: true, Header: d.header,
			Cause: fmt.Errorf("the external server %s refuses with %d", x.name, d.status),
		}
	}
	return Result{
		Identities: []Identity{{Provider: x.name, Method: MethodExternal, Claims: d.metadata}},
		Sanitize:   x.sanitize, Set: d.set, Remove: d.remove, Reply: d.reply,
	}, nil
}

// ask asks once, and again while there was no answer and retries are left.
func (x *External) ask(ctx context.Context, q *query) (*decision, error) {
	for try := 0; ; try++ {
		d, err := x.askOnce(ctx, q)
		if err == nil || try >= x.retries || ctx.Err() != nil || errors.Is(err, errAnswer) {
			return d, err
		}
	}
}

func (x *External) askOnce(ctx context.Context, q *query) (*decision, error) {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	d, err := x.protocol.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	return d, d.check()
}

// unasked is the outcome where the server gave no answer.
func (x *External) unasked(ctx context.Context, err error) (Result, error) {
	f := &Failure{Status: x.status, Header: noHeader, Unavailable: true, Cause: fmt.Errorf("the external server %s: %w", x.name, err)}
	if !x.cfg.FailOpen || errors.Is(err, errAnswer) || ctx.Err() != nil {
		return Result{}, f
	}
	return Result{Sanitize: x.sanitize, Ignored: f}, nil
}

// check refuses an answer that would split or forge a head, or change what the
// request is: its pseudo headers and Host.
func (d *decision) check() error {
	if !d.pass {
		if d.status < 200 || d.status > 599 {
			return fmt.Errorf("%w: status %d", errAnswer, d.status)
		}
		for name, values := range d.header {
			for _, v := range values {
				if !validHeaderName(name) || !validHeaderValue(v) {
					return fmt.Errorf("%w: a header of the refusal is malformed", errAnswer)
				}
			}
		}
		return nil
	}
	if len(d.set)+len(d.remove)+len(d.reply) > maxMutations {
		return fmt.Errorf("%w: it changes more than %d headers", errAnswer, maxMutations)
	}
	for _, list := range [][]HeaderSet{d.set, d.reply} {
		for _, h := range list {
			if !validHeaderName(h.Name) || strings.EqualFold(h.Name, "Host") || !validHeaderValue(h.Value) {
				return fmt.Errorf("%w: a header that it sets is malformed, or is Host", errAnswer)
			}
		}
	}
	for _, name := range d.remove {
		if !validHeaderName(name) || strings.EqualFold(name, "Host") {
			return fmt.Errorf("%w: a header that it removes is malformed, or is Host", errAnswer)
		}
	}
	return nil
}
