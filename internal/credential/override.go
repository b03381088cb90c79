package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// CallerError is the caller's own fault: it had to bring a credential, or
// brought one that is none. Its text is for the answer, and quotes nothing.
type CallerError struct {
	// Status of the answer: 401 or 400.
	Status int
	Text   string
}

// Error returns the text.
func (e *CallerError) Error() string { return e.Text }

// brought is a credential that came with a request: parts[0] is a token or an
// access key id; AWS has the secret key and the session token after it.
type brought struct {
	parts [3]string
	// have says which of the parts are there, be they empty.
	have [3]bool
}

// taker is an Injector that can put on a credential that a request brings.
type taker interface {
	// names returns the suffixes of the headers that carry its parts, and
	// members the members of the object that does in metadata; of a credential
	// of one part, none.
	names() (suffixes, members []string)
	// fits returns why b is no credential.
	fits(b *brought) error
	// give puts b on, which fits.
	give(ctx context.Context, o *Outbound, b *brought) error
}

// override is an Injector of what a request brings, or else of the configured
// credential.
type override struct {
	Injector
	taker    taker
	cfg      *ir.CredentialOverride
	headers  []string // canonical names, in the order of parts
	members  []string
	required bool
}

func newOverride(in Injector, cfg *ir.CredentialOverride) (Injector, error) {
	t, ok := in.(taker)
	if !ok {
		return nil, errors.New("credential override: nothing can take the place of the caller's own token")
	}
	suffixes, members := t.names()
	v := &override{Injector: in, taker: t, cfg: cfg, members: members, required: cfg.Required}
	switch {
	case (cfg.Header == "") == (cfg.Metadata == nil):
		return nil, errors.New("credential override: either a header or metadata has to be named")
	case cfg.Metadata != nil:
		return v, nil
	case len(suffixes) == 0:
		suffixes = []string{""}
	}
	for _, s := range suffixes {
		name, err := headerName(cfg.Header + s)
		if err != nil {
			return nil, fmt.Errorf("credential override: %w", err)
		}
		v.headers = append(v.headers, name)
	}
	return v, nil
}

// OverrideHeaders returns the canonical names of the headers in which requests
// to an upstream with that credential bring one of their own: they are to be
// removed from every attempt of the route, used or not.
func OverrideHeaders(cfg *ir.Credential) []string {
	if cfg == nil || cfg.Override == nil || cfg.Override.Header == "" {
		return nil
	}
	suffixes := []string{""}
	if cfg.AWS != nil {
		suffixes, _ = (*sigv4)(nil).names()
	}
	var out []string
	for _, s := range suffixes {
		out = append(out, http.CanonicalHeaderKey(cfg.Override.Header+s))
	}
	return out
}

// Inject puts on what the request brings; without it the configured
// credential, if that is allowed. A part of a credential is never made whole
// from the configured one.
func (v *override) Inject(ctx context.Context, o *Outbound) error {
	own, err := v.brings(o)
	for _, name := range v.headers {
		delete(o.Header, name)
	}
	switch {
	case err != nil:
		return err
	case !own:
		return v.Injector.Inject(ctx, o)
	}
	b, err := v.find(o)
	if err != nil {
		return err
	}
	return v.taker.give(ctx, o, b)
}

// brings tells whether o brings a credential, and why it is refused for that,
// or for want of one.
func (v *override) brings(o *Outbound) (bool, error) {
	b, err := v.find(o)
	switch {
	case err != nil:
		return false, err
	case b == nil && v.required:
		return false, errNoneBrought
	case b == nil:
		return false, nil
	}
	if err := v.taker.fits(b); err != nil {
		return false, unfit(err)
	}
	return true, nil
}

var errNoneBrought = &CallerError{http.StatusUnauthorized, "the request has to bring a credential for the upstream"}

func unfit(err error) *CallerError {
	return &CallerError{http.StatusBadRequest, "the credential that the request brings is none: " + err.Error()}
}

