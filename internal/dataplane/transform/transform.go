// Package transform holds the stage that changes requests and answers by
// templates: extract, render, edit headers, replace or merge the body.
//
//	request ──► first rule that matches ──► request's change ──► (another match)
//	answer  ◄── that rule's answer's change, or the first of Responses
//
//	change: collect ► parse JSON ► extract ► body ► metadata
//	                ► set headers ► remove ► append ► swap the body
//
// The order, and what each part means, is that of Gloo's transformation filter
// (github.com/solo-io/envoy-gloo, inja_transformer.cc); the language is package
// template's. What Postern adds is care for secrets: whatever a template makes
// of a secret-bearing header, or of a credential of the caller, is itself an
// injected credential, and what it was made of goes no further. Where such a
// header should have been set by authentication and was not, the request is
// refused, so that nobody travels on with half a credential.
package transform

import (
	"context"
	"fmt"
	"net/http"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// DefaultBuffer is how large a body may be that is taken into memory, as
// Envoy's per_connection_buffer_limit_bytes has it.
const DefaultBuffer = 1 << 20

// Stage is the stage of an ir.Transform.
type Stage struct {
	rules     *match.Router[*rule]
	responses []response
	slot      string
}

var _ dataplane.Stage = (*Stage)(nil)

// rule is an ir.TransformRule made ready.
type rule struct {
	request, response *change
	rematch           bool
}

// response is an ir.ResponseRule made ready.
type response struct {
	headers *match.Values
	change  *change
}

// New makes cfg ready. slot and origin tell the access log which policy it is.
// A template that does not parse is an error, with its line and column.
func New(cfg *ir.Transform, slot string, origin ir.Origin) (*Stage, error) {
	s := &Stage{slot: slot}
	if cfg.BufferBytes < 0 {
		return nil, fmt.Errorf("buffer of %d bytes", cfg.BufferBytes)
	}
	b := builder{limit: cfg.BufferBytes, slot: slot, origin: origin}
	if b.limit == 0 {
		b.limit = DefaultBuffer
	}
	entries := make([]*match.Entry[*rule], len(cfg.Rules))
	for i := range cfg.Rules {
		r := &cfg.Rules[i]
		compiled, err := b.rule(r)
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i, err)
		}
		entries[i] = &match.Entry[*rule]{Value: compiled}
		if r.Match != nil {
			entries[i].Match = *r.Match
			entries[i].Match.Order = nil // as listed
		}
	}
	var err error
	if s.rules, err = match.NewRouter(entries); err != nil {
		return nil, err
	}
	for i := range cfg.Responses {
		r, err := b.responseRule(&cfg.Responses[i])
		if err != nil {
			return nil, fmt.Errorf("rule %d of answers: %w", i, err)
		}
		s.responses = append(s.responses, r)
	}
	return s, nil
}

func (b *builder) rule(r *ir.TransformRule) (*rule, error) {
	out := &rule{rematch: r.Rematch}
	var err error
	if r.Request != nil {
		if out.request, err = b.change(r.Request, onRequest); err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
	}
	if r.Response != nil {
		if out.response, err = b.change(r.Response, onResponse); err != nil {
			return nil, fmt.Errorf("response: %w", err)
		}
	}
	return out, nil
}

func (b *builder) responseRule(r *ir.ResponseRule) (response, error) {
	headers, err := match.NewStrings(r.Headers)
	if err != nil {
		return response{}, err
	}
	if r.Response == nil {
		return response{}, fmt.Errorf("no template")
	}
	c, err := b.change(r.Response, onResponse)
	return response{headers, c}, err
}

// Run changes the request, and sees to it that the answer is.
func (s *Stage) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	var r *rule
	if hit, ok := s.rules.Find(e.MatchRequest()); ok {
		r = hit.Value
	}
	var made []string
	if r != nil && r.request != nil {
		var a *dataplane.Answer
		if made, a = r.request.request(e); a != nil {
			return a
		}
	}
	switch {
	case r != nil && r.response != nil:
		s.answer(e, func(int, http.Header) *change { return r.response })
	case len(s.responses) > 0:
		s.answer(e, s.pick)
	}
	if r != nil && r.rematch {
		e.Rematch(made...)
	}
	return nil
}

// pick returns what the first of the answers' rules that matches does, or nil.
func (s *Stage) pick(status int, h http.Header) *change {
	h[":status"] = []string{fmt.Sprint(status)}
	defer delete(h, ":status")
	for i := range s.responses {
		if s.responses[i].headers.Header(h) {
			return s.responses[i].change
		}
	}
	return nil
}
