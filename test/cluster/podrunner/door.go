package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/netip"
	"sync"
	"time"
)

// door is a listener on one port of a Service's address. Closing it leaves the
// connections that came through it alone.
type door struct {
	target   target
	listener net.Listener
	services *services
}

// open begins to listen.
func (s *services) open(at netip.AddrPort, t target) (*door, error) {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, err
	}
	d := &door{t, l, s}
	go d.serve()
	return d, nil
}

func (d *door) close() { discard(d.listener) }

func (d *door) serve() {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return
		}
		go d.join(conn.(*net.TCPConn))
	}
}

// join leads a connection to an endpoint, which is chosen now. A client that
// cannot be led anywhere is told so by a reset.
func (d *door) join(from *net.TCPConn) {
	defer discard(from)
	at, err := d.services.endpoint(d.target)
	if err != nil {
		_ = from.SetLinger(0)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var dialer net.Dialer
	to, err := dialer.DialContext(ctx, "tcp", at)
	if err != nil {
		log.Printf("service %s/%s: %v", d.target.namespace, d.target.name, err)
		_ = from.SetLinger(0)
		return
	}
	defer discard(to)
	var both sync.WaitGroup
	both.Go(func() { pass(to.(*net.TCPConn), from) })
	both.Go(func() { pass(from, to.(*net.TCPConn)) })
	both.Wait()
}

// pass copies one direction, and passes on how it ended.
func pass(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.SetLinger(0)
		discard(to)
		_ = from.SetLinger(0)
		discard(from)
		return
	}
	_ = to.CloseWrite()
}
