package llm

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Scan is what policies and accounting want to know of a request's body.
type Scan struct {
	// Model is the body's model; HasModel is false where it has none.
	Model    string
	HasModel bool
	// Stream reports whether the client asked for a streamed answer.
	Stream bool
}

var scanned = []string{"model", "stream"}

// maxModel bounds the name of a model; the longest that a provider has are
// Amazon's resource names (2,048).
const maxModel = 2048

// ScanBody finds the top-level members model and stream in one pass, without
// decoding the rest. Where parsers could differ about them it returns an
// error: ErrAmbiguous, ErrSyntax, ErrDepth or ErrMember.
func ScanBody(body []byte) (Scan, error) {
	d, err := read(body, scanned)
	if err != nil {
		return Scan{}, err
	}
	return d.scan()
}

// ScanRequest is ScanBody for the body of a request of any kind: a multipart
// form is searched for the fields model and stream (and may be ErrForm),
// everything else must be a JSON object. An empty body names nothing. The
// Object is nil for what is no JSON.
func ScanRequest(contentType string, body []byte) (Scan, *Object, error) {
	switch {
	case len(body) == 0:
		return Scan{}, nil, nil
	case isForm(contentType):
		s, err := scanForm(contentType, body)
		return s, nil, err
	case foreignCharset(contentType):
		return Scan{}, nil, fmt.Errorf("%w in UTF-8", ErrSyntax)
	}
	o := NewObject(body)
	d, err := o.draft(scanned)
	if err != nil {
		return Scan{}, o, err
	}
	s, err := d.scan()
	return s, o, err
}

func (d *draft) scan() (Scan, error) {
	var s Scan
	if raw := d.get("model"); raw != nil {
		if raw[0] != '"' {
			return Scan{}, fmt.Errorf("%w: %q", ErrMember, "model")
		}
		s.Model, s.HasModel = unquote(raw[1:len(raw)-1]), true
		if err := checkModel(s.Model); err != nil {
			return Scan{}, err
		}
	}
	switch raw := d.get("stream"); string(raw) {
	case "true":
		s.Stream = true
	case "", "false", "null":
	default:
		return Scan{}, fmt.Errorf("%w: %q", ErrMember, "stream")
	}
	return s, nil
}

// checkModel refuses names that programs do not read alike, or that cannot
// stand in a header: control characters, spaces around, bytes that are no
// text.
func checkModel(s string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
	if len(s) > maxModel || strings.TrimSpace(s) != s || strings.ContainsFunc(s, bad) {
		return fmt.Errorf("%w: %q is no name", ErrMember, "model")
	}
	return nil
}
