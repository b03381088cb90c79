package compile

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

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
func serverTLS(list []*builtListener, hosts *match.Hosts[*dataplane.Listener]) *tls.Config {
	byListener := make(map[*dataplane.Listener]handshake, len(list))
	for _, l := range list {
		if l.handshake != nil {
			byListener[l.out] = l.handshake
		}
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			l, ok := hosts.Find(dataplane.CanonicalServerName(hello.ServerName))
			if !ok || byListener[l] == nil {
				return nil, errNoListener
			}
			return byListener[l](hello.SupportedProtos)
		},
	}
}

// handshake returns how a listener answers a client that offers protocols.
type handshake func(offered []string) (*tls.Config, error)

// listenerTLS returns how one listener answers a handshake.
func (r *run) listenerTLS(bl *builtListener, l *ir.Listener, to *dataplane.Listener) (handshake, error) {
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
	pairs, err := r.keyPairs(l.TLS)
	if err != nil {
		return nil, err
	}
	bl.pairs = pairs
	clients, err := r.clientRules(to, l.TLS, base)
	if err != nil {
		return nil, err
	}
	ignored := ignoredALPN(l.TLS)
	return func(offered []string) (*tls.Config, error) {
		config := base.Clone()
		if meansNothing(offered, ignored) {
			config.NextProtos = nil
		}
		var missing error
		for _, p := range pairs {
			cert, err := p.Get()
			if err != nil {
				missing = err
				continue
			}
			config.Certificates = append(config.Certificates, cert)
		}
		if len(config.Certificates) == 0 {
			return nil, fmt.Errorf("no certificate can be used: %w", missing)
		}
		return config, clients(config)
	}, nil
}

// meshALPN are the protocols that the sidecars of a mesh offer for what they
// do not take for HTTP, and beside the standard ones for what they do.
func meshALPN() []string {
	return []string{"istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"}
}

func ignoredALPN(t *ir.ServerTLS) []string {
	if t.Identity && len(t.IgnoreALPN) == 0 {
		return meshALPN()
	}
	return t.IgnoreALPN
}

// meansNothing reports whether a client offers protocols, and only such as are
// ignored: crypto/tls would refuse it, where a client that offers none is
// served.
func meansNothing(offered, ignored []string) bool {
	return len(offered) > 0 && !slices.ContainsFunc(offered, func(p string) bool { return !slices.Contains(ignored, p) })
}

// keyPairs derives the certificates that a listener shows.
func (r *run) keyPairs(t *ir.ServerTLS) ([]*secret.Derived[tls.Certificate], error) {
	list := t.Certificates
	if t.Identity {
		list = []ir.KeyPair{ir.IdentityKeyPair()}
		if err := r.needsIdentity(); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no certificate")
	}
	var pairs []*secret.Derived[tls.Certificate]
	for _, kp := range list {
		pair := derivePair(r.deps.Store, &kp)
		pairs = append(pairs, pair)
		r.identityCheck(t.Identity, check{origin: cmp.Or(kp.Origin, t.Origin), err: errOf(pair)})
	}
	return pairs, nil
}

// clientRules returns what sets the rules for client certificates, and gives
// the listener what checks them again for each request. Sessions are not
// resumed under them: a resumed one would outlive a removed root.
func (r *run) clientRules(l *dataplane.Listener, cfg *ir.ServerTLS, base *tls.Config) (func(*tls.Config) error, error) {
	if len(cfg.ClientCAs) == 0 && !cfg.Identity {
		if len(cfg.ClientNames)+len(cfg.ClientKeys)+len(cfg.ClientHashes)+len(cfg.ClientCRLs) > 0 || cfg.ClientIdentity {
			return nil, errors.New("client certificates are to be checked, and no CA is named")
		}
		return func(*tls.Config) error { return nil }, nil
	}
	rules, err := newClients(r.deps.Store, cfg)
	if err != nil {
		return nil, err
	}
	r.identityCheck(cfg.Identity, check{origin: cfg.Origin, err: errOf(rules.trust)})
	l.Clients = rules
	clock := r.deps.Clock
	base.Time = clock
	base.SessionTicketsDisabled = true
	base.ClientAuth = tls.RequireAndVerifyClientCert
	switch {
	case cfg.ClientOptional && cfg.ClientUnverified:
		base.ClientAuth = tls.RequestClientCert // rules decide what it proves
	case cfg.ClientOptional:
		base.ClientAuth = tls.VerifyClientCertIfGiven
	}
	base.VerifyConnection = func(state tls.ConnectionState) error {
		_, err := rules.Admit(&state, clock())
		return err
	}
	return func(c *tls.Config) error {
		trust, err := rules.trust.Get()
		if err != nil {
			return err
		}
		c.ClientCAs = trust.pool
		return nil
	}, nil
}

func derivePair(s *secret.Store, p *ir.KeyPair) *secret.Derived[tls.Certificate] {
	return secret.Derive(s, []secret.Ref{p.Certificate, p.Key}, parseKeyPair)
}

// parseKeyPair reads a PEM chain and key.
func parseKeyPair(v []secret.Value) (tls.Certificate, error) {
	cert, err := tls.X509KeyPair(v[0].Reveal(), v[1].Reveal())
	if err != nil { // its text may quote PEM headers; say only what is wrong
		return tls.Certificate{}, errors.New("the certificate and key are not a pair of PEM blocks that fit each other")
	}
	return cert, nil
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
