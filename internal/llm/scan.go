package llm

import "fmt"

// Scan is what policies and accounting want to know of a request's body.
type Scan struct {
	// Model is the body's model; HasModel is false where it has none.
	Model    string
	HasModel bool
	// Stream reports whether the client asked for a streamed answer.
	Stream bool
}

var scanned = []string{"model", "stream"}

// ScanBody finds the top-level members model and stream in one pass, without
// decoding the rest. Where parsers could differ about them it returns an
// error: ErrAmbiguous, ErrSyntax, ErrDepth or ErrMember.
func ScanBody(body []byte) (Scan, error) {
	d, err := read(body, scanned)
	if err != nil {
		return Scan{}, err
	}
	var s Scan
	if raw := d.get("model"); raw != nil {
		if raw[0] != '"' {
			return Scan{}, fmt.Errorf("%w: %q", ErrMember, "model")
		}
		s.Model, s.HasModel = unquote(raw[1:len(raw)-1]), true
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
