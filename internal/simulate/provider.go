package simulate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"
)

// Provider is one simulated vendor. Answer must be a pure function of the
// request: the same request always gives the same answer, and it may be called
// by many goroutines at once.
type Provider interface {
	// Name is the short name by which Kinds lists it.
	Name() string
	// Hosts are the host names that it answers to; none means any.
	Hosts() []string
	// Answer says what the vendor would reply.
	Answer(*Request) Answer
}

// Failer is implemented by a Provider whose errors have a shape of their own;
// it is asked for the answer when a Behavior demands a status of 400 or more.
type Failer interface {
	Failure(status int) Answer
}

// Request is what a Provider sees: the request's head, and its body already
// read whole into Payload.
type Request struct {
	*http.Request
	Payload  []byte
	Behavior Behavior
}

// Answer is a reply that has not been sent yet. With Stream set, Body is
// ignored and each element is flushed by itself; Stream must be repeatable. A
// zero Status means 200.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Stream iter.Seq[[]byte]
}

// ProviderConfig is what every provider can be told.
type ProviderConfig struct {
	// Keys are the accepted API keys. Without any, every caller is refused.
	Keys []string
	// Hosts are the host names to answer to; none means any.
	Hosts []string
	// Models are the models on offer, "*" standing for all. Without any, the
	// provider offers its own choice.
	Models []string
	// Now tells the time that answers carry. Nil means a fixed instant.
	Now func() time.Time
	// Cloud is who the identity services and those that they vouch for agree
	// on; nil: each has one of its own.
	Cloud *Cloud
}

// Kind is one sort of provider that can be made.
type Kind struct {
	// Name tells kinds apart: "openai", "huggingface".
	Name string
	// Hosts are the vendor's real host names.
	Hosts []string
	// New makes the provider.
	New func(ProviderConfig) Provider
}

// Kinds lists every provider that this package can simulate. A new provider is
// one file and one row here.
func Kinds() []Kind {
	return []Kind{
		{"openai", []string{"api.openai.com"}, func(c ProviderConfig) Provider { return NewOpenAI(c) }},
		{"huggingface", []string{"api-inference.huggingface.co"}, func(c ProviderConfig) Provider { return NewHuggingFace(c) }},
		{"oidc", []string{"idp.example.com"}, func(c ProviderConfig) Provider { return NewOIDC(c) }},
		{"aws-sts", append(regional("sts"), "sts.amazonaws.com"), func(c ProviderConfig) Provider { return NewSTS(c) }},
		{"bedrock", regional("bedrock-runtime"), func(c ProviderConfig) Provider { return NewBedrock(c) }},
		{"aws-metadata", []string{"169.254.169.254", "169.254.170.2", "169.254.170.23"}, func(c ProviderConfig) Provider { return NewMetadata(c) }},
		{"entra", []string{"login.microsoftonline.com"}, func(c ProviderConfig) Provider { return NewEntra(c) }},
		{"gcp", []string{"oauth2.googleapis.com", "sts.googleapis.com", "iamcredentials.googleapis.com"}, func(c ProviderConfig) Provider { return NewGCP(c) }},
		{"gcp-metadata", []string{"metadata.google.internal"}, func(c ProviderConfig) Provider { return NewGCPMachine(c) }},
		{"azure-openai", []string{"simulated.openai.azure.com"}, func(c ProviderConfig) Provider { return NewAzureOpenAI(c) }},
		{"anthropic", []string{"api.anthropic.com"}, func(c ProviderConfig) Provider { return NewAnthropic(c) }},
		{"mistral", []string{"api.mistral.ai"}, func(c ProviderConfig) Provider { return NewMistral(c) }},
		{"gemini", []string{"generativelanguage.googleapis.com"}, func(c ProviderConfig) Provider { return NewGemini(c) }},
		{"vertex", []string{"us-central1-aiplatform.googleapis.com", "us-east5-aiplatform.googleapis.com", "europe-west1-aiplatform.googleapis.com"},
			func(c ProviderConfig) Provider { return NewVertex(c) }},
		{"dashscope", []string{"dashscope.aliyuncs.com"}, func(c ProviderConfig) Provider { return NewDashScope(c) }},
	}
}

// regional are the hosts of a service of AWS in some of its regions.
func regional(service string) []string {
	var hosts []string
	for _, region := range []string{"us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1"} {
		hosts = append(hosts, service+"."+region+".amazonaws.com")
	}
	return hosts
}

// NewProvider makes the provider of that kind; an unknown name is an error
// that lists the known ones.
func NewProvider(name string, cfg ProviderConfig) (Provider, error) {
	known := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		if k.Name == name {
			return k.New(cfg), nil
		}
		known = append(known, k.Name)
	}
	return nil, fmt.Errorf("provider %q is not simulated: have %s", name, strings.Join(known, ", "))
}

// clock is cfg.Now, or the fixed instant that makes answers repeatable.
func (c ProviderConfig) clock() func() time.Time {
	if c.Now != nil {
		return c.Now
	}
	return func() time.Time { return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC) }
}

// jsonAnswer is an Answer whose body is v.
func jsonAnswer(status int, v any) Answer {
	return Answer{
		Status: status,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   encode(v),
	}
}

// encode is v as compact JSON without HTML escapes, as the vendors write it.
// It is given only plain structs, so an error is a programmer's.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("simulate: encode answer: %v", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
