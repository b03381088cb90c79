// Package envoy reads what the products behind several dialects took over from
// Envoy as it stands: versions of TLS, names of cipher suites, conditions of
// retries, and formatters in the values of headers.
//
// It is no dialect and imports none. The kinds of Envoy Gateway are envoyai's.
//
// Source: https://www.envoyproxy.io/docs/envoy/latest
package envoy

import "github.com/postern-gateway/postern/internal/dialect/reading"

// TLSVersion is a bound on the versions of TLS. The zero TLSVersion leaves it
// to the gateway.
type TLSVersion int

// UnmarshalJSON reads the enum TlsParameters.TlsProtocol.
func (v *TLSVersion) UnmarshalJSON(b []byte) error {
	return reading.Enum(v, b, "TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3")
}

// Old reports whether it is a version below 1.2, none of which is ever spoken.
func (v TLSVersion) Old() bool { return v == 1 || v == 2 }

// Name returns the version as the model has it: "1.2", "1.3"; "": any.
func (v TLSVersion) Name() string {
	switch v {
	case 3:
		return "1.2"
	case 4:
		return "1.3"
	}
	return ""
}

// CipherSuite returns crypto/tls's name of a suite by that of BoringSSL, which
// Envoy takes; "": it is none of those that are held secure.
func CipherSuite(name string) string { return suites[name] }

var suites = map[string]string{
	"ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	"ECDHE-RSA-AES128-GCM-SHA256":   "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	"ECDHE-RSA-AES256-GCM-SHA384":   "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
	"ECDHE-RSA-CHACHA20-POLY1305":   "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}
