package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/secret"
)

// Config is what a Server is made of. With nothing but Providers set, it
// listens on one HTTP and one HTTPS port of the loopback interface, both
// chosen by the kernel.
type Config struct {
	// Providers answer the requests for their hosts. At most one of them may
	// take any host, and gets what nobody else does.
	Providers []Provider
	// HTTP and HTTPS are the addresses to listen on, such as "127.0.0.1:8080".
	// An address without a host means the loopback interface. If both lists
	// are empty, there is one of each on a port that the kernel chooses.
	HTTP  []string
	HTTPS []string
	// CA signs the server's certificate; nil makes a new one.
	CA *CA
	// Names are further names, such as "*.example.com", for the certificate.
	// It always holds the hosts of all Kinds and Providers, and localhost.
	Names []string
	// Behavior is that of every answer, unless SetBehavior, Queue or the
	// request's headers say otherwise.
	Behavior Behavior
	// IgnoreHeaders takes no orders from x-simulate-* headers.
	IgnoreHeaders bool
	// Credentials are further header names whose values are never shown.
	Credentials []string
	// Keep is how many requests are recorded; zero means 100.
	Keep int
	// MaxBody is the longest body that is read, in bytes; zero means 8 MiB.
	MaxBody int64
	// Wait pauses an answer, until its context ends at the latest; nil means
	// by the system's clock.
	Wait func(context.Context, time.Duration) error
	// ErrorLog gets net/http's complaints, such as failed TLS handshakes; nil
	// drops them.
	ErrorLog *log.Logger
}

// withDefaults is c with the zero values filled in.
func (c Config) withDefaults() Config {
	if len(c.HTTP)+len(c.HTTPS) == 0 {
		c.HTTP, c.HTTPS = []string{":0"}, []string{":0"}
	}
	if c.Keep == 0 {
		c.Keep = 100
	}
	if c.MaxBody == 0 {
		c.MaxBody = 8 << 20
	}
	if c.Wait == nil {
		c.Wait = pause
	}
	if c.ErrorLog == nil {
		c.ErrorLog = log.New(io.Discard, "", 0)
	}
	return c
}

// validate refuses what could not serve, or not as meant.
func (c Config) validate() error {
	if len(c.Providers) == 0 {
		return errors.New("no providers")
	}
	if c.Keep < 0 || c.MaxBody < 0 {
		return errors.New("negative limit")
	}
	owner := map[string]string{}
	for _, p := range c.Providers {
		hosts := p.Hosts()
		if len(hosts) == 0 {
			hosts = []string{"any host"}
		}
		for _, host := range hosts {
			host = strings.ToLower(host)
			if other, taken := owner[host]; taken {
				return fmt.Errorf("providers %s and %s both answer for %s", other, p.Name(), host)
			}
			owner[host] = p.Name()
		}
	}
	if err := c.Behavior.validate(); err != nil {
		return fmt.Errorf("behavior: %w", err)
	}
	return nil
}

// names are all names for the server's certificate.
func (c Config) names() []string {
	names := append([]string{"localhost", "127.0.0.1", "::1"}, c.Names...)
	for _, k := range Kinds() {
		names = append(names, k.Hosts...)
	}
	for _, p := range c.Providers {
		names = append(names, p.Hosts()...)
	}
	return names
}

// secrets are the keys of those providers that have some, for the mask.
func (c Config) secrets() []string {
	var list []string
	for _, p := range c.Providers {
		holder, ok := p.(interface{ secrets() []secret.Value })
		if !ok {
			continue
		}
		for _, key := range holder.secrets() {
			list = append(list, string(key.Reveal()))
		}
	}
	return list
}

// loopback is addr with the loopback interface in place of a missing host.
func loopback(addr string) string {
	if strings.HasPrefix(addr, ":") {
		return net.JoinHostPort("127.0.0.1", addr[1:])
	}
	return addr
}
