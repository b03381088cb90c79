package compile

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// authorities are the roots that client certificates are verified against.
type authorities struct {
	pool  *x509.CertPool
	known map[[sha256.Size]byte]bool // by the digest of the certificate
}

// newAuthorities derives the authorities of PEM bundles.
func newAuthorities(store *secret.Store, bundles []ir.Bytes) (*secret.Derived[authorities], error) {
	var refs []secret.Ref
	var inline [][]byte
	for _, b := range bundles {
		if b.Ref.IsZero() {
			inline = append(inline, []byte(b.Inline))
			continue
		}
		refs = append(refs, b.Ref)
	}
	if _, err := parseAuthorities(inline); err != nil {
		return nil, err
	}
	return secret.Derive(store, refs, func(v []secret.Value) (authorities, error) {
		all := slices.Clone(inline)
		for _, bundle := range v {
			all = append(all, bundle.Reveal())
		}
		return parseAuthorities(all)
	}), nil
}

func parseAuthorities(bundles [][]byte) (authorities, error) {
	a := authorities{pool: x509.NewCertPool(), known: map[[sha256.Size]byte]bool{}}
	for _, rest := range bundles {
		found := false
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if block.Type != "CERTIFICATE" || err != nil {
				continue
			}
			found = true
			a.pool.AddCert(cert)
			a.known[sha256.Sum256(cert.Raw)] = true
		}
		if !found {
			return authorities{}, errors.New("a CA bundle holds no certificate")
		}
	}
	return a, nil
}

// Reasons for which a connection is no longer trusted.
var (
	errNoClient      = errors.New("the connection was made without a client certificate")
	errRootRemoved   = errors.New("the root that vouched for the client certificate is no longer trusted")
	errClientExpired = errors.New("the client certificate has expired since the connection was made")
)

// stillTrusted reports why a connection would not be let in if it were made
// now. It costs a look-up: what was verified at the handshake stays verified
// as long as its root stands and its certificates are in their time.
func stillTrusted(roots *secret.Derived[authorities], state *tls.ConnectionState, optional bool, now time.Time) error {
	trusted, err := roots.Get()
	switch {
	case err != nil:
		return err
	case state == nil || len(state.PeerCertificates) == 0:
		if optional {
			return nil
		}
		return errNoClient
	}
	reason := errRootRemoved
	for _, chain := range state.VerifiedChains {
		if !trusted.known[sha256.Sum256(chain[len(chain)-1].Raw)] {
			continue
		}
		if !slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return now.After(c.NotAfter) }) {
			return nil
		}
		reason = errClientExpired
	}
	return reason
}
