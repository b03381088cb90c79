package transform

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/template"
)

// side is which message is changed.
type side int

const (
	onRequest side = iota
	onResponse
)

// parsing is what is done with a body.
type parsing int

const (
	parseNot   parsing = iota
	parseCheck         // it must be JSON, and nobody reads it
	parseTree
)

// change is an ir.Template made ready.
type change struct {
	side       side
	limit      int64
	slot       string
	origin     ir.Origin
	extractors []extractor
	names      []template.Extraction // of the extractors

	passthrough, advanced bool
	ignoreParse           bool
	// collect says that the body is taken into memory, merged that the
	// extractions are members of the JSON context.
	collect, merged bool
	parse           parsing

	body            *template.Template
	mergeExtractors bool
	merge           []mergeMember
	metadata        []metadataTemplate
	set, add        []headerTemplate
	remove          []string

	works sync.Pool // of *work
}

type mergeMember struct {
	path  []string
	text  *template.Template
	empty bool
}

type metadataTemplate struct {
	namespace, key string
	text           *template.Template
	json           bool
}

type headerTemplate struct {
	name string // canonical, or a pseudo header's
	text *template.Template
	// credential says that the header is a well-known credential header.
	credential bool
	// decides says that the template has statements: that nothing comes out of
	// it may be its author's own choice.
	decides bool
}

// builder makes changes ready.
type builder struct {
	limit  int64
	slot   string
	origin ir.Origin
	opts   template.Options
	side   side
	uses   []*template.Uses
}

func (b *builder) change(cfg *ir.Template, where side) (*change, error) {
	b.side, b.opts, b.uses = where, template.Options{Advanced: cfg.Advanced, Escape: cfg.Escape}, nil
	c := &change{side: where, limit: b.limit, slot: b.slot, origin: b.origin}
	if cfg.Origin != (ir.Origin{}) {
		c.origin = cfg.Origin
	}
	c.passthrough, c.advanced, c.ignoreParse, c.mergeExtractors = cfg.Passthrough, cfg.Advanced, cfg.IgnoreParseError, cfg.MergeExtractors
	if err := b.bodyChange(c, cfg); err != nil {
		return nil, err
	}
	for _, m := range cfg.Metadata {
		t, err := b.parse("metadata "+m.Key, m.Text)
		if err != nil {
			return nil, err
		}
		c.metadata = append(c.metadata, metadataTemplate{m.Namespace, m.Key, t, m.JSON})
	}
	var err error
	if c.set, err = b.headers(cfg.Set, true); err != nil {
		return nil, err
	}
	if c.add, err = b.headers(cfg.Append, false); err != nil {
		return nil, err
	}
	for _, name := range cfg.Remove {
		canonical, err := headerName(name)
		if err != nil {
			return nil, fmt.Errorf("remove: %w", err)
		}
		c.remove = append(c.remove, canonical)
	}
	for i := range cfg.Extractors {
		x, err := newExtractor(&cfg.Extractors[i], where)
		if err != nil {
			return nil, fmt.Errorf("extractor %q: %w", cfg.Extractors[i].Name, err)
		}
		c.extractors = append(c.extractors, x)
		c.names = append(c.names, template.NewExtraction(cfg.Extractors[i].Name))
	}
	c.plan(cfg, b.uses)
	return c, nil
}

// bodyChange reads what becomes of the body.
func (b *builder) bodyChange(c *change, cfg *ir.Template) error {
	ways := 0
	for _, is := range []bool{cfg.Body != nil, cfg.Passthrough, cfg.MergeExtractors, len(cfg.MergeJSON) > 0} {
		if is {
			ways++
		}
	}
	if ways > 1 {
		return errors.New("the body is treated in several ways at once")
	}
	if len(cfg.MergeJSON) > 0 && cfg.DontParse {
		return errors.New("members can be merged into a body only if it is parsed")
	}
	var err error
	if cfg.Body != nil {
		if c.body, err = b.parse("body", *cfg.Body); err != nil {
			return err
		}
	}
	for _, m := range cfg.MergeJSON {
		t, err := b.parse("member "+m.Path, m.Text)
		if err != nil {
			return err
		}
		c.merge = append(c.merge, mergeMember{strings.Split(m.Path, "."), t, m.OverrideEmpty})
	}
	return nil
}

