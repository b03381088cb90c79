package transform

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/secret"
)

// requestHeaders edits the request's headers. Each template sees what those
// before it did.
func (w *work) requestHeaders() error {
	for i := range w.c.set {
		if err := w.write(&w.c.set[i], true); err != nil {
			return err
		}
	}
	for _, name := range w.c.remove {
		delete(w.e.Header, name)
		w.e.Withdraw(name)
	}
	for i := range w.c.add {
		if err := w.write(&w.c.add[i], false); err != nil {
			return err
		}
	}
	return nil
}

// longestHeader bounds the value of a header; longer ones travel nowhere.
const longestHeader = 64 << 10

// write renders one header of the request. What is made of a secret, and what
// is written into a well-known credential header, is an injected credential:
// it replaces every value.
func (w *work) write(h *headerTemplate, replace bool) error {
	text, err := w.render(h.text)
	switch {
	case err != nil:
		return err
	case len(text) > longestHeader:
		return errors.New("header " + h.name + " would be too long")
	case !httpguts.ValidHeaderFieldValue(text):
		return errors.New("header " + h.name + " would hold a control byte")
	case strings.HasPrefix(h.name, ":"):
		return w.writePseudo(h.name, text)
	case h.credential && w.unset != "" && (text != "" || !h.decides):
		return &closedError{h.name, w.unset}
	case text == "" && replace:
		delete(w.e.Header, h.name)
		w.e.Withdraw(h.name)
		return nil
	case text == "":
		return nil
	case h.credential || len(w.secret) > 0:
		w.e.InjectSecretHeader(h.name, secret.NewValue([]byte(text)))
		w.made = add(w.made, h.name)
		return nil
	}
	if replace {
		w.e.Withdraw(h.name)
		w.e.SetHeader(h.name, text)
	} else {
		w.e.AddHeader(h.name, text)
	}
	return nil
}

var errSecretPath = errors.New("a credential cannot become part of the path or method")

// writePseudo gives the request another path or method; an empty text leaves
// it as it is.
func (w *work) writePseudo(name, text string) error {
	switch {
	case text == "":
		return nil
	case len(w.secret) > 0:
		return errSecretPath
	case name == pseudoMethod:
		return w.e.SetMethod(text)
	}
	path, query, _ := strings.Cut(text, "?")
	return w.e.SetPath(path, query)
}

// drop removes the headers that something secret was made of: no upstream is
// to see them beside it.
func (w *work) drop() {
	for _, name := range w.used {
		if _, ok := w.e.SecretHeader(name); ok && !slices.Contains(w.made, name) {
			w.e.DropSecretHeader(name)
			continue
		}
		w.e.Consume([]authn.Location{{Header: name}})
	}
}

// answerHeaders edits the answer's headers, and returns its status.
func (w *work) answerHeaders() (int, error) {
	for i := range w.c.set {
		h := &w.c.set[i]
		text, err := w.answerText(h)
		if err != nil {
			return 0, err
		}
		if h.name == pseudoStatus {
			if w.status, err = newStatus(w.status, text); err != nil {
				return 0, err
			}
			continue
		}
		delete(w.header, h.name)
		if text != "" {
			w.header[h.name] = []string{text}
		}
	}
	for _, name := range w.c.remove {
		delete(w.header, name)
	}
	for i := range w.c.add {
		h := &w.c.add[i]
		text, err := w.answerText(h)
		if err != nil {
			return 0, err
		}
		if text != "" {
			w.header[h.name] = append(w.header[h.name], text)
		}
	}
	return w.status, nil
}

func (w *work) answerText(h *headerTemplate) (string, error) {
	text, err := w.render(h.text)
	switch {
	case err != nil:
	case len(text) > longestHeader:
		err = errors.New("header " + h.name + " would be too long")
	case !httpguts.ValidHeaderFieldValue(text):
		err = errors.New("header " + h.name + " would hold a control byte")
	}
	return text, err
}

// newStatus reads a final status; empty: it stays.
func newStatus(now int, text string) (int, error) {
	if text == "" {
		return now, nil
	}
	status := 0
	for i := range len(text) {
		if len(text) != 3 || text[i] < '0' || text[i] > '9' {
			return now, errors.New("the status is not a number of three digits")
		}
		status = status*10 + int(text[i]-'0')
	}
	if status < http.StatusOK || status > 599 {
		return now, errors.New("the status is not that of a final answer")
	}
	return status, nil
}
