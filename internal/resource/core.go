package resource

// The core kinds' specs. Only the fields that a gateway reads are there; the
// decoder passes over the others of these kinds without a problem, since they
// concern other programs.

// Secret is the shape of a v1 Secret; its bytes are in the secret.Store under
// secret.Ref{Kind: "Secret", Namespace, Name, Key}.
type Secret struct {
	Type string
	// Keys of data and stringData, sorted.
	Keys []string
}

// HasKey reports whether the Secret has the data key.
func (s *Secret) HasKey(key string) bool {
	for _, k := range s.Keys {
		if k == key {
			return true
		}
	}
	return false
}

// ConfigMap is a v1 ConfigMap.
type ConfigMap struct {
	Data map[string]string `json:"data"`
}

// Namespace is a v1 Namespace: its labels are what matters.
type Namespace struct{}

// Service is a v1 Service.
type Service struct {
	Spec ServiceSpec `json:"spec"`
}

// ServiceSpec is the part of a Service that says where its traffic goes.
type ServiceSpec struct {
	Type         string            `json:"type"`
	ClusterIP    string            `json:"clusterIP"`
	ExternalName string            `json:"externalName"`
	Selector     map[string]string `json:"selector"`
	Ports        []ServicePort     `json:"ports"`
}

// ServicePort is one port of a Service.
type ServicePort struct {
	Name string `json:"name"`
	Port int    `json:"port"`
	// TargetPort is a number or a name.
	TargetPort  IntOrString `json:"targetPort"`
	Protocol    string      `json:"protocol"`
	AppProtocol string      `json:"appProtocol"`
}

// EndpointSlice is a discovery.k8s.io/v1 EndpointSlice. Its Service is named by
// the label kubernetes.io/service-name.
type EndpointSlice struct {
	AddressType string         `json:"addressType"`
	Endpoints   []Endpoint     `json:"endpoints"`
	Ports       []EndpointPort `json:"ports"`
}

// Endpoint is one entry of an EndpointSlice.
type Endpoint struct {
	Addresses  []string `json:"addresses"`
	Conditions struct {
		Ready       *bool `json:"ready"`
		Serving     *bool `json:"serving"`
		Terminating *bool `json:"terminating"`
	} `json:"conditions"`
}

// EndpointPort is one port of an EndpointSlice.
type EndpointPort struct {
	Name        string `json:"name"`
	Port        int    `json:"port"`
	Protocol    string `json:"protocol"`
	AppProtocol string `json:"appProtocol"`
}

// ServiceNameLabel is the label that binds an EndpointSlice to its Service.
const ServiceNameLabel = "kubernetes.io/service-name"

// Group kinds of the core kinds.
var (
	SecretKind        = GroupKind{Kind: "Secret"}
	ConfigMapKind     = GroupKind{Kind: "ConfigMap"}
	NamespaceKind     = GroupKind{Kind: "Namespace"}
	ServiceKind       = GroupKind{Kind: "Service"}
	EndpointSliceKind = GroupKind{Group: "discovery.k8s.io", Kind: "EndpointSlice"}
)

// CoreKinds returns the descriptions of the core kinds.
func CoreKinds() []Kind {
	return []Kind{
		{GroupKind: SecretKind, Versions: []string{"v1"}, Plural: "secrets", New: func() any { return new(Secret) }},
		{GroupKind: ConfigMapKind, Versions: []string{"v1"}, Plural: "configmaps", New: func() any { return new(ConfigMap) }, Open: []string{""}},
		{GroupKind: NamespaceKind, Versions: []string{"v1"}, Plural: "namespaces", Cluster: true, New: func() any { return new(Namespace) }, Open: []string{""}},
		{GroupKind: ServiceKind, Versions: []string{"v1"}, Plural: "services", New: func() any { return new(Service) }, Open: []string{""}},
		{GroupKind: EndpointSliceKind, Versions: []string{"v1"}, Plural: "endpointslices", New: func() any { return new(EndpointSlice) }, Open: []string{""}},
	}
}
