package simulate

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWorkloadCertificates(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	const id = "spiffe://cluster.local/ns/default/sa/sleep"
	cert, err := ca.IssueWorkload(Workload{URIs: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("usage %v: %v", usage, err)
		}
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != id || leaf.Subject.String() != "" {
		t.Errorf("%v, subject %q", leaf.URIs, leaf.Subject)
	}
	text, err := ca.Revoke(time.Now().Add(time.Hour), cert)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(pemBytes(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(ca.root); err != nil || len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(leaf.SerialNumber) != 0 {
		t.Errorf("%v, %v", list.RevokedCertificateEntries, err)
	}
	dir := t.TempDir()
	if err := WriteIdentity(dir, cert, ca.PEM()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cert-chain.pem", "key.pem", "root-cert.pem"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if _, err := ca.SignRequest([]byte("no request"), Workload{}); err == nil {
		t.Error("what is no request is signed")
	}
}

func pemBytes(t *testing.T, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("no PEM: %s", text)
	}
	return block.Bytes
}
