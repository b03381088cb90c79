package compile

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// errNoListener ends a handshake for a server name that no listener serves.
var errNoListener = errors.New("no listener serves the server name")

// serverTLS returns the configuration of a TLS socket: it finds the listener
// by server name and shows that listener's certificate under its client
// rules. Certificates are derived values, so a renewed Secret is served by
// the next handshake.
func (r *run) serverTLS(list []*ir.Listener, hosts *match.Hosts[*dataplane.Listener], compiled map[*ir.Listener]*dataplane.Listener) *tls.Config {
	byListener := map[*dataplane.Listener]func() (*tls.Config, error){}
	for _, l := range list {
		if l.TLS == nil {
			continue
		}
		config, err := r.listenerTLS(l)
		if err != nil {
			if l.Closed == nil { // else it is known already
				r.problem(l.TLS.Origin, "correct it", "%v; its handshakes are refused", err)
			}
			config = func() (*tls.Config, error) { return nil, err }
		}
		byListener[compiled[l]] = config
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			l, ok := hosts.Find(dataplane.CanonicalServerName(hello.ServerName))
			if !ok || byListener[l] == nil {
				return nil, errNoListener
			}
			return byListener[l]()
		},
	}
}

// listenerTLS returns how one listener answers a handshake.
func (r *run) listenerTLS(l *ir.Listener) (func() (*tls.Config, error), error) {
	base := &tls.Config{NextProtos: l.TLS.ALPN}
	if len(base.NextProtos) == 0 {
		base.NextProtos = []string{"h2", "http/1.1"}
	}
	var err error
	if base.MinVersion, err = tlsVersion(cmp.Or(l.TLS.MinVersion, "1.2")); err != nil {
		return nil, err
	}
	if base.MaxVersion, err = tlsVersion(cmp.Or(l.TLS.MaxVersion, "1.3")); err != nil {
		return nil, err
	}
	if base.CipherSuites, err = cipherSuites(l.TLS.CipherSuites); err != nil {
		return nil, err
	}
	pairs := make([]*secret.Derived[tls.Certificate], len(l.TLS.Certificates))
	for i, kp := range l.TLS.Certificates {
		pairs[i] = secret.Derive(r.deps.Store, []secret.Ref{kp.Certificate, kp.Key}, parseKeyPair)
		r.out.checks = append(r.out.checks, check{origin: kp.Origin, err: errOf(pairs[i])})
	}
	if len(pairs) == 0 {
		return nil, errors.New("no certificate")
	}
	clients, err := r.clientRules(l.TLS, base)
	if err != nil {
		return nil, err
	}
	return func() (*tls.Config, error) {
		config := base.Clone()
		for _, p := range pairs {
			if cert, err := p.Get(); err == nil {
				config.Certificates = append(config.Certificates, cert)
			}
		}
		if len(config.Certificates) == 0 {
			return nil, errors.New("no certificate can be used")
		}
		return config, clients(config)
	}, nil
}

// clientRules returns what sets the rules for client certificates. Sessions
// are not resumed under them: a resumed one would outlive a removed root.
func (r *run) clientRules(cfg *ir.ServerTLS, base *tls.Config) (func(*tls.Config) error, error) {
	if len(cfg.ClientCAs) == 0 {
		return func(*tls.Config) error { return nil }, nil
	}
	base.SessionTicketsDisabled = true
	base.ClientAuth = tls.RequireAndVerifyClientCert
	if cfg.ClientOptional {
		base.ClientAuth = tls.VerifyClientCertIfGiven
	}
	pool, err := certPool(r.deps.Store, cfg.ClientCAs)
	if err != nil {
		return nil, prefixed("client CAs", err)
	}
	r.out.checks = append(r.out.checks, check{origin: cfg.Origin, err: errOf(pool)})
	return func(c *tls.Config) error {
		roots, err := pool.Get()
		c.ClientCAs = roots
		return err
	}, nil
}

// parseKeyPair reads a PEM chain and key.
func parseKeyPair(v []secret.Value) (tls.Certificate, error) {
	cert, err := tls.X509KeyPair(v[0].Reveal(), v[1].Reveal())
	if err != nil { // its text may quote PEM headers; say only what is wrong
		return tls.Certificate{}, errors.New("the certificate and key are not a pair of PEM blocks that fit each other")
	}
	return cert, nil
}

// certPool derives a pool of PEM bundles.
func certPool(store *secret.Store, bundles []ir.Bytes) (*secret.Derived[*x509.CertPool], error) {
	var refs []secret.Ref
	inline := x509.NewCertPool()
	for _, b := range bundles {
		if b.Ref.IsZero() {
			if !inline.AppendCertsFromPEM([]byte(b.Inline)) {
				return nil, errors.New("a CA bundle holds no certificate")
			}
			continue
		}
		refs = append(refs, b.Ref)
	}
	return secret.Derive(store, refs, func(v []secret.Value) (*x509.CertPool, error) {
		pool := inline.Clone()
		for _, bundle := range v {
			if !pool.AppendCertsFromPEM(bundle.Reveal()) {
				return nil, errors.New("a CA bundle holds no certificate")
			}
		}
		return pool, nil
	}), nil
}

func errOf[T any](d *secret.Derived[T]) func() error {
	return func() error { _, err := d.Get(); return err }
}

func tlsVersion(v string) (uint16, error) {
	switch v {
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("TLS version %q is not served; use 1.2 or 1.3", v)
}

func cipherSuites(names []string) ([]uint16, error) {
	var out []uint16
	for _, n := range names {
		id := uint16(0)
		for _, s := range tls.CipherSuites() {
			if s.Name == n {
				id = s.ID
			}
		}
		if id == 0 {
			return nil, fmt.Errorf("cipher suite %q is not known or not safe", n)
		}
		out = append(out, id)
	}
	return out, nil
}
