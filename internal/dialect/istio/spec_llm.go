package istio

import "github.com/postern-gateway/postern/internal/secret"

// llmProvider is istio.alibabacloud.com LLMProvider.
type llmProvider struct {
	Spec llmProviderSpec `json:"spec"`
}

type llmProviderSpec struct {
	WorkloadSelector *struct {
		Labels map[string]string `json:"labels"`
	} `json:"workloadSelector"`
	Host    string `json:"host"`
	Path    string `json:"path"`
	Configs struct {
		DefaultConfig        *providerConfig           `json:"defaultConfig"`
		RouteSpecificConfigs map[string]providerConfig `json:"routeSpecificConfigs"`
	} `json:"configs"`
}

type providerConfig struct {
	OpenAIConfig *openAIConfig `json:"openAIConfig"`
}

type openAIConfig struct {
	Model  *string    `json:"model"`
	Stream *bool      `json:"stream"`
	APIKey secret.Ref `json:"apiKey"`
	// APIKeySecretRef names a Secret's key instead, which ASM's API has no
	// field for.
	APIKeySecretRef *secretKeyRef `json:"apiKeySecretRef"`
}

type secretKeyRef struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// llmRoute is istio.alibabacloud.com LLMRoute.
type llmRoute struct {
	Spec llmRouteSpec `json:"spec"`
}

type llmRouteSpec struct {
	Host     string    `json:"host"`
	Gateways []string  `json:"gateways"`
	Rules    []llmRule `json:"rules"`
}

type llmRule struct {
	Name        string       `json:"name"`
	Matches     []llmMatch   `json:"matches"`
	BackendRefs []llmBackend `json:"backendRefs"`
}

type llmMatch struct {
	Headers      map[string]stringMatch `json:"headers"`
	SourceLabels map[string]string      `json:"sourceLabels"`
	Gateways     []string               `json:"gateways"`
}

type llmBackend struct {
	ProviderHost string         `json:"providerHost"`
	Weight       *int           `json:"weight"`
	HostRewrite  string         `json:"hostRewrite"`
	BackendRef   *backendObject `json:"backendRef"`
}

type backendObject struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Port      int    `json:"port"`
}
