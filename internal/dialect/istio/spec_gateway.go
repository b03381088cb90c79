package istio

import (
	"encoding/json"

	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/dialect/reading"
)

// gateway is networking.istio.io Gateway.
type gateway struct {
	Spec gatewaySpec `json:"spec"`
}

type gatewaySpec struct {
	Selector map[string]string `json:"selector"`
	Servers  []server          `json:"servers"`
}

type server struct {
	Port            *serverPort `json:"port"`
	Bind            string      `json:"bind"`
	Hosts           []string    `json:"hosts"`
	TLS             *serverTLS  `json:"tls"`
	DefaultEndpoint string      `json:"defaultEndpoint"`
	Name            string      `json:"name"`
}

type serverPort struct {
	Number     int    `json:"number"`
	Protocol   string `json:"protocol"`
	Name       string `json:"name"`
	TargetPort int    `json:"targetPort"`
}

type serverTLS struct {
	HTTPSRedirect         bool       `json:"httpsRedirect"`
	Mode                  tlsMode    `json:"mode"`
	ServerCertificate     string     `json:"serverCertificate"`
	PrivateKey            string     `json:"privateKey"`
	CACertificates        string     `json:"caCertificates"`
	CACRL                 string     `json:"caCrl"`
	CredentialName        string     `json:"credentialName"`
	CredentialNames       []string   `json:"credentialNames"`
	CACertCredentialName  string     `json:"caCertCredentialName"`
	TLSCertificates       []present  `json:"tlsCertificates"`
	SubjectAltNames       []string   `json:"subjectAltNames"`
	VerifyCertificateSPKI []string   `json:"verifyCertificateSpki"`
	VerifyCertificateHash []string   `json:"verifyCertificateHash"`
	MinProtocolVersion    tlsVersion `json:"minProtocolVersion"`
	MaxProtocolVersion    tlsVersion `json:"maxProtocolVersion"`
	CipherSuites          []string   `json:"cipherSuites"`
	ECDHCurves            []string   `json:"ecdhCurves"`
	InsecureSkipVerify    *bool      `json:"insecureSkipVerify"`
}

// serves reports whether s says more than that plain requests are redirected.
func (s *serverTLS) serves() bool {
	if s == nil {
		return false
	}
	rest := *s
	rest.HTTPSRedirect = false
	b, err := json.Marshal(rest)
	empty, _ := json.Marshal(serverTLS{})
	return err != nil || string(b) != string(empty)
}

type tlsMode int

// The modes. The zero value is PASSTHROUGH.
const (
	tlsPassthrough tlsMode = iota
	tlsSimple
	tlsMutual
	tlsAutoPassthrough
	tlsIstioMutual
	tlsOptionalMutual
)

// UnmarshalJSON reads the enum ServerTLSSettings.TLSmode.
func (e *tlsMode) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL")
}

// tlsVersion is Envoy's, in capital letters.
type tlsVersion struct{ envoy.TLSVersion }

// UnmarshalJSON reads the enum ServerTLSSettings.TLSProtocol.
func (e *tlsVersion) UnmarshalJSON(b []byte) error {
	return reading.Enum(&e.TLSVersion, b, "TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3")
}

// extension is an EnvoyFilter or a WasmPlugin: of what it does nothing is
// kept, only whom it is for.
type extension struct {
	Spec extensionSpec `json:"spec"`
}

type extensionSpec struct {
	WorkloadSelector *struct {
		Labels map[string]string `json:"labels"`
	} `json:"workloadSelector"`
	Selector      *labelSelector `json:"selector"`
	TargetRefs    []present      `json:"targetRefs"`
	ConfigPatches []configPatch  `json:"configPatches"`
}

type configPatch struct {
	Match struct {
		Context string `json:"context"`
	} `json:"match"`
}
