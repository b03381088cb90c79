package authn

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

const (
	maxIntrospection = 64 << 10
	// maxQuestions bounds how many tokens are asked about at one time; the
	// next ones wait for their turn.
	maxQuestions = 64
)

// errInactive says that the server knows nothing good of a token.
var errInactive = errors.New("the authorization server calls the token inactive")

// introspector asks an authorization server about tokens (RFC 7662). Requests
// with one token ask once.
type introspector struct {
	url, id string
	origin  ir.Origin
	timeout time.Duration
	client  Doer
	secret  *secret.Derived[clientSecret] // nil: there is none
	places  chan struct{}
	answer  *answered // what is said in place of the server

	mu     sync.Mutex
	asking map[cacheKey]*question
}

// clientSecret is what identifies the gateway, ready to be sent, and its
// version.
type clientSecret struct {
	header  secret.Value
	version [sha256.Size]byte
}

// question is one that is under way.
type question struct {
	done   chan struct{}
	claims map[string]any
	err    error
}

func newIntrospector(cfg *ir.Introspection, deps Deps) (*introspector, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, errors.New("introspection: not an http or https URL")
	}
	in := &introspector{
		url: cfg.URL, id: cfg.ClientID, origin: cfg.Origin, timeout: orDefault(cfg.Timeout, defaultTimeout), client: deps.Client,
		places: make(chan struct{}, maxQuestions), asking: map[cacheKey]*question{},
	}
	if c, ok := in.client.(*http.Client); ok {
		in.client = unled(c)
	}
	if !cfg.ClientSecret.IsZero() {
		in.secret = secret.Derive(deps.Store, []secret.Ref{cfg.ClientSecret}, in.identify)
	}
	return in, nil
}

// identify makes the client's credentials (RFC 6749 section 2.3.1).
func (in *introspector) identify(v []secret.Value) (clientSecret, error) {
	if v[0].IsZero() {
		return clientSecret{}, errors.New("the client secret is empty")
	}
	text := url.QueryEscape(in.id) + ":" + url.QueryEscape(string(v[0].Reveal()))
	return clientSecret{
		secret.NewValue([]byte("Basic " + base64.StdEncoding.EncodeToString([]byte(text)))), sha256.Sum256(v[0].Reveal()),
	}, nil
}

// version of the client secret: what was asked under another is asked again.
func (in *introspector) version() (v [sha256.Size]byte) {
	if in.secret != nil {
		s, _ := in.secret.Get()
		return s.version
	}
	return v
}

// ask returns what the server says of an active token. The answer is shared
// and must not be modified. The first request with a token asks, and goes on
// asking when its client has gone, since others may wait for the answer.
func (in *introspector) ask(ctx context.Context, token string, key cacheKey) (map[string]any, error) {
	if in.answer != nil {
		return in.answer.inspect(ctx)
	}
	if in.client == nil {
		return nil, errors.New("introspection: nobody is asked here")
	}
	in.mu.Lock()
	q := in.asking[key]
	if q != nil {
		in.mu.Unlock()
		select {
		case <-q.done:
			return q.claims, q.err
		case <-ctx.Done():
			return nil, fmt.Errorf("introspection: %w", ctx.Err())
		}
	}
	q = &question{done: make(chan struct{})}
	in.asking[key] = q
	in.mu.Unlock()
	in.settle(context.WithoutCancel(ctx), q, token, key)
	return q.claims, q.err
}

// settle answers a question, whatever happens on the way.
func (in *introspector) settle(ctx context.Context, q *question, token string, key cacheKey) {
	q.err = errors.New("introspection: it was broken off")
	defer func() {
		in.mu.Lock()
		delete(in.asking, key)
		in.mu.Unlock()
		close(q.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, in.timeout)
	defer cancel()
	select {
	case in.places <- struct{}{}:
		defer func() { <-in.places }()
		q.claims, q.err = in.post(ctx, token)
	case <-ctx.Done():
		q.err = errors.New("introspection: too many tokens are asked about")
	}
}

// post sends the question (RFC 7662 section 2.1). No error repeats the token.
func (in *introspector) post(ctx context.Context, token string) (map[string]any, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	if in.secret == nil && in.id != "" {
		form.Set("client_id", in.id)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, in.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("introspection: not a URL that can be asked")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if in.secret != nil {
		s, err := in.secret.Get()
		if err != nil {
			return nil, fmt.Errorf("introspection: client secret: %w", err)
		}
		req.Header.Set("Authorization", string(s.header.Reveal()))
	}
	resp, err := in.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("introspection: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("introspection: the server answered %d", resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxIntrospection+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("introspection: %w", err)
	case len(b) > maxIntrospection:
		return nil, fmt.Errorf("introspection: an answer of more than %d bytes", maxIntrospection)
	}
	claims, err := decodeObject(b)
	if err != nil {
		return nil, fmt.Errorf("introspection: the answer: %w", err)
	}
	if active, ok := claims["active"].(bool); !ok {
		return nil, errors.New("introspection: the answer does not say whether the token is active")
	} else if !active {
		return nil, errInactive
	}
	return claims, nil
}
