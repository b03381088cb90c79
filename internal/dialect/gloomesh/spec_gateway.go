package gloomesh

import (
	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/dialect/reading"
)

// virtualGateway is networking.gloo.solo.io/v2 VirtualGateway.
type virtualGateway struct {
	Spec virtualGatewaySpec `json:"spec"`
}

type virtualGatewaySpec struct {
	Workloads []struct {
		Selector *selector `json:"selector"`
		Kind     present   `json:"kind"`
		Port     *portRef  `json:"port"`
	} `json:"workloads"`
	Listeners []gatewayListener `json:"listeners"`
}

type gatewayListener struct {
	Port                    *portRef       `json:"port"`
	TLS                     *serverTLS     `json:"tls"`
	HTTPSRedirect           bool           `json:"httpsRedirect"`
	HTTP                    *struct{}      `json:"http"`
	TCP                     present        `json:"tcp"`
	AllowedRouteTables      []allowedTable `json:"allowedRouteTables"`
	ExposedExternalServices present        `json:"exposedExternalServices"`
	AppProtocol             string         `json:"appProtocol"`
}

type allowedTable struct {
	Host          string    `json:"host"`
	Selector      *selector `json:"selector"`
	AllowedRoutes present   `json:"allowedRoutes"`
}

type serverTLS struct {
	SecretName           string   `json:"secretName"`
	Files                present  `json:"files"`
	VerifySubjectAltName []string `json:"verifySubjectAltName"`
	Parameters           *struct {
		MinimumProtocolVersion envoy.TLSVersion `json:"minimumProtocolVersion"`
		MaximumProtocolVersion envoy.TLSVersion `json:"maximumProtocolVersion"`
		CipherSuites           []string         `json:"cipherSuites"`
	} `json:"parameters"`
	Mode tlsMode `json:"mode"`
}

type tlsMode int

// The modes that are served.
const (
	tlsSimple tlsMode = 1
	tlsMutual tlsMode = 2
)

// UnmarshalJSON reads the enum TLSmode.
func (e *tlsMode) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL")
}

// workspace is admin.gloo.solo.io/v2 Workspace: which namespaces belong
// together.
type workspace struct {
	Spec struct {
		WorkloadClusters []struct {
			Name       string `json:"name"`
			Namespaces []struct {
				Name string `json:"name"`
			} `json:"namespaces"`
			ConfigEnabled *bool `json:"configEnabled"`
		} `json:"workloadClusters"`
	} `json:"spec"`
}

// workspaceSettings is admin.gloo.solo.io/v2 WorkspaceSettings: what a
// workspace shares with others, which one gateway does not see.
type workspaceSettings struct{}
