package gloomesh

import (
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// routeTable is networking.gloo.solo.io/v2 RouteTable.
type routeTable struct {
	Spec routeTableSpec `json:"spec"`
}

type routeTableSpec struct {
	Hosts                     []string          `json:"hosts"`
	VirtualGateways           []objectRef       `json:"virtualGateways"`
	WorkloadSelectors         present           `json:"workloadSelectors"`
	ApplyToDestinations       present           `json:"applyToDestinations"`
	DefaultDestination        *destination      `json:"defaultDestination"`
	HTTP                      []httpRoute       `json:"http"`
	TCP                       []present         `json:"tcp"`
	TLS                       []present         `json:"tls"`
	Weight                    int               `json:"weight"`
	PortalMetadata            present           `json:"portalMetadata"`
	FailureMode               failureMode       `json:"failureMode"`
	VirtualServiceAnnotations map[string]string `json:"virtualServiceAnnotations"`
}

type failureMode int

const freezeConfig failureMode = 1

// UnmarshalJSON reads the enum FailureMode.
func (e *failureMode) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "ROUTE_REPLACEMENT", "FREEZE_CONFIG")
}

// httpRoute is HTTPRoute. One of its actions is set.
type httpRoute struct {
	Name           string            `json:"name"`
	Labels         map[string]string `json:"labels"`
	Matchers       []matcher         `json:"matchers"`
	ForwardTo      *forwardTo        `json:"forwardTo"`
	Delegate       *delegate         `json:"delegate"`
	Redirect       *redirect         `json:"redirect"`
	DirectResponse *directResponse   `json:"directResponse"`
	GraphQL        present           `json:"graphql"`
}

type matcher struct {
	Name            string         `json:"name"`
	URI             *uriMatcher    `json:"uri"`
	Headers         []valueMatcher `json:"headers"`
	QueryParameters []valueMatcher `json:"queryParameters"`
	Method          string         `json:"method"`
	Port            int            `json:"port"`
}

type uriMatcher struct {
	Exact      *string `json:"exact"`
	Prefix     *string `json:"prefix"`
	Regex      *string `json:"regex"`
	Suffix     *string `json:"suffix"`
	IgnoreCase bool    `json:"ignoreCase"`
}

// valueMatcher compares a header or a query parameter; without a value, it
// must only be there. InvertMatch is for headers.
type valueMatcher struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	Regex       bool   `json:"regex"`
	InvertMatch bool   `json:"invertMatch"`
}

type forwardTo struct {
	Destinations    []destination `json:"destinations"`
	PathRewrite     *string       `json:"pathRewrite"`
	RegexRewrite    *regexRewrite `json:"regexRewrite"`
	HostRewrite     *string       `json:"hostRewrite"`
	AutoHostRewrite *bool         `json:"autoHostRewrite"`
}

type regexRewrite struct {
	Pattern struct {
		GoogleRE2 present `json:"googleRe2"`
		Regex     string  `json:"regex"`
	} `json:"pattern"`
	Substitution string `json:"substitution"`
}

// destination is DestinationReference.
type destination struct {
	Ref       *objectRef        `json:"ref"`
	AWSLambda present           `json:"awsLambda"`
	Kind      destinationKind   `json:"kind"`
	Port      *portRef          `json:"port"`
	Subset    map[string]string `json:"subset"`
	Weight    int               `json:"weight"`
}

type destinationKind int

// The kinds of destination.
const (
	toService destinationKind = iota
	toVirtualDestination
	toExternalService
)

// UnmarshalJSON reads the enum DestinationKind.
func (e *destinationKind) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "SERVICE", "VIRTUAL_DESTINATION", "EXTERNAL_SERVICE")
}

// of returns the kind of object that a destination names.
func (e destinationKind) of() resource.GroupKind {
	return []resource.GroupKind{resource.ServiceKind, virtualDestinationKind, externalServiceKind}[e]
}

type delegate struct {
	RouteTables   []selector `json:"routeTables"`
	AllowedRoutes present    `json:"allowedRoutes"`
	SortMethod    sortMethod `json:"sortMethod"`
}

type sortMethod int

const bySpecificity sortMethod = 1

// UnmarshalJSON reads the enum SortMethod.
func (e *sortMethod) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "TABLE_WEIGHT", "ROUTE_SPECIFICITY")
}

type redirect struct {
	HostRedirect string       `json:"hostRedirect"`
	PathRedirect *string      `json:"pathRedirect"`
	ResponseCode redirectCode `json:"responseCode"`
}

type redirectCode int

// UnmarshalJSON reads the enum RedirectResponseCode.
func (e *redirectCode) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "MOVED_PERMANENTLY", "FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT")
}

type directResponse struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}
