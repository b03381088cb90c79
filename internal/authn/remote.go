package authn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

const (
	defaultRefresh = 5 * time.Minute
	defaultTimeout = 5 * time.Second
	minRefresh     = time.Second
	// MaxStale is how long after they were due to be refreshed keys still
	// serve, while fetching them fails. Afterwards every token is refused: an
	// issuer that cannot be reached cannot revoke a key either.
	MaxStale = time.Hour
	// renewEvery bounds fetches on demand: a token with an unknown kid causes
	// none within this time of the last fetch.
	renewEvery = 10 * time.Second

	firstBackoff = time.Second
	maxBackoff   = time.Minute
)

// Doer sends an HTTP request. It must not follow redirects; of an *http.Client
// RemoteKeys takes a copy that does not.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// RemoteKeys keeps the JWKS behind a URL fresh, in a goroutine of its own,
// until Close. Requests wait for a fetch only when there are no keys yet or
// none with the kid asked for, and then all for the same fetch.
type RemoteKeys struct {
	url string
	// discover says that url is that of an OpenID configuration.
	discover bool
	label    string // of the URL, without credentials and query
	refresh  time.Duration
	timeout  time.Duration
	client   Doer
	clock    func() time.Time

	good   atomic.Pointer[fetchedKeys]
	wake   chan struct{} // asks for a fetch now
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	attempt chan struct{} // closed when the present or next fetch ends
	running bool
	tried   time.Time
	lastErr error
}

type fetchedKeys struct {
	set *KeySet
	at  time.Time
}

// KeyStatus is how the keys behind a URL are; for metrics and people.
type KeyStatus struct {
	// URL without credentials and query.
	URL string
	// LastSuccess and LastTry; zero: never.
	LastSuccess, LastTry time.Time
	// LastError of a fetch after LastSuccess; empty: none.
	LastError string
	// Keys that can be used, Skipped that cannot, with the reason.
	Keys    int
	Skipped []string
	// Version of the key set; it changes with its content.
	Version string
}

// NewRemoteKeys starts fetching. An error says what is wrong with cfg. A nil
// clock is time.Now.
func NewRemoteKeys(cfg ir.RemoteKeys, client Doer, clock func() time.Time) (*RemoteKeys, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("JWKS: not an http or https URL")
	}
	if clock == nil {
		clock = time.Now
	}
	if c, ok := client.(*http.Client); ok {
		client = unled(c)
	}
	at := cfg.URL
	if cfg.Discover {
		at = strings.TrimSuffix(at, "/") + "/.well-known/openid-configuration"
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &RemoteKeys{
		url: at, discover: cfg.Discover,
		label:   u.Scheme + "://" + u.Host + u.EscapedPath(),
		refresh: max(orDefault(cfg.Refresh, defaultRefresh), minRefresh),
		timeout: orDefault(cfg.Timeout, defaultTimeout),
		client:  client,
		clock:   clock,
		wake:    make(chan struct{}, 1),
		cancel:  cancel,
		done:    make(chan struct{}),
		attempt: make(chan struct{}),
		running: true, // the first fetch starts at once
	}
	go r.run(ctx)
	return r, nil
}

// FixedKeys returns keys that are never fetched: set, or if it is nil none, as
// if fetching failed always. It is for decisions made without a network.
func FixedKeys(set *KeySet) *RemoteKeys {
	r := &RemoteKeys{label: "fixed", clock: time.Now, cancel: func() {}, done: make(chan struct{}), lastErr: errOffline}
	close(r.done)
	if set != nil {
		r.good.Store(&fetchedKeys{set: set})
	}
	return r
}

var (
	errOffline = errors.New("keys are not fetched here")
	errStale   = errors.New("keys are too old, and cannot be fetched anew")
)

// unled returns a client that does not let itself be led elsewhere, and
// carries nothing from one fetch to the next.
func unled(c *http.Client) *http.Client {
	own := *c
	own.Jar = nil
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

func orDefault(d, or time.Duration) time.Duration {
	if d <= 0 {
		return or
	}
	return d
}

// Format writes the URL without credentials and query, for every verb.
func (r *RemoteKeys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "jwks "+r.label) }

// Current returns the keys that may be used now, or nil; it never waits.
func (r *RemoteKeys) Current() *KeySet {
	f := r.good.Load()
	if f == nil || r.stale(f) {
		return nil
	}
	return f.set
}

func (r *RemoteKeys) stale(f *fetchedKeys) bool {
	return !f.at.IsZero() && r.clock().Sub(f.at) > r.refresh+MaxStale
}

