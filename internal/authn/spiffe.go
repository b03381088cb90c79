package authn

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// MethodMTLS is the Method of an identity that a client certificate proved.
const MethodMTLS = "mtls"

// Peer returns the identity that a verified client certificate with a SPIFFE
// ID proves.
func Peer(id string) Identity { return Identity{Provider: MethodMTLS, Method: MethodMTLS, Subject: id} }

// Reasons for which a certificate is no proof of an identity.
var (
	errNoURI   = errors.New("the certificate holds no URI SAN, so it proves no identity")
	errTwoURIs = errors.New("the certificate holds more than one URI SAN, so it proves no identity")
	errCALeaf  = errors.New("the certificate is an authority's own, so it proves no identity")
)

// SPIFFEID returns the identity in a verified leaf certificate: its one URI
// SAN, which must be the SPIFFE ID of a workload (X.509-SVID sections 2 and
// 4.1). With strict, whatever proves no identity is an error; without, a
// certificate that claims no SPIFFE ID has the empty one. A claim that is
// wrong is always an error.
func SPIFFEID(leaf *x509.Certificate, strict bool) (string, error) {
	claims := strict
	for _, u := range leaf.URIs {
		claims = claims || u.Scheme == "spiffe"
	}
	switch {
	case !claims:
		return "", nil
	case len(leaf.URIs) == 0:
		return "", errNoURI
	case len(leaf.URIs) > 1:
		return "", errTwoURIs
	case leaf.IsCA:
		return "", errCALeaf
	}
	id := leaf.URIs[0].String()
	if err := CheckSPIFFEID(id); err != nil {
		return "", fmt.Errorf("the certificate's URI SAN is no SPIFFE ID: %w", err)
	}
	return id, nil
}

// Bounds of a SPIFFE ID (SPIFFE-ID section 2.3).
const (
	longestSPIFFE      = 2048
	longestTrustDomain = 255
)

// CheckSPIFFEID reports why id is not the SPIFFE ID of a workload, in the one
// form that it has: a lower-case trust domain and a path, without port, user,
// query, fragment, escapes, dot segments or empty ones (SPIFFE-ID section 2).
// The error quotes nothing of id.
func CheckSPIFFEID(id string) error {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	if !ok {
		return errors.New("it does not begin with spiffe://")
	}
	if len(id) > longestSPIFFE {
		return fmt.Errorf("it is longer than %d bytes", longestSPIFFE)
	}
	domain, path, ok := strings.Cut(rest, "/")
	switch {
	case domain == "" || len(domain) > longestTrustDomain || !all(domain, isTrustDomainByte):
		return errors.New("its trust domain is empty, too long, or holds other than a-z, 0-9, '.', '-' and '_'")
	case !ok:
		return errors.New("it has no path, so it names a trust domain and no workload")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || !all(segment, isSegmentByte) {
			return errors.New("its path has a segment that is empty, a dot segment, or holds other than letters, digits, '.', '-' and '_'")
		}
	}
	return nil
}

func all(s string, is func(c byte) bool) bool {
	for i := 0; i < len(s); i++ {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func isTrustDomainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_'
}

func isSegmentByte(c byte) bool { return isTrustDomainByte(c) || 'A' <= c && c <= 'Z' }
