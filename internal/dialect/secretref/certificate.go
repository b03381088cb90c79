package secretref

import (
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
)

// Part of what Secrets with certificates hold, by the names that it has: that
// of kubernetes.io/tls, and that of Istio's generic form.
type Part [2]string

// The parts.
var (
	Certificate = Part{"tls.crt", "cert"}
	PrivateKey  = Part{"tls.key", "key"}
	Authority   = Part{"ca.crt", "cacert"}
	Revocation  = Part{"ca.crl", "crl"}
)

// In returns the first name under which a Secret has the part, or "".
func (p Part) In(s *resource.Secret) string {
	for _, name := range p {
		if s.HasKey(name) {
			return name
		}
	}
	return ""
}

// Of returns the reference to one key of a Secret.
func Of(s resource.Key, key string) secret.Ref {
	return secret.Ref{Kind: resource.SecretKind.Kind, Namespace: s.Namespace, Name: s.Name, Key: key}
}

// First returns the Secret of a name in the first of the namespaces that has
// one, or nil. Whether it may be used is the caller's to ask.
func First(v *resource.View, namespaces []string, name string) (*resource.Object, *resource.Secret) {
	for _, ns := range namespaces {
		if o, s := resource.Spec[resource.Secret](v, resource.SecretKind, ns, name); o != nil {
			return o, s
		}
	}
	return nil, nil
}
