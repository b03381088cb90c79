package dataplane

import (
	"net/http"
	"strings"

	"github.com/postern-gateway/postern/internal/llm"
)

// bodyScan is what is known of the body that is in memory.
type bodyScan struct {
	of     *[]byte // the body; nil: nothing is known
	object *llm.Object
	named  bool // it names a model
	stream bool // it asks for a streamed answer
}

// ModelReader is a stage whose decision depends on the model that the body
// names. What it says is not asked before the body may be read.
type ModelReader interface{ ReadsModel() bool }

// ModelAllower is a stage that can tell whether a caller may use a model: it
// is asked before an attempt goes to another model than the request names.
type ModelAllower interface {
	AllowsModel(e *Exchange, model string) bool
}

// ReadModel returns the model that the request's body names, and whether it
// names one. It collects the body and scans it once; afterwards Model is set,
// and the header that shows it. What programs could read differently is
// answered with 400, and what cannot be looked into with 415.
func (e *Exchange) ReadModel() (model string, named bool, a *Answer) {
	if e.modelKnown() {
		return e.Model, e.scan.named, nil
	}
	if e.bodiless() {
		return "", false, nil
	}
	if coding := e.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return "", false, &Answer{
			Status: http.StatusUnsupportedMediaType, Body: "the request body must not be compressed", Verdict: Invalid,
			Cause: "the body is compressed, and has to be read for its model",
		}
	}
	kinds := e.Header["Content-Type"]
	if len(kinds) > 1 {
		return "", false, BadRequest("the content type is given twice")
	}
	data, a := e.Collect()
	if a != nil {
		return "", false, a
	}
	s, object, err := llm.ScanRequest(e.Header.Get("Content-Type"), data)
	if err != nil {
		return "", false, BadRequest(err.Error())
	}
	e.Model = s.Model
	e.scan = bodyScan{of: e.collected, object: object, named: s.HasModel, stream: s.Stream}
	if s.HasModel {
		e.Record.Model = s.Model
	}
	e.showModel()
	return s.Model, s.HasModel, nil
}

// modelKnown reports whether the present body was scanned.
func (e *Exchange) modelKnown() bool { return e.scan.of != nil && e.scan.of == e.collected }

// bodiless reports whether the request has no body.
func (e *Exchange) bodiless() bool {
	return e.Length == 0 || e.collected != nil && len(*e.collected) == 0
}

// showModel sets the header that tells the model.
func (e *Exchange) showModel() {
	if !e.modelKnown() {
		return
	}
	if e.scan.named && e.Model != "" {
		e.Header[headerModel] = []string{e.Model}
	} else {
		delete(e.Header, headerModel)
	}
}

// WantsStream reports whether the body, as far as it was read, asks for a
// streamed answer.
func (e *Exchange) WantsStream() bool { return e.modelKnown() && e.scan.stream }

// Object returns what is known of the members of a JSON body in memory; nil:
// nothing.
func (e *Exchange) Object() *llm.Object {
	if !e.modelKnown() {
		return nil
	}
	return e.scan.object
}

// AllowsModel reports whether every policy that the exchange is under lets the
// caller use a model: the listener's, the route's, and those of routes that it
// was matched away from.
func (e *Exchange) AllowsModel(model string) bool {
	allow := func(stages []Stage) bool {
		for _, s := range stages {
			if m, ok := As[ModelAllower](s); ok && !m.AllowsModel(e, model) {
				return false
			}
		}
		return true
	}
	for _, r := range e.left {
		if !allow(r.Stages) {
			return false
		}
	}
	return (e.Listener == nil || allow(e.Listener.Stages)) && (e.Route == nil || allow(e.Route.Stages))
}
