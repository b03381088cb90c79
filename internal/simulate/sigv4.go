package simulate

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// maxSignatureAge is how far a signature's time may be from the cloud's.
const maxSignatureAge = 5 * time.Minute

// awsRefusal is how AWS refuses a caller: a code and a text.
type awsRefusal struct{ code, text string }

// signature is a parsed Authorization header of Signature Version 4. See
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html.
type signature struct {
	id, date, region, service string
	signed                    []string
}

// parseSignature reads the header; nil if it is none.
func parseSignature(value string) *signature {
	rest, ok := strings.CutPrefix(value, "AWS4-HMAC-SHA256 ")
	if !ok {
		return nil
	}
	s := &signature{}
	for _, part := range strings.Split(rest, ",") {
		switch name, v, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "Credential":
			scope := strings.Split(v, "/")
			if len(scope) != 5 || scope[4] != "aws4_request" {
				return nil
			}
			s.id, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]
		case "SignedHeaders":
			s.signed = strings.Split(v, ";")
		}
	}
	if s.id == "" || !slices.Contains(s.signed, "host") || !slices.Contains(s.signed, "x-amz-date") {
		return nil
	}
	return s
}

// authenticate verifies a request's signature for a service: it is computed
// anew from what arrived, and must be the same to the byte. It returns the
// session, which is empty for the account's own keys.
func (c *Cloud) authenticate(r *Request, service string) (Session, *awsRefusal) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return Session{}, &awsRefusal{"MissingAuthenticationToken", "Missing Authentication Token"}
	}
	s := parseSignature(values[0])
	if s == nil || len(values) > 1 {
		return Session{}, &awsRefusal{"IncompleteSignature", "Authorization header is not one complete signature"}
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	switch {
	case err != nil || at.Format("20060102") != s.date:
		return Session{}, &awsRefusal{"IncompleteSignature", "Date of the request and of the signature differ"}
	case s.service != service:
		return Session{}, &awsRefusal{"SignatureDoesNotMatch", "Credential should be scoped to correct service: '" + service + "'."}
	case c.now().Sub(at).Abs() > maxSignatureAge:
		return Session{}, &awsRefusal{"SignatureDoesNotMatch", "Signature expired, or not yet current"}
	}
	keys, session, refused := c.keysOf(s.id, r.Header.Get("X-Amz-Security-Token"))
	if refused != nil {
		return Session{}, refused
	}
	want, err := resign(r, s, keys, at)
	if err != nil || subtle.ConstantTimeCompare([]byte(want), []byte(values[0])) != 1 {
		return Session{}, &awsRefusal{"SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."}
	}
	return session, nil
}

// keysOf finds the keys of an id, and of a session if there is a token.
func (c *Cloud) keysOf(id, token string) (aws.Credentials, Session, *awsRefusal) {
	unknown := &awsRefusal{"UnrecognizedClientException", "The security token included in the request is invalid."}
	if token == "" {
		if id != c.cfg.AccessKeyID {
			return aws.Credentials{}, Session{}, unknown
		}
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: c.cfg.SecretAccessKey}, Session{}, nil
	}
	session, err := c.open(token)
	if err != nil {
		return aws.Credentials{}, session, unknown
	}
	keys := c.Issue(session)
	if keys.AccessKeyID != id {
		return aws.Credentials{}, session, unknown
	}
	if !c.now().Before(session.Expires) {
		return aws.Credentials{}, session, &awsRefusal{"ExpiredTokenException", "The security token included in the request is expired"}
	}
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: keys.SecretAccessKey, SessionToken: token}, session, nil
}

// resign computes the Authorization that the request should have.
func resign(r *Request, s *signature, keys aws.Credentials, at time.Time) (string, error) {
	u := *r.URL
	u.Scheme, u.Host = "https", r.Host
	again := &http.Request{Method: r.Method, Host: r.Host, URL: &u, Header: http.Header{}}
	for _, name := range s.signed {
		switch name {
		case "host", "x-amz-date", "x-amz-security-token": // the signer's own
		case "content-length":
			again.ContentLength = int64(len(r.Payload))
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(r.Payload)
	err := v4.NewSigner().SignHTTP(context.Background(), keys, again, hex.EncodeToString(sum[:]), s.service, s.region, at)
	return again.Header.Get("Authorization"), err
}
