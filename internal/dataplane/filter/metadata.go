package filter

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
)

// jwtMetadata is where Envoy's jwt_authn filter puts what a token says.
const jwtMetadata = "envoy.filters.http.jwt_authn"

// metadata is DYNAMIC_METADATA(namespace:key:claim…). Of the namespaces, there
// is the one of tokens. Its key is a provider's name, or "principal" for
// whoever was proven first. Texts are written as they are, everything else as
// JSON, as Envoy does.
func metadata(args string) (operator, error) {
	path := strings.Split(args, ":")
	if path[0] != jwtMetadata {
		return nil, fmt.Errorf("metadata %q is not known; there is %s", path[0], jwtMetadata)
	}
	if len(path) < 3 {
		return nil, fmt.Errorf("name a claim: %s:principal:sub", jwtMetadata)
	}
	provider, claims := path[1], path[2:]
	return func(b []byte, in *input) []byte {
		for i := range in.e.Identities {
			id := &in.e.Identities[i]
			if !id.Proven() || provider != "principal" && provider != id.Provider {
				continue
			}
			if v := claim(id, claims); v != nil {
				return appendClaim(b, v)
			}
		}
		return b
	}, nil
}

func claim(id *authn.Identity, path []string) any {
	var v any = id.Claims
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

func appendClaim(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		return append(b, v...)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return b
	}
	return append(b, text...)
}