// Get returns the keys. If there are none it waits for the fetch that is under
// way, or asks for one unless one has just failed. It waits for one fetch, so
// for the timeout at most.
func (r *RemoteKeys) Get(ctx context.Context) (*KeySet, error) {
	if set := r.Current(); set != nil {
		return set, nil
	}
	r.demand(ctx)
	if set := r.Current(); set != nil {
		return set, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("fetch jwks %q: %w", r.label, ctx.Err())
	case errors.Is(r.lastErr, ErrUnasked):
		return nil, unasked(ctx, "the keys of "+r.label)
	case r.lastErr != nil:
		return nil, r.lastErr
	}
	return nil, errStale
}

// Renew is for a kid that no key has: it fetches once more, unless the last
// fetch is less than 10 s ago, and returns the keys there are then, or nil.
func (r *RemoteKeys) Renew(ctx context.Context) *KeySet {
	r.demand(ctx)
	return r.Current()
}

// demand waits for the end of the running fetch, or of a new one if the last
// is long enough ago.
func (r *RemoteKeys) demand(ctx context.Context) {
	r.mu.Lock()
	attempt := r.attempt
	if !r.running {
		if since := r.clock().Sub(r.tried); since >= 0 && since < renewEvery {
			r.mu.Unlock()
			return
		}
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	r.mu.Unlock()
	select {
	case <-attempt:
	case <-ctx.Done():
	case <-r.done:
	}
}

// Close stops fetching and waits for it to have stopped. What was fetched
// serves until it is too old.
func (r *RemoteKeys) Close() {
	r.cancel()
	<-r.done
}

// Status tells how the keys are.
func (r *RemoteKeys) Status() KeyStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := KeyStatus{URL: r.label, LastTry: r.tried}
	if r.lastErr != nil {
		s.LastError = r.lastErr.Error()
	}
	if f := r.good.Load(); f != nil {
		s.LastSuccess, s.Keys, s.Version, s.Skipped = f.at, f.set.Len(), f.set.Version(), f.set.Skipped()
	}
	return s
}

func (r *RemoteKeys) run(ctx context.Context) {
	defer close(r.done)
	failures := 0
	for {
		set, err := r.fetch(ctx)
		r.publish(set, err)
		wait := beforeExpiry(r.refresh)
		if err != nil {
			failures++
			wait = backoff(failures)
		} else {
			failures = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-r.wake:
			timer.Stop()
		}
		r.mu.Lock()
		r.running = true
		r.mu.Unlock()
	}
}

// publish ends an attempt, and lets go whoever waits for it.
func (r *RemoteKeys) publish(set *KeySet, err error) {
	now := r.clock()
	if err == nil {
		r.good.Store(&fetchedKeys{set: set, at: now})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select { // a wish that came while fetching is granted
	case <-r.wake:
	default:
	}
	r.tried, r.lastErr, r.running = now, err, false
	close(r.attempt)
	r.attempt = make(chan struct{})
}

// beforeExpiry spreads refreshes over the last quarter of d but a tenth.
func beforeExpiry(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(rand.Int64N(int64(d*3/20)+1))
}

// backoff doubles from 1 s to 1 min, and takes up to half of it off.
func backoff(failures int) time.Duration {
	d := firstBackoff << min(failures-1, 10)
	d = min(d, maxBackoff)
	return d - time.Duration(rand.Int64N(int64(d/2)))
}

func (r *RemoteKeys) fetch(ctx context.Context) (*KeySet, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	set, err := r.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch jwks %q: %w", r.label, err)
	}
	return set, nil
}

func (r *RemoteKeys) get(ctx context.Context) (*KeySet, error) {
	at := r.url
	if r.discover {
		b, err := r.read(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		if at, err = discovered(at, b); err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
	}
	b, err := r.read(ctx, at)
	if err != nil {
		return nil, err
	}
	return ParseJWKS(b)
}

// discovered returns the address of the JWKS out of an OpenID configuration
// that was fetched from a URL. What came over TLS may not lead away from it.
func discovered(from string, b []byte) (string, error) {
	var doc struct {
		JWKS string `json:"jwks_uri"`
	}
	if json.Unmarshal(b, &doc) != nil {
		return "", errors.New("not an OpenID configuration")
	}
	u, err := url.Parse(doc.JWKS)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("its jwks_uri is not an http or https URL")
	case u.Scheme == "http" && strings.HasPrefix(from, "https:"):
		return "", errors.New("its jwks_uri leaves https")
	}
	return doc.JWKS, nil
}

// read fetches what is behind a URL.
func (r *RemoteKeys) read(ctx context.Context, at string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, errors.New("not a URL that can be fetched")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		var ue *url.Error // repeats the whole URL, query and all
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %d", resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxKeysBytes+1))
	if err == nil && len(b) > MaxKeysBytes {
		err = errKeysTooBig
	}
	return b, err
}
