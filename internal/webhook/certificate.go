package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// lookAgain is how soon after a look at the files they are looked at again.
const lookAgain = time.Second

// Certificate is a key pair in a folder, tls.crt and tls.key, as a Secret of
// type kubernetes.io/tls is mounted. It is read again when a file has changed;
// one that cannot be read leaves the one before in use.
type Certificate struct {
	dir   string
	clock func() time.Time
	log   *slog.Logger

	mu     sync.Mutex
	looked time.Time
	is     [2]stamp
	pair   *tls.Certificate
}

// stamp tells states of a file apart.
type stamp struct {
	at   time.Time
	size int64
}

// NewCertificate returns the key pair of a folder, which must be there.
func NewCertificate(dir string, clock func() time.Time, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{dir: dir, clock: clock, log: log}
	c.looked = clock()
	return c, c.readLocked()
}

func (c *Certificate) names() [2]string {
	return [2]string{filepath.Join(c.dir, "tls.crt"), filepath.Join(c.dir, "tls.key")}
}

// readLocked reads the pair, if a file has changed.
func (c *Certificate) readLocked() error {
	var is [2]stamp
	names := c.names()
	for i, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		is[i] = stamp{info.ModTime(), info.Size()}
	}
	if is == c.is {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(names[0], names[1])
	if err != nil {
		return fmt.Errorf("certificate in %s: %w", c.dir, err)
	}
	c.pair, c.is = &pair, is
	return nil
}

// Get returns the key pair as it is now.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.clock(); now.Sub(c.looked) >= lookAgain {
		c.looked = now
		if err := c.readLocked(); err != nil {
			c.log.Warn("the webhook's certificate cannot be read; the one before is used", "error", err)
		}
	}
	return c.pair, nil
}

// Server returns a server of reviews with a certificate. clientCA, if not
// empty, is a file of the authorities that vouch for the API server; nobody
// else is answered then.
func Server(h http.Handler, c *Certificate, clientCA string) (*http.Server, error) {
	config := &tls.Config{GetCertificate: c.Get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if clientCA != "" {
		pem, err := os.ReadFile(clientCA)
		if err != nil {
			return nil, err
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New(clientCA + " holds no certificate")
		}
	}
	return &http.Server{
		Handler: bounded(h, make(chan struct{}, maxAtOnce)), TLSConfig: config, MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
	}, nil
}
