package authn

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// claimHeader is an ir.ClaimToHeader made ready.
type claimHeader struct {
	path   []string
	header string
	append bool
}

func newClaimHeader(c ir.ClaimToHeader) (claimHeader, error) {
	if c.Claim == "" || !validHeaderName(c.Header) {
		return claimHeader{}, fmt.Errorf("claim %q cannot go to header %q", c.Claim, c.Header)
	}
	h := claimHeader{path: []string{c.Claim}, header: http.CanonicalHeaderKey(c.Header), append: c.Append}
	if c.Delimiter != "" {
		h.path = strings.Split(c.Claim, c.Delimiter)
	}
	return h, nil
}

// headersOf renders claims as headers. A claim that is absent, null or empty
// sets nothing. One that cannot be a header value is an error, so that nobody
// slips into a policy by a name with a line end in it.
func headersOf(claims map[string]any, list []claimHeader) ([]HeaderSet, error) {
	var set []HeaderSet
	for _, h := range list {
		value, err := printClaim(LookUp(claims, h.path))
		if err != nil || !validHeaderValue(value) {
			return nil, fmt.Errorf("claim %q cannot be a header value", strings.Join(h.path, "."))
		}
		if value != "" {
			set = append(set, HeaderSet{Name: h.header, Value: value, Append: h.append})
		}
	}
	return set, nil
}

// LookUp returns the claim at the end of a path of member names, outermost
// first, and nil if there is none: only objects are gone into.
func LookUp(claims map[string]any, path []string) any {
	var v any = claims
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// printClaim prints scalars as they are, and lists and objects as base64 of
// their JSON, as Envoy's claim_to_headers does.
func printClaim(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case json.Number:
		return v.String(), nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

// validHeaderName tells a token of RFC 9110 section 5.6.2.
func validHeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// validHeaderValue tells a field value of RFC 9110 section 5.5.
func validHeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
