package credential

import (
	"bytes"
	"context"
	"fmt"
	"net/textproto"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// header writes one header from a Source.
type header struct {
	name   string // canonical
	prefix string
	value  Source[secret.Value]
}

func newHeader(cfg *ir.HeaderCredential, store *secret.Store) (*header, error) {
	name, err := headerName(cfg.Name)
	if err != nil {
		return nil, err
	}
	if cfg.Secret.IsZero() {
		return nil, fmt.Errorf("credential header %s: no secret is named", name)
	}
	if err := checkPrefix(cfg.Prefix); err != nil {
		return nil, fmt.Errorf("credential header %s: %w", name, err)
	}
	derived := secret.Derive(store, []secret.Ref{cfg.Secret}, func(v []secret.Value) (secret.Value, error) {
		return headerValue(name, cfg.Prefix, cfg.Secret, v[0])
	})
	return &header{name: name, prefix: cfg.Prefix, value: static[secret.Value]{derived}}, nil
}

// Inject replaces the header.
func (h *header) Inject(ctx context.Context, o *Outbound) error {
	v, err := h.value.Get(ctx)
	if err != nil {
		return fmt.Errorf("credential header %s: %w", h.name, err)
	}
	drop(o, h.name)
	o.Header[h.name] = []string{string(v.Reveal())}
	return nil
}

// NeedsBody reports false.
func (h *header) NeedsBody() bool { return false }

// Headers returns the one name.
func (h *header) Headers() []string { return []string{h.name} }

// Check returns why there is no value now.
func (h *header) Check() error {
	_, err := h.value.Get(context.Background())
	return err
}

const bearer = "Bearer "

// headerValue returns the header's whole value: prefix and what v holds
// besides. Secrets are written with and without the prefix, in any case, and
// often end in a line feed. Some keep "Bearer " before a key that goes into a
// header of the provider's own, where it never belongs.
func headerValue(name, prefix string, ref secret.Ref, v secret.Value) (secret.Value, error) {
	b, err := clean(ref, v)
	if err != nil {
		return secret.Value{}, err
	}
	strip := prefix
	if prefix == "" && ownHeader(name) {
		strip = bearer
	}
	b = stripPrefix(b, strip)
	if len(b) == 0 {
		return secret.Value{}, fmt.Errorf("%v: value is nothing but its prefix", ref)
	}
	out := make([]byte, 0, len(prefix)+len(b))
	out = append(out, prefix...)
	return secret.NewValue(append(out, b...)), nil
}

// stripPrefix returns b, which is trimmed, without prefix in any case.
func stripPrefix(b []byte, prefix string) []byte {
	word := strings.TrimRight(prefix, " ")
	if len(b) < len(word) || !strings.EqualFold(string(b[:len(word)]), word) {
		return b
	}
	rest := b[len(word):]
	if word != prefix && len(rest) > 0 && rest[0] != ' ' {
		return b // a value that happens to begin with the word
	}
	return trim(rest)
}

// ownHeader reports whether name is a header that holds a bare key.
func ownHeader(name string) bool {
	return name == "X-Api-Key" || name == "Api-Key" || name == "X-Goog-Api-Key"
}

func trim(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }

// The headers that frame or route a request: no credential goes there.
var structural = map[string]bool{
	"Host": true, "Connection": true, "Content-Length": true, "Transfer-Encoding": true, "Trailer": true,
	"Te": true, "Upgrade": true, "Keep-Alive": true, "Proxy-Connection": true, "Expect": true,
}

// headerName returns the canonical form of a header that may be written.
func headerName(name string) (string, error) {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if name == "" || structural[canonical] {
		return "", fmt.Errorf("credential header %q: not a header for a credential", name)
	}
	for _, c := range []byte(name) {
		if !tokenByte(c) {
			return "", fmt.Errorf("credential header %q: not a header name", name)
		}
	}
	return canonical, nil
}

// tokenByte reports whether c may be in a header name (RFC 9110, 5.6.2).
func tokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func checkPrefix(prefix string) error {
	for _, c := range []byte(prefix) {
		if c < ' ' || c > '~' {
			return fmt.Errorf("prefix %q holds a character that no header value may hold", prefix)
		}
	}
	return nil
}
