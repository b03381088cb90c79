package forward

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// clientTLS is a compiled ir.ClientTLS. Its config is made anew when the
// bytes of a CA or certificate change; connections made from then on use it.
type clientTLS struct {
	sni    string
	auto   bool
	config *secret.Derived[*tls.Config]
}

// current returns the present config: a pooled connection that was made with
// another is not used again. It is nil for plain text, and for a broken one.
func (t *clientTLS) current() *tls.Config {
	if t == nil {
		return nil
	}
	c, _ := t.config.Get()
	return c
}

// newClientTLS returns an error for what no secret bytes can mend; the error
// of those that are missing or broken is config's.
func newClientTLS(cfg *ir.ClientTLS, deps Deps) (*clientTLS, error) {
	base := &tls.Config{RootCAs: deps.Roots, InsecureSkipVerify: cfg.InsecureSkipVerify}
	var err error
	if base.MinVersion, err = tlsVersion(cfg.MinVersion, tls.VersionTLS12); err != nil {
		return nil, err
	}
	if base.MaxVersion, err = tlsVersion(cfg.MaxVersion, 0); err != nil {
		return nil, err
	}
	if base.CipherSuites, err = cipherSuites(cfg.CipherSuites); err != nil {
		return nil, err
	}
	cfg = withIdentity(cfg)
	if len(cfg.CAs) > 0 {
		base.RootCAs = x509.NewCertPool()
	}
	refs := tlsRefs(cfg)
	for _, ca := range cfg.CAs {
		if ca.Ref.IsZero() && !base.RootCAs.AppendCertsFromPEM([]byte(ca.Inline)) {
			return nil, errors.New("an inline CA bundle holds no certificate")
		}
	}
	parse := func(v []secret.Value) (*tls.Config, error) { return tlsFrom(base, cfg, refs, v) }
	t := &clientTLS{sni: cfg.SNI, auto: cfg.AutoSNI}
	if len(refs) == 0 {
		c, err := parse(nil)
		if err != nil {
			return nil, err
		}
		t.config = secret.Constant(c)
		return t, nil
	}
	t.config = secret.Derive(deps.Store, refs, parse)
	return t, nil
}

// withIdentity names the workload certificate and its trust bundle where cfg
// asks for them.
func withIdentity(cfg *ir.ClientTLS) *ir.ClientTLS {
	if !cfg.Identity {
		return cfg
	}
	own, pair := *cfg, ir.IdentityKeyPair()
	own.Certificate = &pair
	if len(own.CAs) == 0 {
		own.CAs = []ir.Bytes{ir.IdentityAuthorities()}
	}
	return &own
}

// tlsRefs lists the secrets of cfg: those of the CAs, then the certificate
// and its key.
func tlsRefs(cfg *ir.ClientTLS) []secret.Ref {
	var refs []secret.Ref
	for _, ca := range cfg.CAs {
		if !ca.Ref.IsZero() {
			refs = append(refs, ca.Ref)
		}
	}
	if cfg.Certificate != nil {
		refs = append(refs, cfg.Certificate.Certificate, cfg.Certificate.Key)
	}
	return refs
}

// tlsFrom completes base with the bytes of refs.
func tlsFrom(base *tls.Config, cfg *ir.ClientTLS, refs []secret.Ref, v []secret.Value) (*tls.Config, error) {
	c := base.Clone()
	cas := len(v)
	if cfg.Certificate != nil {
		cas -= 2
		pair, err := tls.X509KeyPair(v[cas].Reveal(), v[cas+1].Reveal())
		if err != nil {
			// The error of the parser could quote what it met.
			return nil, fmt.Errorf("%v and %v: not a certificate and its key", refs[cas], refs[cas+1])
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if cas > 0 {
		c.RootCAs = c.RootCAs.Clone()
		for i := range cas {
			if !c.RootCAs.AppendCertsFromPEM(v[i].Reveal()) {
				return nil, fmt.Errorf("%v: holds no CA certificate", refs[i])
			}
		}
	}
	if len(cfg.SubjectAltNames) > 0 && !cfg.InsecureSkipVerify {
		verifyNames(c, cfg.SubjectAltNames)
	}
	c.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	return c, nil
}

// verifyNames makes c verify the chain as ever, but the names by list in
// place of the server name. It holds for resumed sessions too.
func verifyNames(c *tls.Config, list []string) {
	roots := c.RootCAs
	c.InsecureSkipVerify = true // VerifyConnection below does it
	c.VerifyConnection = func(s tls.ConnectionState) error {
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, cert := range s.PeerCertificates[1:] {
			opts.Intermediates.AddCert(cert)
		}
		leaf := s.PeerCertificates[0]
		if _, err := leaf.Verify(opts); err != nil {
			return err
		}
		if !slices.ContainsFunc(list, func(name string) bool { return hasName(leaf, name) }) {
			return fmt.Errorf("x509: the certificate holds none of the names %q", list)
		}
		return nil
	}
}

// hasName reports whether cert holds name: a URI exactly, a DNS name or an IP
// address by the rules of RFC 6125. A SPIFFE ID must be the only URI.
func hasName(cert *x509.Certificate, name string) bool {
	if strings.HasPrefix(name, "spiffe://") && len(cert.URIs) != 1 {
		return false
	}
	if strings.Contains(name, "://") {
		return slices.ContainsFunc(cert.URIs, func(u *url.URL) bool { return u.String() == name })
	}
	return cert.VerifyHostname(name) == nil
}

func tlsVersion(name string, def uint16) (uint16, error) {
	switch name {
	case "":
		return def, nil
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("version %q is not one of 1.2 and 1.3", name)
}

func cipherSuites(names []string) ([]uint16, error) {
	var out []uint16
	for _, name := range names {
		i := slices.IndexFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("cipher suite %q is unknown or insecure", name)
		}
		out = append(out, tls.CipherSuites()[i].ID)
	}
	return out, nil
}
