package filter

import (
	"context"
	"fmt"
	"net/http"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// NewDirect returns the stage that answers by itself, with a text that the
// configuration holds.
func NewDirect(cfg *ir.Direct) (dataplane.Stage, error) {
	if cfg.Status < 200 || cfg.Status > 599 {
		return nil, fmt.Errorf("direct response: status %d ends no exchange", cfg.Status)
	}
	if !isFieldValue(cfg.ContentType) {
		return nil, fmt.Errorf("direct response: the content type holds a control byte")
	}
	d := &direct{cfg: *cfg}
	if cfg.ContentType != "" {
		d.header = http.Header{"Content-Type": {cfg.ContentType}}
	}
	if cfg.Status == http.StatusNoContent || cfg.Status == http.StatusNotModified {
		d.cfg.Body = "" // RFC 9110 15.3.5, 15.4.5
	}
	return d, nil
}

type direct struct {
	cfg    ir.Direct
	header http.Header
}

func (d *direct) Run(_ context.Context, _ *dataplane.Exchange) *dataplane.Answer {
	return &dataplane.Answer{
		Status: d.cfg.Status, Header: d.header, Body: d.cfg.Body,
		Verdict: dataplane.Allowed, Origin: d.cfg.Origin,
	}
}
