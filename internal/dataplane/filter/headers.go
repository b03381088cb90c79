package filter

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// Headers is the stage of an ir.HeaderEdit. On each side it removes, then
// sets, then adds; answers are edited where a route gives one, not where a
// policy refuses.
//
// A value made of a secret, of the caller's credential, or written into a
// well-known credential header, is an injected credential: it is put on for
// each attempt and never enters the headers that other stages read. A value
// that comes out empty is not sent; where it was to be set, the client's own
// value goes too.
type Headers struct {
	request, response changes
	sanitize          []string
	// reply edits answers whose values need no request.
	reply  func(status int, h http.Header)
	inputs inputPool
}

var _ dataplane.Stage = (*Headers)(nil)

// NewHeaders makes cfg ready. Its secrets are looked up in store when they are
// needed; see Check. where is the origin of values that have none of their own.
func NewHeaders(cfg *ir.HeaderEdit, store *secret.Store, where ir.Origin) (*Headers, error) {
	h := &Headers{}
	for _, name := range cfg.Request.Sanitize {
		h.sanitize = append(h.sanitize, http.CanonicalHeaderKey(name))
	}
	var err error
	if h.request, err = newChanges(&cfg.Request, store, onRequest); err != nil {
		return nil, fmt.Errorf("request headers: %w", err)
	}
	if h.response, err = newChanges(&cfg.Response, store, onResponse); err != nil {
		return nil, fmt.Errorf("response headers: %w", err)
	}
	for _, list := range [][]headerValue{h.request.set, h.request.add} {
		for i := range list {
			if list[i].origin == (ir.Origin{}) {
				list[i].origin = where
			}
		}
	}
	if h.response.static() {
		h.reply = func(status int, header http.Header) { h.response.answer(&input{status: status, header: header}) }
	}
	return h, nil
}

// Check reports why the stage would answer 500 now: a secret that is missing,
// or that cannot be the value of a header.
func (h *Headers) Check() error {
	for _, list := range [][]headerValue{h.request.set, h.request.add} {
		for i := range list {
			if s := list[i].secret; s != nil {
				if _, err := s.Get(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Sanitize names the request headers that say who calls: a client's own must
// be removed before the first stage, also where nothing is written later.
func (h *Headers) Sanitize() []string {
	names := slices.Clone(h.sanitize)
	for _, list := range [][]headerValue{h.request.set, h.request.add} {
		for i := range list {
			if f := list[i].format; f != nil && f.identity && !slices.Contains(names, list[i].name) {
				names = append(names, list[i].name)
			}
		}
	}
	return names
}

// Run edits the request, and sees to it that the answer is.
func (h *Headers) Run(ctx context.Context, e *dataplane.Exchange) *dataplane.Answer {
	if a := h.edit(ctx, e); a != nil {
		return a
	}
	switch {
	case h.response.empty():
	case h.reply != nil:
		e.OnReply(h.reply)
	default:
		e.OnReply(func(status int, header http.Header) {
			h.response.answer(&input{ctx: ctx, e: e, status: status, header: header})
		})
	}
	return nil
}

func (h *Headers) edit(ctx context.Context, e *dataplane.Exchange) *dataplane.Answer {
	for _, name := range h.request.remove {
		delete(e.Header, name)
		e.Withdraw(name)
	}
	for i := range h.request.set {
		if a := h.write(ctx, e, &h.request.set[i], true); a != nil {
			return a
		}
	}
	for i := range h.request.add {
		if a := h.write(ctx, e, &h.request.add[i], false); a != nil {
			return a
		}
	}
	return nil
}

// write puts one value on the request.
func (h *Headers) write(ctx context.Context, e *dataplane.Exchange, v *headerValue, replace bool) *dataplane.Answer {
	if v.injected.Value != nil {
		if v.secret != nil {
			if _, err := v.secret.Get(); err != nil {
				return dataplane.ClosedAnswer(&ir.Closed{Reason: err.Error(), Origin: v.origin})
			}
		}
		e.Inject(v.injected)
		return nil
	}
	text := v.literal
	if v.format != nil {
		in := h.inputs.get(ctx, e)
		defer h.inputs.put(in)
		text = v.format.render(in)
		if !isFieldValue(text) {
			return dataplane.BadRequest("header " + v.name + " would hold a control byte")
		}
		if len(in.credentials) > 0 {
			carry(e, v.name, text, in.credentials)
			return nil
		}
	}
	if replace {
		e.Withdraw(v.name)
	}
	switch {
	case text == "" && replace:
		delete(e.Header, v.name)
	case text == "":
	case replace:
		e.SetHeader(v.name, text)
	default:
		e.AddHeader(v.name, text)
	}
	return nil
}

// carry injects a value made of the caller's credential or of a secret header,
// and drops what it was made of.
func carry(e *dataplane.Exchange, name, text string, from []authn.Location) {
	e.Consume(from)
	for _, l := range from {
		e.DropSecretHeader(l.Header)
	}
	e.Inject(dataplane.SecretHeader{Name: name, Value: func() (string, error) { return text, nil }})
}

// answer edits the headers of an answer. What would hold a control byte is
// left out.
func (c *changes) answer(in *input) {
	for _, name := range c.remove {
		delete(in.header, name)
	}
	for i := range c.set {
		v := &c.set[i]
		delete(in.header, v.name)
		if text := v.text(in); text != "" {
			in.header[v.name] = []string{text}
		}
	}
	for i := range c.add {
		v := &c.add[i]
		if text := v.text(in); text != "" {
			in.header[v.name] = append(in.header[v.name], text)
		}
	}
}

func (v *headerValue) text(in *input) string {
	if v.format == nil {
		return v.literal
	}
	if text := v.format.render(in); isFieldValue(text) {
		return text
	}
	return ""
}
