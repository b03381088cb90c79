package filter

import (
	"errors"
	"fmt"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// side is whose headers an edit is about.
type side int

const (
	onRequest side = iota
	onResponse
)

// changes is an ir.HeaderChanges made ready.
type changes struct {
	remove   []string
	set, add []headerValue
}

// headerValue is an ir.HeaderValue made ready.
type headerValue struct {
	name    string // canonical
	literal string
	format  *format
	// injected is set for an injected credential, and secret if it is made of
	// one.
	injected dataplane.SecretHeader
	secret   *secret.Derived[string]
	origin   ir.Origin
}

func newChanges(cfg *ir.HeaderChanges, store *secret.Store, where side) (changes, error) {
	var c changes
	for _, name := range cfg.Remove {
		canonical, err := headerName(name)
		if err != nil {
			return c, err
		}
		if !framesMessage(canonical) { // those never travel on anyway
			c.remove = append(c.remove, canonical)
		}
	}
	var err error
	if c.set, err = newHeaderValues(cfg.Set, store, where); err != nil {
		return c, err
	}
	c.add, err = newHeaderValues(cfg.Add, store, where)
	return c, err
}

func newHeaderValues(list []ir.HeaderValue, store *secret.Store, where side) ([]headerValue, error) {
	out := make([]headerValue, 0, len(list))
	for i := range list {
		v, err := newHeaderValue(&list[i], store, where)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func newHeaderValue(cfg *ir.HeaderValue, store *secret.Store, where side) (headerValue, error) {
	name, err := headerName(cfg.Name)
	if err != nil {
		return headerValue{}, err
	}
	if framesMessage(name) {
		return headerValue{}, fmt.Errorf("header %q belongs to the connection and cannot be written", cfg.Name)
	}
	v := headerValue{name: name, literal: cfg.Value, origin: cfg.Origin}
	switch {
	case !cfg.Secret.IsZero() && where == onResponse:
		return v, fmt.Errorf("header %q: a secret cannot be sent to the client", cfg.Name)
	case !cfg.Secret.IsZero():
		v.secret = deriveValue(store, cfg.Secret)
		v.injected = dataplane.SecretHeader{Name: name, Value: v.secret.Get, Ref: &cfg.Secret}
	case cfg.Format != "":
		if v.format, err = parseFormat(cfg.Format, where); err != nil {
			return v, fmt.Errorf("header %q: %w", cfg.Name, err)
		}
	case !isFieldValue(cfg.Value):
		return v, fmt.Errorf("header %q: the value holds a control byte", cfg.Name)
	case where == onRequest && cfg.Value != "" && dataplane.IsCredentialHeader(name):
		literal := cfg.Value
		v.injected = dataplane.SecretHeader{Name: name, Value: func() (string, error) { return literal, nil }}
	}
	return v, nil
}

// deriveValue returns the value of a header that a secret holds.
func deriveValue(store *secret.Store, ref secret.Ref) *secret.Derived[string] {
	return secret.Derive(store, []secret.Ref{ref}, func(values []secret.Value) (string, error) {
		b := values[0].Reveal()
		switch {
		case len(b) == 0:
			return "", fmt.Errorf("%v: %w", ref, errSecretEmpty)
		case !isFieldBytes(b):
			return "", fmt.Errorf("%v: %w", ref, errSecretBytes)
		}
		return string(b), nil
	})
}

var (
	errSecretEmpty = errors.New("the value is empty")
	errSecretBytes = errors.New("the value cannot be a header's: it holds a line break, NUL or another control byte, perhaps at its end")
)

// static reports whether every value is known beforehand.
func (c *changes) static() bool {
	for _, list := range [][]headerValue{c.set, c.add} {
		for i := range list {
			if list[i].format != nil {
				return false
			}
		}
	}
	return true
}

func (c *changes) empty() bool { return len(c.remove)+len(c.set)+len(c.add) == 0 }
