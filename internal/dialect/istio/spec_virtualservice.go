package istio

import (
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// virtualService is networking.istio.io VirtualService.
type virtualService struct {
	Spec virtualServiceSpec `json:"spec"`
}

type virtualServiceSpec struct {
	Hosts    []string    `json:"hosts"`
	Gateways []string    `json:"gateways"`
	HTTP     []httpRoute `json:"http"`
	TLS      []tlsRoute  `json:"tls"`
	TCP      []present   `json:"tcp"`
	ExportTo []string    `json:"exportTo"`
}

type tlsRoute struct {
	Match []tlsMatch    `json:"match"`
	Route []routeWeight `json:"route"`
}

type tlsMatch struct {
	SNIHosts           []string          `json:"sniHosts"`
	DestinationSubnets []string          `json:"destinationSubnets"`
	Port               int               `json:"port"`
	SourceLabels       map[string]string `json:"sourceLabels"`
	Gateways           []string          `json:"gateways"`
	SourceNamespace    string            `json:"sourceNamespace"`
}

type httpRoute struct {
	Name             string            `json:"name"`
	Match            []httpMatch       `json:"match"`
	Route            []routeWeight     `json:"route"`
	Redirect         *redirect         `json:"redirect"`
	DirectResponse   *directResponse   `json:"directResponse"`
	Delegate         *delegate         `json:"delegate"`
	Rewrite          *rewrite          `json:"rewrite"`
	Timeout          resource.Duration `json:"timeout"`
	Retries          *retries          `json:"retries"`
	Fault            *fault            `json:"fault"`
	Mirror           *destination      `json:"mirror"`
	Mirrors          []mirror          `json:"mirrors"`
	MirrorPercent    *int              `json:"mirrorPercent"`
	MirrorPercentage *percent          `json:"mirrorPercentage"`
	CORSPolicy       *corsPolicy       `json:"corsPolicy"`
	Headers          *headers          `json:"headers"`
}

type httpMatch struct {
	Name            string                 `json:"name"`
	URI             *stringMatch           `json:"uri"`
	Scheme          *stringMatch           `json:"scheme"`
	Method          *stringMatch           `json:"method"`
	Authority       *stringMatch           `json:"authority"`
	Headers         map[string]stringMatch `json:"headers"`
	WithoutHeaders  map[string]stringMatch `json:"withoutHeaders"`
	QueryParams     map[string]stringMatch `json:"queryParams"`
	Port            int                    `json:"port"`
	SourceLabels    map[string]string      `json:"sourceLabels"`
	SourceNamespace string                 `json:"sourceNamespace"`
	Gateways        []string               `json:"gateways"`
	IgnoreURICase   bool                   `json:"ignoreUriCase"`
	StatPrefix      string                 `json:"statPrefix"`
}

type routeWeight struct {
	Destination *destination `json:"destination"`
	Weight      int          `json:"weight"`
	Headers     *headers     `json:"headers"`
}

type destination struct {
	Host   string `json:"host"`
	Subset string `json:"subset"`
	Port   *struct {
		Number int `json:"number"`
	} `json:"port"`
}

// port returns the port that is written, or 0.
func (d *destination) port() int {
	if d.Port == nil {
		return 0
	}
	return d.Port.Number
}

type redirect struct {
	URI           string     `json:"uri"`
	PrefixRewrite string     `json:"prefixRewrite"`
	Authority     string     `json:"authority"`
	Scheme        string     `json:"scheme"`
	Port          *int       `json:"port"`
	DerivePort    derivePort `json:"derivePort"`
	RedirectCode  int        `json:"redirectCode"`
}

type derivePort int

// The ways to derive a redirect's port.
const (
	portOfProtocol derivePort = iota
	portOfRequest
)

// UnmarshalJSON reads the enum RedirectPortSelection.
func (e *derivePort) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT")
}

type directResponse struct {
	Status int `json:"status"`
	Body   *struct {
		String *string `json:"string"`
		Bytes  []byte  `json:"bytes"`
	} `json:"body"`
}

type delegate struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

type rewrite struct {
	URI             string `json:"uri"`
	Authority       string `json:"authority"`
	URIRegexRewrite *struct {
		Match   string `json:"match"`
		Rewrite string `json:"rewrite"`
	} `json:"uriRegexRewrite"`
}

type retries struct {
	Attempts                 *int              `json:"attempts"`
	PerTryTimeout            resource.Duration `json:"perTryTimeout"`
	RetryOn                  string            `json:"retryOn"`
	RetryRemoteLocalities    *bool             `json:"retryRemoteLocalities"`
	RetryIgnorePreviousHosts *bool             `json:"retryIgnorePreviousHosts"`
	Backoff                  resource.Duration `json:"backoff"`
}

type percent struct {
	Value float64 `json:"value"`
}

type fault struct {
	Abort *struct {
		HTTPStatus int      `json:"httpStatus"`
		GRPCStatus string   `json:"grpcStatus"`
		HTTP2Error string   `json:"http2Error"`
		Percentage *percent `json:"percentage"`
	} `json:"abort"`
	Delay *struct {
		FixedDelay       resource.Duration `json:"fixedDelay"`
		ExponentialDelay resource.Duration `json:"exponentialDelay"`
		Percent          int               `json:"percent"`
		Percentage       *percent          `json:"percentage"`
	} `json:"delay"`
}

type mirror struct {
	Destination *destination `json:"destination"`
	Percentage  *percent     `json:"percentage"`
}

type corsPolicy struct {
	AllowOrigin         []string          `json:"allowOrigin"`
	AllowOrigins        []stringMatch     `json:"allowOrigins"`
	AllowMethods        []string          `json:"allowMethods"`
	AllowHeaders        []string          `json:"allowHeaders"`
	ExposeHeaders       []string          `json:"exposeHeaders"`
	MaxAge              resource.Duration `json:"maxAge"`
	AllowCredentials    *bool             `json:"allowCredentials"`
	UnmatchedPreflights preflights        `json:"unmatchedPreflights"`
}

type preflights int

const preflightsIgnored preflights = 2

// UnmarshalJSON reads the enum UnmatchedPreflights.
func (e *preflights) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "UNSPECIFIED", "FORWARD", "IGNORE")
}

type headers struct {
	Request  headerOperations `json:"request"`
	Response headerOperations `json:"response"`
}

type headerOperations struct {
	Set    map[string]string `json:"set"`
	Add    map[string]string `json:"add"`
	Remove []string          `json:"remove"`
}
