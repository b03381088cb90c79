package compile

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// revocations are revocation lists, by the name of their issuer as it stands
// in the certificates (RFC 5280 6.3). The zero value has none, and revokes
// nothing.
type revocations struct{ byIssuer map[string][]*revocation }

// revocation is one list.
type revocation struct {
	list    *x509.RevocationList
	serials map[string]bool

	mu sync.Mutex
	// signed remembers by which keys the list was found to be signed. Only
	// those of verified authorities are tried, so there are few.
	signed map[string]bool
}

// add takes revocation lists: PEM blocks, or one in DER.
func (r *revocations) add(text []byte) error {
	ders := [][]byte{}
	block, rest := pem.Decode(text)
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "X509 CRL" {
			ders = append(ders, block.Bytes)
		}
	}
	if len(ders) == 0 {
		ders = append(ders, text)
	}
	for _, der := range ders {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return errors.New("a certificate revocation list does not parse")
		}
		l := &revocation{list: list, serials: map[string]bool{}, signed: map[string]bool{}}
		for _, e := range list.RevokedCertificateEntries {
			l.serials[serial(e.SerialNumber)] = true
		}
		if r.byIssuer == nil {
			r.byIssuer = map[string][]*revocation{}
		}
		r.byIssuer[string(list.RawIssuer)] = append(r.byIssuer[string(list.RawIssuer)], l)
	}
	return nil
}

func serial(n *big.Int) string { return n.Text(62) }

// check reports why a chain is not to be trusted, or until when the lists say
// that it is; zero: there are none. Each certificate under the root needs a
// list that its issuer signed and that is in force.
func (r *revocations) check(chain []*x509.Certificate, now time.Time) (until time.Time, err error) {
	if len(r.byIssuer) == 0 {
		return time.Time{}, nil
	}
	for i, cert := range chain[:len(chain)-1] {
		end, err := r.checkOne(cert, chain[i+1], now)
		if err != nil {
			return time.Time{}, err
		}
		until = earlier(until, end)
	}
	return until, nil
}

// checkOne looks a certificate up in the lists of its issuer. One that any of
// them names is revoked.
func (r *revocations) checkOne(cert, issuer *x509.Certificate, now time.Time) (time.Time, error) {
	var until time.Time
	inForce, stale := false, false
	for _, l := range r.byIssuer[string(cert.RawIssuer)] {
		if !l.signedBy(issuer) {
			continue
		}
		if l.serials[serial(cert.SerialNumber)] {
			return until, fmt.Errorf("the certificate with serial number %x is revoked", cert.SerialNumber)
		}
		if next := l.list.NextUpdate; !next.IsZero() && now.After(next) {
			stale = true
			continue
		}
		inForce, until = true, l.list.NextUpdate
	}
	switch {
	case inForce:
		return until, nil
	case stale:
		return until, fmt.Errorf("the revocation list of %q is out of date, so no certificate of it is believed", issuer.Subject)
	}
	return until, fmt.Errorf("there is no revocation list of %q, so no certificate of it is believed", issuer.Subject)
}

// signedBy reports whether the list is issuer's.
func (l *revocation) signedBy(issuer *x509.Certificate) bool {
	key := string(issuer.RawSubjectPublicKeyInfo)
	l.mu.Lock()
	defer l.mu.Unlock()
	ok, known := l.signed[key]
	if !known {
		ok = l.list.CheckSignatureFrom(issuer) == nil
		l.signed[key] = ok
	}
	return ok
}

// earlier returns the earlier of two times, of which a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
