package istio

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// door is one listener of a workload. Servers of several Gateways that run on
// the workload share one where they ask for the same: a port in plain text, or
// a port and a server name with the same TLS settings. It belongs to the oldest
// of them.
type door struct {
	name     string
	workload *Workload
	bind     string
	port     int
	hostname string // server name; "": any, and always so in plain text
	gateway  *resource.Object
	at       string // path of the server that opens it
	server   *server
}

// entry is a server's part in a door.
type entry struct {
	*door
	gateway *resource.Object
	server  *server
	at      string
	// conflict names what wants the door differently and was there first.
	conflict string
}

// fit says why a server is not served at all, or nothing.
func (s *server) fit() *trouble {
	switch {
	case s.Port == nil || s.Port.Number <= 0 || s.Port.Number > 65535:
		return &trouble{"port", "the port has no valid number; it stays shut", "write port.number"}
	case strings.HasPrefix(s.Bind, "unix://"):
		return &trouble{"bind", "a Unix socket cannot be listened on; the server is not opened", "write an IP address, or remove it"}
	case s.Bind != "" && net.ParseIP(s.Bind) == nil:
		return &trouble{"bind", fmt.Sprintf("%q is no address; the server is not opened", s.Bind), "write an IP address, or remove it"}
	case s.secure() && s.TLS != nil && s.TLS.Mode == tlsAutoPassthrough:
		return &trouble{"tls.mode", "AUTO_PASSTHROUGH takes the upstream from the server name itself, which is not supported; the port stays shut", "write PASSTHROUGH, and tls routes in a VirtualService"}
	case strings.EqualFold(s.Port.Protocol, "TLS") && !s.passes():
		return &trouble{"port.protocol", "protocol TLS ends TLS and carries on what it hides as TCP, which is not supported; the port stays shut", "write HTTPS, or tls.mode: PASSTHROUGH"}
	case !s.secure() && !s.plain():
		return &trouble{"port.protocol", fmt.Sprintf("protocol %q is not served; the port stays shut", s.Port.Protocol), "write HTTP, HTTPS, HTTP2 or GRPC, or TLS to pass it through"}
	}
	return nil
}

// plain and secure tell how a server's port is spoken to.
func (s *server) plain() bool {
	switch strings.ToUpper(s.Port.Protocol) {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB":
		return true
	}
	return false
}

func (s *server) secure() bool {
	return strings.EqualFold(s.Port.Protocol, "HTTPS") || strings.EqualFold(s.Port.Protocol, "TLS")
}

// trouble is a problem with something that is read in several places and
// reported in one.
type trouble struct{ field, what, remedy string }

// entries returns the parts that a Gateway's servers have in the doors of the
// workload.
func (t *translation) entries(o *resource.Object, w *Workload) []*entry {
	var out []*entry
	for _, e := range t.allEntries(w) {
		if e.gateway == o {
			out = append(out, e)
		}
	}
	return out
}

// allEntries returns the parts of all Gateways that run on a workload.
func (t *translation) allEntries(w *Workload) []*entry {
	gateways := slices.DeleteFunc(t.v.All(gatewayKind), func(o *resource.Object) bool {
		at := t.workloadOf(o)
		return at == nil || !at.same(w)
	})
	slices.SortStableFunc(gateways, older)
	var out []*entry
	doors := map[string]*door{}
	for _, o := range gateways {
		list := o.Spec.(*gateway).Spec.Servers
		for i := range list {
			s := &list[i]
			if s.fit() != nil {
				continue
			}
			for _, hostname := range s.serverNames() {
				e := &entry{gateway: o, server: s, at: fmt.Sprintf("spec.servers[%d]", i)}
				key := fmt.Sprintf("%s|%d|%s", s.Bind, s.Port.Number, hostname)
				if e.door = doors[key]; e.door == nil {
					e.door = newDoor(o, s, w, e.at, hostname)
					doors[key] = e.door
				} else if why := e.differs(); why != "" {
					e.conflict = why
				}
				out = append(out, e)
			}
		}
	}
	return out
}

func newDoor(o *resource.Object, s *server, w *Workload, at, hostname string) *door {
	d := &door{workload: w, bind: s.Bind, port: s.Port.Number, hostname: hostname, gateway: o, at: at, server: s}
	d.name = fmt.Sprintf("%s/%s/port-%d", o.Namespace, o.Name, d.port)
	if d.bind != "" {
		d.name += "@" + d.bind
	}
	if hostname != "" {
		d.name += "/" + hostname
	}
	return d
}

// differs says in what an entry differs from the server that opens its door.
func (e *entry) differs() string {
	first := e.door.server
	switch {
	case first == e.server:
		return ""
	case first.secure() != e.server.secure():
		return "one is TLS and one is not"
	case first.secure() && !reflect.DeepEqual(first.TLS, e.server.TLS):
		return "their tls differs"
	}
	return ""
}

// redirects reports whether plain requests of a server are sent to https.
func (s *server) redirects() bool { return s.plain() && s.TLS != nil && s.TLS.HTTPSRedirect }

// serverNames returns the names that a server's TLS is for; a server for all
// hosts, and one in plain text, has the name "".
func (s *server) serverNames() []string {
	if s.plain() || len(s.Hosts) == 0 {
		return []string{""}
	}
	var out []string
	for _, h := range s.Hosts {
		_, h := splitHost(h, "")
		if h == "*" || !reading.IsHost(h) {
			return []string{""}
		}
		out = append(out, h)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// splitHost returns the namespace and the name of a server's host; the
// namespace "" is every one.
func splitHost(written, own string) (namespace, host string) {
	namespace, host, ok := strings.Cut(written, "/")
	if !ok {
		return "", strings.ToLower(strings.TrimSuffix(written, "."))
	}
	switch namespace {
	case "*":
		namespace = ""
	case ".":
		namespace = own
	}
	return namespace, strings.ToLower(strings.TrimSuffix(host, "."))
}

// hosts returns what of a host the entry serves for resources of a namespace:
// the narrower of each pair that meets.
func (e *entry) hosts(namespace, host string) []string {
	if e.conflict != "" || e.server.redirects() {
		return nil
	}
	var out []string
	for _, h := range e.server.Hosts {
		ns, pattern := splitHost(h, e.gateway.Namespace)
		if ns != "" && ns != namespace {
			continue
		}
		narrow, meet := narrower(pattern, host)
		if meet && e.hostname != "" {
			narrow, meet = narrower(e.hostname, narrow)
		}
		if meet && !slices.Contains(out, narrow) {
			out = append(out, narrow)
		}
	}
	return out
}

// narrower returns the narrower of two host patterns of which one covers the
// other.
func narrower(a, b string) (string, bool) {
	switch {
	case covers(a, b):
		return b, true
	case covers(b, a):
		return a, true
	}
	return "", false
}

// covers reports whether a host pattern takes all that another takes.
func covers(pattern, host string) bool {
	if pattern == "*" || pattern == host {
		return true
	}
	suffix, wild := strings.CutPrefix(pattern, "*")
	return wild && strings.HasPrefix(suffix, ".") && strings.HasSuffix(host, suffix)
}
