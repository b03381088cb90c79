package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestSecurityRow21Guard(t *testing.T) {
	g := &Guard{
		Own:   []netip.AddrPort{netip.MustParseAddrPort("10.9.8.7:9901")},
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.64.0/18"), netip.MustParsePrefix("10.0.0.0/8")},
	}
	tests := []struct{ addr, want string }{
		{"203.0.113.9:443", ""},
		{"10.1.2.3:8080", ""},
		{"[2001:db8::1]:443", ""},
		{"127.0.64.9:80", ""},
		{"127.0.0.1:80", "this machine"},
		{"127.255.1.2:80", "this machine"},
		{"0.0.0.0:80", "this machine"},
		{"[::1]:80", "this machine"},
		{"[::]:80", "this machine"},
		{"[::ffff:127.0.0.1]:80", "this machine"},
		{"[::127.0.0.1]:80", "this machine"},
		{"[64:ff9b::7f00:1]:80", "this machine"},
		{"[2002:7f00:1::]:80", "this machine"},
		{"169.254.169.254:80", "metadata"},
		{"[::ffff:169.254.169.254]:80", "metadata"},
		{"[64:ff9b::a9fe:a9fe]:80", "metadata"},
		{"169.254.170.2:80", "metadata"},
		{"[fd00:ec2::254]:80", "metadata"},
		{"100.100.100.200:80", "metadata"},
		{"168.63.129.16:80", "metadata"},
		{"[fe80::1%eth0]:80", "link-local"},
		{"224.0.0.1:80", "multicast"},
		{"[ff02::1]:80", "multicast"},
		{"10.9.8.7:9901", "own listener"},
		{"10.9.8.7:9902", ""},
	}
	for _, tt := range tests {
		err := g.Check(netip.MustParseAddrPort(tt.addr))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.addr, err, tt.want)
		}
	}
}

// An admin listener on every address is not to be had by the machine's own
// outside ones.
func TestSecurityRow21OwnListener(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	g := &Guard{Own: []netip.AddrPort{netip.MustParseAddrPort("[::]:9901")}, Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	for _, a := range addrs {
		ip := netip.MustParsePrefix(a.String()).Addr()
		if err := g.Check(netip.AddrPortFrom(ip, 9901)); err == nil {
			t.Errorf("%v port 9901 is dialled", ip)
		}
		if err := g.Check(netip.AddrPortFrom(ip, 9902)); err != nil {
			t.Error(err)
		}
	}
}

// Nor by those that lead to the machine although no interface has them.
func TestSecurityRow21OwnRange(t *testing.T) {
	g := &Guard{Own: []netip.AddrPort{netip.MustParseAddrPort("[::]:9901")}, Ours: netip.MustParsePrefix("203.0.113.0/28")}
	for addr, dialled := range map[string]bool{
		"203.0.113.5:9901": false, "[::ffff:203.0.113.5]:9901": false, "[64:ff9b::cb00:7105]:9901": false,
		"203.0.113.5:80": true, "203.0.113.16:9901": true,
	} {
		if err := g.Check(netip.MustParseAddrPort(addr)); dialled != (err == nil) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// What a name says when it is asked for the second time is looked at too.
func TestSecurityRow21Rebinding(t *testing.T) {
	victim, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	touched := make(chan struct{}, 1)
	go func() {
		for {
			c, err := victim.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
			touched <- struct{}{}
		}
	}()
	_, port, _ := net.SplitHostPort(victim.Addr().String())
	d, err := NewDialer([]string{"led.example.com:" + port + "=" + victim.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	d.Guard = &Guard{}
	names := &nameServer{answers: [][4]byte{{127, 0, 0, 1}}}
	d.net.Resolver = &net.Resolver{PreferGo: true, Dial: names.dial}
	for _, host := range []string{"127.0.0.1", "localhost", "rebound.example.com", "[::ffff:127.0.0.1]"} {
		addr := host + ":" + port
		c, err := d.Dial(context.Background(), "tcp", addr)
		if err == nil {
			_ = c.Close()
			t.Errorf("%s is dialled", addr)
			continue
		}
		var op *net.OpError
		if !errors.As(err, &op) || !strings.Contains(err.Error(), "is not dialled: it is this machine") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if names.asked.Load() == 0 {
		t.Error("no name was looked up")
	}
	select {
	case <-touched:
		t.Error("a connection was made")
	default:
	}
	c, err := d.Dial(context.Background(), "tcp", "led.example.com:"+port) // the operator's own word
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	<-touched
}

// nameServer answers every question for an IPv4 address.
type nameServer struct {
	answers [][4]byte
	asked   atomic.Int32
}

func (s *nameServer) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		size := make([]byte, 2)
		if _, err := io.ReadFull(server, size); err != nil {
			return
		}
		query := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := io.ReadFull(server, query); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(query) != nil {
			return
		}
		s.asked.Add(1)
		m.Response, m.Additionals = true, nil
		for _, a := range s.answers {
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = append(m.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: a},
				})
			}
		}
		reply, err := m.Pack()
		if err == nil {
			_, _ = server.Write(append([]byte{byte(len(reply) >> 8), byte(len(reply))}, reply...))
		}
	}()
	return client, nil
}
