package admin

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// address returns where a listener listens, and for whom.
func address(l *ir.Listener) string {
	scheme := "http"
	if l.TLS != nil {
		scheme = "https"
	}
	if l.Passthrough != nil {
		scheme = "tls"
	}
	host := l.Hostname
	if host == "" {
		host = "*"
	}
	text := fmt.Sprintf("%s://%s:%d", scheme, host, l.Port)
	if len(l.Addresses) > 0 {
		text += " on " + strings.Join(l.Addresses, ", ")
	}
	return text
}

// matches returns which requests a route takes, in words.
func matches(list []ir.Match) string {
	var out []string
	for _, m := range list {
		var parts []string
		if len(m.Methods) > 0 {
			parts = append(parts, strings.Join(m.Methods, "|"))
		}
		parts = append(parts, pathText(m.Path))
		for _, h := range m.Headers {
			parts = append(parts, "header "+h.Name)
		}
		for _, q := range m.Query {
			parts = append(parts, "query "+q.Name)
		}
		out = append(out, strings.Join(parts, " "))
	}
	return strings.Join(out, ", or ")
}

func pathText(p ir.PathMatch) string {
	switch p.Kind {
	case ir.PathAny:
		return "*"
	case ir.PathExact:
		return p.Value
	case ir.PathPrefix:
		return p.Value + "*"
	case ir.PathSegments:
		return strings.TrimSuffix(p.Value, "/") + "/*"
	case ir.PathSuffix:
		return "*" + p.Value
	default:
		return "~" + p.Value
	}
}

// target returns where a route leads.
func target(a *ir.Action) string {
	switch {
	case a.Redirect != nil:
		return "redirect"
	case a.Direct != nil:
		return fmt.Sprintf("answers %d", a.Direct.Status)
	case a.Forward == nil:
		return ""
	}
	var out []string
	for _, b := range a.Forward.Backends {
		text := b.Upstream
		if b.Closed != nil {
			text = "closed: " + b.Closed.Reason
		}
		if len(a.Forward.Backends) > 1 {
			text = fmt.Sprintf("%d× %s", b.Weight, text)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// closedBy returns what closes a route as a whole, or nil.
func closedBy(r *ir.Route) *ir.Closed {
	if r.Action.Closed != nil {
		return r.Action.Closed
	}
	for _, s := range r.Steps {
		if s.Closed != nil {
			return s.Closed
		}
	}
	return nil
}

func closedText(c *ir.Closed) string {
	if c == nil {
		return ""
	}
	return c.Reason
}
