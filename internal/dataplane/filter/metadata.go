package filter

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/template"
)

// The namespaces of metadata: where Envoy's jwt_authn filter puts what a token
// says, and its ext_authz filter what an external server says.
const (
	jwtMetadata      = "envoy.filters.http.jwt_authn"
	externalMetadata = "envoy.filters.http.ext_authz"
)

// metadata is DYNAMIC_METADATA(namespace:key…). There are the namespaces of
// transformations, of external servers, and of tokens; in the last, the key is
// a provider's name, or "principal" for whoever was proven first, and a claim
// follows. Texts are written as they are, everything else as JSON, as Envoy
// does.
func metadata(args string) (operator, error) {
	path := strings.Split(args, ":")
	switch {
	case path[0] == dataplane.TransformMetadata:
		return transformMetadata(path[1:])
	case path[0] == externalMetadata && len(path) > 1:
		return external(path[1:]), nil
	case path[0] != jwtMetadata:
		return nil, fmt.Errorf("metadata %q is not known; there are %s, %s and %s", path[0], jwtMetadata, externalMetadata, dataplane.TransformMetadata)
	}
	if len(path) < 3 {
		return nil, fmt.Errorf("name a claim: %s:principal:sub", jwtMetadata)
	}
	provider, claims := path[1], path[2:]
	return func(b []byte, in *input) []byte {
		for i := range in.e.Identities {
			id := &in.e.Identities[i]
			if !id.Proven() || id.Method != authn.MethodJWT || provider != "principal" && provider != id.Provider {
				continue
			}
			if v := claim(id, claims); v != nil {
				return appendClaim(b, v)
			}
		}
		return b
	}, nil
}

// transformMetadata is a value that a transformation left, or a part of it if
// it is JSON. One that a secret is in is not written.
func transformMetadata(path []string) (operator, error) {
	if len(path) == 0 {
		return nil, fmt.Errorf("name a key: %s:key", dataplane.TransformMetadata)
	}
	return func(b []byte, in *input) []byte {
		m, ok := in.e.Metadata(dataplane.TransformMetadata, path[0])
		switch {
		case !ok || len(m.Secret) > 0:
			return b
		case !m.JSON && len(path) == 1:
			return append(b, m.Text...)
		}
		v, err := template.ParseJSON(m.Text)
		if err != nil {
			return b
		}
		v, _ = v.Walk(path[1:])
		return append(b, v.Text()...)
	}, nil
}

// external writes what an external server told of the request.
func external(path []string) operator {
	return func(b []byte, in *input) []byte {
		for i := range in.e.Identities {
			if id := &in.e.Identities[i]; id.Proven() && id.Method == authn.MethodExternal {
				if v := claim(id, path); v != nil {
					return appendClaim(b, v)
				}
			}
		}
		return b
	}
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
