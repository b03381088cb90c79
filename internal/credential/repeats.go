package credential

import (
	"net/http"
	"strings"
)

// A shorter value than this is looked for as a whole only: as a part of
// another it would be found everywhere.
const shortest = 8

// Repeats returns the names of the headers of an answer that repeat what was
// sent under names, whole or in part: they are to be removed before the answer
// goes to a caller. sent is the outbound head after Inject, and names come
// from Injector.Headers, so that no secret has to be kept for it. A name whose
// value is no secret (X-Amz-Date) is passed over.
func Repeats(names []string, sent, answer http.Header) []string {
	var out []string
	for name, values := range answer {
		if repeats(names, sent, values) {
			out = append(out, name)
		}
	}
	return out
}

func repeats(names []string, sent http.Header, values []string) bool {
	for _, name := range names {
		if name == "X-Amz-Date" {
			continue
		}
		for _, credential := range sent[name] {
			for _, v := range values {
				if holds(v, credential) {
					return true
				}
			}
		}
	}
	return false
}

// holds reports whether v has credential in it, with or without its scheme.
func holds(v, credential string) bool {
	if _, bare, ok := strings.Cut(credential, " "); ok && holds(v, strings.TrimLeft(bare, " ")) {
		return true
	}
	if len(credential) < shortest {
		return credential != "" && v == credential
	}
	return strings.Contains(v, credential)
}