// find returns what the request brings, or nil.
func (v *override) find(o *Outbound) (*brought, error) {
	if v.cfg.Metadata != nil {
		return v.inMetadata(o)
	}
	b, found := &brought{}, false
	for i, name := range v.headers {
		values, ok := o.Override[name]
		switch {
		case !ok:
			continue
		case len(values) != 1:
			return nil, &CallerError{http.StatusBadRequest, "the request brings several values of one credential"}
		}
		b.parts[i], b.have[i], found = string(trim([]byte(values[0]))), true, true
	}
	if !found {
		return nil, nil
	}
	return b, nil
}

func (v *override) inMetadata(o *Outbound) (*brought, error) {
	if o.Metadata == nil {
		return nil, nil
	}
	text, isJSON, ok := o.Metadata(v.cfg.Metadata.Namespace, v.cfg.Metadata.Key)
	if !ok || isJSON && text == "null" {
		return nil, nil
	}
	malformed := &CallerError{http.StatusBadRequest, "the credential that was left for the request has not the form of one"}
	if len(v.members) == 0 {
		if isJSON && json.Unmarshal([]byte(text), &text) != nil {
			return nil, malformed
		}
		return &brought{parts: [3]string{text}, have: [3]bool{true}}, nil
	}
	var object map[string]any
	if json.Unmarshal([]byte(text), &object) != nil || object == nil {
		return nil, malformed
	}
	b := &brought{}
	for i, name := range v.members {
		value, ok := object[name]
		if !ok {
			continue
		}
		if b.parts[i], ok = value.(string); !ok {
			return nil, malformed
		}
		b.have[i] = true
	}
	return b, nil
}

// Check returns what is wrong with the configured credential, if it is ever
// used.
func (v *override) Check() error {
	if c, ok := v.Injector.(Checker); ok && !v.required {
		return c.Check()
	}
	return nil
}

// Status tells how the configured credential is, if it is fetched.
func (v *override) Status() Status {
	if s, ok := v.Injector.(Statuser); ok && !v.required {
		return s.Status()
	}
	return Status{}
}

// Close lets go of the configured credential.
func (v *override) Close() {
	if c, ok := v.Injector.(interface{ Close() }); ok {
		c.Close()
	}
}

// names says that a header's value is one part.
func (h *header) names() (suffixes, members []string) { return nil, nil }

func (h *header) fits(b *brought) error { _, err := tokenOf(h.name, h.prefix, b); return err }

func (h *header) give(_ context.Context, o *Outbound, b *brought) error {
	return giveToken(o, h.name, h.prefix, b)
}

// names says that a token is one part.
func (t *renewed) names() (suffixes, members []string) { return nil, nil }

func (t *renewed) fits(b *brought) error { _, err := tokenOf(t.name, t.prefix, b); return err }

func (t *renewed) give(_ context.Context, o *Outbound, b *brought) error {
	return giveToken(o, t.name, t.prefix, b)
}

// tokenOf returns the header's value.
func tokenOf(name, prefix string, b *brought) (secret.Value, error) {
	v, err := headerValue(name, prefix, secret.Ref{Kind: "request", Name: "credential"}, secret.NewValue([]byte(b.parts[0])))
	if err != nil {
		return v, errors.New("it is empty, or holds a character that no header value may hold")
	}
	return v, nil
}

func giveToken(o *Outbound, name, prefix string, b *brought) error {
	v, err := tokenOf(name, prefix, b)
	if err != nil {
		return err
	}
	drop(o, name)
	o.Header[name] = []string{string(v.Reveal())}
	return nil
}

// names returns where the parts of AWS keys are.
func (s *sigv4) names() (suffixes, members []string) {
	return []string{"access-key-id", "secret-access-key", "session-token"}, []string{"accessKeyId", "secretAccessKey", "sessionToken"}
}

func (s *sigv4) fits(b *brought) error { _, err := keysOf(b); return err }

func (s *sigv4) give(ctx context.Context, o *Outbound, b *brought) error {
	k, err := keysOf(b)
	if err != nil {
		return err
	}
	return s.sign(ctx, o, k)
}

// keysOf returns the keys that a request brings whole.
func keysOf(b *brought) (*awsKeys, error) {
	if !b.have[0] || !b.have[1] || b.have[2] && b.parts[2] == "" {
		return nil, errors.New("some of its parts are missing")
	}
	return newKeys(b.parts[0], b.parts[1], b.parts[2])
}
