package compile

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// authorities are what client certificates are verified against: roots, and
// lists of what they have revoked. It is made once for each version of the
// bytes, and known by its address.
type authorities struct {
	pool  *x509.CertPool
	known map[string]bool // by the bytes of the certificate
	lists revocations
}

// newAuthorities derives the authorities of PEM bundles and revocation lists.
func newAuthorities(store *secret.Store, bundles, lists []ir.Bytes) (*secret.Derived[*authorities], error) {
	var refs []secret.Ref
	all := slices.Concat(bundles, lists)
	for _, b := range all {
		if !b.Ref.IsZero() {
			refs = append(refs, b.Ref)
		}
	}
	parse := func(v []secret.Value) (*authorities, error) {
		a := &authorities{pool: x509.NewCertPool(), known: map[string]bool{}}
		for i, b := range all {
			text, where := []byte(b.Inline), ""
			if !b.Ref.IsZero() {
				text, where, v = v[0].Reveal(), b.Ref.String()+": ", v[1:]
			}
			add := a.addRoots
			if i >= len(bundles) {
				add = a.lists.add
			}
			if err := add(text); err != nil {
				return nil, fmt.Errorf("%s%w", where, err)
			}
		}
		return a, nil
	}
	if len(refs) == 0 {
		a, err := parse(nil)
		if err != nil {
			return nil, err
		}
		return secret.Constant(a), nil
	}
	return secret.Derive(store, refs, parse), nil
}

// addRoots takes the certificates of a PEM bundle as roots.
func (a *authorities) addRoots(rest []byte) error {
	n := 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return errors.New("a certificate of the CA bundle does not parse")
		}
		a.pool.AddCert(cert)
		a.known[string(cert.Raw)] = true
		n++
	}
	if n == 0 {
		return errors.New("a CA bundle holds no certificate")
	}
	return nil
}
