package compile

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// clients are a listener's rules for client certificates. The same rules
// decide at the handshake and, when the authorities have changed, before the
// next request of a connection.
type clients struct {
	trust    *secret.Derived[*authorities]
	optional bool
	lenient  bool // a certificate that is not good counts as none
	strict   bool // it must prove an identity
	names    []string
	// keys and hashes are pins; both empty: none.
	keys, hashes map[[sha256.Size]byte]bool
}

var _ dataplane.Clients = (*clients)(nil)

// newClients returns the rules of t, which asks for client certificates.
func newClients(store *secret.Store, t *ir.ServerTLS) (*clients, error) {
	c := &clients{optional: t.ClientOptional, lenient: t.ClientOptional && t.ClientUnverified, strict: t.ClientIdentity || t.Identity, names: t.ClientNames}
	bundles := t.ClientCAs
	if len(bundles) == 0 {
		bundles = []ir.Bytes{ir.IdentityAuthorities()}
	}
	var err error
	if c.keys, err = digests(t.ClientKeys); err != nil {
		return nil, fmt.Errorf("pinned keys: %w", err)
	}
	if c.hashes, err = digests(t.ClientHashes); err != nil {
		return nil, fmt.Errorf("pinned certificates: %w", err)
	}
	if c.trust, err = newAuthorities(store, bundles, t.ClientCRLs); err != nil {
		return nil, fmt.Errorf("client CAs: %w", err)
	}
	return c, nil
}

func digests(list []string) (map[[sha256.Size]byte]bool, error) {
	out := map[[sha256.Size]byte]bool{}
	for _, text := range list {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != sha256.Size {
			return nil, fmt.Errorf("%q is no SHA-256 digest in hexadecimal", text)
		}
		out[[sha256.Size]byte(b)] = true
	}
	return out, nil
}

// Reasons for which a connection is not let in.
var (
	errNoClient      = errors.New("the connection was made without a client certificate")
	errRootRemoved   = errors.New("the root that vouched for the client certificate is no longer trusted")
	errClientExpired = errors.New("the client certificate, or one that vouches for it, is out of its time")
	errNotPinned     = errors.New("the client certificate is none of those that are pinned")
)

// Admit looks at a connection as if it were made now.
func (c *clients) Admit(state *tls.ConnectionState, now time.Time) (dataplane.Admission, error) {
	a := dataplane.Admission{By: c}
	trust, err := c.trust.Get()
	a.By = trust
	switch none := state == nil || len(state.PeerCertificates) == 0; {
	case none && !c.optional:
		return a, errNoClient
	case none:
		return a, nil
	case err != nil:
		return a, err
	}
	if err := c.prove(&a, trust, state, now); err != nil {
		if c.lenient {
			return dataplane.Admission{By: trust}, nil
		}
		return a, err
	}
	return a, nil
}

// prove fills in what the client's certificate proves, and until when.
func (c *clients) prove(a *dataplane.Admission, trust *authorities, state *tls.ConnectionState, now time.Time) error {
	var err error
	if a.Until, err = trust.vouch(state, now); err != nil {
		return err
	}
	leaf := state.PeerCertificates[0]
	if err := c.fits(leaf); err != nil {
		return err
	}
	a.PeerID, err = authn.SPIFFEID(leaf, c.strict)
	return err
}

// Holds reports whether an admission still stands.
func (c *clients) Holds(a *dataplane.Admission, now time.Time) bool {
	trust, err := c.trust.Get()
	return err == nil && a.By == trust && (a.Until.IsZero() || now.Before(a.Until))
}

// vouch finds a chain from the client's certificate to a root, every one of it
// in its time and not revoked, and says until when it holds. What was verified
// at the handshake is not verified again as long as its root stands; a root
// that was renewed with the same key vouches anew.
func (t *authorities) vouch(state *tls.ConnectionState, now time.Time) (time.Time, error) {
	until, err := t.firstGood(state.VerifiedChains, now)
	if !errors.Is(err, errRootRemoved) {
		return until, err
	}
	opts := x509.VerifyOptions{
		Roots: t.pool, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, cert := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	chains, failed := state.PeerCertificates[0].Verify(opts)
	if failed != nil {
		return until, errRootRemoved
	}
	return t.firstGood(chains, now)
}

// firstGood returns until when the first good chain holds, or what is wrong
// with the last of those whose root is trusted.
func (t *authorities) firstGood(chains [][]*x509.Certificate, now time.Time) (time.Time, error) {
	reason := errRootRemoved
	for _, chain := range chains {
		if !t.known[string(chain[len(chain)-1].Raw)] {
			continue
		}
		until, err := inTime(chain, now)
		if err == nil {
			var listed time.Time
			listed, err = t.lists.check(chain, now)
			until = earlier(until, listed)
		}
		if err == nil {
			return until, nil
		}
		reason = err
	}
	return time.Time{}, reason
}

// inTime returns when the first certificate of a chain expires.
func inTime(chain []*x509.Certificate, now time.Time) (time.Time, error) {
	until := chain[0].NotAfter
	for _, cert := range chain {
		if now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
			return until, errClientExpired
		}
		until = earlier(until, cert.NotAfter)
	}
	return until, nil
}

// fits reports why a verified certificate is not one of those that are let in.
func (c *clients) fits(leaf *x509.Certificate) error {
	if len(c.names) > 0 && !slices.ContainsFunc(c.names, func(n string) bool { return holdsName(leaf, n) }) {
		return fmt.Errorf("the client certificate holds none of the names %q", c.names)
	}
	if len(c.keys)+len(c.hashes) == 0 ||
		c.keys[sha256.Sum256(leaf.RawSubjectPublicKeyInfo)] || c.hashes[sha256.Sum256(leaf.Raw)] {
		return nil
	}
	return errNotPinned
}

// holdsName reports whether a certificate holds a name, in the same words.
func holdsName(leaf *x509.Certificate, name string) bool {
	return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) }) ||
		slices.Contains(leaf.EmailAddresses, name) ||
		slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == name }) ||
		slices.ContainsFunc(leaf.IPAddresses, func(ip net.IP) bool { return ip.String() == name })
}
