package llm

import "strings"

// platform holds the API paths that go through untouched: all that an
// OpenAI-like provider offers besides chat.
var platform = map[string]bool{
	"audio": true, "embeddings": true, "fine_tuning": true, "batches": true, "files": true, "uploads": true,
	"images": true, "models": true, "moderations": true, "realtime": true, "responses": true, "conversations": true,
}

// platformPath returns path from its last version segment on that is followed
// by a known API: "/openai/v1/files/x" gives "/v1/files/x". It is Gloo's rule
// `.*(/v<digits>[a-z]*)/(audio|embeddings|…)`, by whole segments.
func platformPath(path string) (string, bool) {
	for end := len(path); ; {
		i := strings.LastIndexByte(path[:end], '/')
		if i < 0 {
			return "", false
		}
		version, rest, ok := strings.Cut(path[i+1:], "/")
		if ok && isVersion(version) {
			api, _, _ := strings.Cut(rest, "/")
			if platform[api] {
				return path[i:], true
			}
		}
		end = i
	}
}

// isVersion reports whether s is v, digits, and lower-case letters or none.
func isVersion(s string) bool {
	s, ok := strings.CutPrefix(s, "v")
	rest := strings.TrimLeft(s, "0123456789")
	return ok && len(rest) < len(s) && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz") == ""
}

// target is where a request goes: a path, and its query.
type target struct{ path, query string }

func newTarget(s string) target {
	path, query, _ := strings.Cut(s, "?")
	return target{path, query}
}
