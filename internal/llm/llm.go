// Package llm adapts a request of an LLM wire API to one provider's host of
// the same API: where it goes, which model it names, what a route adds to it.
//
//	path ──► platform path? ──yes──► from the version segment on, body untouched
//	             │ no
//	             └──► the provider's chat path; the body's governed members:
//	                  model ► defaults ► prompts ► streaming
//
// A body is scanned once and never decoded. An edit is surgical: every byte
// outside the members that change stays as the client wrote it. A member that
// the gateway governs must be there once, in one spelling: otherwise its own
// reading and the provider's could differ.
//
// What providers answer, and what it cost, is none of this package's yet.
package llm

import (
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// Request is what an Adapter looks at.
type Request struct {
	// Path is normalized; RawQuery has no question mark.
	Path, RawQuery string
	ContentType    string
	// Body is the whole body, without content coding, if NeedsBody says so;
	// otherwise nil.
	Body []byte
	// Object is what is known of the body already; nil: nothing.
	Object *Object
}

// Change is what becomes of a request.
type Change struct {
	Path, RawQuery string
	// Body replaces the request's; nil: it stays.
	Body []byte
	// Header values to set. The slice is shared and must not be changed.
	Header []ir.HeaderValue
	// Model and Stream are what the provider is asked for, as far as the body
	// was looked at.
	Model  string
	Stream bool
}

// Adapter adapts requests to one upstream under one route's options. It is
// immutable.
type Adapter struct {
	cfg          ir.LLM
	schema       schema
	chat, stream target
	governed     []string
	model        []byte // JSON; nil: the client's
	defaults     []ir.JSONMember
	prompts      *prompts
	force        bool // streaming
	// named says that the path is made of the model that the body names.
	named bool
	// depends says that a body which cannot be read must not go through.
	depends bool
}

// New returns the Adapter for an upstream and what the route's steps ask, in
// their order.
func New(cfg *ir.LLM, opts []*ir.LLMOptions) (*Adapter, error) {
	s, ok := schemas[cfg.Schema]
	if !ok {
		return nil, fmt.Errorf("llm: schema %q does not exist", cfg.Schema)
	}
	a := &Adapter{cfg: *cfg, schema: s, prompts: newPrompts(s, opts), chat: newTarget(cfg.Path), stream: newTarget(cfg.StreamPath)}
	if cfg.StreamPath == "" {
		a.stream = a.chat
	}
	if cfg.Model != "" && !cfg.ModelInPath {
		a.model = quote(cfg.Model)
	}
	for _, h := range cfg.Headers {
		if h.Format != "" || !h.Secret.IsZero() {
			return nil, fmt.Errorf("llm: header %q: only a literal value can be set", h.Name)
		}
	}
	for _, o := range opts {
		a.force = a.force || o.Stream
		if err := a.addDefaults(o.Defaults); err != nil {
			return nil, err
		}
	}
	a.govern()
	return a, nil
}

func (a *Adapter) addDefaults(list []ir.JSONMember) error {
	for _, m := range list {
		if m.Name == "" || !json.Valid([]byte(m.Value)) {
			return fmt.Errorf("llm: default %q: name is empty or value is not JSON", m.Name)
		}
		m.Value = strings.TrimSpace(m.Value)
		a.defaults = append(a.defaults, m)
		a.depends = a.depends || m.Override
	}
	return nil
}

// govern lists the members that are looked at, each once.
func (a *Adapter) govern() {
	names := slices.Clone(scanned)
	for _, m := range a.defaults {
		names = append(names, m.Name)
	}
	if !a.prompts.empty() {
		a.depends = true
		names = append(append(names, a.schema.messages), a.schema.system...)
	}
	if a.force && a.schema.usage {
		names = append(names, streamOptions)
	}
	for _, n := range names {
		if !slices.Contains(a.governed, n) {
			a.governed = append(a.governed, n)
		}
	}
	a.named = a.model == nil && a.cfg.Model == "" && (strings.Contains(a.chat.path, modelPlace) || strings.Contains(a.stream.path, modelPlace))
	a.depends = a.depends || a.model != nil || a.named
}

const streamOptions = "stream_options"

// NeedsBody reports whether Adapt must see the body of a request to path.
func (a *Adapter) NeedsBody(path string) bool {
	if a.cfg.PlatformPaths {
		if _, ok := platformPath(path); ok {
			return false
		}
	}
	choose := a.schema.bodyStream && (a.force || a.stream != a.chat || a.cfg.Stream != nil)
	return a.model != nil || a.named || len(a.defaults) > 0 || !a.prompts.empty() || choose
}

// Adapt returns what r becomes. An error is the client's fault (400): one of
// ErrSyntax, ErrDepth, ErrAmbiguous, ErrMember and ErrModel.
//
// A body that is no JSON goes through as it came, unless the model, a default
// or a prompt of the configuration would be lost with it: a provider may read
// what we cannot. Without a brace it is no JSON object to anybody, and goes
// through in any case.
func (a *Adapter) Adapt(r *Request) (Change, error) {
	if a.cfg.PlatformPaths {
		if rest, ok := platformPath(r.Path); ok {
			return Change{Path: strings.TrimRight(a.cfg.BasePath, "/") + rest, RawQuery: r.RawQuery, Header: a.cfg.Headers}, nil
		}
	}
	c := Change{Header: a.cfg.Headers, Model: a.cfg.Model, Stream: a.force}
	if a.NeedsBody(r.Path) && mayBeObject(r.Body) {
		if err := a.adaptBody(r, &c); err != nil {
			return Change{}, err
		}
	}
	to := a.chat
	if c.Stream {
		to = a.stream
	}
	var err error
	if c.Path, err = a.fill(to.path, r.Path, c.Model); err != nil {
		return Change{}, err
	}
	c.RawQuery = to.query
	return c, nil
}

func (a *Adapter) adaptBody(r *Request, c *Change) error {
	d, err := a.open(r)
	if d == nil || err != nil {
		return err
	}
	a.choose(d)
	for _, m := range a.defaults {
		if m.Override || d.get(m.Name) == nil {
			d.set(m.Name, []byte(m.Value))
		}
	}
	if err := a.prompts.apply(a.schema, d); err != nil {
		return err
	}
	if a.force && a.schema.bodyStream {
		if err := a.forceStream(d); err != nil {
			return err
		}
	}
	c.Body = d.bytes()
	if raw := d.get("model"); !a.cfg.ModelInPath && raw != nil && raw[0] == '"' {
		c.Model = unquote(raw[1 : len(raw)-1])
	}
	c.Stream = a.force || a.schema.bodyStream && string(d.get("stream")) == "true"
	return nil
}

// choose writes the model, and whether the answer is streamed, into the body.
func (a *Adapter) choose(d *draft) {
	model := d.get("model")
	if a.model != nil && !sameText(model, a.model) && !(a.cfg.ModelDefault && !absent(model)) {
		d.set("model", a.model)
	}
	if a.cfg.Stream != nil && a.schema.bodyStream && absent(d.get("stream")) {
		d.set("stream", strconv.AppendBool(nil, *a.cfg.Stream))
	}
}

// open reads the body; nil: it goes through as it came.
func (a *Adapter) open(r *Request) (*draft, error) {
	d, err := readKnown(r.Object, r.Body, a.governed)
	if err == nil && foreignCharset(r.ContentType) {
		err = ErrSyntax
	}
	if err == ErrSyntax && !a.depends {
		return nil, nil
	}
	return d, err
}

// foreignCharset reports whether the body is declared to be in an encoding in
// which its bytes could mean something else. JSON is UTF-8 (RFC 8259, 8.1).
func foreignCharset(contentType string) bool {
	if !strings.Contains(contentType, ";") {
		return false
	}
	_, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	return err != nil || charset != "" && charset != "utf-8" && charset != "utf8" && charset != "us-ascii"
}

// sameText reports whether two JSON strings are the same text.
func sameText(a, b []byte) bool {
	return len(a) > 1 && a[0] == '"' && unquote(a[1:len(a)-1]) == unquote(b[1:len(b)-1])
}

// forceStream asks for a streamed answer, and for its usage where that must
// be asked for.
func (a *Adapter) forceStream(d *draft) error {
	d.set("stream", []byte("true"))
	if !a.schema.usage {
		return nil
	}
	options := d.get(streamOptions)
	if absent(options) {
		d.set(streamOptions, []byte(`{"include_usage":true}`))
		return nil
	}
	inner, err := read(options, []string{"include_usage"})
	if err != nil {
		return fmt.Errorf("%q: %w", streamOptions, err)
	}
	inner.set("include_usage", []byte("true"))
	if changed := inner.bytes(); changed != nil {
		d.set(streamOptions, changed)
	}
	return nil
}
