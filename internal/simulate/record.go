package simulate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
)

// maxKeptBody bounds how much of each body a Record keeps.
const maxKeptBody = 64 << 10

// Record is what arrived in one request. Its exported fields, and so its JSON,
// show credentials by fingerprint only; what they really were can be compared
// with HeaderIs and never read.
type Record struct {
	// Number counts requests from 1 since the server was made.
	Number int `json:"number"`
	// Provider is the name of the one asked; empty where no host matched.
	Provider string `json:"provider"`
	Method   string `json:"method"`
	// Path is as it was sent, still escaped; Target has the query too.
	Path   string `json:"path"`
	Target string `json:"target"`
	Host   string `json:"host"`
	// Headers hold every value of each, in the order of arrival.
	Headers http.Header `json:"headers"`
	// Authorizations is the number of Authorization values.
	Authorizations int `json:"authorizations"`
	// BodyLength and BodySHA256 are of what was received, which is all of the
	// body if BodyComplete.
	BodyLength   int    `json:"bodyLength"`
	BodySHA256   string `json:"bodySHA256"`
	BodyComplete bool   `json:"bodyComplete"`
	TLS          bool   `json:"tls"`
	SNI          string `json:"sni,omitempty"`
	// Protocol is "HTTP/1.1" or "HTTP/2.0".
	Protocol string `json:"protocol"`

	raw *raw
}

// raw is behind a pointer so that printing a Record prints an address.
type raw struct {
	headers http.Header
	body    []byte
}

// HasHeader reports whether the header was sent, be it empty.
func (r Record) HasHeader(name string) bool { return r.HeaderCount(name) > 0 }

// HeaderCount is the number of values that the header was sent with.
func (r Record) HeaderCount(name string) int {
	if r.raw == nil {
		return 0
	}
	return len(r.raw.headers.Values(name))
}

// HeaderIs reports whether the header was sent with exactly this one value.
// Unlike Headers it knows the value of a credential.
func (r Record) HeaderIs(name, value string) bool {
	return r.raw != nil && slices.Equal(r.raw.headers.Values(name), []string{value})
}

// BodyIs reports whether exactly this body was received.
func (r Record) BodyIs(body []byte) bool {
	sum := sha256.Sum256(body)
	return r.BodyComplete && r.BodyLength == len(body) && r.BodySHA256 == hex.EncodeToString(sum[:])
}

// Body is a copy of the body's first 64 KiB. It is not in the JSON, as a
// prompt may be confidential.
func (r Record) Body() []byte {
	if r.raw == nil {
		return nil
	}
	return bytes.Clone(r.raw.body)
}

// clone is a copy that shares nothing that its holder could change.
func (r Record) clone() Record {
	r.Headers = r.Headers.Clone()
	return r
}

// newRecord describes a request whose body has been read, wholly or not.
func newRecord(r *http.Request, body []byte, complete bool, m *mask) Record {
	sum := sha256.Sum256(body)
	record := Record{
		Method:         m.text(r.Method),
		Path:           m.target(r.URL.EscapedPath()),
		Target:         m.target(r.RequestURI),
		Host:           m.text(r.Host),
		Headers:        m.headers(r.Header),
		Authorizations: len(r.Header.Values("Authorization")),
		BodyLength:     len(body),
		BodySHA256:     hex.EncodeToString(sum[:]),
		BodyComplete:   complete,
		TLS:            r.TLS != nil,
		Protocol:       r.Proto,
		raw:            &raw{headers: r.Header.Clone(), body: bytes.Clone(body[:min(len(body), maxKeptBody)])},
	}
	if r.TLS != nil {
		record.SNI = m.text(r.TLS.ServerName)
	}
	return record
}
