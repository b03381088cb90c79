package glooauth

import (
	"cmp"
	"maps"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
)

const (
	// keySecretType is the type that a Secret with an API key has, exactly.
	keySecretType = "extauth.solo.io/apikey"
	// keyDataKey is the data key with the API key; every other is metadata.
	keyDataKey = "api-key"
	// defaultKeyHeader holds the key unless another is named.
	defaultKeyHeader = "api-key"
)

// maxSkipped bounds how many Secrets are reported one by one.
const maxSkipped = 20

// apiKey reads apiKeyAuth. Where both are written, the storage's fields hold
// and those of old releases beside it do not.
func (r *reader) apiKey(at string, s *APIKeyAuth) *ir.APIKey {
	out := &ir.APIKey{Headers: r.keyHeaders(at, s), UserHeader: r.opts.UserHeader, FromMetadata: r.metadata(at, s)}
	r.keyDigest(at, s, out)
	store := s.K8sSecretAPIKeyStorage
	if store == nil {
		store = &SecretStorage{LabelSelector: s.LabelSelector, APIKeySecretRefs: s.APIKeySecretRefs}
	} else if len(s.LabelSelector)+len(s.APIKeySecretRefs) > 0 {
		r.p.Warn(at, "remove labelSelector and apiKeySecretRefs beside it", "k8sSecretApikeyStorage takes the place of the fields beside it")
	}
	switch {
	case bool(s.AerospikeAPIKeyStorage):
		r.fail(at+".aerospikeApikeyStorage", "put the keys into Secrets and use k8sSecretApikeyStorage", "keys in Aerospike are not supported; what they would guard is closed")
	case len(store.LabelSelector) == 0 && len(store.APIKeySecretRefs) == 0:
		r.fail(at, "write k8sSecretApikeyStorage.labelSelector", "nothing says which Secrets hold the keys")
	default:
		out.Entries = r.entries(at, store, out.FromMetadata)
	}
	if s.SkipMetadataValidation {
		r.p.Warn(at+".skipMetadataValidation", "remove it", "metadata that cannot be a header's value is always refused")
	}
	return out
}

// keyHeaders returns the headers that may hold the key.
func (r *reader) keyHeaders(at string, s *APIKeyAuth) []string {
	if s.Match == nil || len(s.Match.Headers) == 0 {
		h := cmp.Or(s.HeaderName, defaultKeyHeader)
		r.headerName(at+".headerName", h)
		return []string{h}
	}
	var out []string
	for _, h := range s.Match.Headers {
		r.headerName(at+".match.headers", h.Name)
		out = append(out, h.Name)
	}
	if s.HeaderName != "" && !slices.Contains(out, s.HeaderName) {
		r.headerName(at+".headerName", s.HeaderName)
		out = append(out, s.HeaderName)
	}
	return out
}

func (r *reader) keyDigest(at string, s *APIKeyAuth, out *ir.APIKey) {
	if s.HMAC {
		r.fail(at+".hmac", "use digest with SHA256", "hmac is not supported; what it would guard is closed")
	}
	if s.Digest == nil {
		return
	}
	if s.Digest.Algorithm != digestSHA256 {
		r.fail(at+".digest.algorithm", "write SHA256", "the digest has no algorithm")
		return
	}
	out.Digest = "sha256"
}

// metadata returns the headers that an entry's data become, by name; the
// deprecated form yields where both name a header.
func (r *reader) metadata(at string, s *APIKeyAuth) []ir.MetadataHeader {
	all := map[string]MetadataEntry{}
	maps.Copy(all, s.HeadersFromMetadata)
	maps.Copy(all, s.HeadersFromMetadataEntry)
	var out []ir.MetadataHeader
	for _, h := range slices.Sorted(maps.Keys(all)) {
		here := at + ".headersFromMetadataEntry." + h
		if _, ok := s.HeadersFromMetadataEntry[h]; !ok {
			here = at + ".headersFromMetadata." + h
		}
		r.settable(here, h)
		if all[h].Name == "" {
			r.fail(here, "write the name of a data key", "the entry names no data key")
		}
		out = append(out, ir.MetadataHeader{Header: h, Key: all[h].Name, Required: all[h].Required})
	}
	return out
}
