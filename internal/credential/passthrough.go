package credential

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// passthrough shows the provider what the caller sent for it.
type passthrough struct{ name, prefix string }

func newPassthrough(cfg *ir.PassthroughCredential) (*passthrough, error) {
	name, err := headerName(cfg.Name)
	if err != nil {
		return nil, err
	}
	if err := checkPrefix(cfg.Prefix); err != nil {
		return nil, fmt.Errorf("credential header %s: %w", name, err)
	}
	return &passthrough{name: name, prefix: cfg.Prefix}, nil
}

var errSeveral = errors.New("credential: the caller sent several values of one credential header")

// Inject writes what the caller sent in the provider's own header, or else the
// caller's bearer token. Without either there is no credential, and the
// provider refuses. Authorization, when it is the provider's header, is passed
// on as the caller wrote it.
func (p *passthrough) Inject(_ context.Context, o *Outbound) error {
	own, token := o.Caller[p.name], o.Caller["Authorization"]
	if len(own) > 1 || len(token) > 1 {
		return errSeveral
	}
	drop(o, p.name)
	switch {
	case len(own) == 1 && own[0] != "":
		o.Header[p.name] = slices.Clone(own)
	case len(token) == 1 && bearerToken(token[0]) != "":
		o.Header[p.name] = []string{p.prefix + bearerToken(token[0])}
	default:
		delete(o.Header, p.name)
	}
	return nil
}

// bearerToken returns v without "Bearer " or "bearer "; nothing if it is of
// another scheme, such as Basic, which is none of the provider's business.
func bearerToken(v string) string {
	t, ok := strings.CutPrefix(v, bearer)
	if !ok {
		t = strings.TrimPrefix(v, "bearer ")
	}
	if strings.Contains(t, " ") {
		return ""
	}
	return t
}

// NeedsBody reports false.
func (p *passthrough) NeedsBody() bool { return false }

// Headers returns the one name.
func (p *passthrough) Headers() []string { return []string{p.name} }
