package gloomesh

import "github.com/postern-gateway/postern/internal/dialect/reading"

// externalService is networking.gloo.solo.io/v2 ExternalService.
type externalService struct {
	Spec externalServiceSpec `json:"spec"`
}

type externalServiceSpec struct {
	Hosts           []string       `json:"hosts"`
	Addresses       []string       `json:"addresses"`
	Ports           []externalPort `json:"ports"`
	Selector        present        `json:"selector"`
	SubjectAltNames []string       `json:"subjectAltNames"`
}

type externalPort struct {
	Number              int        `json:"number"`
	TargetPort          *portRef   `json:"targetPort"`
	Name                string     `json:"name"`
	Protocol            string     `json:"protocol"`
	ClientsideTLS       *clientTLS `json:"clientsideTls"`
	EgressGatewayRoutes present    `json:"egressGatewayRoutes"`
}

type clientTLS struct {
	SNI                string        `json:"sni"`
	Mode               clientTLSMode `json:"mode"`
	ClientCertificate  string        `json:"clientCertificate"`
	PrivateKey         present       `json:"privateKey"`
	CACertificates     string        `json:"caCertificates"`
	CredentialName     string        `json:"credentialName"`
	InsecureSkipVerify *bool         `json:"insecureSkipVerify"`
}

type clientTLSMode int

// The modes. The zero value is SIMPLE.
const (
	clientSimple clientTLSMode = iota
	clientDisable
	clientMutual
	clientIstioMutual
)

// UnmarshalJSON reads the enum TLSmode of clients.
func (e *clientTLSMode) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "SIMPLE", "DISABLE", "MUTUAL", "ISTIO_MUTUAL")
}

// virtualDestination is networking.gloo.solo.io/v2 VirtualDestination.
type virtualDestination struct {
	Spec virtualDestinationSpec `json:"spec"`
}

type virtualDestinationSpec struct {
	Hosts             []string   `json:"hosts"`
	Services          []selector `json:"services"`
	ExternalServices  []selector `json:"externalServices"`
	ExternalWorkloads present    `json:"externalWorkloads"`
	Ports             []struct {
		Number     int      `json:"number"`
		Protocol   string   `json:"protocol"`
		TargetPort *portRef `json:"targetPort"`
	} `json:"ports"`
	ClientMode present `json:"clientMode"`
}
