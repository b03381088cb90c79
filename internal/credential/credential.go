// Package credential puts onto an outbound request what the gateway shows to a
// provider, so that nobody but the gateway ever holds it.
//
//	secret.Store ──► Source ──► Injector.Inject ──► Outbound ──► forward
//	                 gets it    puts it on, last of all, for each attempt
//
// A Source is either the Store itself, or a Rotator, which fetches a Renewable
// (an OAuth token, keys of a role, a cloud's access token) and keeps it fresh.
// Rotators are kept by the hash of their configuration, so that a reload
// fetches nothing again. A kind of credential that is fetched is one file
// that makes a Renewable, and one line in tokenSource or firstKeys.
//
// An Injector acts after every filter, only towards its own upstream, and
// fails closed: without a good credential there is an error and no request.
// It replaces every value of the headers that it writes, and drops the other
// well-known credential headers, which are the caller's. Secret bytes are
// revealed while a header is being written and not before; an error names the
// secret.Ref.
package credential

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
)

// Outbound is the head of one attempt's request, on which an Injector acts.
// Nothing changes it afterwards.
type Outbound struct {
	// Method, Scheme and Host as sent; an Injector that signs may strip the
	// scheme's default port off Host.
	Method, Scheme, Host string
	// URL as sent: its EscapedPath and RawQuery. An Injector may change it.
	URL *url.URL
	// Header has canonical names.
	Header http.Header
	// Body is the whole body, if the Injector's NeedsBody says so.
	Body []byte
	// Caller holds the client's own credential headers, for passthrough. What
	// the gateway accepted as proof is not among them, unless the resource
	// says that it is to be kept.
	Caller http.Header
	// Override holds the headers in which the request may bring a credential
	// of its own; see OverrideHeaders. They are no longer in Header.
	Override http.Header
	// Metadata returns what a step left for later ones, and whether it is
	// JSON; nil: nothing was left.
	Metadata func(namespace, key string) (text string, isJSON, ok bool)
	// Keep names well-known credential headers that the gateway has already
	// set itself, and that are not to be dropped.
	Keep []string
}

// Injector puts a credential onto outbound requests. It is safe for use by
// many goroutines.
type Injector interface {
	// Inject acts on o. After an error o must not be sent; the error is for
	// the log, and names secrets without quoting them.
	Inject(ctx context.Context, o *Outbound) error
	// NeedsBody reports whether Inject must see the whole body.
	NeedsBody() bool
	// Headers returns the names of the headers that Inject writes: those that
	// an answer must not repeat, see Repeats.
	Headers() []string
}

// Checker is what an Injector may be besides: Check returns why Inject would
// fail now, so that a broken secret is reported before a request meets it.
type Checker interface {
	Check() error
}

// Source gets a credential. A Source that has to fetch or renew it knows its
// expiry, renews before, and returns an error rather than a credential that
// has expired. It is safe for use by many goroutines.
type Source[T any] interface {
	Get(ctx context.Context) (T, error)
}

// static is a Source of what is in the secret store, as it is now.
type static[T any] struct{ *secret.Derived[T] }

func (s static[T]) Get(context.Context) (T, error) { return s.Derived.Get() }

// Deps is what credentials are made with.
type Deps struct {
	Store *secret.Store
	// Clock tells the time; nil: time.Now.
	Clock func() time.Time
	// Client sends the requests that fetch credentials; nil: nothing is
	// fetched, and a credential that would have to be is unavailable. Redirects
	// are not followed, whatever the Client does.
	Client *http.Client
	// Machine asks the metadata servers of the machine or container itself, at
	// addresses that no resource can name: those that Client may refuse to
	// dial. Nil: Client.
	Machine *http.Client
	// Keep holds the Rotators; nil: each Injector has its own.
	Keep *keep.Keep
	// Log hears of fetches that fail; nil: nobody does.
	Log *slog.Logger
	// Env looks an environment variable up; nil: the process's.
	Env func(name string) (string, bool)
}

func (d Deps) withDefaults() Deps {
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Keep == nil {
		d.Keep = new(keep.Keep)
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Env == nil {
		d.Env = os.LookupEnv
	}
	if d.Client != nil {
		d.Client = unled(d.Client)
		if d.Machine == nil {
			d.Machine = d.Client
		}
		d.Machine = unled(d.Machine)
	}
	return d
}

// unled returns a client that does not let itself be led elsewhere, carries
// nothing from one fetch to the next, and reads no endless answers.
func unled(c *http.Client) *http.Client {
	own := *c
	own.Jar = nil
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if _, ok := own.Transport.(bounded); !ok {
		own.Transport = bounded{own.Transport}
	}
	return &own
}

// bounded is a transport whose answers end at maxAnswer bytes, with an error:
// what an SDK reads is bounded, too.
type bounded struct{ http.RoundTripper }

// RoundTrip sends r.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	t := b.RoundTripper
	if t == nil {
		t = http.DefaultTransport
	}
	resp, err := t.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer+1)
	}
	return resp, err
}

// New returns the Injector for cfg. A secret that is missing or broken is no
// error here, but one of each Inject until it is mended. If the Injector has a
// Close method, that lets go of what it fetches.
func New(cfg *ir.Credential, d Deps) (Injector, error) {
	if cfg == nil {
		return nil, errNoKind
	}
	d = d.withDefaults()
	if cfg.Override == nil {
		return configured(cfg, d)
	}
	if cfg.Override.Required {
		d.Client, d.Keep = nil, new(keep.Keep) // it is never used, so it need not be fetched
	}
	in, err := configured(cfg, d)
	if err != nil {
		return nil, err
	}
	return newOverride(in, cfg.Override)
}

var errNoKind = errors.New("credential: no kind is set")

// configured returns the Injector of the credential that is configured.
func configured(cfg *ir.Credential, d Deps) (Injector, error) {
	switch {
	case cfg.Header != nil:
		return newHeader(cfg.Header, d.Store)
	case cfg.Passthrough != nil:
		return newPassthrough(cfg.Passthrough)
	case cfg.AWS != nil:
		return newAWS(cfg.AWS, d)
	case cfg.Token != nil:
		return newToken(cfg.Token, d)
	}
	return nil, errNoKind
}

// wellKnown are the headers in which callers and providers carry credentials.
// Cookie is not among them: it is the application's, and no provider's.
var wellKnown = []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Proxy-Authorization"}

// WellKnown returns the canonical names of the credential headers that are
// dropped when another one is injected.
func WellKnown() []string { return slices.Clone(wellKnown) }

// drop removes the well-known credential headers but name and those in keep.
func drop(o *Outbound, name string) {
	for _, other := range wellKnown {
		if other != name && !slices.ContainsFunc(o.Keep, func(k string) bool { return http.CanonicalHeaderKey(k) == other }) {
			delete(o.Header, other)
		}
	}
}

// clean returns v without the white space around it. It refuses an empty
// value and every byte that is not printable ASCII: a line feed in the middle
// would begin another header. ref is for the error.
func clean(ref secret.Ref, v secret.Value) ([]byte, error) {
	b := trim(v.Reveal())
	if len(b) == 0 {
		return nil, fmt.Errorf("%v: value is empty", ref)
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return nil, fmt.Errorf("%v: value holds a character that no header value may hold", ref)
		}
	}
	return b, nil
}
