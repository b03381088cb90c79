package simulate

import (
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
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// caFile is the name under which WriteFile puts a root.
const caFile = "simulate-ca.pem"

// validity is how long throw-away certificates last.
const validity = 30 * 24 * time.Hour

// CA is a throw-away certificate authority: its key lives in memory only, and
// with it ends what the root is good for.
type CA struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes a CA with a new P-256 key.
func NewCA() (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("simulate: ca key: %w", err)
	}
	template, err := newTemplate("Postern simulated CA")
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("simulate: ca certificate: %w", err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("simulate: ca certificate: %w", err)
	}
	return &CA{root: root, key: key}, nil
}

// Issue makes a server certificate with a new P-256 key for these names: DNS
// names, among them wildcards such as "*.example.com", and IP addresses.
func (c *CA) Issue(names ...string) (tls.Certificate, error) {
	if len(names) == 0 {
		return tls.Certificate{}, errors.New("simulate: certificate without names")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("simulate: server key: %w", err)
	}
	template, err := newTemplate(names[0])
	if err != nil {
		return tls.Certificate{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.root, key.Public(), c.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("simulate: server certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// PEM is the root's certificate.
func (c *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.root.Raw})
}

// Pool holds the root alone.
func (c *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.root)
	return pool
}

// WriteFile writes the root's certificate to simulate-ca.pem in the folder,
// and returns the file's path, which postern run takes as --upstream-ca.
func (c *CA) WriteFile(dir string) (string, error) {
	path := filepath.Join(dir, caFile)
	if err := os.WriteFile(path, c.PEM(), 0o644); err != nil {
		return "", fmt.Errorf("simulate: write ca: %w", err)
	}
	return path, nil
}

// newTemplate is what all certificates have in common.
func newTemplate(commonName string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("simulate: serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(validity),
	}, nil
}