// plan settles how much of the body is needed.
func (c *change) plan(cfg *ir.Template, uses []*template.Uses) {
	needsBody := c.body != nil || c.mergeExtractors || len(c.merge) > 0
	needsTree := c.mergeExtractors || len(c.merge) > 0
	for _, x := range c.extractors {
		needsBody = needsBody || x.header == ""
	}
	c.merged = false
	for _, x := range c.names {
		c.merged = c.merged || !c.advanced && len(x.Path()) > 1
	}
	for _, u := range uses {
		needsBody = needsBody || u.Body
		needsTree = needsTree || u.Context || slices.ContainsFunc(u.Variables, c.unknown)
	}
	switch {
	case c.passthrough || cfg.DontParse:
	case needsTree:
		c.parse = parseTree
	case c.side == onRequest:
		c.parse = parseCheck
	}
	c.collect = !c.passthrough && (needsBody || c.parse != parseNot)
	c.merged = !c.advanced && (c.merged || needsTree)
}

// unknown reports whether a variable is none of the extractors.
func (c *change) unknown(name string) bool {
	return c.advanced || !slices.ContainsFunc(c.names, func(x template.Extraction) bool { return x.Name == name })
}

func (b *builder) parse(what, text string) (*template.Template, error) {
	t, err := template.Parse(text, b.opts)
	if err != nil {
		return nil, fmt.Errorf("template of %s: %w", what, err)
	}
	u := t.Uses()
	if b.side == onResponse {
		for _, name := range u.RequestHeaders {
			if dataplane.IsCredentialHeader(name) {
				return nil, fmt.Errorf("template of %s: header %q carries a credential and cannot be sent to the client", what, name)
			}
		}
	}
	b.uses = append(b.uses, u)
	return t, nil
}

func (b *builder) headers(list []ir.HeaderTemplate, replace bool) ([]headerTemplate, error) {
	var out []headerTemplate
	for _, h := range list {
		name, err := b.target(h.Name, replace)
		if err != nil {
			return nil, err
		}
		t, err := b.parse("header "+h.Name, h.Text)
		if err != nil {
			return nil, err
		}
		out = append(out, headerTemplate{
			name: name, text: t, credential: b.side == onRequest && dataplane.IsCredentialHeader(name), decides: strings.Contains(h.Text, "{%"),
		})
	}
	return out, nil
}

// The pseudo headers that can be written.
const (
	pseudoPath   = ":path"
	pseudoMethod = ":method"
	pseudoStatus = ":status"
)

// target returns the name of what a template writes.
func (b *builder) target(name string, replace bool) (string, error) {
	if strings.HasPrefix(name, ":") {
		lower := strings.ToLower(name)
		ok := b.side == onRequest && (lower == pseudoPath || lower == pseudoMethod) || b.side == onResponse && lower == pseudoStatus
		if !ok || !replace {
			return "", fmt.Errorf("pseudo header %q cannot be written here", name)
		}
		return lower, nil
	}
	return headerName(name)
}

// headerName returns the canonical name of a header that may be edited.
func headerName(name string) (string, error) {
	if !httpguts.ValidHeaderFieldName(name) {
		return "", fmt.Errorf("%q is not the name of a header", name)
	}
	canonical := http.CanonicalHeaderKey(name)
	switch canonical {
	case "Host":
		return "", errors.New("the host cannot be edited as a header; there is a rewrite for it")
	case "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te", "Trailer", "Keep-Alive", "Proxy-Connection":
		return "", fmt.Errorf("header %q belongs to the connection and cannot be edited", name)
	}
	return canonical, nil
}
