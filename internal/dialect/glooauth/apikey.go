package glooauth

import (
	"cmp"
	"maps"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
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
		r.warn(at, "remove labelSelector and apiKeySecretRefs beside it", "k8sSecretApikeyStorage takes the place of the fields beside it")
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
		r.warn(at+".skipMetadataValidation", "remove it", "metadata that cannot be a header's value is always refused")
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

// entries returns the Secrets that a storage picks, the oldest first.
func (r *reader) entries(at string, s *SecretStorage, wanted []ir.MetadataHeader) []ir.APIKeyEntry {
	c := &collector{r: r, wanted: wanted}
	picked := labelled(r.v, s.LabelSelector)
	if len(s.LabelSelector) > 0 && len(picked) == 0 {
		r.warn(at, "label a Secret of type "+keySecretType, "no Secret has the labels; every caller is refused")
	}
	for i, ref := range s.APIKeySecretRefs {
		ns := cmp.Or(ref.Namespace, r.src.Object.Namespace)
		o := r.v.Get(resource.SecretKind, ns, ref.Name)
		if o == nil {
			p := status.Errorf(r.origin(at), "apiKeySecretRefs[%d]: no Secret %q in %s; its key is refused", i, ref.Name, ns)
			r.problems = append(r.problems, p.Fix("create it, or correct the name"))
			continue
		}
		if !slices.Contains(picked, o) {
			picked = append(slices.Clip(picked), o)
		}
	}
	picked = oldestFirst(picked, len(s.APIKeySecretRefs) == 0)
	c.out = make([]ir.APIKeyEntry, 0, len(picked))
	for _, o := range picked {
		c.add(o)
	}
	if c.skipped > maxSkipped {
		r.warn(at, "see the first of them", "%d of the Secrets are skipped", c.skipped)
	}
	return c.out
}

// oldestFirst sorts by age, then by key. A list that is in the order of keys
// is so unless a later Secret is older: among 100,000 that is worth a look.
func oldestFirst(list []*resource.Object, inKeyOrder bool) []*resource.Object {
	byAge := func(a, b *resource.Object) int { return a.Created.Compare(b.Created) }
	if inKeyOrder && slices.IsSortedFunc(list, byAge) {
		return list
	}
	return slices.SortedStableFunc(slices.Values(list), func(a, b *resource.Object) int {
		return cmp.Or(byAge(a, b), a.Key.Compare(b.Key))
	})
}

// labelled returns the Secrets of all namespaces that have all labels. The
// rarest label leads: the others are compared.
func labelled(v *resource.View, labels map[string]string) []*resource.Object {
	var least []*resource.Object
	for i, key := range slices.Sorted(maps.Keys(labels)) {
		if list := v.ByLabel(resource.SecretKind, key, labels[key]); i == 0 || len(list) < len(least) {
			least = list
		}
	}
	if len(labels) < 2 {
		return least
	}
	var out []*resource.Object
	for _, o := range least {
		if has(o.Labels, labels) {
			out = append(out, o)
		}
	}
	return out
}

func has(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// collector makes entries of Secrets, and reports those that cannot be one.
type collector struct {
	r       *reader
	wanted  []ir.MetadataHeader
	out     []ir.APIKeyEntry
	skipped int
}

func (c *collector) add(o *resource.Object) {
	s := o.Spec.(*resource.Secret)
	switch {
	case len(o.Faults) > 0:
		c.skip(o, "correct it", "the Secret could not be read in full and is skipped")
		return
	case s.Type != keySecretType:
		c.skip(o, "make its type "+keySecretType, "the Secret is picked for API keys but is of type %q, and skipped", s.Type)
		return
	case !s.HasKey(keyDataKey):
		c.skip(o, "put the key into its data", "the Secret has no %s and is skipped", keyDataKey)
		return
	}
	c.out = append(c.out, ir.APIKeyEntry{Namespace: o.Namespace, Name: o.Name, Key: ref(o, keyDataKey), Origin: o.Origin("")})
	e := &c.out[len(c.out)-1]
	for _, w := range c.wanted {
		if s.HasKey(w.Key) {
			if e.Metadata == nil {
				e.Metadata = make(map[string]secret.Ref, len(c.wanted))
			}
			e.Metadata[w.Key] = ref(o, w.Key)
		} else if w.Required {
			c.skip(o, "put it into its data", "the Secret has no %s, which %s requires: its key is refused", w.Key, w.Header)
		}
	}
}

func (c *collector) skip(o *resource.Object, remedy, format string, args ...any) {
	if c.skipped++; c.skipped <= maxSkipped {
		c.r.problems = append(c.r.problems, status.Warningf(o.Origin(""), format, args...).Fix("%s", remedy))
	}
}

func ref(o *resource.Object, key string) secret.Ref {
	return secret.Ref{Kind: resource.SecretKind.Kind, Namespace: o.Namespace, Name: o.Name, Key: key}
}
