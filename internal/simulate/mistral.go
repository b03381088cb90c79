package simulate

import "net/http"

// Mistral simulates https://api.mistral.ai, whose chat completions are like
// OpenAI's; its errors are its own. See https://docs.mistral.ai/api.
type Mistral struct{ *OpenAI }

// NewMistral makes a Mistral. Without models it offers a handful of its own.
func NewMistral(cfg ProviderConfig) *Mistral {
	if len(cfg.Models) == 0 {
		cfg.Models = []string{"mistral-small-latest", "mistral-medium-latest", "mistral-large-latest", "open-mistral-nemo", "codestral-latest"}
	}
	return &Mistral{NewOpenAI(cfg)}
}

// Name is "mistral".
func (m *Mistral) Name() string { return "mistral" }

// Answer replies as Mistral would.
func (m *Mistral) Answer(r *Request) Answer {
	method, serve := m.endpoint(r.URL.EscapedPath())
	switch {
	case serve == nil:
		return mistralError(http.StatusNotFound, "no Route matched with those values")
	case r.Method != method:
		return mistralError(http.StatusMethodNotAllowed, "Method Not Allowed")
	case m.check(r.Header) != keyRight:
		return mistralError(http.StatusUnauthorized, "Unauthorized")
	}
	a := serve(r)
	if a.Status >= http.StatusBadRequest {
		return m.refused(r, a.Status)
	}
	return a
}

// refused says what is wrong with a body, as Mistral does.
func (m *Mistral) refused(r *Request, status int) Answer {
	fault := func(status int, kind, message string, code any) Answer {
		return jsonAnswer(status, struct {
			Object  string  `json:"object"`
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    any     `json:"code"`
		}{"error", message, kind, nil, code})
	}
	if status != http.StatusNotFound {
		_, problem := parseChat(r.Payload)
		text := "Unprocessable entity"
		if problem != nil {
			text = problem.message
		}
		return fault(http.StatusUnprocessableEntity, "invalid_request_error", text, nil)
	}
	model := ""
	if q, problem := parseChat(r.Payload); problem == nil {
		model = q.model
	}
	return fault(http.StatusBadRequest, "invalid_model", "Invalid model: "+quote(model), "1500")
}

// Failure is Mistral's error of that status.
func (m *Mistral) Failure(status int) Answer {
	if status == http.StatusTooManyRequests {
		return mistralError(status, "Requests rate limit exceeded")
	}
	return mistralError(status, http.StatusText(status))
}

func mistralError(status int, message string) Answer {
	return jsonAnswer(status, struct {
		Message string `json:"message"`
	}{message})
}
