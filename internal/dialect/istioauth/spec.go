package istioauth

import "github.com/postern-gateway/postern/internal/resource"

// AuthorizationPolicy is security.istio.io/v1 AuthorizationPolicy. A list that
// is not nil was written, even if it is empty.
type AuthorizationPolicy struct {
	Spec AuthorizationPolicySpec `json:"spec"`
}

// AuthorizationPolicySpec says which requests to which workloads the action is
// for.
type AuthorizationPolicySpec struct {
	Scope
	// Action is ALLOW, DENY, AUDIT or CUSTOM; empty: ALLOW.
	Action   string    `json:"action"`
	Provider *Provider `json:"provider"`
	Rules    []Rule    `json:"rules"`
}

// Provider names an extension provider of the mesh.
type Provider struct {
	Name string `json:"name"`
}

// Scope says which workloads of its namespace an object is for.
type Scope struct {
	Selector *struct {
		MatchLabels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	TargetRef  *TargetRef  `json:"targetRef"`
	TargetRefs []TargetRef `json:"targetRefs"`
}

// TargetRef names what an object is for.
type TargetRef struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// Rule matches requests of any of From, for any of To, on all of When.
type Rule struct {
	From []From      `json:"from"`
	To   []To        `json:"to"`
	When []Condition `json:"when"`
}

// From is one source.
type From struct {
	Source *Source `json:"source"`
}

// To is one operation.
type To struct {
	Operation *Operation `json:"operation"`
}

// Source is who sends a request; every field that is there must fit.
type Source struct {
	Principals           []string `json:"principals"`
	NotPrincipals        []string `json:"notPrincipals"`
	RequestPrincipals    []string `json:"requestPrincipals"`
	NotRequestPrincipals []string `json:"notRequestPrincipals"`
	Namespaces           []string `json:"namespaces"`
	NotNamespaces        []string `json:"notNamespaces"`
	ServiceAccounts      []string `json:"serviceAccounts"`
	NotServiceAccounts   []string `json:"notServiceAccounts"`
	TrustDomains         []string `json:"trustDomains"`
	NotTrustDomains      []string `json:"notTrustDomains"`
	IPBlocks             []string `json:"ipBlocks"`
	NotIPBlocks          []string `json:"notIpBlocks"`
	RemoteIPBlocks       []string `json:"remoteIpBlocks"`
	NotRemoteIPBlocks    []string `json:"notRemoteIpBlocks"`
}

// Operation is what a request asks for; every field that is there must fit.
type Operation struct {
	Hosts      []string `json:"hosts"`
	NotHosts   []string `json:"notHosts"`
	Ports      []string `json:"ports"`
	NotPorts   []string `json:"notPorts"`
	Methods    []string `json:"methods"`
	NotMethods []string `json:"notMethods"`
	Paths      []string `json:"paths"`
	NotPaths   []string `json:"notPaths"`
}

// Condition compares one attribute.
type Condition struct {
	Key       string   `json:"key"`
	Values    []string `json:"values"`
	NotValues []string `json:"notValues"`
}

// RequestAuthentication is security.istio.io/v1 RequestAuthentication.
type RequestAuthentication struct {
	Spec RequestAuthenticationSpec `json:"spec"`
}

// RequestAuthenticationSpec lists the issuers whose tokens are good for which
// workloads.
type RequestAuthenticationSpec struct {
	Scope
	JWTRules []JWTRule `json:"jwtRules"`
}

// JWTRule is one issuer.
type JWTRule struct {
	Issuer                string                `json:"issuer"`
	Audiences             []string              `json:"audiences"`
	JWKSURI               string                `json:"jwksUri"`
	OldJWKSURI            string                `json:"jwks_uri"`
	JWKS                  string                `json:"jwks"`
	FromHeaders           []TokenHeader         `json:"fromHeaders"`
	FromParams            []string              `json:"fromParams"`
	FromCookies           []string              `json:"fromCookies"`
	OutputPayloadToHeader string                `json:"outputPayloadToHeader"`
	OutputClaimToHeaders  []OutputClaimToHeader `json:"outputClaimToHeaders"`
	ForwardOriginalToken  bool                  `json:"forwardOriginalToken"`
	Timeout               resource.Duration     `json:"timeout"`
	// Presence is OPTIONAL or REQUIRED; empty: OPTIONAL.
	Presence             string   `json:"presence"`
	SpaceDelimitedClaims []string `json:"spaceDelimitedClaims"`
}

// TokenHeader is a header that holds a token after a prefix.
type TokenHeader struct {
	Name   string `json:"name"`
	Prefix string `json:"prefix"`
}

// OutputClaimToHeader copies a claim into a header.
type OutputClaimToHeader struct {
	Header string `json:"header"`
	Claim  string `json:"claim"`
}

// The group kinds that this package reads.
var (
	AuthorizationPolicyKind   = resource.GroupKind{Group: "security.istio.io", Kind: "AuthorizationPolicy"}
	RequestAuthenticationKind = resource.GroupKind{Group: "security.istio.io", Kind: "RequestAuthentication"}
)

// Kinds returns the descriptions of the kinds. A fault in what they are for
// breaks their file: nobody could tell what would be left open.
func Kinds() []resource.Kind {
	vital := []string{"selector", "targetRef", "targetRefs"}
	versions := []string{"v1", "v1beta1"}
	return []resource.Kind{
		{GroupKind: AuthorizationPolicyKind, Versions: versions, Plural: "authorizationpolicies", New: func() any { return new(AuthorizationPolicy) }, Vital: vital},
		{GroupKind: RequestAuthenticationKind, Versions: versions, Plural: "requestauthentications", New: func() any { return new(RequestAuthentication) }, Vital: vital},
	}
}
