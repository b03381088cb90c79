package ir

import "github.com/postern-gateway/postern/internal/secret"

// ServerTLS is what a listener shows to its clients, and asks of them.
type ServerTLS struct {
	// Certificates: the one whose names fit the SNI is shown, else the first.
	Certificates []KeyPair `json:"certificates,omitempty"`
	// Identity shows the gateway's own workload certificate in place of
	// Certificates. Clients are verified by its trust bundle unless ClientCAs
	// says otherwise, and must prove a workload's identity, as ClientIdentity.
	Identity bool `json:"identity,omitempty"`
	// MinVersion and MaxVersion are "1.2" or "1.3"; empty: 1.2 and 1.3.
	MinVersion string `json:"minVersion,omitempty"`
	MaxVersion string `json:"maxVersion,omitempty"`
	// CipherSuites are names of crypto/tls; empty: Go's defaults.
	CipherSuites []string `json:"cipherSuites,omitempty"`
	// ALPN protocols; empty: h2 and http/1.1. A client that offers others
	// alone is refused, as RFC 7301 3.2 asks, unless IgnoreALPN names them.
	ALPN []string `json:"alpn,omitempty"`
	// IgnoreALPN are protocols that clients offer and that mean nothing here:
	// one that offers such alone is served as if it had offered none. Empty:
	// with Identity those that sidecars of a mesh offer, otherwise none.
	IgnoreALPN []string `json:"ignoreALPN,omitempty"`
	// ClientCAs, if any, are PEM bundles against which a client certificate
	// is verified; it is demanded unless ClientOptional.
	ClientCAs      []Bytes `json:"clientCAs,omitempty"`
	ClientOptional bool    `json:"clientOptional,omitempty"`
	// ClientUnverified, beside ClientOptional, lets in a client whose
	// certificate does not verify, or does not fit, as if it had shown none.
	ClientUnverified bool `json:"clientUnverified,omitempty"`
	// ClientIdentity demands that a client certificate holds exactly one URI
	// SAN, and that this is a workload's SPIFFE ID. Without it, a certificate
	// that claims no SPIFFE ID is verified and proves no identity.
	ClientIdentity bool `json:"clientIdentity,omitempty"`
	// ClientNames of which a client certificate must hold one: DNS names, URIs,
	// IP or mail addresses, compared exactly. Empty: any.
	ClientNames []string `json:"clientNames,omitempty"`
	// ClientKeys and ClientHashes pin client certificates: SHA-256 digests in
	// hexadecimal of the public key info (RFC 7469 2.4) and of the whole
	// certificate. One of all of them must fit; both empty: any.
	ClientKeys   []string `json:"clientKeys,omitempty"`
	ClientHashes []string `json:"clientHashes,omitempty"`
	// ClientCRLs are certificate revocation lists, PEM or DER. If there are
	// any, each certificate of a client's chain needs a list of its issuer that
	// is in force and does not name it.
	ClientCRLs []Bytes `json:"clientCRLs,omitempty"`
	Origin     Origin  `json:"origin,omitzero"`
}

// AsksClients reports whether t demands a client certificate of everyone.
func (t *ServerTLS) AsksClients() bool {
	return t != nil && (t.Identity || len(t.ClientCAs) > 0) && !t.ClientOptional
}

// The names of what the gateway's own workload certificate is made of.
const (
	IdentityChain = "cert-chain.pem"
	IdentityKey   = "key.pem"
	IdentityRoots = "root-cert.pem"
)

// IdentityRef is where a part of the gateway's own workload certificate is in
// the secret.Store, whoever provides it. No resource can have such a Ref.
func IdentityRef(part string) secret.Ref {
	return secret.Ref{Kind: "workload", Namespace: "identity", Name: "of-this-gateway", Key: part}
}

// IdentityKeyPair is the gateway's own workload certificate.
func IdentityKeyPair() KeyPair {
	return KeyPair{Certificate: IdentityRef(IdentityChain), Key: IdentityRef(IdentityKey)}
}

// IdentityAuthorities is the trust bundle that came with the gateway's own
// workload certificate.
func IdentityAuthorities() Bytes { return Bytes{Ref: IdentityRef(IdentityRoots)} }
