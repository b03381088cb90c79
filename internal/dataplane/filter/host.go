package filter

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

const forwardedHost = "X-Forwarded-Host"

// NewHost returns the stage that gives the upstream another Host. It changes
// what the upstream is told, never where the request goes.
func NewHost(cfg *ir.HostRewrite) (dataplane.Stage, error) {
	h := &host{auto: cfg.Auto, forwarded: cfg.AppendForwarded}
	var err error
	set := 0
	if cfg.Literal != "" {
		set++
		if h.literal, err = dataplane.NormalizeHost(cfg.Literal); err != nil {
			return nil, fmt.Errorf("host rewrite: %q: %w", cfg.Literal, err)
		}
	}
	if cfg.FromHeader != "" {
		set++
		if h.header, err = hostSource(cfg.FromHeader); err != nil {
			return nil, fmt.Errorf("host rewrite: %w", err)
		}
	}
	if cfg.FromPath != nil {
		set++
		if h.path, err = newSubstitution(cfg.FromPath); err != nil {
			return nil, fmt.Errorf("host rewrite: %w", err)
		}
	}
	if cfg.Auto {
		set++
	}
	if set != 1 {
		return nil, fmt.Errorf("host rewrite: %d alternatives set, want exactly one", set)
	}
	return h, nil
}

func hostSource(name string) (string, error) {
	canonical, err := headerName(name)
	if err == nil && dataplane.IsCredentialHeader(canonical) {
		err = fmt.Errorf("header %q carries a credential and is no host", name)
	}
	return canonical, err
}

var errHost = errors.New("what the host is rewritten to is no host")

type host struct {
	literal, header string
	auto, forwarded bool
	path            *substitution
}

func (h *host) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	to, err := h.host(e)
	if err != nil {
		return dataplane.BadRequest(err.Error())
	}
	if to == "" && !h.auto {
		return nil
	}
	e.Outbound.Host, e.Outbound.AutoHost = to, h.auto
	if h.forwarded {
		e.SetHeader(forwardedHost, e.Authority)
	}
	return nil
}

// host returns the new host; empty: auto, or it stays.
func (h *host) host(e *dataplane.Exchange) (string, error) {
	var to string
	switch {
	case h.literal != "" || h.auto:
		return h.literal, nil
	case h.path != nil:
		to = h.path.apply(e.Path)
	default:
		values := e.Header[h.header]
		if len(values) == 0 || values[0] == "" || e.Consumed(h.header) {
			return "", nil
		}
		to = values[0]
	}
	to, err := dataplane.NormalizeHost(to)
	if err != nil {
		return "", errHost
	}
	return to, nil
}
