package simulate

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// huggingFaceName is the form of an owner's or a model's name.
const huggingFaceName = `^[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}$`

// HuggingFace simulates https://api-inference.huggingface.co: text generation
// at /models/{owner}/{model}, whatever follows in the path.
// See https://huggingface.co/docs/inference-providers.
type HuggingFace struct {
	keys
	hosts  []string
	models []string
	name   *regexp.Regexp
}

// NewHuggingFace makes a HuggingFace. Without models, "owner/model" each, it
// has any model that has a proper name.
func NewHuggingFace(cfg ProviderConfig) *HuggingFace {
	models := cfg.Models
	if len(models) == 0 {
		models = []string{"*"}
	}
	return &HuggingFace{keys: newKeys(cfg.Keys), hosts: cfg.Hosts, models: models, name: regexp.MustCompile(huggingFaceName)}
}

// Name is "huggingface".
func (f *HuggingFace) Name() string { return "huggingface" }

// Hosts are the configured host names.
func (f *HuggingFace) Hosts() []string { return f.hosts }

// Answer replies as Hugging Face would.
func (f *HuggingFace) Answer(r *Request) Answer {
	if refusal, ok := f.authenticate(r); !ok {
		return refusal
	}
	model, ok := f.model(r.URL.EscapedPath())
	if !ok {
		return huggingFaceError(http.StatusNotFound, "Model does not exist")
	}
	switch r.Method {
	case http.MethodPost:
		return f.generate(r)
	case http.MethodGet, http.MethodHead:
		return jsonAnswer(http.StatusOK, struct {
			ID   string `json:"id"`
			Task string `json:"pipeline_tag"`
		}{model, "text-generation"})
	}
	a := huggingFaceError(http.StatusMethodNotAllowed, "Method not allowed")
	a.Header.Set("Allow", "GET, HEAD, POST")
	return a
}

func (f *HuggingFace) authenticate(r *Request) (Answer, bool) {
	switch f.check(r.Header) {
	case keyRight:
		return Answer{}, true
	case keyDoubled:
		return huggingFaceError(http.StatusBadRequest, "Expected one Authorization header"), false
	case keyMissing:
		return huggingFaceError(http.StatusUnauthorized, "Invalid username or password."), false
	}
	return huggingFaceError(http.StatusUnauthorized, "Authorization header is correct, but the token seems invalid"), false
}

// model takes "owner/model" out of an escaped path and reports whether it is
// on offer.
func (f *HuggingFace) model(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/models/")
	if !ok {
		return "", false
	}
	segments := strings.SplitN(rest, "/", 3)
	if len(segments) < 2 {
		return "", false
	}
	for i, segment := range segments[:2] {
		name, err := url.PathUnescape(segment)
		if err != nil || !f.name.MatchString(name) {
			return "", false
		}
		segments[i] = name
	}
	model := segments[0] + "/" + segments[1]
	return model, slices.Contains(f.models, model) || slices.Contains(f.models, "*")
}

// generate answers with the inputs and their continuation, as text-generation
// models do unless told otherwise.
func (f *HuggingFace) generate(r *Request) Answer {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return huggingFaceError(http.StatusUnsupportedMediaType, "Content type not supported. Supported content types are: application/json")
	}
	inputs, problem := parseInputs(r.Payload)
	if problem != "" {
		return huggingFaceError(http.StatusBadRequest, problem)
	}
	type generated struct {
		Text string `json:"generated_text"`
	}
	pieces := reply(seedOf(f.Name(), r), inputs, r.Behavior)
	if r.Behavior.Size == 0 {
		pieces[0] = inputs
	}
	return jsonAnswer(http.StatusOK, []generated{{strings.Join(pieces, "")}})
}

// parseInputs reads the text to continue out of a body, or says what is wrong
// with it without quoting it.
func parseInputs(body []byte) (inputs, problem string) {
	var m members
	if json.Unmarshal(body, &m) != nil || m == nil {
		return "", "Error: the body is not a JSON object"
	}
	if !m.has("inputs") {
		return "", "Error in `inputs`: field required"
	}
	if !m.into("inputs", &inputs) {
		return "", "Error in `inputs`: string expected"
	}
	return inputs, ""
}

// Failure is Hugging Face's error of that status.
func (f *HuggingFace) Failure(status int) Answer {
	return huggingFaceError(status, http.StatusText(status))
}

func huggingFaceError(status int, message string) Answer {
	return jsonAnswer(status, struct {
		Error string `json:"error"`
	}{message})
}
