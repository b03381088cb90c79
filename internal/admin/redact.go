package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

const redacted = "[redacted]"

// Redacted returns c as JSON for people. Secrets are in it by reference only,
// as they are in c; besides, the texts that somebody wrote where a credential
// goes are left out: a literal value of a well-known credential header, and a
// user name or password in a URL.
func Redacted(c *ir.Config) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	redact(tree)
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(true)
	e.SetIndent("", "  ")
	if err := e.Encode(tree); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func redact(v any) {
	switch v := v.(type) {
	case []any:
		for _, each := range v {
			redact(each)
		}
	case map[string]any:
		if name, ok := v["name"].(string); ok && dataplane.IsCredentialHeader(http.CanonicalHeaderKey(name)) {
			for _, member := range []string{"value", "exact", "prefix", "suffix", "regex"} {
				if text, literal := v[member].(string); literal && !isScheme(text) {
					v[member] = redacted
				}
			}
		}
		if text, ok := v["url"].(string); ok {
			v["url"] = withoutUser(text)
		}
		for _, each := range v {
			redact(each)
		}
	}
}

// isScheme reports whether a text can be the name of an authentication scheme,
// such as "Bearer ", and is too short for a credential.
func isScheme(text string) bool {
	text = strings.TrimSuffix(text, " ")
	for i := range len(text) {
		if c := text[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return len(text) <= 8
}

func withoutUser(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return redacted
	}
	if u.User == nil {
		return text
	}
	u.User = url.User(redacted)
	return u.String()
}
