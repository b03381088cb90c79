package credential

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
)

// renewed is an Injector of a header whose value a Rotator keeps fresh.
type renewed struct {
	name, prefix string
	value        *Rotator[secret.Value]
	session      *keep.Session
}

// newToken returns the Injector of a fetched token. Equal configurations share
// one Rotator.
func newToken(cfg *ir.TokenCredential, d Deps) (*renewed, error) {
	name, prefix := cfg.Name, cfg.Prefix
	if name == "" {
		name = "Authorization"
		if prefix == "" {
			prefix = bearer
		}
	}
	name, err := headerName(name)
	if err != nil {
		return nil, err
	}
	if err := checkPrefix(prefix); err != nil {
		return nil, fmt.Errorf("credential header %s: %w", name, err)
	}
	what, err := tokenSource(&cfg.Source, d)
	if err != nil {
		return nil, fmt.Errorf("credential token: %w", err)
	}
	session := d.Keep.Begin()
	value, err := rotated(session, keep.Key("token", withoutOrigins(cfg.Source)), what, d)
	if err != nil {
		session.Release()
		return nil, err
	}
	return &renewed{name: name, prefix: prefix, value: value, session: session}, nil
}

// tokenSource says how a token is fetched.
func tokenSource(cfg *ir.TokenSource, d Deps) (Renewable[secret.Value], error) {
	switch {
	case cfg.Client != nil:
		return newOAuth(cfg.Client, d)
	case cfg.Azure != nil:
		return azureToken(cfg.Azure, d)
	case cfg.GCP != nil:
		return gcpToken(cfg.GCP, d)
	}
	return Renewable[secret.Value]{}, errors.New("no source is set that can be used here")
}

// rotated returns the Rotator with the key, held by session.
func rotated[T any](session *keep.Session, key string, what Renewable[T], d Deps) (*Rotator[T], error) {
	return keep.Get(session, key, func() (*Rotator[T], error) { return NewRotator(what, d), nil })
}

// withoutOrigins returns s without the places that it came from: a line that
// moved fetches nothing anew.
func withoutOrigins(s ir.TokenSource) ir.TokenSource {
	if s.Client != nil {
		c := *s.Client
		c.Origin = ir.Origin{}
		s.Client = &c
	}
	if s.Azure != nil && s.Azure.Federated != nil {
		a := *s.Azure
		f := subjectWithoutOrigins(*a.Federated)
		a.Federated, s.Azure = &f, &a
	}
	if s.GCP != nil && s.GCP.Federation != nil {
		g, f := *s.GCP, *s.GCP.Federation
		f.Subject = subjectWithoutOrigins(f.Subject)
		g.Federation, s.GCP = &f, &g
	}
	return s
}

func subjectWithoutOrigins(s ir.SubjectToken) ir.SubjectToken {
	if s.Client != nil {
		c := *s.Client
		c.Origin = ir.Origin{}
		s.Client = &c
	}
	return s
}

// Inject replaces the header.
func (t *renewed) Inject(ctx context.Context, o *Outbound) error {
	v, err := t.value.Get(ctx)
	if err != nil {
		return fmt.Errorf("credential header %s: %w", t.name, err)
	}
	drop(o, t.name)
	o.Header[t.name] = []string{t.prefix + string(v.Reveal())}
	return nil
}

// NeedsBody reports false.
func (t *renewed) NeedsBody() bool { return false }

// Headers returns the one name.
func (t *renewed) Headers() []string { return []string{t.name} }

// Check returns why there cannot be a token for want of good secrets.
func (t *renewed) Check() error { return t.value.Check() }

// Status tells how the token is.
func (t *renewed) Status() Status { return t.value.Status() }

// Close lets go of the Rotator.
func (t *renewed) Close() { t.session.Release() }

// checkToken refuses what no header value may hold, and what is no token.
func checkToken(v string) error {
	if v == "" {
		return errors.New("the token is empty")
	}
	if textproto.TrimString(v) != v {
		return errors.New("the token has white space around it")
	}
	for _, c := range []byte(v) {
		if c <= ' ' || c > '~' {
			return errors.New("the token holds a character that no token may hold")
		}
	}
	return nil
}
