package envoyai

// aiServiceBackend is the spec of an AIServiceBackend, in the forms of v0.1 and
// of today.
type aiServiceBackend struct {
	Spec aiServiceBackendSpec `json:"spec"`
}

type aiServiceBackendSpec struct {
	Schema         *apiSchema      `json:"schema"`
	BackendRef     *objectRef      `json:"backendRef"`
	HeaderMutation *headerMutation `json:"headerMutation"`
	BodyMutation   *bodyMutation   `json:"bodyMutation"`

	// Of v0.1.
	BackendSecurityPolicyRef *policyRef       `json:"backendSecurityPolicyRef"`
	Timeouts                 *requestTimeouts `json:"timeouts"`
}

// llmBackend is the original form of an AIServiceBackend.
type llmBackend struct {
	Spec llmBackendSpec `json:"spec"`
}

type llmBackendSpec struct {
	OutputSchema             *originalSchema `json:"outputSchema"`
	BackendRef               *objectRef      `json:"backendRef"`
	BackendSecurityPolicyRef *policyRef      `json:"backendSecurityPolicyRef"`
}

// objectRef names an object in the manner of the Gateway API's backend and
// Secret references. Group and Kind are nil where they are not written.
type objectRef struct {
	Group     *string `json:"group"`
	Kind      *string `json:"kind"`
	Name      string  `json:"name"`
	Namespace string  `json:"namespace"`
	Port      *int    `json:"port"`
	Weight    *int    `json:"weight"`
	Fallback  bool    `json:"fallback"`
	// DataKey is within a ConfigMap or Secret, where one value is meant.
	DataKey string `json:"key"`
}

// policyRef names a BackendSecurityPolicy beside a backend.
type policyRef struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
}

// egBackend is the spec of a Backend: addresses outside of the cluster.
type egBackend struct {
	Spec egBackendSpec `json:"spec"`
}

type egBackendSpec struct {
	Type         string       `json:"type"`
	Endpoints    []egEndpoint `json:"endpoints"`
	AppProtocols []string     `json:"appProtocols"`
	Fallback     bool         `json:"fallback"`
	TLS          *egTLS       `json:"tls"`
}

type egEndpoint struct {
	FQDN     *egAddress `json:"fqdn"`
	IP       *egAddress `json:"ip"`
	Unix     *unixPath  `json:"unix"`
	Hostname string     `json:"hostname"`
	Zone     string     `json:"zone"`
}

// egAddress is a host name, or an IP address, with a port.
type egAddress struct {
	Hostname string `json:"hostname"`
	Address  string `json:"address"`
	Port     int    `json:"port"`
}

type unixPath struct {
	Path string `json:"path"`
}

type egTLS struct {
	SNI                         string      `json:"sni"`
	AutoSNIFromEndpointHostname bool        `json:"autoSNIFromEndpointHostname"`
	CACertificateRefs           []objectRef `json:"caCertificateRefs"`
	WellKnownCACertificates     string      `json:"wellKnownCACertificates"`
	InsecureSkipVerify          bool        `json:"insecureSkipVerify"`
	ClientCertificateRef        *objectRef  `json:"clientCertificateRef"`
	tlsVersions
	Fingerprints present `json:"fingerprints"`
}

// tlsVersions are the parameters of TLS on either side.
type tlsVersions struct {
	MinVersion          string   `json:"minVersion"`
	MaxVersion          string   `json:"maxVersion"`
	Ciphers             []string `json:"ciphers"`
	ALPNProtocols       []string `json:"alpnProtocols"`
	ECDHCurves          []string `json:"ecdhCurves"`
	SignatureAlgorithms []string `json:"signatureAlgorithms"`
}
