// Package identity owns the gateway's own workload certificate: where it comes
// from, whether it is fit to be shown, and its way into the secret.Store, from
// which listeners and upstreams derive what they need. It listens on nothing
// and dials no upstream.
//
//	Files ───────┐
//	Istiod ──────┼─ Source ──Document──► Holder ──Put──► secret.Store
//	WorkloadAPI ─┘                         │
//	                                       └─ Problems, Status, Check
//
// A new certificate is a change of bytes and not of configuration: nothing is
// translated or compiled anew, and the next handshake shows it. What is not
// fit (half written, key and certificate that do not belong together, a chain
// that its own roots do not vouch for) is told of, and the last good one
// stays.
package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/secret"
)

// Source provides a workload certificate and follows its changes. Its String
// is what people call it, and the flag that named it.
type Source interface {
	// Run hands over each document, or why there is no new one, until ctx
	// ends. take may be called often with the same document. Errors quote
	// neither key nor token.
	Run(ctx context.Context, take func(Document, error))
	String() string
}

// Document is a workload certificate as it is handed over.
type Document struct {
	// Chain is the certificate, and those between it and a root; PEM.
	Chain []byte
	// Key is the private key of the first of them; PEM.
	Key secret.Value
	// Roots is the bundle that peers are verified by; PEM.
	Roots []byte
}

// equal reports whether two documents say the same.
func (d Document) equal(o Document) bool {
	return bytes.Equal(d.Chain, o.Chain) && bytes.Equal(d.Key.Reveal(), o.Key.Reveal()) && bytes.Equal(d.Roots, o.Roots)
}

// Faults of a document. The words of the parsers are not passed on: they may
// quote what they met.
var (
	errNoChain = errors.New("the certificate chain holds no certificate in PEM")
	errNoRoots = errors.New("the trust bundle holds no certificate in PEM")
	errPair    = errors.New("certificate and key do not belong together, or the key is not PEM")
	errVouch   = errors.New("the trust bundle does not vouch for the certificate")
)

// facts are what a good document says.
type facts struct {
	id        string // the SPIFFE ID
	notBefore time.Time
	notAfter  time.Time
}

// check reports what a document says, or why it cannot be used at now.
func (d Document) check(now time.Time) (facts, error) {
	chain, roots := certificates(d.Chain), certificates(d.Roots)
	switch {
	case len(chain) == 0:
		return facts{}, errNoChain
	case len(roots) == 0:
		return facts{}, errNoRoots
	}
	if _, err := tls.X509KeyPair(d.Chain, d.Key.Reveal()); err != nil {
		return facts{}, errPair
	}
	leaf := chain[0]
	if now.After(leaf.NotAfter) {
		return facts{}, fmt.Errorf("the certificate has expired: it was good until %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	opts := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		// A clock that is a little behind the issuer's is no fault of the chain.
		CurrentTime: later(now, leaf.NotBefore), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, c := range roots {
		opts.Roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(opts); err != nil {
		return facts{}, errVouch
	}
	id, err := authn.SPIFFEID(leaf, true)
	if err != nil {
		return facts{}, err
	}
	return facts{id: id, notBefore: leaf.NotBefore, notAfter: leaf.NotAfter}, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// certificates returns those of a PEM text; none if one of them does not
// parse.
func certificates(text []byte) []*x509.Certificate {
	var out []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil
		}
		out = append(out, c)
	}
	return out
}
