package gateway

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// privileged is the number of ports that only a superuser may bind, and
// shift is what is added to one that could not be bound.
const (
	privileged = 1024
	shift      = 10000
)

// Ports says where a listener's port is really bound: --bind and --port.
type Ports struct {
	// Bind is the address of every listener without one of its own.
	Bind string
	// Map holds the --port flags: from a port, or "namespace/name:port", to
	// "port" or "address:port".
	Map map[string]string
	// Shift says that every port below 1024 is shifted by 10000 unless Map
	// names it, also where it could be bound: somebody else counts on it.
	Shift bool
}

// ParsePorts reads --bind, and --port values: LISTENER=BIND.
func ParsePorts(bind string, flags []string) (Ports, error) {
	p := Ports{Bind: bind, Map: map[string]string{}}
	if bind != "localhost" && net.ParseIP(bind) == nil {
		return p, fmt.Errorf("--bind %q: want an IP address, such as 127.0.0.1; 0.0.0.0 and :: are all of them", bind)
	}
	for _, f := range flags {
		listener, to, ok := strings.Cut(f, "=")
		port := listener[strings.LastIndexByte(listener, ':')+1:]
		if !ok || !isPort(port) || !isPort(to[strings.LastIndexByte(to, ':')+1:]) {
			return p, fmt.Errorf("--port %q: want LISTENER=BIND, such as 80=8080 or apps/edge:80=127.0.0.1:8080", f)
		}
		p.Map[listener] = to
	}
	return p, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && (n > 0 || s == "0")
}

// address returns where a port of an address is to be bound, for one of the
// gateways that have a listener there; fixed says that the user named the
// port.
func (p Ports) address(host string, port int, gateways []string) (addr string, fixed bool) {
	if host == "" {
		host = p.Bind
	}
	number := strconv.Itoa(port)
	to, ok := p.Map[number]
	for _, g := range gateways {
		if t, named := p.Map[g+":"+number]; named {
			to, ok = t, true
		}
	}
	switch {
	case !ok && p.Shift && port < privileged:
		return net.JoinHostPort(host, strconv.Itoa(port+shift)), true
	case !ok:
		return net.JoinHostPort(host, number), false
	}
	if i := strings.LastIndexByte(to, ':'); i >= 0 {
		return to, true
	}
	return net.JoinHostPort(host, to), true
}

// listen binds a port. One below 1024 that cannot be bound, and that the user
// did not name, is shifted by 10000.
func (p Ports) listen(host string, port int, gateways []string) (net.Listener, error) {
	addr, fixed := p.address(host, port, gateways)
	ln, err := net.Listen("tcp", addr)
	if err == nil || fixed || port >= privileged {
		return ln, err
	}
	bindHost, _, _ := net.SplitHostPort(addr)
	shifted, shiftedErr := net.Listen("tcp", net.JoinHostPort(bindHost, strconv.Itoa(port+shift)))
	if shiftedErr != nil {
		return nil, err
	}
	return shifted, nil
}
