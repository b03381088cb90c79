package simulate

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	anthropicMessages = "/v1/messages"
	anthropicModels   = "/v1/models"
)

// Anthropic simulates https://api.anthropic.com: messages, streamed or not,
// their count of tokens, and the models. See https://docs.anthropic.com/en/api.
type Anthropic struct {
	keys
	hosts  []string
	models []string
	now    func() time.Time
}

// NewAnthropic makes an Anthropic. Without models it offers a handful of its
// own.
func NewAnthropic(cfg ProviderConfig) *Anthropic {
	models := cfg.Models
	if len(models) == 0 {
		models = []string{"claude-3-5-sonnet-20241022", "claude-3-5-haiku-20241022", "claude-3-7-sonnet-20250219", "claude-sonnet-4-20250514", "claude-opus-4-20250514"}
	}
	return &Anthropic{keys: newKeys(cfg.Keys), hosts: cfg.Hosts, models: models, now: cfg.clock()}
}

// Name is "anthropic".
func (a *Anthropic) Name() string { return "anthropic" }

// Hosts are the configured host names.
func (a *Anthropic) Hosts() []string { return a.hosts }

// Answer replies as Anthropic would.
func (a *Anthropic) Answer(r *Request) Answer {
	out := a.answer(r)
	out.Header.Set("Request-Id", "req_"+seedOf(a.Name(), r).id(24))
	return out
}

func (a *Anthropic) answer(r *Request) Answer {
	path := r.URL.EscapedPath()
	model, one := strings.CutPrefix(path, anthropicModels+"/")
	method := http.MethodPost
	switch {
	case path == anthropicModels || one:
		method = http.MethodGet
	case path != anthropicMessages && path != anthropicMessages+"/count_tokens":
		return anthropicError(http.StatusNotFound, "Not Found")
	}
	switch {
	case r.Method != method:
		return anthropicError(http.StatusMethodNotAllowed, "Method Not Allowed")
	case !a.knows(r.Header):
		return anthropicError(http.StatusUnauthorized, "invalid x-api-key")
	case r.Header.Get("Anthropic-Version") == "":
		return anthropicError(http.StatusBadRequest, "anthropic-version: header is required")
	case path == anthropicModels:
		return a.list()
	case one:
		return a.model(model)
	}
	return a.messages(r, path != anthropicMessages)
}

// knows judges the caller's key, which comes in one header of two.
func (a *Anthropic) knows(h http.Header) bool {
	key, token := h.Values("X-Api-Key"), h.Values("Authorization")
	switch {
	case len(key) == 1 && len(token) == 0:
		return a.check(http.Header{"Authorization": {"Bearer " + key[0]}}) == keyRight
	case len(key) == 0:
		return a.check(h) == keyRight
	}
	return false
}

func (a *Anthropic) messages(r *Request, count bool) Answer {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return anthropicError(http.StatusBadRequest, "Content-Type: expected application/json")
	}
	q, problem := parseMessages(r.Payload, !count)
	switch {
	case problem != "":
		return anthropicError(http.StatusBadRequest, problem)
	case q.model == "":
		return anthropicError(http.StatusBadRequest, "model: Field required")
	case !slices.Contains(a.models, q.model) && !slices.Contains(a.models, "*"):
		return anthropicError(http.StatusNotFound, "model: "+quote(q.model))
	case count:
		return jsonAnswer(http.StatusOK, struct {
			Tokens int `json:"input_tokens"`
		}{q.tokens})
	}
	return q.answer(a.Name(), r)
}

type anthropicModel struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Name    string `json:"display_name"`
	Created string `json:"created_at"`
}

func (a *Anthropic) describe(id string) anthropicModel {
	return anthropicModel{"model", id, id, a.now().UTC().Format(time.RFC3339)}
}

func (a *Anthropic) list() Answer {
	list := struct {
		Data  []anthropicModel `json:"data"`
		First *string          `json:"first_id"`
		Last  *string          `json:"last_id"`
		More  bool             `json:"has_more"`
	}{Data: []anthropicModel{}}
	for _, id := range a.models {
		if id != "*" {
			list.Data = append(list.Data, a.describe(id))
		}
	}
	if n := len(list.Data); n > 0 {
		list.First, list.Last = &list.Data[0].ID, &list.Data[n-1].ID
	}
	return jsonAnswer(http.StatusOK, list)
}

func (a *Anthropic) model(escaped string) Answer {
	id, err := url.PathUnescape(escaped)
	if err != nil || id == "" || !slices.Contains(a.models, id) && !slices.Contains(a.models, "*") {
		return anthropicError(http.StatusNotFound, "model: "+quote(id))
	}
	return jsonAnswer(http.StatusOK, a.describe(id))
}

// Failure is Anthropic's error of that status; it answers 529 when it is
// overloaded.
func (a *Anthropic) Failure(status int) Answer {
	text := http.StatusText(status)
	if status == statusOverloaded {
		text = "Overloaded"
	}
	return anthropicError(status, text)
}

const statusOverloaded = 529

// anthropicKind is the type of error that goes with a status.
func anthropicKind(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case statusOverloaded:
		return "overloaded_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

func anthropicError(status int, message string) Answer {
	type fault struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return jsonAnswer(status, struct {
		Type  string `json:"type"`
		Error fault  `json:"error"`
	}{"error", fault{anthropicKind(status), message}})
}
