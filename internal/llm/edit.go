package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// Editor writes and removes top-level members of JSON bodies. It is immutable.
type Editor struct {
	names  []string
	remove []string
	set    []ir.BodyMember
}

// NewEditor returns the Editor for cfg. A member without a name, or a value
// that is not JSON, is an error.
func NewEditor(cfg *ir.BodyEdit) (*Editor, error) {
	ed := &Editor{remove: cfg.Remove}
	names := slices.Clone(cfg.Remove)
	for _, m := range cfg.Set {
		if !json.Valid([]byte(m.Value)) {
			return nil, fmt.Errorf("body member %q: the value is not JSON", m.Name)
		}
		m.Value = strings.TrimSpace(m.Value)
		ed.set = append(ed.set, m)
		names = append(names, m.Name)
	}
	for _, n := range names {
		if n == "" {
			return nil, fmt.Errorf("body member without a name")
		}
		if !slices.Contains(ed.names, n) {
			ed.names = append(ed.names, n)
		}
	}
	return ed, nil
}

// Idle reports whether there is nothing to do for any body.
func (ed *Editor) Idle() bool { return len(ed.names) == 0 }

// Names reports whether a member of that name is written or removed.
func (ed *Editor) Names(member string) bool { return slices.Contains(ed.names, member) }

// Edit returns what body becomes; nil: it stays. o is what is known of the
// body already, or nil. An error is the client's fault (400): ErrSyntax,
// ErrDepth or ErrAmbiguous.
//
// A body without a brace is no JSON object to anybody, and a multipart form is
// none either: both stay as they are. Every other body must be one that can be
// edited, lest a provider find in it what was to be taken out.
func (ed *Editor) Edit(contentType string, body []byte, o *Object) ([]byte, error) {
	if ed.Idle() || !mayBeObject(body) || isForm(contentType) && bytes.HasPrefix(body, []byte("--")) {
		return nil, nil
	}
	if foreignCharset(contentType) {
		return nil, ErrSyntax
	}
	d, err := readKnown(o, body, ed.names)
	if err != nil {
		return nil, err
	}
	for _, n := range ed.remove {
		d.remove(n)
	}
	for _, m := range ed.set {
		d.set(m.Name, []byte(m.Value))
	}
	return d.bytes(), nil
}
