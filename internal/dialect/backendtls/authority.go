package backendtls

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// caKey is the data key that holds a certificate authority's bundle.
const caKey = "ca.crt"

// Ref is a reference to a certificate authority's bundle, and its field.
type Ref struct {
	Key   resource.Key
	Field string
}

// Authorities returns the bundles that refs lead to, and a fault for each ref
// that leads to none. from is the kind, and namespace the place, of what
// refers.
func Authorities(v *resource.View, from resource.GroupKind, namespace string, refs []Ref) ([]ir.Bytes, []parent.Fault) {
	var out []ir.Bytes
	var faults []parent.Fault
	for _, ref := range refs {
		bundle, fault := authority(v, from, namespace, ref)
		if fault != nil {
			faults = append(faults, *fault)
			continue
		}
		out = append(out, ir.Bytes{Inline: bundle})
	}
	return out, faults
}

func authority(v *resource.View, from resource.GroupKind, namespace string, ref Ref) (string, *parent.Fault) {
	fault := func(reason, remedy, format string, args ...any) *parent.Fault {
		return &parent.Fault{Condition: "ResolvedRefs", Reason: reason, Field: ref.Field, What: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	if ref.Key.GroupKind != resource.ConfigMapKind {
		return "", fault("InvalidKind", "name a ConfigMap", "a certificate authority in a %v is not supported", ref.Key.GroupKind)
	}
	if !parent.Granted(v, from, namespace, ref.Key) {
		return "", fault("RefNotPermitted", parent.GrantRemedy(from, namespace, ref.Key), "%v may not be used from %s", ref.Key, namespace)
	}
	obj, cm := resource.Spec[resource.ConfigMap](v, resource.ConfigMapKind, ref.Key.Namespace, ref.Key.Name)
	if cm == nil {
		return "", fault("InvalidCACertificateRef", reading.Suggest(v, ref.Key.GroupKind, ref.Key.Namespace, ref.Key.Name), "no ConfigMap %q in %s", ref.Key.Name, ref.Key.Namespace)
	}
	bundle, ok := cm.Data[caKey]
	if !ok || len(obj.Faults) > 0 {
		return "", fault("InvalidCACertificateRef", "put the bundle there, as PEM", "%v has no key %s", ref.Key, caKey)
	}
	if !holdsCertificates(bundle) {
		return "", fault("InvalidCACertificateRef", "put a bundle of certificates there, as PEM", "%s of %v holds no certificate", caKey, ref.Key)
	}
	return bundle, nil
}

// holdsCertificates reports whether a PEM bundle holds certificates, all of
// which parse.
func holdsCertificates(bundle string) bool {
	n := 0
	for block, rest := pem.Decode([]byte(bundle)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return false
		}
		n++
	}
	return n > 0
}
