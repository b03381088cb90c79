package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// place is what one cluster of this machine has to itself: ports of loopback, a
// range of addresses, a name. The ports are none of those that the kernel gives
// to who asks for any (net.ipv4.ip_local_port_range): a server finds its own
// free when it starts, and again when it is restarted.
type place struct {
	n    int
	held net.Listener
	file *os.File // the same, for the cluster's programs
}

// placePorts are the ports of a place, of which the first is that of the first.
const firstPort, placePorts = 20000, 4

// take finds a free place. It is held by a socket without a file, which the
// kernel takes back when this process and the cluster's programs have ended,
// however.
func take() (*place, error) {
	for n := 1; n < 255; n++ {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("@postern-test-cluster-%d", n), Net: "unix"})
		if err != nil {
			continue
		}
		p := &place{n: n, held: l}
		if !p.free() {
			_ = l.Close()
			continue
		}
		if p.file, err = l.File(); err != nil {
			_ = l.Close()
			return nil, err
		}
		return p, nil
	}
	return nil, errors.New("254 clusters run on this machine already")
}

// free reports whether nobody listens at the place's ports.
func (p *place) free() bool {
	for i := range placePorts {
		l, err := net.Listen("tcp", p.port(i))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

func (p *place) leave() {
	_ = p.held.Close()
	_ = p.file.Close()
}

func (p *place) number(i int) string { return strconv.Itoa(firstPort + placePorts*p.n + i) }
func (p *place) port(i int) string   { return "127.0.0.1:" + p.number(i) }
func (p *place) bridge() string      { return fmt.Sprintf("pst%d", p.n) }
func (p *place) node() string        { return fmt.Sprintf("10.200.%d.1", p.n) }
func (p *place) pods() string        { return fmt.Sprintf("10.200.%d.0/24", p.n) }
func (p *place) services() string    { return fmt.Sprintf("10.201.%d.0/24", p.n) }
func (p *place) balancers() string   { return fmt.Sprintf("10.202.%d.0/24", p.n) }
