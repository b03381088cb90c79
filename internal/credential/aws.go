package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
)

// sigv4 signs requests by AWS Signature Version 4.
type sigv4 struct {
	region, service string
	keys            Source[*awsKeys]
	session         *keep.Session // nil: nothing is kept
	clock           func() time.Time
}

func newAWS(cfg *ir.AWSCredential, d Deps) (*sigv4, error) {
	if cfg.Region == "" || cfg.Service == "" {
		return nil, errors.New("credential aws: region or service is empty")
	}
	if !isLabel(cfg.Region) || !isLabel(cfg.Service) {
		return nil, errors.New("credential aws: region or service is none")
	}
	keys, session, err := keySource(cfg, d)
	if err != nil {
		return nil, fmt.Errorf("credential aws: %w", err)
	}
	return &sigv4{region: cfg.Region, service: cfg.Service, keys: keys, session: session, clock: d.Clock}, nil
}

// isLabel reports whether s can stand in a credential scope and in a host.
func isLabel(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// Inject signs o: its method, host, escaped path, query, Content-Type, body,
// and the X-Amz headers that it sets itself. Other headers stay out of the
// signature, which thus survives what a proxy on the way may do to them.
func (s *sigv4) Inject(ctx context.Context, o *Outbound) error {
	k, err := s.keys.Get(ctx)
	if err != nil {
		return fmt.Errorf("credential aws: %w", err)
	}
	return s.sign(ctx, o, k)
}

// sign signs o with k.
func (s *sigv4) sign(ctx context.Context, o *Outbound, k *awsKeys) error {
	strip(o)
	if o.URL.Path == "" {
		o.URL.Path = "/"
	}
	r := &http.Request{Method: o.Method, Host: o.Host, URL: signedURL(o), Header: http.Header{}}
	if v, ok := o.Header["Content-Type"]; ok {
		r.Header["Content-Type"] = v
	}
	sum := sha256.Sum256(o.Body)
	hash := hex.EncodeToString(sum[:])
	if s.service == "s3" { // which wants to be told, and escapes a path once
		r.Header["X-Amz-Content-Sha256"] = []string{hash}
	}
	err := k.signer.SignHTTP(ctx, k.credentials(), r, hash, s.service, s.region, s.clock().Add(k.skew), func(v *v4.SignerOptions) {
		v.DisableURIPathEscaping = s.service == "s3"
	})
	if err != nil {
		return fmt.Errorf("credential aws: sign with %s: %w", s.service, err)
	}
	for _, name := range s.Headers() {
		if v, ok := r.Header[name]; ok {
			o.Header[name] = v
		}
	}
	o.Host = r.Host
	o.URL.RawQuery = r.URL.RawQuery // as signed: sorted, and escaped by AWS's rules
	return nil
}

// strip removes everything by which the caller could sign.
func strip(o *Outbound) {
	drop(o, "")
	delete(o.Header, "Authorization") // also where Keep names it: there is one
	for name := range o.Header {
		if strings.HasPrefix(name, "X-Amz-") {
			delete(o.Header, name)
		}
	}
}

// signedURL returns what the signer needs of o's URL.
func signedURL(o *Outbound) *url.URL {
	u := *o.URL
	u.Scheme, u.Host, u.User, u.Opaque = o.Scheme, o.Host, nil, ""
	return &u
}

// NeedsBody reports true: its hash is signed.
func (s *sigv4) NeedsBody() bool { return true }

// Headers returns those of a signature.
func (s *sigv4) Headers() []string {
	names := []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"}
	if s.service == "s3" {
		names = append(names, "X-Amz-Content-Sha256")
	}
	return names
}

// Check returns why there cannot be keys for want of good secrets.
func (s *sigv4) Check() error {
	if c, ok := s.keys.(Checker); ok {
		return c.Check()
	}
	_, err := s.keys.Get(context.Background())
	return err
}

// Status tells how the keys are, if they are fetched.
func (s *sigv4) Status() Status {
	if f, ok := s.keys.(Statuser); ok {
		return f.Status()
	}
	return Status{}
}

// Close lets go of what keeps the keys fresh.
func (s *sigv4) Close() {
	if s.session != nil {
		s.session.Release()
	}
}
