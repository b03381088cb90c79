package simulate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// minMasked is the shortest credential of a request that is also looked for
// outside of its own header; a shorter one would hide common words.
const minMasked = 8

// credentialHeaders are the headers whose values are credentials.
func credentialHeaders() []string {
	return []string{
		"Authorization", "Proxy-Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key",
		"X-Amz-Security-Token", "Cookie",
	}
}

// credentialParameters are the query parameters whose values are credentials.
func credentialParameters() []string {
	return []string{"key", "api_key", "api-key", "apikey", "access_token", "token", "x-amz-security-token", "x-amz-signature"}
}

// Fingerprint is how a credential is shown: "sha256:" and the first eight
// hexadecimal digits of its SHA-256.
func Fingerprint(credential string) string {
	sum := sha256.Sum256([]byte(credential))
	return "sha256:" + hex.EncodeToString(sum[:4])
}

// mask hides one request's credentials: the values of its credential headers
// and parameters, and every other place where they, or a key of a provider,
// appear as they are.
type mask struct {
	names    []string // canonical header names
	replacer *strings.Replacer
}

// newMask makes the mask of a request. names are further header names that
// carry credentials, secrets the keys of all providers.
func newMask(r *http.Request, names, secrets []string) *mask {
	m := &mask{names: credentialHeaders()}
	for _, name := range names {
		m.names = append(m.names, http.CanonicalHeaderKey(name))
	}
	found := slices.Clone(secrets)
	for _, name := range m.names {
		for _, value := range r.Header.Values(name) {
			_, credential := splitScheme(value)
			found = appendLong(found, value, credential)
		}
	}
	for name, values := range r.URL.Query() {
		if isCredentialParameter(name) {
			found = appendLong(found, values...)
		}
	}
	m.replacer = replacerOf(found)
	return m
}

func appendLong(list []string, values ...string) []string {
	for _, value := range values {
		if len(value) >= minMasked {
			list = append(list, value)
		}
	}
	return list
}

// replacerOf replaces each secret, also where it is escaped for a URL, by its
// fingerprint. Longer ones go first, as one may contain another.
func replacerOf(secrets []string) *strings.Replacer {
	slices.SortFunc(secrets, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	var pairs []string
	for _, secret := range slices.Compact(secrets) {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			pairs = append(pairs, form, Fingerprint(secret))
		}
	}
	return strings.NewReplacer(pairs...)
}

// text is s without any credential known from elsewhere.
func (m *mask) text(s string) string { return m.replacer.Replace(s) }

// headers is h with fingerprints for credentials.
func (m *mask) headers(h http.Header) http.Header {
	shown := make(http.Header, len(h))
	for name, values := range h {
		for _, value := range values {
			shown.Add(m.text(name), m.header(name, value))
		}
	}
	return shown
}

func (m *mask) header(name, value string) string {
	if !slices.Contains(m.names, http.CanonicalHeaderKey(name)) {
		return m.text(value)
	}
	scheme, credential := splitScheme(value)
	return scheme + Fingerprint(credential)
}

// splitScheme parts a credential from its authentication scheme and blank. A
// first word that is no known scheme may be a credential itself, and stays.
func splitScheme(value string) (scheme, credential string) {
	word, rest, ok := strings.Cut(value, " ")
	if !ok {
		return "", value
	}
	switch strings.ToLower(word) {
	case "bearer", "basic", "digest", "negotiate", "dpop", "apikey", "token", "aws4-hmac-sha256":
		return word + " ", rest
	}
	return "", value
}

// target is a request target with fingerprints for the credentials in its
// query; the rest stays byte for byte.
func (m *mask) target(target string) string {
	path, query, ok := strings.Cut(target, "?")
	if !ok {
		return m.text(path)
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(value)
		if err == nil && value != "" && isCredentialParameter(name) {
			parts[i] = name + "=" + Fingerprint(plain)
			continue
		}
		parts[i] = m.text(part)
	}
	return m.text(path) + "?" + strings.Join(parts, "&")
}

func isCredentialParameter(name string) bool {
	plain, err := url.QueryUnescape(name)
	return err == nil && slices.Contains(credentialParameters(), strings.ToLower(plain))
}
