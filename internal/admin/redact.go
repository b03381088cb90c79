package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"

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
				if _, literal := v[member].(string); literal {
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
