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

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// sigv4 signs requests by AWS Signature Version 4.
type sigv4 struct {
	region, service string
	keys            Source[*awsKeys]
	clock           func() time.Time
}

// awsKeys are one version of an account's keys. The signer caches what it
// derives from them by their id alone, so each version has its own.
type awsKeys struct {
	id, key, session secret.Value
	signer           *v4.Signer
}

func newAWS(cfg *ir.AWSCredential, d Deps) (*sigv4, error) {
	if cfg.Region == "" || cfg.Service == "" {
		return nil, errors.New("credential aws: region or service is empty")
	}
	keys := cfg.Keys.Static
	if keys == nil || keys.AccessKeyID.IsZero() || keys.SecretAccessKey.IsZero() {
		return nil, errors.New("credential aws: no access key id or no secret access key is named")
	}
	refs := []secret.Ref{keys.AccessKeyID, keys.SecretAccessKey}
	if !keys.SessionToken.IsZero() {
		refs = append(refs, keys.SessionToken)
	}
	derived := secret.Derive(d.Store, refs, func(v []secret.Value) (*awsKeys, error) { return parseAWSKeys(refs, v) })
	return &sigv4{region: cfg.Region, service: cfg.Service, keys: static[*awsKeys]{derived}, clock: d.Clock}, nil
}

func parseAWSKeys(refs []secret.Ref, values []secret.Value) (*awsKeys, error) {
	k := &awsKeys{signer: v4.NewSigner()}
	for i, to := range []*secret.Value{&k.id, &k.key, &k.session}[:len(refs)] {
		b, err := clean(refs[i], values[i])
		if err != nil {
			return nil, err
		}
		*to = secret.NewValue(b)
	}
	return k, nil
}

// Inject signs o: its method, host, escaped path, query, Content-Type, body,
// and the X-Amz headers that it sets itself. Other headers stay out of the
// signature, which thus survives what a proxy on the way may do to them.
func (s *sigv4) Inject(ctx context.Context, o *Outbound) error {
	k, err := s.keys.Get(ctx)
	if err != nil {
		return fmt.Errorf("credential aws: %w", err)
	}
	strip(o)
	if o.URL.Path == "" {
		o.URL.Path = "/"
	}
	r := &http.Request{Method: o.Method, Host: o.Host, URL: signedURL(o), Header: http.Header{}}
	if v, ok := o.Header["Content-Type"]; ok {
		r.Header["Content-Type"] = v
	}
	sum := sha256.Sum256(o.Body)
	err = k.signer.SignHTTP(ctx, k.credentials(), r, hex.EncodeToString(sum[:]), s.service, s.region, s.clock())
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

func (k *awsKeys) credentials() aws.Credentials {
	return aws.Credentials{
		AccessKeyID:     string(k.id.Reveal()),
		SecretAccessKey: string(k.key.Reveal()),
		SessionToken:    string(k.session.Reveal()),
	}
}

// NeedsBody reports true: its hash is signed.
func (s *sigv4) NeedsBody() bool { return true }

// Headers returns those of a signature.
func (s *sigv4) Headers() []string {
	return []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"}
}

// Check returns why there are no keys now.
func (s *sigv4) Check() error {
	_, err := s.keys.Get(context.Background())
	return err
}
