package transform

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/template"
)

// request changes e's request. It returns the names of the injected
// credentials that it made.
func (c *change) request(e *dataplane.Exchange) ([]string, *dataplane.Answer) {
	w := c.get(e)
	defer c.put(w)
	if c.collect && e.Length != 0 && e.Upgrade == "" {
		data, a := c.collected(e)
		if a != nil {
			return nil, a
		}
		w.text = string(data)
	}
	if err := w.prepare(); err != nil {
		return nil, c.refuse(err)
	}
	data, err := w.newBody()
	if err == nil {
		err = w.setMetadata()
	}
	if err == nil {
		err = w.requestHeaders()
	}
	if err != nil {
		return nil, c.refuse(err)
	}
	w.drop()
	if data != nil {
		e.SetBody(data)
	}
	if e.Length == 0 && !c.passthrough && e.Upgrade == "" {
		delete(e.Header, "Content-Type")
	}
	return w.made, nil
}

// tooLarge is Envoy's answer where a body is larger than what is buffered.
const tooLarge = "payload too large"

// collected takes the request's body into memory, and room for what is made of it
// out of the budget.
func (c *change) collected(e *dataplane.Exchange) ([]byte, *dataplane.Answer) {
	data, collected := e.Collected()
	if !collected {
		if e.Length > c.limit {
			return nil, &dataplane.Answer{Status: http.StatusRequestEntityTooLarge, Body: tooLarge, Verdict: dataplane.Invalid, Policy: c.slot, Origin: c.origin, Cause: dataplane.ErrBodyTooLarge.Error()}
		}
		e.LimitBody(c.limit)
		var a *dataplane.Answer
		if data, a = e.Collect(); a != nil {
			if a.Status == http.StatusRequestEntityTooLarge {
				a.Body, a.Policy, a.Origin = tooLarge, c.slot, c.origin
			}
			return nil, a
		}
	}
	return data, e.Hold(c.room(data))
}

// room is how much memory reading a body takes.
func (c *change) room(data []byte) int64 {
	n := int64(len(data))
	if c.parse != parseNot {
		values := 1 + bytes.Count(data, []byte{','}) + bytes.Count(data, []byte{'['}) + bytes.Count(data, []byte{'{'})
		n += int64(values) * template.ValueBytes
	}
	return n
}

// closedError is a request that must not go on, whatever the client sent.
type closedError struct{ header, from string }

func (e *closedError) Error() string {
	return "header " + e.header + " is made of " + e.from + ", which authentication did not set"
}

// refuse answers for an error.
func (c *change) refuse(err error) *dataplane.Answer {
	var closed *closedError
	if errors.As(err, &closed) {
		return dataplane.Refuse(http.StatusForbidden, "there is no credential for this caller", c.slot, c.origin, err.Error())
	}
	a := dataplane.BadRequest(err.Error())
	a.Policy, a.Origin = c.slot, c.origin
	return a
}

var errContext = errors.New("extractors cannot be put into a body that is no object")

// prepare parses the body and takes the extractions.
func (w *work) prepare() error {
	c := w.c
	w.in.Context = template.Value{}
	if w.text != "" && c.parse != parseNot {
		if err := w.parse(); err != nil {
			return err
		}
	}
	for i := range c.extractors {
		x := &c.extractors[i]
		text := w.text
		if x.header != "" {
			text, w.sources[i] = w.extractFrom(x.header)
		}
		value, err := x.take(text, int(c.limit))
		if err != nil {
			return err
		}
		if value == "" && x.header != "" && c.side == onRequest && w.sanitized(x.header) {
			w.sources[i].unset = x.header
		}
		w.in.Extractions[i].Value = template.String(value)
		if c.merged {
			if w.in.Context.Set(w.in.Extractions[i].Path(), template.String(value)) != nil {
				return errContext
			}
		}
	}
	return nil
}

// parse reads the body, as far as anyone needs it.
func (w *work) parse() error {
	c := w.c
	var err error
	if c.parse == parseTree {
		w.in.Context, err = template.ParseJSON(w.text)
	} else if err = template.CheckJSON(w.text); err == nil && len(c.extractors) > 0 && !c.advanced {
		if start := strings.TrimLeft(w.text, " \t\r\n"); start[0] != '{' && start[0] != 'n' {
			return errContext
		}
	}
	if err != nil && c.ignoreParse {
		w.in.Context, err = template.Value{}, nil
	}
	if err != nil {
		return errors.New("the body is not JSON: " + err.Error())
	}
	return nil
}

// extractFrom returns a header for an extractor; reading it is noted only
// when a template uses it.
func (w *work) extractFrom(name string) (string, origin) {
	if w.c.side == onResponse {
		return w.Header(name), origin{}
	}
	return w.requestHeader(name)
}

// newBody returns the new body, or nil where it stays.
func (w *work) newBody() ([]byte, error) {
	c := w.c
	switch {
	case c.body != nil:
		text, err := w.render(c.body)
		return []byte(text), err
	case c.mergeExtractors:
		for i := range w.sources {
			w.reads(w.sources[i])
		}
		return w.in.Context.AppendJSON(nil), nil
	case len(c.merge) == 0:
		return nil, nil
	}
	for i := range c.merge {
		m := &c.merge[i]
		text, err := w.render(m.text)
		if err != nil {
			return nil, err
		}
		if text == "" && !m.empty {
			continue
		}
		value, err := template.ParseJSON(text)
		if err != nil {
			value = template.String(text)
		}
		if err := w.in.Context.Set(m.path, value); err != nil {
			return nil, err
		}
	}
	return w.in.Context.AppendJSON(nil), nil
}

// setMetadata leaves values for later filters; empty ones are not left.
func (w *work) setMetadata() error {
	for i := range w.c.metadata {
		m := &w.c.metadata[i]
		text, err := w.render(m.text)
		if err != nil {
			return err
		}
		if text == "" {
			continue
		}
		namespace := m.namespace
		if namespace == "" {
			namespace = dataplane.TransformMetadata
		}
		w.e.SetMetadata(dataplane.Metadata{Namespace: namespace, Key: m.key, Text: text, JSON: m.json, Secret: append([]string(nil), w.secret...)})
	}
	return nil
}
