package cli

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/ir"
)

// maxBannerRoutes bounds what the banner tells of routes.
const maxBannerRoutes = 40

// printBanner tells what is served: listeners, routes, who is asked for what,
// and which provider credential each route carries.
func printBanner(w io.Writer, c *ir.Config, l *gateway.Listeners) {
	fmt.Fprintf(w, "postern %s\n", version)
	if len(c.Listeners) == 0 {
		fmt.Fprintln(w, "  no listener: the resources hold no Gateway and no VirtualService")
	}
	left := maxBannerRoutes
	for _, listener := range c.Listeners {
		printListener(w, c, listener, l, &left)
	}
	if left < 0 {
		fmt.Fprintf(w, "  and %s more\n", count(-left, "route"))
	}
}

func printListener(w io.Writer, c *ir.Config, l *ir.Listener, bound *gateway.Listeners, left *int) {
	scheme := "http"
	if l.TLS != nil {
		scheme = "https"
	}
	addresses := l.Addresses
	if len(addresses) == 0 {
		addresses = []string{""}
	}
	for _, a := range addresses {
		fmt.Fprintf(w, "\n  %s://%s  %s%s\n", scheme, boundText(bound.Addr(a, l.Port), a, l.Port), l.Name, hostText(l.Hostname))
	}
	if l.Closed != nil {
		fmt.Fprintf(w, "    closed: %s\n", l.Closed.Reason)
	}
	for _, h := range l.Hosts {
		for _, r := range h.Routes {
			if *left--; *left >= 0 {
				printRoute(w, c, l, h.Hostname, r)
			}
		}
	}
}

// boundText tells where a port is bound, and that it is another than asked
// for; asked is the address that was asked for, if one was.
func boundText(addr net.Addr, asked string, port int) string {
	switch {
	case addr == nil && asked != "":
		return fmt.Sprintf("(port %d of %s is not bound)", port, asked)
	case addr == nil:
		return fmt.Sprintf("(port %d is not bound)", port)
	}
	text := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.Port != port {
		text += " (for port " + strconv.Itoa(port) + ")"
	}
	return text
}

func hostText(h string) string {
	if h == "" || h == "*" {
		return ""
	}
	return "  host " + h
}

func printRoute(w io.Writer, c *ir.Config, l *ir.Listener, hostname string, r *ir.Route) {
	var paths []string
	for _, m := range r.Matches {
		paths = append(paths, matchText(m))
	}
	fmt.Fprintf(w, "    %s%s  → %s\n", strings.Join(paths, ", "), hostText(hostname), actionText(c, r))
	if r.Action.Closed != nil {
		return
	}
	asks, carries := r.Asks(), c.Carries(r)
	if l.TLS.AsksClients() {
		asks = append([]string{"a client certificate"}, asks...)
	}
	switch {
	case len(asks) > 0:
		fmt.Fprintf(w, "        asks for %s\n", strings.Join(asks, ", "))
	case len(carries) > 0:
		fmt.Fprintln(w, "        asks NOBODY: whoever reaches it uses the credential")
	default:
		fmt.Fprintln(w, "        asks nobody")
	}
	if len(carries) > 0 {
		fmt.Fprintf(w, "        carries %s\n", strings.Join(carries, ", "))
	}
}

func matchText(m ir.Match) string {
	text := m.Path.Value
	switch m.Path.Kind {
	case ir.PathAny:
		text = "/*"
	case ir.PathPrefix, ir.PathSegments:
		text += "*"
	case ir.PathSuffix:
		text = "*" + text
	case ir.PathRegex:
		text = "~" + text
	}
	if len(m.Methods) > 0 {
		text = strings.Join(m.Methods, "|") + " " + text
	}
	if n := len(m.Headers) + len(m.Query); n > 0 {
		text += fmt.Sprintf(" (and %s)", count(n, "condition"))
	}
	return text
}

func actionText(c *ir.Config, r *ir.Route) string {
	switch a := r.Action; {
	case a.Redirect != nil:
		return "redirect"
	case a.Direct != nil:
		return fmt.Sprintf("answers %d itself", a.Direct.Status)
	case a.Closed != nil:
		return "CLOSED: " + a.Closed.Reason
	case a.Forward != nil:
		var to []string
		for _, b := range a.Forward.Backends {
			to = append(to, backendText(c, b))
		}
		return strings.Join(to, ", ")
	}
	return "nothing"
}

func backendText(c *ir.Config, b ir.Backend) string {
	if b.Closed != nil {
		return "CLOSED: " + b.Closed.Reason
	}
	u := c.Upstreams[b.Upstream]
	switch {
	case u == nil:
		return b.Upstream
	case u.Closed != nil:
		return "CLOSED: " + u.Closed.Reason
	case len(u.Endpoints) == 1 && u.TLS != nil:
		return fmt.Sprintf("https://%s:%d", u.Endpoints[0].Host, u.Endpoints[0].Port)
	case len(u.Endpoints) == 1:
		return fmt.Sprintf("http://%s:%d", u.Endpoints[0].Host, u.Endpoints[0].Port)
	}
	return u.Name
}
