package filter

import (
	"context"
	"net/http"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/llm"
)

// NewBodyEdit returns the stage that sets and removes top-level members of a
// JSON request body. Every byte outside them stays as it came.
//
// A body that cannot be a JSON object to anybody (it has no brace, or is a
// multipart form) goes on as it is. One that might be, and cannot be read or
// holds an edited member twice, is answered with 400, and a compressed one with
// 415: otherwise what is to be removed could reach a provider that reads it.
func NewBodyEdit(cfg *ir.BodyEdit) (dataplane.Stage, error) {
	ed, err := llm.NewEditor(cfg)
	if err != nil {
		return nil, err
	}
	return &bodyEdit{ed}, nil
}

type bodyEdit struct{ editor *llm.Editor }

// NeedsBody reports whether the stage must see the body in memory.
func (s *bodyEdit) NeedsBody() bool { return !s.editor.Idle() }

func (s *bodyEdit) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	if s.editor.Idle() || e.Length == 0 {
		return nil
	}
	if coding := e.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return &dataplane.Answer{
			Status: http.StatusUnsupportedMediaType, Body: "the request body must not be compressed", Verdict: dataplane.Invalid,
			Cause: "the body is compressed, and has to be edited",
		}
	}
	data, a := e.Collect()
	if a != nil {
		return a
	}
	changed, err := s.editor.Edit(e.Header.Get("Content-Type"), data, e.Object())
	if err != nil {
		return dataplane.BadRequest(err.Error())
	}
	if changed != nil {
		if a := e.Hold(int64(len(changed))); a != nil {
			return a
		}
		if s.editor.Names("model") || s.editor.Names("stream") {
			e.SetBody(changed)
		} else {
			e.EditBody(changed)
		}
	}
	return nil
}
