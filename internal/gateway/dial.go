package gateway

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// Dialer opens connections to upstreams.
type Dialer struct {
	// ConnectTo leads "host:port" to another address; the name that TLS
	// verifies stays. See --connect-to.
	ConnectTo map[string]string
	// Guard, if set, is asked before anything is dialled to which ConnectTo
	// does not lead.
	Guard *Guard
	net   net.Dialer
}

// NewDialer returns a Dialer for --connect-to values: HOST:PORT=ADDR:PORT.
func NewDialer(connectTo []string) (*Dialer, error) {
	d := &Dialer{ConnectTo: map[string]string{}, net: net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}}
	for _, c := range connectTo {
		from, to, ok := strings.Cut(c, "=")
		for _, addr := range []string{from, to} {
			if host, port, err := net.SplitHostPort(addr); !ok || err != nil || host == "" || !isPort(port) {
				return nil, fmt.Errorf("--connect-to %q: want HOST:PORT=ADDR:PORT", c)
			}
		}
		d.ConnectTo[strings.ToLower(from)] = to
	}
	return d, nil
}

// Dial connects to addr, or to where it is led.
func (d *Dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if to := d.ConnectTo[strings.ToLower(addr)]; to != "" {
		return d.net.DialContext(ctx, network, to)
	}
	n := d.net
	if d.Guard != nil {
		n.Control = d.Guard.control
	}
	return n.DialContext(ctx, network, addr)
}

// Roots returns the system's roots and those in file, if it names one.
func Roots(file string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil || pool == nil {
		pool = x509.NewCertPool()
	}
	if file == "" {
		return pool, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--upstream-ca: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--upstream-ca %s: holds no PEM certificate", file)
	}
	return pool, nil
}
