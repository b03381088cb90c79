package gloo

import (
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/secret"
)

// aiOptions is what a route asks of the LLM requests that pass it.
type aiOptions struct {
	Defaults         []aiDefault       `json:"defaults"`
	PromptEnrichment *promptEnrichment `json:"promptEnrichment"`
	PromptGuard      *promptGuard      `json:"promptGuard"`
	RAG              *rag              `json:"rag"`
	RouteType        aiRouteType       `json:"routeType"`
	SemanticCache    *semanticCache    `json:"semanticCache"`
}

type aiDefault struct {
	Field    string `json:"field"`
	Override bool   `json:"override"`
	Value    raw    `json:"value"`
}

type promptEnrichment struct {
	Append  []message `json:"append"`
	Prepend []message `json:"prepend"`
}

type message struct {
	Content string `json:"content"`
	Role    string `json:"role"`
}

type aiRouteType int

// The route types.
const (
	chat aiRouteType = iota
	chatStreaming
)

// UnmarshalJSON reads the enum RouteType.
func (e *aiRouteType) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "CHAT", "CHAT_STREAMING")
}

type promptGuard struct {
	Request *struct {
		CustomResponse raw         `json:"customResponse"`
		Moderation     *moderation `json:"moderation"`
		Regex          raw         `json:"regex"`
		Webhook        raw         `json:"webhook"`
	} `json:"request"`
	Response *struct {
		Regex   raw `json:"regex"`
		Webhook raw `json:"webhook"`
	} `json:"response"`
}

type moderation struct {
	OpenAI *struct {
		AuthToken *authToken `json:"authToken"`
		Model     string     `json:"model"`
	} `json:"openai"`
}

type rag struct {
	Datastore *struct {
		Postgres *struct {
			CollectionName   string     `json:"collectionName"`
			ConnectionString secret.Ref `json:"connectionString"`
		} `json:"postgres"`
	} `json:"datastore"`
	Embedding      *embedding `json:"embedding"`
	PromptTemplate string     `json:"promptTemplate"`
}

type embedding struct {
	AzureOpenAI *struct {
		APIVersion     string     `json:"apiVersion"`
		AuthToken      *authToken `json:"authToken"`
		DeploymentName string     `json:"deploymentName"`
		Endpoint       string     `json:"endpoint"`
	} `json:"azureOpenai"`
	OpenAI *struct {
		AuthToken *authToken `json:"authToken"`
	} `json:"openai"`
}

type semanticCache struct {
	Datastore *struct {
		Redis *struct {
			ConnectionString secret.Ref `json:"connectionString"`
			ScoreThreshold   float64    `json:"scoreThreshold"`
		} `json:"redis"`
		Weaviate raw `json:"weaviate"`
	} `json:"datastore"`
	DistanceThreshold float64    `json:"distanceThreshold"`
	Embedding         *embedding `json:"embedding"`
	Mode              raw        `json:"mode"`
	TTL               int        `json:"ttl"`
}

// authToken says where a provider's key comes from; at most one is set.
type authToken struct {
	Inline      secret.Ref `json:"inline"`
	Passthrough raw        `json:"passthrough"`
	SecretRef   *ref       `json:"secretRef"`
}

// ai is an Upstream's LLM provider; exactly one is set.
type ai struct {
	aiProvider
	Multi *aiMulti `json:"multi"`
}

type aiMulti struct {
	Priorities []struct {
		Pool []aiProvider `json:"pool"`
	} `json:"priorities"`
}

type aiProvider struct {
	Anthropic   *anthropic   `json:"anthropic"`
	AzureOpenAI *azureOpenAI `json:"azureOpenai"`
	Bedrock     *bedrock     `json:"bedrock"`
	Gemini      *gemini      `json:"gemini"`
	Mistral     *openAI      `json:"mistral"`
	OpenAI      *openAI      `json:"openai"`
	VertexAI    *vertexAI    `json:"vertexAi"`
}

// customHost sends a provider's requests elsewhere.
type customHost struct {
	Host         string  `json:"host"`
	Hostname     *string `json:"hostname"`
	PathOverride *struct {
		BasePath string `json:"basePath"`
		FullPath string `json:"fullPath"`
	} `json:"pathOverride"`
	Port int `json:"port"`
}

type openAI struct {
	AuthToken  *authToken  `json:"authToken"`
	CustomHost *customHost `json:"customHost"`
	Model      string      `json:"model"`
}

type anthropic struct {
	openAI
	Version string `json:"version"`
}

type azureOpenAI struct {
	APIVersion     string      `json:"apiVersion"`
	AuthToken      *authToken  `json:"authToken"`
	CustomHost     *customHost `json:"customHost"`
	DeploymentName string      `json:"deploymentName"`
	Endpoint       string      `json:"endpoint"`
}

type gemini struct {
	openAI
	APIVersion string `json:"apiVersion"`
}

type vertexAI struct {
	openAI
	APIVersion string          `json:"apiVersion"`
	JSONSchema jsonSchema      `json:"jsonSchema"`
	Location   string          `json:"location"`
	ModelPath  string          `json:"modelPath"`
	ProjectID  string          `json:"projectId"`
	Publisher  vertexPublisher `json:"publisher"`
}

type jsonSchema int

// The schemas of a model at Vertex AI.
const (
	schemaNotSet jsonSchema = iota
	schemaAnthropic
	schemaGemini
	schemaOpenAI
)

// UnmarshalJSON reads the enum JsonSchema.
func (e *jsonSchema) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "NOT_SET", "ANTHROPIC", "GEMINI", "OPENAI")
}

type vertexPublisher int

// UnmarshalJSON reads the enum Publisher.
func (e *vertexPublisher) UnmarshalJSON(b []byte) error { return reading.Enum(e, b, "GOOGLE") }

type bedrock struct {
	CredentialProvider *struct {
		Inline *struct {
			AccessKeyID     secret.Ref `json:"accessKeyId"`
			SecretAccessKey secret.Ref `json:"secretAccessKey"`
			SessionToken    secret.Ref `json:"sessionToken"`
		} `json:"inline"`
		SecretRef *ref `json:"secretRef"`
	} `json:"credentialProvider"`
	CustomHost *customHost `json:"customHost"`
	Model      string      `json:"model"`
	Region     string      `json:"region"`
}
