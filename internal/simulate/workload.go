package simulate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Workload says what a certificate for a workload of a mesh holds. The zero
// Workload has no name at all.
type Workload struct {
	// URIs are the URI SANs; a good certificate has one, a SPIFFE ID.
	URIs []string
	// DNSNames are further names.
	DNSNames []string
	// NotBefore and NotAfter; zero: an hour ago, and in 30 days.
	NotBefore, NotAfter time.Time
}

// IssueWorkload makes a certificate as a mesh gives it to its workloads: an
// empty subject, for servers and clients, with a new P-256 key.
func (c *CA) IssueWorkload(w Workload) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("simulate: workload key: %w", err)
	}
	der, err := c.sign(w, key.Public())
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// SignRequest answers a certificate signing request in PEM with a certificate
// for w, in PEM: whatever names the request holds are passed over.
func (c *CA) SignRequest(request []byte, w Workload) ([]byte, error) {
	block, _ := pem.Decode(request)
	if block == nil {
		return nil, errors.New("simulate: the signing request is not PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("simulate: signing request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("simulate: signing request: %w", err)
	}
	der, err := c.sign(w, csr.PublicKey)
	if err != nil {
		return nil, err
	}
	return pemBlock("CERTIFICATE", der), nil
}

func (c *CA) sign(w Workload, key crypto.PublicKey) ([]byte, error) {
	template, err := newTemplate("")
	if err != nil {
		return nil, err
	}
	template.Subject = pkix.Name{}
	if !w.NotBefore.IsZero() {
		template.NotBefore = w.NotBefore
	}
	if !w.NotAfter.IsZero() {
		template.NotAfter = w.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = w.DNSNames
	for _, id := range w.URIs {
		u, err := url.Parse(id)
		if err != nil {
			return nil, fmt.Errorf("simulate: workload certificate: %w", err)
		}
		template.URIs = append(template.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.root, key, c.key)
	if err != nil {
		return nil, fmt.Errorf("simulate: workload certificate: %w", err)
	}
	return der, nil
}

// Revoke makes a revocation list in PEM that names these certificates, and is
// in force until next.
func (c *CA) Revoke(next time.Time, certs ...tls.Certificate) ([]byte, error) {
	now := time.Now()
	template := &x509.RevocationList{Number: big.NewInt(now.UnixNano()), ThisUpdate: now.Add(-time.Hour), NextUpdate: next}
	if !next.After(template.ThisUpdate) {
		template.ThisUpdate = next.Add(-time.Hour)
	}
	for _, cert := range certs {
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			return nil, fmt.Errorf("simulate: revocation list: %w", err)
		}
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: leaf.SerialNumber, RevocationTime: template.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, c.root, c.key)
	if err != nil {
		return nil, fmt.Errorf("simulate: revocation list: %w", err)
	}
	return pemBlock("X509 CRL", der), nil
}

// EncodePair returns a certificate chain and its key as PEM.
func EncodePair(cert tls.Certificate) (chain, key []byte, err error) {
	for _, der := range cert.Certificate {
		chain = append(chain, pemBlock("CERTIFICATE", der)...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("simulate: private key: %w", err)
	}
	return chain, pemBlock("PRIVATE KEY", der), nil
}

// WriteIdentity writes a workload's certificate, key and trust bundle into a
// folder as postern run --identity reads them: each file at once, the
// certificate last.
func WriteIdentity(dir string, cert tls.Certificate, roots []byte) error {
	chain, key, err := EncodePair(cert)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{"root-cert.pem", roots}, {"key.pem", key}, {"cert-chain.pem", chain}} {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path+".new", f.text, 0o600); err != nil {
			return fmt.Errorf("simulate: write identity: %w", err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			return fmt.Errorf("simulate: write identity: %w", err)
		}
	}
	return nil
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
