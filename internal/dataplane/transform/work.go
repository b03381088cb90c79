package transform

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/template"
)

// work is one change being carried out on one message. It is what templates
// read from, and keeps account of the secrets among it.
type work struct {
	c *change
	e *dataplane.Exchange
	// header and status are the answer's; nil and 0 on a request.
	header http.Header
	status int
	text   string // the body

	in      template.Input
	sources []origin // beside in.Extractions
	out     []byte
	random  template.Random

	// What the template being rendered has read: the names of headers whose
	// values are secret, and one that authentication should have set.
	secret []string
	unset  string

	used []string // all secret headers that something was made of
	made []string // the headers that were made of them
}

// origin is where an extraction comes from.
type origin struct {
	secret string // the header, if its value is secret
	unset  string // the header, if authentication should have set it
}

func (c *change) get(e *dataplane.Exchange) *work {
	w, ok := c.works.Get().(*work)
	if !ok {
		w = &work{c: c, out: make([]byte, 0, 256)}
		w.in.Extractions = slices.Clone(c.names)
		w.sources = make([]origin, len(c.names))
		w.in.Source = w
		w.in.Merged = c.merged
		w.in.MaxOutput = int(c.limit)
	}
	w.e, w.random = e, template.Random{}
	w.in.Random = &w.random
	return w
}

// put lets go of everything that a request left.
func (c *change) put(w *work) {
	if cap(w.out) > 4<<10 {
		return
	}
	for i := range w.in.Extractions {
		w.in.Extractions[i].Value, w.in.Extractions[i].Used = template.Value{}, false
	}
	clear(w.out[:cap(w.out)])
	clear(w.sources)
	w.e, w.header, w.status, w.text = nil, nil, 0, ""
	w.in.Context = template.Value{}
	w.secret, w.used, w.made, w.unset = w.secret[:0], w.used[:0], nil, ""
	c.works.Put(w)
}

// render renders one template. Afterwards, secret and unset tell what it
// read.
func (w *work) render(t *template.Template) (string, error) {
	w.secret, w.unset = w.secret[:0], ""
	out, err := t.Append(w.out[:0], &w.in)
	if err != nil {
		return "", err
	}
	w.out = out
	for i := range w.in.Extractions {
		if x := &w.in.Extractions[i]; x.Used {
			x.Used = false
			w.reads(w.sources[i])
		}
	}
	return string(out), nil
}

// reads notes what a value that is read comes from.
func (w *work) reads(from origin) {
	if from.secret != "" {
		w.secret = add(w.secret, from.secret)
		w.used = add(w.used, from.secret)
	}
	if from.unset != "" {
		w.unset = from.unset
	}
}

func add(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// Header returns the first value of a header of the message.
func (w *work) Header(name string) string {
	if w.c.side == onResponse {
		if strings.EqualFold(name, pseudoStatus) {
			return strconv.Itoa(w.status)
		}
		return first(w.header[http.CanonicalHeaderKey(name)])
	}
	v, from := w.requestHeader(name)
	w.reads(from)
	return v
}

// RequestHeader returns the first value of a header of the request. For
// answers, what carries a credential is empty.
func (w *work) RequestHeader(name string) string {
	if w.c.side == onRequest {
		return w.Header(name)
	}
	v, from := w.requestHeader(name)
	if from.secret != "" {
		return ""
	}
	return v
}

// requestHeader returns the first value of a header of the request, and
// whether it is secret, or missing where it should not be.
func (w *work) requestHeader(name string) (string, origin) {
	if strings.HasPrefix(name, ":") {
		return w.pseudo(strings.ToLower(name)), origin{}
	}
	name = http.CanonicalHeaderKey(name)
	if v, ok := w.e.SecretHeader(name); ok {
		return string(v.Reveal()), origin{secret: name}
	}
	v := first(w.e.Header[name])
	var from origin
	if dataplane.IsCredentialHeader(name) || w.e.Consumed(name) {
		from.secret = name
	}
	if v == "" && w.sanitized(name) {
		from.unset = name
	}
	return v, from
}

// sanitized reports whether authentication is to set a header.
func (w *work) sanitized(name string) bool {
	return w.e.Route != nil && slices.ContainsFunc(w.e.Route.Sanitize, func(s string) bool {
		return http.CanonicalHeaderKey(s) == name
	})
}

// pseudo returns a pseudo header of the request. The path comes with its
// query, without tokens that were accepted.
func (w *work) pseudo(name string) string {
	switch name {
	case pseudoPath:
		if q := w.e.OutQuery(); q != "" {
			return w.e.Path + "?" + q
		}
		return w.e.Path
	case pseudoMethod:
		return w.e.Method
	case ":authority", ":host":
		return w.e.Authority
	case ":scheme":
		return w.e.Scheme
	}
	return ""
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// Body returns the body as it came.
func (w *work) Body() string { return w.text }

// jwtMetadata is where Envoy's jwt_authn filter puts what a token says.
const jwtMetadata = "envoy.filters.http.jwt_authn"

// Metadata returns what another filter left under a key; after a colon, the
// key goes on inside of what was found.
func (w *work) Metadata(namespace, key string) template.Value {
	if namespace == "" {
		namespace = dataplane.TransformMetadata
	}
	path := strings.Split(key, ":")
	v := w.metadata(namespace, path[0])
	v, _ = v.Walk(path[1:])
	return v
}

func (w *work) metadata(namespace, key string) template.Value {
	if namespace == jwtMetadata {
		return w.claims(key)
	}
	m, ok := w.e.Metadata(namespace, key)
	if !ok || len(m.Secret) > 0 && w.c.side == onResponse {
		return template.Value{}
	}
	for _, name := range m.Secret {
		w.reads(origin{secret: name})
	}
	if m.JSON {
		if v, err := template.ParseJSON(m.Text); err == nil {
			return v
		}
	}
	return template.String(m.Text)
}

// claims returns the claims of the caller whom a provider proved; "principal"
// is whoever was proven first.
func (w *work) claims(provider string) template.Value {
	for i := range w.e.Identities {
		id := &w.e.Identities[i]
		if !id.Proven() || id.Method == authn.MethodMTLS || provider != "principal" && provider != id.Provider {
			continue
		}
		text, err := json.Marshal(id.Claims)
		if err != nil {
			return template.Value{}
		}
		v, _ := template.ParseJSON(string(text))
		return v
	}
	return template.Value{}
}
