package simulate

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/secret"
)

const azureBase = "/openai/"

// AzureOpenAI simulates a resource of Azure OpenAI: chat completions of its
// deployments, which are called as its models, and the API of version 1 that
// is OpenAI's own. Callers show the resource's key, or an access token of the
// simulated Entra, which is verified for real. See
// https://learn.microsoft.com/azure/ai-services/openai/reference.
type AzureOpenAI struct {
	*OpenAI
	cloud   *Cloud
	version *regexp.Regexp
}

// NewAzureOpenAI makes an AzureOpenAI. Without models it has a deployment for
// each of a handful of OpenAI's.
func NewAzureOpenAI(cfg ProviderConfig) *AzureOpenAI {
	return &AzureOpenAI{OpenAI: NewOpenAI(cfg), cloud: cfg.cloud(), version: regexp.MustCompile(`^20[0-9]{2}-[0-9]{2}-[0-9]{2}(-preview)?$`)}
}

// Name is "azure-openai".
func (z *AzureOpenAI) Name() string { return "azure-openai" }

// Answer replies as Azure OpenAI would.
func (z *AzureOpenAI) Answer(r *Request) Answer {
	a := z.answer(r)
	a.Header.Set("Apim-Request-Id", seedOf(z.Name(), r).id(32))
	return a
}

func (z *AzureOpenAI) answer(r *Request) Answer {
	if !z.knows(r.Header) {
		return azureError(http.StatusUnauthorized, "401",
			"Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.")
	}
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, azureBase+"v1/"); ok {
		return z.inner(r, "/v1/"+rest, r.Payload)
	}
	rest, ok := strings.CutPrefix(path, azureBase+"deployments/")
	name, operation, two := strings.Cut(rest, "/")
	deployment, err := url.PathUnescape(name)
	version := r.URL.Query()["api-version"]
	switch {
	case !ok || !two || err != nil || operation != "chat/completions" || len(version) == 0:
		return azureError(http.StatusNotFound, "404", "Resource not found")
	case len(version) > 1 || !z.version.MatchString(version[0]):
		return azureError(http.StatusNotFound, "404", "API version not supported")
	case r.Method != http.MethodPost:
		return azureError(http.StatusMethodNotAllowed, "405", "Method Not Allowed")
	case !z.offers(deployment):
		return azureError(http.StatusNotFound, "DeploymentNotFound", "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.")
	}
	return z.chatOf(r, deployment)
}

// knows judges what the caller shows: one thing, in one header.
func (z *AzureOpenAI) knows(h http.Header) bool {
	key, token := h.Values("Api-Key"), h.Values("Authorization")
	switch {
	case len(key) == 1 && len(token) == 0:
		return z.check(http.Header{"Authorization": {"Bearer " + key[0]}}) == keyRight
	case len(key) == 0:
		value, ok := bearer(token)
		return ok && z.cloud.entraAllows(value, azureResource)
	}
	return false
}

// chatOf answers for a deployment, whatever model the body may name.
func (z *AzureOpenAI) chatOf(r *Request, deployment string) Answer {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return azureError(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "Unsupported media type: expected application/json")
	}
	var m members
	if json.Unmarshal(r.Payload, &m) != nil || m == nil {
		return openAIError(http.StatusBadRequest, "We could not parse the JSON body of your request.", nil, nil)
	}
	m["model"] = encode(deployment)
	return z.chat(&Request{Request: r.Request, Payload: encode(m), Behavior: r.Behavior})
}

// inner lets OpenAI answer for a path, to whom the key was shown already.
func (z *AzureOpenAI) inner(r *Request, path string, body []byte) Answer {
	method, serve := z.endpoint(path)
	switch {
	case serve == nil:
		return azureError(http.StatusNotFound, "404", "Resource not found")
	case r.Method != method:
		return azureError(http.StatusMethodNotAllowed, "405", "Method Not Allowed")
	}
	head := *r.Request
	head.URL = &url.URL{Path: path, RawQuery: r.URL.RawQuery}
	return serve(&Request{Request: &head, Payload: body, Behavior: r.Behavior})
}

// secrets are the keys, and what the cloud must not have shown.
func (z *AzureOpenAI) secrets() []secret.Value {
	return slices.Concat(z.keys.secrets(), z.cloud.secrets())
}

// Failure is Azure's error of that status.
func (z *AzureOpenAI) Failure(status int) Answer {
	switch status {
	case http.StatusTooManyRequests:
		return azureError(status, "429", "Requests to the ChatCompletions_Create Operation have exceeded the token rate limit of your current pricing tier.")
	case http.StatusUnauthorized:
		return azureError(status, "401", "Access denied due to invalid subscription key or wrong API endpoint.")
	}
	return azureError(status, "InternalServerError", http.StatusText(status))
}

func azureError(status int, code, message string) Answer {
	type fault struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	return jsonAnswer(status, struct {
		Error fault `json:"error"`
	}{fault{code, message}})
}
