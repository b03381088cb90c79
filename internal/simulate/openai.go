package simulate

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	openAIChatPath   = "/v1/chat/completions"
	openAIModelsPath = "/v1/models"
)

// OpenAI simulates https://api.openai.com: chat completions, streamed or not,
// and the list of models.
// See https://platform.openai.com/docs/api-reference.
type OpenAI struct {
	keys
	hosts  []string
	models []string
	now    func() time.Time
}

// NewOpenAI makes an OpenAI. Without models it offers a handful of OpenAI's.
func NewOpenAI(cfg ProviderConfig) *OpenAI {
	models := cfg.Models
	if len(models) == 0 {
		models = []string{"gpt-3.5-turbo", "gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-5", "gpt-5-mini"}
	}
	return &OpenAI{keys: newKeys(cfg.Keys), hosts: cfg.Hosts, models: models, now: cfg.clock()}
}

// Name is "openai".
func (o *OpenAI) Name() string { return "openai" }

// Hosts are the configured host names.
func (o *OpenAI) Hosts() []string { return o.hosts }

// Answer replies as OpenAI would. The path is looked at before the key, as an
// unknown path is no secret; the body only after it.
func (o *OpenAI) Answer(r *Request) Answer {
	path := r.URL.EscapedPath()
	method, serve := o.endpoint(path)
	if serve == nil {
		return openAIError(http.StatusNotFound, "Invalid URL.", nil, nil)
	}
	if r.Method != method {
		a := openAIError(http.StatusMethodNotAllowed, "This method is not allowed on this URL.", nil, "method_not_supported")
		a.Header.Set("Allow", method)
		return a
	}
	if refusal, ok := o.authenticate(r); !ok {
		return refusal
	}
	a := serve(r)
	a.Header.Set("X-Request-Id", "req_"+seedOf(o.Name(), r).id(32))
	return a
}

// endpoint finds what serves the path, and by which method.
func (o *OpenAI) endpoint(path string) (string, func(*Request) Answer) {
	switch {
	case path == openAIChatPath:
		return http.MethodPost, o.chat
	case path == openAIModelsPath:
		return http.MethodGet, o.listModels
	case strings.HasPrefix(path, openAIModelsPath+"/"):
		return http.MethodGet, o.getModel
	}
	return "", nil
}

// authenticate judges the key. No answer repeats any part of it: the real
// service shows its last characters.
func (o *OpenAI) authenticate(r *Request) (Answer, bool) {
	switch o.check(r.Header) {
	case keyRight:
		return Answer{}, true
	case keyDoubled:
		return openAIError(http.StatusBadRequest, "Expected one Authorization header.", nil, nil), false
	case keyMissing:
		return openAIError(http.StatusUnauthorized,
			"You did not provide an API key. Send it in the Authorization header, as a bearer token.", nil, nil), false
	}
	return openAIError(http.StatusUnauthorized, "Incorrect API key provided.", nil, "invalid_api_key"), false
}

type openAIModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func (o *OpenAI) model(id string) openAIModel {
	return openAIModel{ID: id, Object: "model", Created: o.now().Unix(), OwnedBy: "simulate"}
}

func (o *OpenAI) listModels(*Request) Answer {
	list := struct {
		Object string        `json:"object"`
		Data   []openAIModel `json:"data"`
	}{Object: "list", Data: []openAIModel{}}
	for _, id := range o.models {
		if id != "*" {
			list.Data = append(list.Data, o.model(id))
		}
	}
	return jsonAnswer(http.StatusOK, list)
}

func (o *OpenAI) getModel(r *Request) Answer {
	id, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), openAIModelsPath+"/"))
	if err != nil || !o.offers(id) {
		return unknownOpenAIModel(id)
	}
	return jsonAnswer(http.StatusOK, o.model(id))
}

// offers reports whether the model can be asked for.
func (o *OpenAI) offers(model string) bool {
	return model != "" && (slices.Contains(o.models, model) || slices.Contains(o.models, "*"))
}

// Failure is OpenAI's error of that status.
func (o *OpenAI) Failure(status int) Answer {
	switch status {
	case http.StatusUnauthorized:
		return openAIError(status, "Incorrect API key provided.", nil, "invalid_api_key")
	case http.StatusTooManyRequests:
		return openAIError(status, "Rate limit reached. Please try again later.", nil, "rate_limit_exceeded")
	}
	return openAIError(status, http.StatusText(status), nil, nil)
}

func unknownOpenAIModel(id string) Answer {
	return openAIError(http.StatusNotFound,
		"The model `"+quote(id)+"` does not exist or you do not have access to it.", nil, "model_not_found")
}

// openAIError is an error in OpenAI's shape; param and code are strings or nil.
func openAIError(status int, message string, param, code any) Answer {
	kind := "invalid_request_error"
	switch {
	case status == http.StatusTooManyRequests:
		kind = "requests"
	case status >= 500:
		kind = "server_error"
	}
	var body struct {
		Error struct {
			Message string `json:"message"`
			Type    string `json:"type"`
			Param   any    `json:"param"`
			Code    any    `json:"code"`
		} `json:"error"`
	}
	body.Error.Message, body.Error.Type, body.Error.Param, body.Error.Code = message, kind, param, code
	return jsonAnswer(status, body)
}
