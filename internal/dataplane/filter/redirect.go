package filter

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// NewRedirect returns the stage that answers with a Location, which is always
// absolute and built of normalized parts.
//
// Its port follows Gateway API's HTTPRequestRedirectFilter: the configured
// one, else the well-known port of a configured scheme, else the listener's.
// Where neither scheme nor host name is configured, a port that the client
// wrote stays: that is the one by which it got here, whatever forwards it. A
// scheme's well-known port is not written.
func NewRedirect(cfg *ir.Redirect) (dataplane.Stage, error) {
	r := &redirect{cfg: *cfg, status: cfg.Status}
	switch cfg.Status {
	case 0:
		r.status = http.StatusFound
	case 301, 302, 303, 307, 308:
	default:
		return nil, fmt.Errorf("redirect: status %d redirects nobody", cfg.Status)
	}
	switch cfg.Scheme {
	case "", "http", "https":
	default:
		return nil, fmt.Errorf("redirect: scheme %q is neither http nor https", cfg.Scheme)
	}
	if cfg.Port < 0 || cfg.Port > 65535 {
		return nil, fmt.Errorf("redirect: port %d does not exist", cfg.Port)
	}
	if cfg.Hostname != "" {
		name, err := dataplane.NormalizeHost(cfg.Hostname)
		if err != nil || portOf(name) != "" {
			return nil, fmt.Errorf("redirect: %q is no host name", cfg.Hostname)
		}
		r.cfg.Hostname = name
	}
	if cfg.Path != nil {
		var err error
		if r.path, err = newRewrite(cfg.Path); err != nil {
			return nil, fmt.Errorf("redirect: %w", err)
		}
	}
	return r, nil
}

type redirect struct {
	cfg    ir.Redirect
	status int
	path   *rewrite
}

func (r *redirect) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	location, err := r.location(e)
	if err != nil {
		return dataplane.BadRequest(err.Error())
	}
	return &dataplane.Answer{
		Status: r.status, Header: http.Header{"Location": {location}},
		Verdict: dataplane.Allowed, Origin: r.cfg.Origin,
	}
}

func (r *redirect) location(e *dataplane.Exchange) (string, error) {
	scheme, name, path, query := e.Scheme, e.Host, e.Path, e.OutQuery()
	if r.cfg.Scheme != "" {
		scheme = r.cfg.Scheme
	}
	if r.cfg.Hostname != "" {
		name = r.cfg.Hostname
	}
	if r.path != nil {
		var err error
		if path, err = r.path.path(path, e.Matched); err != nil {
			return "", err
		}
	}
	if r.cfg.StripQuery {
		query = ""
	}
	if r.path != nil && r.path.query != "" {
		query = r.path.withQuery(query)
	}
	var b strings.Builder
	b.WriteString(scheme)
	b.WriteString("://")
	b.WriteString(name)
	if port := r.port(e, scheme); port != "" {
		b.WriteByte(':')
		b.WriteString(port)
	}
	b.WriteString(path)
	if query != "" {
		b.WriteByte('?')
		b.WriteString(query)
	}
	return b.String(), nil
}

// port returns what to write after the host; empty: nothing.
func (r *redirect) port(e *dataplane.Exchange, scheme string) string {
	var port string
	switch {
	case r.cfg.Port != 0:
		port = strconv.Itoa(r.cfg.Port)
	case r.cfg.Scheme != "":
		return ""
	default:
		written := portOf(e.Authority)
		if written != "" && r.cfg.Hostname == "" || e.Listener == nil || e.Listener.Port == 0 {
			port = written
		} else {
			port = strconv.Itoa(e.Listener.Port)
		}
	}
	if scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return ""
	}
	return port
}

// portOf returns the port of a normalized authority, or "".
func portOf(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		return authority[i+1:]
	}
	return ""
}
