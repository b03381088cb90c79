package llm

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// ErrForm means that a body is not a multipart form that all parsers read
// alike.
var ErrForm = errors.New("body is not a well-formed multipart form")

// isForm reports whether a body is declared to be a multipart form (RFC 7578):
// audio to transcribe, images to edit.
func isForm(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "multipart/form-data")
}

// scanForm finds the fields model and stream of a multipart form. It is
// stricter than any parser: no preamble, no bare line feeds, no folded
// headers, no second spelling of a field that is looked for, no epilogue.
func scanForm(contentType string, body []byte) (Scan, error) {
	_, params, err := mime.ParseMediaType(contentType)
	boundary := params["boundary"]
	if err != nil || boundary == "" || len(boundary) > 70 || strings.TrimSpace(boundary) != boundary {
		return Scan{}, fmt.Errorf("%w: its boundary", ErrForm)
	}
	delimiter := []byte("--" + boundary)
	if !bytes.HasPrefix(body, delimiter) {
		return Scan{}, fmt.Errorf("%w: it does not begin with its boundary", ErrForm)
	}
	f := form{rest: body[len(delimiter):], delimiter: delimiter}
	for {
		part, more, err := f.next()
		if err != nil || !more {
			return f.scan, err
		}
		if err := f.read(part); err != nil {
			return Scan{}, err
		}
	}
}

// form is a multipart form under way.
type form struct {
	rest      []byte // behind a delimiter
	delimiter []byte
	scan      Scan
	streams   int
}

// next returns the next part, head and content; false: the form has ended.
func (f *form) next() ([]byte, bool, error) {
	switch {
	case string(f.rest) == "--" || string(f.rest) == "--\r\n":
		return nil, false, nil
	case !bytes.HasPrefix(f.rest, []byte("\r\n")):
		return nil, false, fmt.Errorf("%w: a boundary does not end its line", ErrForm)
	}
	// The line break stays: a part without a head begins with an empty line.
	for at := 2; ; {
		i := bytes.Index(f.rest[at:], f.delimiter)
		if i < 0 {
			return nil, false, fmt.Errorf("%w: it is cut off", ErrForm)
		}
		at += i
		switch {
		case at >= 4 && f.rest[at-2] == '\r' && f.rest[at-1] == '\n':
			part := f.rest[2 : at-2]
			f.rest = f.rest[at+len(f.delimiter):]
			return part, true, nil
		case at == 2, f.rest[at-1] == '\n', f.rest[at-1] == '\r':
			return nil, false, fmt.Errorf("%w: a line ends in another way than CRLF", ErrForm)
		}
		at += len(f.delimiter)
	}
}

// read takes a part's head, and its content if it is looked for.
func (f *form) read(part []byte) error {
	head, content, ok := bytes.Cut(part, []byte("\r\n\r\n"))
	if !ok {
		return fmt.Errorf("%w: a part has no head", ErrForm)
	}
	name, field, err := partHead(string(head))
	if err != nil {
		return err
	}
	for _, governed := range scanned {
		if name == governed {
			if !field {
				return fmt.Errorf("%w: %q", ErrMember, name)
			}
			return f.take(name, string(content))
		}
		if sameField(name, governed) {
			return fmt.Errorf("%w: %q", ErrAmbiguous, governed)
		}
	}
	return nil
}

func (f *form) take(name, content string) error {
	if name == "model" {
		if f.scan.HasModel {
			return fmt.Errorf("%w: %q", ErrAmbiguous, name)
		}
		f.scan.Model, f.scan.HasModel = content, true
		return checkModel(content)
	}
	if f.streams++; f.streams > 1 {
		return fmt.Errorf("%w: %q", ErrAmbiguous, name)
	}
	switch content {
	case "true":
		f.scan.Stream = true
	case "false":
	default:
		return fmt.Errorf("%w: %q", ErrMember, name)
	}
	return nil
}

// partHead returns the name of a part, and whether it is a plain field: no
// file, and as it stands.
func partHead(head string) (name string, field bool, err error) {
	field = true
	seen := false
	for line := range strings.SplitSeq(head, "\r\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok || !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidHeaderFieldValue(value) {
			return "", false, fmt.Errorf("%w: a part's head", ErrForm)
		}
		switch strings.ToLower(key) {
		case "content-disposition":
			kind, params, err := mime.ParseMediaType(value)
			// A name in RFC 5987's form, or with escapes, is read in many ways.
			odd := strings.ContainsAny(strings.ReplaceAll(value, "filename*=", ""), `*\`)
			if err != nil || kind != "form-data" || seen || params["name"] == "" || odd {
				return "", false, fmt.Errorf("%w: a part's Content-Disposition", ErrForm)
			}
			_, file := params["filename"]
			name, seen, field = params["name"], true, field && !file
		case "content-transfer-encoding":
			switch strings.ToLower(strings.TrimSpace(value)) {
			case "7bit", "8bit", "binary":
			default:
				field = false
			}
		case "content-type":
			if foreignCharset(value) {
				field = false
			}
		}
	}
	if !seen {
		return "", false, fmt.Errorf("%w: a part has no name", ErrForm)
	}
	return name, field, nil
}

// sameField reports whether some parser could take name for the field wanted:
// without case, its percent escapes undone, spaces cut off, or as an array.
func sameField(name, wanted string) bool {
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	name, _, _ = strings.Cut(name, "[")
	return strings.EqualFold(strings.TrimSpace(name), wanted)
}
