package llm

import (
	"errors"
	"strings"
)

// What a configured path may hold in place of text.
const (
	// modelPlace is the model that the request is for.
	modelPlace = "{model}"
	// apiPlace is what follows the version segment of the request's path:
	// "embeddings" of /v1/embeddings; of a path without a known API, chat.
	apiPlace = "{api}"
)

// ErrModel means that the path is made of a model which the request does not
// name, or whose name no path can hold.
var ErrModel = errors.New("the request names no model, or one that cannot stand in a path")

// fill returns a configured path with the request's model and API put in.
func (a *Adapter) fill(path, requested, model string) (string, error) {
	if strings.Contains(path, modelPlace) {
		if !isModelName(model) {
			return "", ErrModel
		}
		path = strings.ReplaceAll(path, modelPlace, model)
	}
	if strings.Contains(path, apiPlace) {
		path = strings.ReplaceAll(path, apiPlace, apiOf(requested, a.schema.api))
	}
	return path, nil
}

// isModelName reports whether a model's name can stand in a path as it is,
// without ending its segment or climbing out of it.
func isModelName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._:@", c) >= 0) {
			return false
		}
	}
	return strings.Trim(s, ".") != ""
}

// apiOf returns the known API that a path names behind its last version
// segment, or otherwise.
func apiOf(path, otherwise string) string {
	for end := len(path); ; {
		i := strings.LastIndexByte(path[:end], '/')
		if i < 0 {
			return otherwise
		}
		version, rest, ok := strings.Cut(path[i+1:], "/")
		if ok && isVersion(version) {
			if api, _, _ := strings.Cut(rest, "/"); platform[api] || chatAPIs[api] {
				return rest
			}
		}
		end = i
	}
}

// chatAPIs are the APIs whose bodies are chats, in any schema.
var chatAPIs = map[string]bool{"chat": true, "completions": true, "messages": true, "rerank": true}
